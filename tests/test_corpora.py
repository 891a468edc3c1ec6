"""samples/fire, road, finance and drone-think: as large as promised, read by ingest, and what their scripts make."""

import importlib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from statistics import correlation

import pytest
import yaml

from lingyu.clean.pii import mask
from lingyu.files import read_table
from lingyu.generate.llm.checks import Candidate, Limits, Seen, finding
from lingyu.generate.llm.method import source_of
from lingyu.generate.provenance import provenance
from lingyu.records import TABLES, Dialogue, Message
from lingyu.retrieve.support import squeezed
from stages import ingest

SAMPLES = Path(__file__).parent.parent / "samples"
READING = {"running_line"}  # no fault: headers and page numbers of a PDF
SCRIPTS = {"fire": "make_fire", "road": "make_road", "finance": "make_finance", "drone-think": "make_drone_think"}


SETS = {"market": 400, "headlines": 150, "forum": 120, "analysts": 120}  # labels of finance by their source


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


def test_road_is_as_large_as_promised(tables):
    road = tables["road"]
    labels, tasks = Counter(row.label for row in road["labels"]), Counter(row.task for row in road["dialogues"])

    assert sum(labels.values()) == 450
    assert set(labels) == {"追尾碰撞", "侧面碰撞", "碰撞行人或骑车人", "单车事故"}
    assert min(labels.values()) >= 60
    assert len({row.text for row in road["labels"]}) == 450
    assert tasks == dict.fromkeys(("classification", "answering", "summarising", "advice"), 40)
    assert len(road["preferences"]) == 120
    assert sum(row.section.endswith("条") for row in road["documents"]) == 60
    assert {row.language for row in road["dialogues"]} == {row.language for row in road["documents"]} == {"zh", "en"}


def test_no_place_vehicle_or_outcome_gives_the_class_of_an_incident_away(makers):
    incidents = makers["road"].words("incidents")
    listed = makers["road"].reports()

    def classes(word):
        return {one.label for one in listed if word in one.text}

    places = [place for group in incidents["places"].values() for place in group]
    assert len(places) >= 30
    assert min(len(classes(place)) for place in places) >= 3
    assert min(len(classes(word)) for word in [*incidents["vehicles"], *incidents["injured"], *incidents["handling"]]) == 4


def test_all_planted_personal_data_is_masked(makers):
    reports = makers["road"].reports()
    masked = {one.id: mask(one.text, "zh", ["name", "plate", "mobile"])[0] for one in reports}
    planted = Counter(kind for one in reports for kind, values in one.planted.items() for _ in values)

    assert min(planted.values()) >= 100
    assert [v for one in reports for values in one.planted.values() for v in values if v not in one.text or v in masked[one.id]] == []
    # Plates of letters and numbers of a range that nobody has.
    assert {plate[:2] for one in reports for plate in one.planted["plate"]} == {"宁K", "宁M", "宁P"}
    assert {number[:4] for one in reports for number in one.planted.get("mobile", [])} == {"1745"}


def test_two_other_models_answered_every_incident_one_better_than_the_other(makers):
    classes = {one.id: one.label for one in makers["road"].reports()}
    found = {}
    for model in "ab":
        answers = [json.loads(line) for line in (SAMPLES / f"road-checks/answers-{model}.jsonl").read_text(encoding="utf-8").splitlines()]
        assert [row["id"] for row in answers] == list(classes)
        said = [{label for label in set(classes.values()) if label in row["answer"]} for row in answers]
        found[model] = (
            sum(one == {classes[row["id"]]} for one, row in zip(said, answers, strict=True)) / 450,
            sum(len(one) != 1 for one in said),
        )

    assert 0.9 < found["a"][0] < 0.97
    assert 0.65 < found["b"][0] < 0.85
    assert 0 < found["a"][1] < found["b"][1] < 60


def test_seeds_on_rules_name_articles_that_exist(tables):
    articles = {row.section.split(" / ")[-1] for row in tables["road"]["documents"]}
    answers = [row.messages[-1].content for row in tables["road"]["dialogues"] if row.task == "answering"]
    named = [re.findall("第[一二三四五六七八九十]+条", answer) for answer in answers]

    assert sum(map(bool, named)) == 39  # and one in English, by "article 16"
    assert {article for found in named for article in found} <= articles


def test_finance_is_as_large_as_promised(tables):
    finance = tables["finance"]
    classes = {task: Counter(row.label for row in finance["labels"] if row.task.startswith(task)) for task in SETS}
    days = [re.search(r"\d{4}-\d\d-\d\d", row.place)[0] for row in finance["labels"] if row.task.startswith("market")]

    assert {task: sum(found.values()) for task, found in classes.items()} == SETS
    assert {task: len(found) for task, found in classes.items()} == {"market": 3, "headlines": 3, "forum": 2, "analysts": 5}
    assert min(min(found.values()) for found in classes.values()) >= 24
    assert days == sorted(days)
    assert (days[0][:4], days[-1][:4]) == ("2023", "2024")
    assert len(finance["facts"]) == 60
    assert sum(row.language == "en" for row in finance["labels"]) == 40


def test_a_return_follows_its_news_without_being_determined_by_it(makers):
    items = makers["finance"].news()
    polarity, gains = [one.polarity for one in items], [one.gain for one in items]
    opposite = sum(one.polarity * one.gain < 0 for one in items)

    assert len({one.text for one in items}) == 400
    assert 0.6 < correlation(polarity, gains) < 0.9
    assert opposite > 20
    assert all(one.day.weekday() < 5 for one in items)


def test_the_price_of_a_good_is_good_for_its_seller_and_bad_for_its_buyer(makers):
    companies = makers["finance"].words("companies")["companies"]
    rises = [one for one in makers["finance"].news() if "报价一周上涨" in one.title]
    signs = {}
    for one in rises:
        company = next(name for name in companies if f"公司包括{name}" in one.text)
        side = "sells" if one.title.startswith(companies[company]["sells"]) else "buys"
        signs.setdefault(side, set()).add(one.polarity)

    assert signs == {"sells": {1}, "buys": {-1}}


def test_a_thought_ends_in_its_conclusion_once_the_fields_are_swapped(tables):
    rows = tables["drone-think"]["dialogues"]
    drone = (SAMPLES / "drone/reasoning/questions.jsonl").read_text(encoding="utf-8")
    asked = {json.loads(line)["question"] for line in drone.splitlines()}
    raw = [json.loads(line) for line in (SAMPLES / "drone-think/questions.jsonl").read_text(encoding="utf-8").splitlines()]

    assert len({row.messages[0].content for row in rows} - asked) == len(rows) == 120
    assert all(len(row.messages[-1].reasoning) > len(row.messages[-1].content) for row in rows)
    assert [(row.messages[-1].reasoning, row.messages[-1].content) for row in rows] == [(row["answer"], row["reasoning"]) for row in raw]
    assert {row.task for row in rows} == {"reason"}
    assert {row.language for row in rows} == {"zh", "en"}


def test_a_flight_is_allowed_exactly_if_the_thought_finds_nothing_wrong(tables):
    found = Counter()
    for row in tables["drone-think"]["dialogues"]:
        thought, conclusion = row.messages[-1].reasoning, row.messages[-1].content
        if re.match("能|不能|可以|不可以|Yes|No|Fly|Stay", conclusion) and "谁" not in row.messages[0].content:
            wrong = bool(re.search("不满足|不行|not met", thought))
            found[wrong] += 1
            assert wrong == bool(re.match("不|No|Stay", conclusion)), row

    assert min(found.values()) >= 25


def road_teacher():
    """Its entries: those that ask for instructions, and those that answer one."""
    entries = yaml.safe_load((SAMPLES / "road-checks/teacher.yaml").read_text(encoding="utf-8"))
    extends = [one for one in entries if "instructions" in one["answer"]]
    return extends, [one for one in entries if one not in extends]


def after_colon(line):
    return re.split("[：:]", line, maxsplit=1)[1].strip()


def test_the_teacher_of_road_is_right_but_for_the_planted_faults(tables):
    _, asked = road_teacher()
    limits = Limits()
    seen = Seen(limits.near)
    for dialogue in tables["road"]["dialogues"]:
        seen.near(dialogue.messages[0].content)

    found = Counter()
    for row in asked:
        _, question, passage = row["asked"]
        [document] = [one for one in tables["road"]["documents"] if squeezed(passage) in squeezed(source_of(one))]
        messages = [Message(role="user", content=after_colon(question)), Message(role="assistant", content=row["answer"]["answer"])]
        fields = provenance(document, method="seeds", task="passage", asked=after_colon(question))
        made = finding(
            Candidate(Dialogue(**fields, messages=messages), [source_of(document)], grounded_question=True, new_question=True), limits, seen
        )
        found[row.get("note", ""), made.reason if made else ""] += 1
        assert squeezed(row["answer"]["evidence"]) in squeezed(document.text)

    assert found.pop(("", "")) >= 200
    # A name passes the checks of an answer: masking and people are there for it.
    assert set(found) == {(fault, fault) for fault, _ in found if fault != "personal_data"} | {("personal_data", "")}
    assert len(found) == 6
    personal = [mask(after_colon(row["asked"][1]), "zh", ["name"])[1]["name"] for row in asked if row.get("note") == "personal_data"]
    assert personal == [1, 1]


def test_the_teacher_of_road_has_an_instruction_of_every_kind_for_every_passage(tables):
    extends, asked = road_teacher()
    kinds = Counter(row["asked"][2] for row in extends)

    assert set(kinds.values()) == {4}
    assert len(kinds) == len(tables["road"]["documents"])
    assert {one for row in extends for one in row["answer"]["instructions"]} == {after_colon(row["asked"][1]) for row in asked}
