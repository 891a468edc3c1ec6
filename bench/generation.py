"""What each method without a model makes of a folder: `python -m bench.generation FOLDER [--rows 2000] [--examples 10]`.

Runs ingest, clean, split and generate with every method turned on, and prints for each method the records it reads, the
records it used, the rows it made and why it left the others; then examples to read. Every row is checked: a number, an
article's number or a quotation in an answer that is in none of its records is counted as ungrounded.
"""

import argparse
import json
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from sys import stderr
from typing import Any

from lingyu.files import read_table, read_tables, write_tables
from lingyu.generate.stable_choice import shuffled
from lingyu.generate.tables import MADE
from lingyu.records import Dialogue, Made, Preference, Row
from lingyu.retrieve.support import NUMBER, contains, squeezed
from stages import clean, generate, ingest, split

READS = {
    "given": ("dialogues", "preferences"),
    "demonstration": ("preferences",),
    "fact": ("facts",),
    "classify": ("labels",),
    "article": ("documents",),
    "corruption": ("facts", "documents", "dialogues"),
    "exam": ("exams",),
    "retrieval": ("facts", "documents", "dialogues"),
    "definition": ("documents",),
    "situation": ("documents", "dialogues"),
    "keywords": ("facts", "documents", "dialogues"),
    "turns": ("facts", "documents"),
    "weak": ("documents", "dialogues"),
}
# Everything on. The signal's words are everyday ones, so that they part any folder.
ON: dict[str, Any] = {
    "pairs": {"swapped": 200, "a_fact": 1, "dev_facts": 0, "test_facts": 0, "demonstrations": 24},
    "articles": {"recalls": 2, "cites": 4, "statements": 0, "dev_articles": 0, "held_out_share": 0.0},
    "exams": {"choices": 2, "judgements": 2},
    "retrieval": {"a_fact": 1, "an_article": 1, "dialogues": 1.0},
    "definitions": {"questions": 3, "names": 1},
    "situations": {"questions": 2, "basis": 1},
    "keywords": {"a_fact": 1, "documents": 1.0, "dialogues": 1.0},
    "turns": {"an_entity": 1, "an_article": 1},
    "weak": [
        {
            "name": "words of money",
            "task": "money",
            "patterns": {"涉及金额": "罚款|赔偿|财产|费用|[元块]钱|万元", "不涉及金额": "检查|登记|通道|天气|飞"},
        }
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=2000, help="of each table, drawn by hash")
    parser.add_argument("--examples", type=int, default=10)
    parser.add_argument("--brief", action="store_true", help="the shortest examples, a line each")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with redirect_stdout(stderr):
            learn = made_in(given.folder, home, given.rows)
        rows = [
            row for name in ("instructions", "preferences") for row in read_table(home / "made" / "made" / f"{name}.parquet", MADE[name])
        ]
        ledger = json.loads((home / "made" / "ledger.json").read_text(encoding="utf-8"))
    found = [row for row in rows if isinstance(row, Made)]
    print("\n".join(table(learn, found, reasons(ledger))))
    print(f"\n{forms(learn, found)}\n")
    for method in READS:
        shown = [row for row in found if row.method == method]
        if given.brief:
            shown = shortest(shown, given.examples)
        for row in shown[:: max(1, len(shown) // given.examples)][: given.examples]:
            print(in_a_line(row) if given.brief else example(row))


def made_in(source: Path, home: Path, most: int) -> dict[str, list[Row]]:
    """The tables of the training part, from which home/made was made."""
    learn = split_corpus(source, home, most)
    section = generate.Params.load("generate").model_dump()
    params = {**section, **{name: {**section[name], **value} if isinstance(value, dict) else value for name, value in ON.items()}}
    generate.run(generate.Params.model_validate(params), home / "train", home / "split" / "dev", home / "split" / "test", out=home / "made")
    return learn


def split_corpus(source: Path, home: Path, most: int) -> dict[str, list[Row]]:
    """The tables of the training part, at most `most` rows each, in home/train."""
    ingest.run(ingest.Params.load("ingest"), source, home / "ingest")
    words = Path("lingyu/text/word_lists.yaml")
    clean.run(clean.Params.load("clean"), home / "ingest" / "tables", words, home / "metrics.json", home / "clean")
    split.run(split.Params.load("split"), home / "clean" / "tables", home / "split")
    learn = {
        name: shuffled(rows, "bench")[:most] if len(rows) > most else rows for name, rows in read_tables(home / "split" / "train").items()
    }
    write_tables(home / "train", learn)
    return learn


def reasons(ledger: dict[str, Any]) -> dict[str, Counter[str]]:
    """By method: why it left what it left."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in ledger["entries"]:
        for told, count in entry["changed"].items():
            method, colon, reason = told.partition(": ")
            if colon:
                found[method][reason] += count
    return found


def table(learn: dict[str, list[Row]], made: list[Made], left: dict[str, Counter[str]]) -> Iterator[str]:
    yield "| method | records read | used | rows | ungrounded | left |"
    yield "| --- | --- | --- | --- | --- | --- |"
    texts = {row.id: "|".join(texts_of(row.model_dump())) for rows in learn.values() for row in rows}
    for method, tables in READS.items():
        rows = [row for row in made if row.method == method]
        read = [row for name in tables for row in learn[name] if row.scope == "domain" or method in {"given", "demonstration"}]
        used = {row.references[0] if row.references and method != "given" else row.id for row in rows}
        wrong = sum(bool(ungrounded(row, texts)) for row in rows)
        told = "; ".join(f"{reason} {count:,}" for reason, count in left.get(method, Counter()).most_common())
        yield f"| {method} | {len(read):,} | {len(used):,} | {len(rows):,} | {wrong} | {told} |"


def ungrounded(row: Made, texts: dict[str, str]) -> list[str]:
    """The claims of the answers that stand in none of the row's records; given rows and weak labels claim by themselves."""
    if not isinstance(row, Dialogue) or row.method in {"given", "demonstration", "weak"} or row.task == "classify":
        return []
    ground = "|".join(texts.get(record, "") for record in row.references)
    answers = [message.content for message in row.messages if message.role == "assistant"]
    return [claim for answer in answers for claim in claims(answer) if not contains(claim, ground)]


def claims(answer: str) -> list[str]:
    """What a wrong answer would be wrong in: numbers, numbers of articles, titles and quotations."""
    answer = re.sub(r"\b[A-Z]\. ", "", answer)  # the letters of options
    quoted = [text.rstrip("。.；，;, ") for text in re.findall(r"[“《]([^”》]+)[”》]", answer)]
    return [*quoted, *NUMBER.findall(squeezed(answer)), *re.findall(r"第[〇零一二三四五六七八九十百千]+条", answer)]


def texts_of(value: Any) -> list[str]:
    """Every text of a record, as contains looks for it."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts_of(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts_of(inner)]
    return [squeezed(value)] if isinstance(value, str) else []


def forms(learn: dict[str, list[Row]], made: list[Made]) -> str:
    """In how many different questions each record is asked about."""
    asked: dict[str, set[str]] = defaultdict(set)
    for row in made:
        if isinstance(row, Dialogue):
            for record in [row.id, *row.references[:1]] if row.method == "given" else row.references[:1]:
                asked[record].add(row.messages[0].content)
    told = []
    for name in ("facts", "documents", "dialogues", "labels", "exams"):
        counts = [len(asked[row.id]) for row in learn[name] if row.scope == "domain"]
        if counts:
            many, none = sum(count >= 3 for count in counts), counts.count(0)
            told.append(f"{name}: {len(counts)} records, {many} in 3 question forms or more, {none} in none")
    return "; ".join(told)


def shortest(rows: list[Made], count: int) -> list[Made]:
    """The shortest of the rows, every record and task once before one comes again."""
    times: Counter[tuple[str, str]] = Counter()
    ranked = []
    for row in sorted(rows, key=lambda row: (len(example(row)), row.id)):
        about = (row.references[0] if row.references else row.id, row.task)
        ranked.append((times[about], len(ranked), row))
        times[about] += 1
    return [row for _, _, row in sorted(ranked, key=lambda entry: entry[:2])[:count]]


def in_a_line(row: Made) -> str:
    said = [message.content for message in getattr(row, "messages", [])]
    said += [f"{row.chosen} ✗ {row.rejected}"] if isinstance(row, Preference) else []
    return f"- {row.method}: " + " → ".join(text.replace("\n", " ⏎ ") for text in said)


def example(row: Made) -> str:
    messages = getattr(row, "messages", [])
    turns = "\n".join(f"  {message.role}: {message.content}" for message in messages)
    better = f"\n  chosen: {getattr(row, 'chosen', '')}\n  rejected: {getattr(row, 'rejected', '')}" if hasattr(row, "chosen") else ""
    return f"--- {row.method} / {row.task} ({row.source}, {row.place})\n{turns}{better}"


if __name__ == "__main__":
    main()
