"""Clean's time and memory as the corpus grows: `python -m bench.clean FOLDER [--rows 10000 --rows 100000 ...]`.

Each row is a document of some 300 characters; one in ten repeats another nearly, one in fifty wholly.
"""

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.duplicates import watched
from lingyu.files import write_table, write_tables
from lingyu.records import Document

LENGTH = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, action="append", default=[])
    given = parser.parse_args()
    print("| rows | CPU s | CPU ms a row | peak MB | kept |\n| --- | --- | --- | --- | --- |")
    for rows in given.rows or [10_000, 100_000]:
        home = given.folder / str(rows)
        write_tables(home / "in", {})
        write_table(home / "in" / "documents.parquet", documents(rows), Document)
        cpu, peak = watched([sys.executable, "-c", RUN, str(home)])
        kept = (home / "kept").read_text()
        print(f"| {rows:,} | {cpu:,.0f} | {cpu / rows * 1000:.2f} | {peak / 2**20:,.0f} | {int(kept):,} |", flush=True)


RUN = """
import json, sys
from pathlib import Path
from stages import clean

if __name__ == "__main__":
    home = Path(sys.argv[1])
    clean.run(clean.Params.load("clean"), home / "in", Path("lingyu/text/word_lists.yaml"), home / "metrics.json", home / "out")
    total = json.loads((home / "out" / "ledger.json").read_text(encoding="utf-8"))["total"]
    assert total["in"] == total["out"] + sum(total["dropped"].values())
    (home / "kept").write_text(str(total["out"]))
"""


def documents(rows: int) -> Iterator[Document]:
    draw = random.Random(5)
    recent: list[str] = []
    for number in range(rows):
        kind = draw.random()
        if recent and kind < 0.12:
            text = draw.choice(recent)
            if kind > 0.02:
                place = draw.randrange(len(text))
                text = text[:place] + "又" + text[place + 1 :]
        else:
            text = "".join(sentence(draw) for _ in range(12))[:LENGTH]
        recent = [*recent[-1000:], text]
        common: dict[str, Any] = {"licence": "MIT", "scope": "domain", "language": "zh", "title": "手册", "section": ""}
        yield Document(id=f"{number:016x}", source=f"{number % 50}.md", place=str(number), text=text, **common)


def sentence(draw: random.Random) -> str:
    """Characters as common as in a text: the first of the list far oftener than the last."""
    return "".join(chr(0x4E00 + int(draw.paretovariate(0.6) * 7) % 6000) for _ in range(draw.randint(10, 40))) + draw.choice("，。；")


if __name__ == "__main__":
    main()
