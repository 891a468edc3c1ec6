"""reader_fuzz: what readers change of random documents. `python -m bench.reader_fuzz [documents a format] [seed]`

Every kind that bench.reader_kinds knows is planted at random in that many documents of each format; each is read as ingest
reads it. Printed by format: the documents, what was planted, the characters that should come out, those that came out
otherwise, and what was left out without a report. The last two should be 0.
"""

import random
import sys
from difflib import SequenceMatcher
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.reader_kinds import FORMATS, PLANTS, document, read, squeezed


def main() -> None:
    count, seed = (int(sys.argv[at]) if len(sys.argv) > at else otherwise for at, otherwise in ((1, 200), (2, 0)))
    print("| format | documents | planted | characters | changed | not reported |\n| --- | --- | --- | --- | --- | --- |")
    with TemporaryDirectory() as folder:
        for form in FORMATS:
            print(measured(form, count, seed, Path(folder)), flush=True)


def measured(form: str, count: int, seed: int, folder: Path) -> str:
    rng = random.Random(f"{form} {seed}")
    planted = characters = wrong = silent = 0
    for number in range(count):
        kinds = rng.choices(list(PLANTS[form]), k=rng.randint(4, 12) if form != "PDF" else rng.randint(1, 4))
        data, plants = document(form, kinds, f"{form} {seed} {number}")
        path = folder / f"a{FORMATS[form][0]}"
        path.write_bytes(data)
        said, left = read(path)
        wanted = squeezed("".join(plant.shown for plant in plants))
        planted, characters = planted + len(plants), characters + len(wanted)
        if said != wanted:
            amount = changed(wanted, said)
            wrong += amount
            print(f"{form} {number}: {amount} changed in {kinds}\n  {wanted}\n  {said}", file=sys.stderr)
        for plant in plants:
            if plant.reason and squeezed(plant.hidden) not in left.get(plant.reason, ""):
                silent += 1
                print(f"{form} {number}: {plant.hidden} is not reported as {plant.reason}", file=sys.stderr)
    return f"| {form} | {count} | {planted} | {characters:,} | {wrong} | {silent} |"


def changed(wanted: str, said: str) -> int:
    """Characters that are missing, added or in another place."""
    return sum(
        max(end - start, last - first)
        for how, start, end, first, last in SequenceMatcher(None, wanted, said, autojunk=False).get_opcodes()
        if how != "equal"
    )


if __name__ == "__main__":
    main()
