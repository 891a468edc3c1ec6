"""What the sections of generate say where a teacher has part, and a run that asks one."""

from pathlib import Path
from typing import Any

from lingyu.files import read_jsonl
from lingyu.generate.llm.checks import Limits
from lingyu.generate.llm.client import Settings
from lingyu.generate.llm.method import Learn
from lingyu.generate.llm.run import Answers, Counts, Lesson, ask_all
from lingyu.records import Dialogue, Document, Fact, Label

SAMPLING = {"temperature": 0.7, "top_p": 0.95, "seed": 20, "max_tokens": 500}
TEACHER = {
    "kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "wise", "key_from": "LINGYU_TEST_KEY", "concurrency": 4,
    "requests_a_minute": 60000, "timeout_seconds": 5.0, "retries": 2, "max_wait_seconds": 5.0, "answers": "json_schema",
    "sampling": SAMPLING, "body": {}, "price": {"currency": "CNY", "asked": 10.0, "answered": 50.0},
    "budget": {"tokens": 1_000_000, "money": 100.0},
}  # fmt: skip
CHECKS = {"min_passage": 5, "min_chars": 2, "max_chars": 2000, "max_repeated": 0.3, "overlap": 0.5, "near": 0.7}
ASKED: dict[str, dict[str, Any]] = {
    "reliable": {"records": 0, "questions": 2, "verify": False},
    "entity": {"records": 0, "kinds": 2},
    "seeds": {
        "records": 0, "rounds": 2, "instructions": 1, "examples": 2, "kinds": {"zh": ["问答"], "en": ["ask"]},
        "seeds": {"zh": ["怎么飞？"]},
    },
    "scenario": {"records": 0, "scenarios": 1, "turns": 2, "kinds": {"zh": ["新人", "老手"], "en": ["novice"]}},
    "opinion": {"records": 0},
    "retold": {"records": 0, "turns": 3, "min_chars": 10},
    "clarify": {"records": 0},
    "replaced": {"records": 0},
    "judged": {"records": 0, "samples": 3, "margin": 2},
    "nvc": {"records": 0, "tasks": ["message"]},
}  # fmt: skip
RULES = {"teacher": TEACHER | {"kind": "rules"}, "checks": CHECKS, "asked": ASKED}


def counts(**changes: dict[str, Any]) -> Counts:
    return Counts.model_validate({name: section | changes.get(name, {}) for name, section in ASKED.items()})


def settings(url: str, **changes: Any) -> Settings:
    return Settings.model_validate(TEACHER | {"base_url": url} | changes)


def learn(*rows: Any) -> Learn:
    kinds = {"documents": Document, "facts": Fact, "dialogues": Dialogue, "labels": Label}
    return Learn(**{name: [row for row in rows if isinstance(row, kind)] for name, kind in kinds.items()}, seed=1)


def lesson(*rows: Any, questions: tuple[str, ...] = (), told: str = "", **changes: dict[str, Any]) -> Lesson:
    """told: a word that no row may speak of."""
    limits = Limits.model_validate(CHECKS)
    return Lesson(learn(*rows), counts(**changes), limits, list(questions), lambda text: told if told and told in text else "")


def teach(url: str, folder: Path, given: Lesson, **changes: Any) -> Answers:
    return ask_all(given, settings(url, **changes), folder / "journal.jsonl", folder / "teacher.jsonl")


def reasons(done: Answers) -> list[str]:
    return [drop.reason for drop in done.drops]


def exchanges(folder: Path) -> list[dict[str, Any]]:
    return list(read_jsonl(folder / "teacher.jsonl"))
