"""leaks: how much of what is planted the leak gate finds, and how much else it takes for a leak. `python -m bench.leaks [tables …]`

Reads   out/clean/tables     or the folders of tables named: clean rows, of which every fifth is held out
        params.yaml          split.leaks
Writes  docs/benchmarks.md   what stands between the marks <!-- leaks --> and <!-- /leaks -->, unless folders are named

Every held-out text is planted once in each form; a plant is found when the gate names it, whatever kind it says. The
other four fifths, less what is the same as a held-out text, must pass: false alarms are those that do not. Not counted among
them are texts that copy a held-out one, as statutes copy articles of others: half of the shorter text is part of the other
in unbroken runs of 13 characters and more. What the gate finds is printed, to be judged by a person.

A second table is of what crowds or blurs: many held-out texts with a phrase in common, and rows that all share an instruction. Its
first lines are made: questions of one pattern, of which every fifth is held out, so that each has hundreds of near neighbours.
"""

import random
import re
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from lingyu.files import read_tables
from lingyu.records import Dialogue, Document, Label
from lingyu.split.leak import SAYS, Bounds, Gate, Item, Leak, amount, folded, others_of
from lingyu.text.questions import question_of
from stages import split

OPENED, CLOSED = "<!-- leaks -->", "<!-- /leaks -->"
PAGE = Path("docs/benchmarks.md")
FEWEST = 50  # texts of a kind and language that are worth a line
Texts = dict[str, list[Item]]  # by what they are


def main() -> None:
    bounds = split.Params.load("split").leaks
    named = [Path(name) for name in sys.argv[1:]]
    lines = ["| texts | held out | " + " | ".join(PLANTS) + " | false alarms | copies |", "|" + " --- |" * (len(PLANTS) + 4)]
    folders = named or [Path("out/clean/tables")]
    for folder in folders:
        lines += measured(folder, bounds)
    lines += ["", "| texts | held out | " + " | ".join(SHARED) + " |", "|" + " --- |" * (len(SHARED) + 2)]
    for name, items in [*made(), *((name, items) for folder in folders for name, items in texts_of(folder).items())]:
        lines.append(crowded(name, items, bounds))
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


def parts_of(items: list[Item], draw: random.Random) -> tuple[list[Item], list[Item]]:
    """Every fifth, and the others but for those that are the same as one of these."""
    draw.shuffle(items)
    held, rest = items[::5], [item for number, item in enumerate(items) if number % 5]
    same = {folded(item.text) for item in held}
    return held, [item for item in rest if folded(item.text) not in same]


def gate_of(held: list[Item], rest: list[Item], bounds: Bounds, name: str) -> Gate:
    return Gate(held, bounds, passages="questions" in name, others=others_of([item.text for item in rest], len(rest)))


def share(found: int, all_: int) -> str:
    return f"{found}/{all_}" + (f" = {found / all_:.4f}" if all_ else "")


def made() -> Iterator[tuple[str, list[Item]]]:
    """Questions of one pattern, in each language: some share a phrase by the hundred, all share their words."""
    draw = random.Random(3)
    for language, characters, patterns in (("zh", HAN, PATTERNS_ZH), ("en", LATIN, PATTERNS_EN)):
        names = ["".join(draw.choices(characters, k=3 if language == "zh" else 6)) for _ in range(400)]
        texts = [pattern.format(name) for pattern in patterns for name in names]
        yield f"made: questions {language}", [Item(str(number), text, "", "") for number, text in enumerate(dict.fromkeys(texts))]


RUN, COPY = 13, 0.5  # characters of an unbroken run; share of the shorter text in such runs from which it is a copy


def copied(text: str, held: str) -> float:
    """The share of the shorter text that the other has, too, in runs of at least RUN characters."""
    shorter, longer = sorted(map(folded, (text, held)), key=len)
    inside = [False] * len(shorter)
    runs = {longer[at : at + RUN] for at in range(len(longer) - RUN + 1)}
    for at in range(len(shorter) - RUN + 1):
        if shorter[at : at + RUN] in runs:
            inside[at : at + RUN] = [True] * RUN
    return sum(inside) / max(1, len(shorter))


def alarms_of(gate: Gate, rest: list[Item], bare: dict[str, str]) -> tuple[list[Leak], int]:
    """What the gate finds among texts that are no plants, without copies, and how many are copies. bare: the texts by id."""
    found = list(gate.leaks(rest))
    false = [leak for leak in found if copied(bare[leak.id], bare[leak.held_id]) < COPY]
    return false, len(found) - len(false)


def crowded(name: str, items: list[Item], bounds: Bounds) -> str:
    """For each kind of instruction that all rows share: what is found of the held-out texts in it, and the false alarms."""
    cells = []
    for instruction in SHARED.values():
        draw = random.Random(7)
        held, rest = parts_of(list(items), draw)
        bare = {item.id: item.text for item in items}
        dressed = instruction(draw)
        held, rest = ([replace(item, text=dressed(item.text)) for item in part] for part in (held, rest))
        gate = gate_of(held, rest, bounds, name)
        alarms, _ = alarms_of(gate, rest, bare)
        copies = [frame.format(item.text) for frame in FRAMES[:2] for item in held if amount(folded(item.text)) >= LEAST]
        found = sum(1 for _ in gate.leaks(Item("", text, "", "") for text in copies))
        cells.append(f"{share(found, len(copies))}; {share(len(alarms), len(rest))}")
    return f"| {name} | {len(held)} | " + " | ".join(cells) + " |"


def measured(folder: Path, bounds: Bounds) -> Iterator[str]:
    for name, items in texts_of(folder).items():
        draw = random.Random(7)
        held, rest = parts_of(items, draw)
        gate = gate_of(held, rest, bounds, name)
        alarms, copies = alarms_of(gate, rest, {item.id: item.text for item in items})
        for alarm in gate.leaks(rest):
            share_copied = copied(alarm.text, alarm.held_text)
            print(
                f"{name}: {alarm.kind} {alarm.similarity}, copied {share_copied:.2f}\n  {alarm.text!r}\n  {alarm.held_text!r}",
                file=sys.stderr,
            )
        cells = []
        for plants in PLANTS.values():
            planted = [(item, text) for plant in plants for item in held if (text := plant(item.text, rest, draw))]
            found = [leak for item, text in planted for leak in gate.leaks([Item(item.id, text, "", "")])]
            cells.append(share(len(found), len(planted)))
        yield f"| {name} | {len(held)} | " + " | ".join(cells) + f" | {share(len(alarms), len(rest))} | {copies} |"


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


def shorter(plant: Plant) -> Plant:
    """Of the others, but for what says nothing."""
    return lambda text, others, draw: plant(text, others, draw) if SAYS <= amount(folded(text)) < LEAST else ""


def polite(text: str, others: list[Item], draw: random.Random) -> str:
    return f"您好，请问{text}谢谢" if re.search("[一-鿿]", text) else f"Hello, please tell me: {text} Thanks"


def framed(frame: str) -> Plant:
    return lambda text, others, draw: frame.format(text)


def instructed(text: str, others: list[Item], draw: random.Random) -> str:
    """Under an instruction of 20 to 200 characters that nobody else has."""
    chinese = re.search("[一-鿿]", text) is not None
    words, size = (HAN, draw.randint(20, 200)) if chinese else (LATIN, draw.randint(20, 200))
    before = "".join(draw.choices(words, k=size // 2))
    after = "".join(draw.choices(words, k=size - size // 2))
    return f"{before}，{text}{after}" if chinese else f"{before} {text} {after}"


LEAST = 10
HAN = [chr(point) for point in range(0x4E00, 0x4E00 + 2500)]
LATIN = list("abcdefghijklmnopqrstuvwxyz")
PATTERNS_ZH = [
    "在机场净空保护区内操控{}无人机飞行前需要向谁提出申请？",
    "在机场净空保护区内操控{}无人机飞行后应当在几日内归档？",
    "{}市的消防控制室值班人员应当持有几级证书？",
    "{}的续航是多少？",
]
PATTERNS_EN = [
    "Who must be asked before {} takes off near the airport at night?",
    "How many people does a flight of {} need at the river bank?",
]
FRAMES = [
    "问题：{}\n回答：",
    "请回答下面的问题：{}",
    "“{}”",
    "Question: {}\nAnswer:",
    "Please answer the following question.\n\n{}\n\nAnswer:",
    "### Instruction:\n{}\n\n### Response:",
    "你是一名经验丰富的客服，请根据你的知识回答用户的提问。\n用户：{}\n客服：",
]
RULE = "你是一名严谨的助手。请先通读下面的内容，再用一句完整的话作答；不知道的就说不知道，不要编造数字、法条和出处，也不要重复题目。"
RULE_EN = "You are a careful assistant. Read what follows, then answer in one whole sentence; say so where you do not know."
SHARED: dict[str, Callable[[random.Random], Callable[[str], str]]] = {
    "nothing shared: framed copies; false alarms": lambda draw: lambda text: text,
    "an instruction of 60 characters": lambda draw: lambda text: f"{RULE}\n{text}",
    "of 300 characters": lambda draw: lambda text: f"{RULE * 2}{RULE_EN}\n{text}",
    "one of five of 60 to 120 characters": lambda draw: instructions(draw),
}


def instructions(draw: random.Random) -> Callable[[str], str]:
    kinds = ["".join(draw.choices(HAN, k=draw.randint(60, 120))) for _ in range(5)]
    return lambda text: f"{kinds[zlib.crc32(text.encode()) % len(kinds)]}\n{text}"


PLANTS: dict[str, list[Plant]] = {
    "verbatim": [lambda text, others, draw: text],
    "punctuation, width or case changed": [punctuated, widened, lambda text, others, draw: text.swapcase()],
    "traditional for simplified": [traditional("s2t")],
    "one character in 30 changed": [edited(30)],
    "one in 20": [edited(20)],
    "one in 10": [edited(10)],
    "sentences swapped, or one left out": [swapped, shortened],
    "within a longer text, or a polite frame": [contained(longer), contained(polite)],
    "in one of seven frames": [contained(framed(frame)) for frame in FRAMES],
    "the same, of shorter questions": [shorter(framed(frame)) for frame in FRAMES],
    "in an instruction of 20 to 200 characters": [contained(instructed)],
}

if __name__ == "__main__":
    main()
