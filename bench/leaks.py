"""leaks: how much of what is planted the leak gate finds, and how much else it takes for a leak. `python -m bench.leaks [tables …]`

Reads   out/clean/tables     or the folders of tables named: clean rows, of which every fifth is held out
        params.yaml          split.leaks
Writes  docs/benchmarks.md   what stands between the marks <!-- leaks --> and <!-- /leaks -->, unless folders are named

Every held-out text is planted once in each form; a plant is found when the gate names it, whatever kind it says. The
other four fifths, less what is the same as a held-out text, must pass: false alarms are those that do not. What the gate
finds among them is printed, to be judged by a person.
"""

import random
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from lingyu.files import read_tables
from lingyu.records import Dialogue, Document, Label
from lingyu.split.leak import Bounds, Gate, Item, amount, folded
from lingyu.text.questions import question_of
from stages import split

OPENED, CLOSED = "<!-- leaks -->", "<!-- /leaks -->"
PAGE = Path("docs/benchmarks.md")
FEWEST = 50  # texts of a kind and language that are worth a line
Texts = dict[str, list[Item]]  # by what they are


def main() -> None:
    bounds = split.Params.load("split").leaks
    named = [Path(name) for name in sys.argv[1:]]
    lines = ["| texts | held out | " + " | ".join(PLANTS) + " | false alarms |", "|" + " --- |" * (len(PLANTS) + 3)]
    for folder in named or [Path("out/clean/tables")]:
        lines += measured(folder, bounds)
    print("\n".join(lines))
    if not named:
        page = PAGE.read_text(encoding="utf-8")
        head, tail = page.partition(OPENED)[0], page.partition(CLOSED)[2]
        PAGE.write_text(f"{head}{OPENED}\n" + "\n".join(lines) + f"\n{CLOSED}{tail}", encoding="utf-8")


def texts_of(folder: Path) -> Texts:
    found: Texts = defaultdict(list)
    for rows in read_tables(folder).values():
        for row in rows:
            match row:
                case Document():
                    text, what = row.text, "documents"
                case Dialogue():
                    text, what = question_of(row.messages), "questions"
                case Label():
                    text, what = row.text, "labels"
                case _:
                    continue
            found[f"{what} {row.language}"].append(Item(row.id, text, row.source, row.place))
    return {name: items for name, items in sorted(found.items()) if len(items) >= 50}


def measured(folder: Path, bounds: Bounds) -> Iterator[str]:
    for name, items in texts_of(folder).items():
        draw = random.Random(7)
        draw.shuffle(items)
        held, rest = items[::5], [item for number, item in enumerate(items) if number % 5]
        same = {folded(item.text) for item in held}
        rest = [item for item in rest if folded(item.text) not in same]
        gate = Gate(held, bounds, passages=name.startswith("questions"))
        alarms = list(gate.leaks(rest))
        for alarm in alarms:
            print(f"{name}: {alarm.kind} {alarm.similarity}\n  {alarm.text!r}\n  {alarm.held_text!r}", file=sys.stderr)
        cells = []
        for plants in PLANTS.values():
            planted = [(item, text) for plant in plants for item in held if (text := plant(item.text, rest, draw))]
            found = [leak for item, text in planted for leak in gate.leaks([Item(item.id, text, "", "")])]
            cells.append(f"{len(found)}/{len(planted)}" + (f" = {len(found) / len(planted):.3f}" if planted else ""))
        yield f"| {name} | {len(held)} | " + " | ".join(cells) + f" | {len(alarms)}/{len(rest)} = {len(alarms) / max(len(rest), 1):.4f} |"


Plant = Callable[[str, list[Item], random.Random], str]


def edited(each: int) -> Plant:
    """One character in so many replaced, at least one; of texts that are long enough for that to be little."""

    def plant(text: str, others: list[Item], draw: random.Random) -> str:
        characters = list(text)
        places = [place for place, character in enumerate(text) if character.isalpha()]
        if len(places) < each:
            return ""
        for place in draw.sample(places, len(places) // each):
            characters[place] = draw.choice(
                [c for c in draw.choice(others).text if c.isalpha() and c.isascii() == text[place].isascii() and c != text[place]] or ["x"]
            )
        return "".join(characters)

    return plant


def sentences(text: str) -> list[str]:
    return [part for part in re.findall(r".*?(?:[。！？!?；;\n]+|\. |$)", text, re.DOTALL) if part]


def swapped(text: str, others: list[Item], draw: random.Random) -> str:
    parts = sentences(text)
    return "".join(parts[1:] + parts[:1]) if len(parts) > 2 else ""


def shortened(text: str, others: list[Item], draw: random.Random) -> str:
    parts = sentences(text)
    return "".join(parts[:-1]) if len(parts) > 3 else ""


def longer(text: str, others: list[Item], draw: random.Random) -> str:
    return f"{draw.choice(others).text}\n{text}\n{draw.choice(others).text}"


def punctuated(text: str, others: list[Item], draw: random.Random) -> str:
    return re.sub(
        r"(?<!\d)[，。、；：？！,.;:?!\s]+(?!\d)", lambda match: draw.choice([" ", "", "；", "!!"]) if len(match[0]) else "", text
    )


def widened(text: str, others: list[Item], draw: random.Random) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def traditional(config: str) -> Plant:
    from opencc import OpenCC

    converter = OpenCC(config)

    def plant(text: str, others: list[Item], draw: random.Random) -> str:
        return str(converter.convert(text))

    return plant


def contained(plant: Plant) -> Plant:
    """Of texts that say something by themselves."""
    return lambda text, others, draw: plant(text, others, draw) if amount(folded(text)) >= LEAST else ""


def polite(text: str, others: list[Item], draw: random.Random) -> str:
    return f"您好，请问{text}谢谢" if re.search("[一-鿿]", text) else f"Hello, please tell me: {text} Thanks"


LEAST = 10
PLANTS: dict[str, list[Plant]] = {
    "verbatim": [lambda text, others, draw: text],
    "punctuation, width or case changed": [punctuated, widened, lambda text, others, draw: text.swapcase()],
    "traditional for simplified": [traditional("s2t")],
    "one character in 30 changed": [edited(30)],
    "one in 20": [edited(20)],
    "one in 10": [edited(10)],
    "sentences swapped, or one left out": [swapped, shortened],
    "within a longer text, or a polite frame": [contained(longer), contained(polite)],
}

if __name__ == "__main__":
    main()
