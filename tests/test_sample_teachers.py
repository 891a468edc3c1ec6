"""The answers that stand for a teacher in the samples: the methods' own requests find them, and they pass the checks."""

from collections import Counter
from pathlib import Path

import pytest
import yaml
from teaching import learn, settings

from lingyu.files import read_table
from lingyu.generate.llm.checks import Limits
from lingyu.generate.llm.run import Counts, Lesson, ask_all
from lingyu.records import TABLES
from stages import ingest

SAMPLES = Path(__file__).parent.parent / "samples"
SCENARIOS = yaml.safe_load((SAMPLES / "written/clinic/scenarios.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The rows of each corpus, read once."""
    read = {}
    for name in ("law", "clinic", "school"):
        out = tmp_path_factory.mktemp(name)
        sources = yaml.safe_load((SAMPLES / f"written/{name}/sources.yaml").read_text(encoding="utf-8"))
        ingest.run(ingest.Params.model_validate({"sources": sources}), SAMPLES / name, out)
        read[name] = [row for table, kind in TABLES.items() for row in read_table(out / f"tables/{table}.parquet", kind)]
    return read


def asked(name, rows, folder, **counts):
    """What a run makes of a corpus with its written answers."""
    lesson = Lesson(learn(*rows), Counts.model_validate(counts), Limits(), [], lambda text: "")
    teacher = settings("", kind="written", model="", file=str(SAMPLES / f"{name}-checks/teacher.yaml"))
    return ask_all(lesson, teacher, folder / "journal.jsonl", folder / "teacher.jsonl")


# Where an answer tells what follows from an article, its numbers may be computed: the checks drop those.
@pytest.mark.parametrize(
    ("name", "method", "counts", "rows"),
    [
        ("law", "clarify", {}, 47),
        ("law", "replaced", {}, 150),
        ("law", "opinion", {}, 140),
        ("clinic", "reliable", {"questions": 3}, 180),
        ("clinic", "seeds", {"records": 20, "rounds": 3, "instructions": 3}, 175),
        ("clinic", "replaced", {}, 300),
        ("school", "retold", {"turns": 3}, 60),
        ("school", "nvc", {}, 80),
    ],
)
def test_written_answers_become_rows(tables, tmp_path, name, method, counts, rows):
    done = asked(name, tables[name], tmp_path, **{method: {"records": 400, **counts}})

    assert len(done.rows) >= rows
    wrong = Counter(drop.reason for drop in done.drops) - Counter(empty_answer=400)
    assert wrong.total() <= 0.12 * len(done.rows), wrong


def test_each_article_asked_about_is_answered_once(tables, tmp_path):
    statutes = [row for row in tables["law"] if row.source.startswith("statutes/")]
    done = asked("law", statutes, tmp_path, reliable={"records": 400, "questions": 2})

    assert len(done.rows) >= 130
    assert {drop.reason for drop in done.drops} == {"empty_answer"}


def test_sixteen_kinds_of_tasks_are_made_of_every_herb_and_formula(tables, tmp_path):
    triples = [row for row in tables["clinic"] if row.source.startswith("triples/")]
    done = asked("clinic", triples, tmp_path, entity={"records": 400, "kinds": 16})

    assert len({row.references[0] for row in done.rows}) == 40
    assert len(done.rows) >= 0.95 * 40 * 16
    assert {drop.reason for drop in done.drops} <= {"near_duplicate"}


def test_sixteen_scenarios_are_played_in_every_department(tables, tmp_path):
    guide = [row for row in tables["clinic"] if row.source.startswith("guides/")]
    done = asked("clinic", guide, tmp_path, scenario={"records": 400, "scenarios": 16, "turns": 3, "kinds": {"zh": SCENARIOS, "en": []}})

    departments = {row.id: row.section.split(" / ")[0] for row in guide}
    assert Counter(departments[row.references[0]] for row in done.rows).keys() == set(departments.values())
    assert len(set(departments.values())) == 28
    assert len(done.rows) == 60 * 16
    assert done.drops == []
