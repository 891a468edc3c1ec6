"""samples/fire, road, finance and drone-think: as large as promised, read by ingest, and what their scripts make."""

import importlib
import json
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from lingyu.files import read_table
from lingyu.records import TABLES
from stages import ingest

SAMPLES = Path(__file__).parent.parent / "samples"
READING = {"running_line"}  # no fault: headers and page numbers of a PDF
SCRIPTS = {"fire": "make_fire"}


@pytest.fixture(scope="module")
def makers():
    """The scripts of the corpora, imported from samples/."""
    before = set(sys.modules)
    sys.path.insert(0, str(SAMPLES))
    yield {name: importlib.import_module(script) for name, script in SCRIPTS.items()}
    sys.path.remove(str(SAMPLES))
    for name in set(sys.modules) - before:
        if name.startswith("make_"):
            del sys.modules[name]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The rows of every corpus by table, read as samples/written/<corpus>/sources.yaml says, with what was rejected."""
    read = {}
    for name in SCRIPTS:
        out = tmp_path_factory.mktemp(name)
        sources = yaml.safe_load((SAMPLES / f"written/{name}/sources.yaml").read_text(encoding="utf-8"))
        ingest.run(ingest.Params.model_validate({"sources": sources}), SAMPLES / name, out)
        read[name] = {table: list(read_table(out / f"tables/{table}.parquet", row)) for table, row in TABLES.items()}
        read[name]["rejected"] = [json.loads(line) for line in (out / "rejected.jsonl").read_text(encoding="utf-8").splitlines()]
    return read


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_corpus_is_what_its_script_makes(name, makers, tmp_path):
    makers[name].main(tmp_path / name)

    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {path: (SAMPLES / path).read_bytes() for path in made}
    assert {path for path in made if path.parts[0] == name} == {
        path.relative_to(SAMPLES) for path in (SAMPLES / name).rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("name", SCRIPTS)
def test_ingest_reads_every_row(name, tables):
    assert [row for row in tables[name]["rejected"] if row["reason"] not in READING] == []
    assert {row.licence for table in TABLES for row in tables[name][table]} == {"CC-BY-4.0"}


def test_fire_has_two_codes_and_their_questions(tables):
    documents, dialogues = tables["fire"]["documents"], tables["fire"]["dialogues"]
    articles = Counter(row.source for row in documents if row.section.endswith("条"))

    assert min(articles["codes/plant.pdf"], articles["codes/work.md"]) >= 50
    assert Counter(row.source for row in dialogues) == {"questions/register.xlsx": 80, "questions/plain.jsonl": 40}
    assert sum("| --- |" in row.text for row in documents) >= 6
    assert sum("是指" in row.text for row in documents) >= 7
    assert all(row.place.startswith("page ") for row in documents if row.source == "codes/plant.pdf")


def test_every_answer_on_fire_cites_an_article_that_was_read(tables):
    known = {f"《{row.title}》{row.section.split(' / ')[-1]}" for row in tables["fire"]["documents"]}
    cited = [[one for one in known if one in row.messages[-1].content] for row in tables["fire"]["dialogues"]]

    assert [len(found) for found in cited] == [1] * 120
