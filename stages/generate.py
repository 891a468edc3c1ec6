"""generate: make training rows and frozen test questions from the records, each with its provenance.

Reads   out/split/train             the tables to learn from
        out/split/dev               those to choose checkpoints by
        out/split/test              those to test with
Writes  out/generate/made           instructions, dev_instructions, preferences, dev_preferences, test_preferences, prompts, questions,
                                    dev_questions, and facts as text: statements, dev_statements, test_statements (all .parquet)
        out/generate/teacher.jsonl  every exchange with a teacher that is a model; empty with the rules. Read by the next run: nothing is
                                    asked twice. During a run, answers are kept in .lingyu/generate/teacher.jsonl
        out/generate/dropped.jsonl  what a teacher was asked about and gave no row, with the reason and what it said; empty with the rules
        out/generate/ledger.json    records used or left out, rows made, by table and source

Facts of all parts are stated in the text for pretraining, but only those of the training part are ever asked: whether
the model answers the others shows what it learnt from documents alone. A fact that a given row of the training part
speaks of is not among those others. Test questions have wordings of their own, and so have those of dev, by which the winner is
selected. A teacher that is a model sees records of the
training part only, and its rows are dropped where they mention a fact kept for dev or test.
"""

from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

from lingyu.files import read_table, write_jsonl, write_table
from lingyu.generate.llm.checks import questions_of
from lingyu.generate.llm.method import Drop, Learn, table_of
from lingyu.generate.llm.run import Answers, Lesson, ask_all
from lingyu.generate.plan import Params, Part, Statutes, rows_made, statutes_of, stop_at_tasks
from lingyu.generate.rules import given, knowledge, skills
from lingyu.generate.rules.methods import Reasons
from lingyu.generate.tables import MADE
from lingyu.ledger import Ledger
from lingyu.records import TABLES, Dialogue, Fact, Made, Row
from lingyu.stage import start


def run(params: Params, train: Path, dev: Path, test: Path, out: Path, work: Path = Path(".lingyu/generate")) -> None:
    learn, choose, hold = read_part(train), read_part(dev), read_part(test)
    stop_at_tasks(params, [*learn.labels, *choose.labels, *hold.labels])
    ledger, reasons = Ledger(), Reasons()
    statutes = statutes_of(learn, params.articles, params.seed)
    tables = rows_made(params, learn, choose, hold, statutes, reasons)
    made: dict[str, list[Row]] = {name: list(rows) for name, rows in tables.items()}
    lesson = lesson_of(params, learn, statutes, [*choose.facts, *hold.facts], made["instructions"])
    answers = ask_all(lesson, params.teacher, work / "teacher.jsonl", out / "teacher.jsonl")
    for answered in answers.rows:
        made[table_of(answered)].append(answered)
    made["instructions"] = [
        *skills.with_skills((row for row in made["instructions"] if isinstance(row, Dialogue)), params.skills, params.seed)
    ]

    for name, row_type in MADE.items():
        rows = list({row.id: row for row in made[name]}.values())
        count_made(ledger, f"made/{name}", made[name], rows)  # as its file: preferences are records, and made, too
        write_table(out / "made" / f"{name}.parquet", rows, row_type)
    count_used(ledger, [learn, choose, hold], [row for rows in made.values() for row in rows if isinstance(row, Made)], answers.asked)
    count_answers(ledger, answers)
    reasons.count(ledger)
    for row in made["instructions"]:
        if isinstance(row, Dialogue) and skills.has_skill(row):
            ledger.changed("made/instructions", row.source, "named its skill")
    write_jsonl(out / "dropped.jsonl", map(dropped, answers.drops))
    ledger.write(out / "ledger.json")


def lesson_of(params: Params, learn: Part, statutes: Statutes, kept: list[Fact], rows: list[Row]) -> Lesson:
    """What a teacher may see, and what its rows must neither repeat nor give away."""
    seen = Learn(
        documents=[row for row in statutes.readable(learn.documents) if row.scope == "domain"],
        facts=[row for row in learn.facts if row.scope == "domain"],
        dialogues=[row for row in given.instructions(learn.dialogues) if row.scope == "domain"],
        labels=[row for row in learn.labels if row.scope == "domain"],
        seed=params.seed,
    )
    questions = ["\n".join(questions_of(row)) for row in rows if isinstance(row, Dialogue)]
    return Lesson(seen, params.asked, params.checks, questions, knowledge.Mentions(kept).first)


def read_part(folder: Path) -> Part:
    tables: dict[str, Any] = {name: list(read_table(folder / f"{name}.parquet", row_type)) for name, row_type in TABLES.items()}
    return Part(**tables)


def count_made(ledger: Ledger, table: str, made: list[Row], kept: list[Row]) -> None:
    for row in made:
        ledger.made(table, row.source, row.method if isinstance(row, Made) else "statement")
    for row in kept:
        ledger.kept(table, row.source)
    for source, count in (Counter(row.source for row in made) - Counter(row.source for row in kept)).items():
        ledger.dropped(table, source, "made twice", count)


def count_answers(ledger: Ledger, answers: Answers) -> None:
    """What a teacher was asked about without making a row, and citations that no source has."""
    for drop in answers.drops:
        table = f"made/{table_of(drop.row)}"
        ledger.made(table, drop.record.source, drop.method)
        ledger.dropped(table, drop.record.source, drop.reason)
    for (table, source), count in answers.invented.items():
        ledger.changed(f"made/{table}", source, "invented citations", count)


def dropped(drop: Drop) -> dict[str, Any]:
    about = {"id": drop.record.id, "source": drop.record.source, "place": drop.record.place}
    why = {"method": drop.method, "reason": drop.reason, "evidence": drop.evidence, "prompt_hash": drop.prompt_hash}
    return {"table": table_of(drop.row), **why, "record": about, "row": drop.row.model_dump() if drop.row else None}


def count_used(ledger: Ledger, parts: list[Part], made: list[Made], asked: set[str]) -> None:
    """Which records the made rows rest on. Facts are stated, all of them; a document is read by mix, whether asked or not."""
    used = {reference for row in made for reference in (row.id, *row.references)}
    for part in parts:
        for field in fields(part):
            for row in getattr(part, field.name):
                ledger.read(field.name, row.source)
                if row.id in used or field.name == "facts":
                    ledger.kept(field.name, row.source)
                else:
                    ledger.dropped(field.name, row.source, FRUITLESS if row.id in asked else UNUSED[field.name])


FRUITLESS = "no answer about it passed the checks"
UNUSED = {
    "documents": "not asked about",
    "dialogues": "over the number of test questions",
    "labels": "over the number of test questions, or its class is not in the training part",
    "exams": "not asked about",
    "preferences": "",
}

if __name__ == "__main__":
    start(run, Params, train=Path("out/split/train"), dev=Path("out/split/dev"), test=Path("out/split/test"), out=Path("out/generate"))
