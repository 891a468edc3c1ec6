"""generate: what is made of which record, and what must never be asked."""

import json
import re

import pytest
from openai_server import Reply, asked_for, good_answer, serving
from teaching import ASKED, RULES, TEACHER

from lingyu.files import read_jsonl, read_table, write_tables
from lingyu.generate.rules.retrieval import Params as RetrievalParams
from lingyu.generate.rules.weak import Signal
from lingyu.generate.tables import MADE
from lingyu.records import Dialogue, Document, Exam, Fact, Label, Message, Preference
from stages import generate, index

SEARCH = {"max_characters": 240}
PARAMS = generate.Params.model_validate(
    {
        "seed": 1,
        **RULES,
        "knowledge": {
            "statements": 3,
            "statements_per_document": 4,
            "questions": 2,
            "dev_facts": 2,
            "held_out_statements": 5,
            "max_wrong": 3,
        },
        "classify": {"shots": [0, 1], "test_shots": 1, "max_example_chars": 20},
        "articles": {"max_chars": 30, "recalls": 1, "cites": 1, "statements": 2, "dev_articles": 2, "held_out_share": 0.5},
        "pairs": {"swapped": 4, "a_fact": 1, "dev_facts": 2, "test_facts": 2, "demonstrations": 2},
        "prompts": {"given": 4, "facts": 3, "classify": 2},
        "test": {"taught": 4, "documents": 4, "classify": 2, "given": 1, "exams": 2},
        "exams": {"choices": 2, "judgements": 1},
        "retrieval": {"a_fact": 1, "an_article": 1, "dialogues": 0.0, "passages": 2, "unanswerable": 0.2, **SEARCH},
        "definitions": {"questions": 1, "names": 1, "max_asked_by": 80},
        "situations": {"questions": 1, "basis": 1},
        "keywords": {"a_fact": 1, "documents": 1.0, "dialogues": 1.0, "most": 4},
        "turns": {"an_entity": 1, "an_article": 1, "most": 3},
        "weak": [],
        "skills": 0.3,
    }
)
PARTS = {"train": 6, "dev": 3, "test": 3}  # records of each kind
ARTICLES = 8  # in every part


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generate")
    write_parts(folder)
    generate.run(PARAMS, folder / "train", folder / "dev", folder / "test", out=folder / "out")
    return folder / "out"


def rows_of(made, name):
    return list(read_table(made / "made" / f"{name}.parquet", MADE[name]))


@pytest.mark.parametrize("name", MADE)
def test_every_table_has_rows_that_tell_where_they_came_from(made, name):
    rows = rows_of(made, name)

    assert rows
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert row.source
        assert row.place
        assert row.licence == "CC0"
        assert MADE[name] is Document or row.method == "given" or (row.references and row.teacher == "rules")


def test_facts_of_the_test_are_stated_but_never_asked(made):
    stated = "\n".join(row.text for row in rows_of(made, "statements"))
    asked = [row for name in ("instructions", "preferences", "prompts") for row in rows_of(made, name)]

    kept = [f"{part}{number}" for part in ("dev", "test") for number in range(3)]

    assert all(f"机型{name}" in stated for name in kept)
    assert asked
    assert not [row for row in asked if any(f"机型{name}" in message.content for name in kept for message in row.messages)]


def test_every_statement_is_in_one_of_the_training_wordings(made):
    lines = [line for row in rows_of(made, "statements") for line in row.text.splitlines()]
    of_facts = [line for line in lines if "机型" in line and "升限" in line and "米" in line]
    of_articles = [line for line in lines if "《" in line and "条" in line]

    assert len(of_facts) == 3 * sum(PARTS.values())
    assert len(of_articles) == 2 * ARTICLES  # held-out ones, too; those of dev and test are not read
    assert len(lines) == len(of_facts) + len(of_articles)


def test_held_out_articles_are_asked_in_the_test_only(made):
    questions = [row for row in rows_of(made, "questions") if row.method == "article"]
    asked = {id_ for name in ("instructions", "dev_instructions", "preferences") for row in rows_of(made, name) for id_ in row.references}

    assert {row.known for row in questions} == {"taught", "documents"}
    for row in questions:
        assert (row.references[0] in asked) == (row.known == "taught")


def test_questions_are_as_many_as_asked_for_and_half_of_them_taught(made):
    known = [(row.task, row.known) for row in rows_of(made, "questions") if row.method in {"fact", "classify", "given"}]

    assert {kind: known.count(kind) for kind in sorted(set(known))} == {
        ("classify", ""): 2,
        ("fact", "documents"): 4,
        ("fact", "taught"): 4,
        ("preferred", ""): 1,
        ("reason", ""): 1,
    }


@pytest.mark.parametrize(("name", "others"), [("questions", ("instructions", "dev_instructions")), ("dev_questions", ("instructions",))])
def test_no_question_of_the_test_or_of_dev_is_one_of_training(made, name, others):
    trained = {row.messages[-2].content for other in others for row in rows_of(made, other)}

    assert trained
    assert not trained & {row.messages[-1].content for row in rows_of(made, name)}


def test_dev_is_drawn_as_the_test_is_and_shares_no_question_with_it(made):
    dev, test = (list(rows_of(made, name)) for name in ("dev_questions", "questions"))

    assert {(row.task, row.known) for row in test if row.method != "article"} == {
        (row.task, row.known) for row in dev if row.method != "article"
    }
    assert not {row.id for row in dev} & {row.id for row in test}
    texts = [{row.messages[-1].content for row in rows if row.task != "choice"} for rows in (dev, test)]  # the exam items here are alike
    assert texts[0] & texts[1] == set()
    unasked = {row.references[0] for row in dev if (row.task, row.known) == ("fact", "documents")}
    assert unasked
    assert not unasked & {row.references[0] for row in test}


def test_without_given_pairs_answers_are_held_against_other_answers(tmp_path):
    for part, count in PARTS.items():
        write_tables(tmp_path / part, {**{name: list(rows) for name, rows in tables_of(part, count).items()}, "preferences": []})

    generate.run(PARAMS, tmp_path / "train", tmp_path / "dev", tmp_path / "test", out=tmp_path / "out")

    swapped = [row for row in rows_of(tmp_path / "out", "preferences") if row.task == "classify"]
    assert len(swapped) == PARAMS.pairs.swapped
    assert all(row.method == "corruption" and {row.chosen, row.rejected} == {"高", "低"} for row in swapped)
    prompts = {row.messages[-1].content for row in rows_of(tmp_path / "out", "prompts") if row.task == "preferred"}
    assert prompts == {row.messages[-1].content for row in swapped}


@pytest.mark.parametrize("table", ["documents", "facts", "exams"])
def test_a_corpus_of_one_kind_has_pairs_and_prompts(tmp_path, table):
    for part, count in PARTS.items():
        write_tables(tmp_path / part, {table: list(tables_of(part, count)[table])})

    generate.run(PARAMS, tmp_path / "train", tmp_path / "dev", tmp_path / "test", out=tmp_path / "out")

    pairs, prompts = (rows_of(tmp_path / "out", name) for name in ("preferences", "prompts"))
    assert all(row.chosen != row.rejected for row in pairs)
    assert {row.messages[-1].content for row in prompts} & {row.messages[-1].content for row in pairs}


def test_a_fact_that_a_given_row_speaks_of_is_not_asked_as_one_of_the_documents_only(tmp_path):
    write_parts(tmp_path)
    tables = tables_of("train", 1)
    told = tables["preferences"][0].model_copy(update={"chosen": "机型test1的升限是10米。"})
    write_tables(tmp_path / "train", {"preferences": [told]})

    generate.run(PARAMS, tmp_path / "train", tmp_path / "dev", tmp_path / "test", out=tmp_path / "out")

    asked = {row.references[0] for row in rows_of(tmp_path / "out", "questions") if row.known == "documents"}
    assert asked == {"Fact/test0", "Fact/test2"}


def test_given_dialogues_keep_their_reasoning(made):
    given = [row for row in rows_of(made, "instructions") if row.method == "given"]

    assert [(row.task, row.messages[-1].reasoning) for row in given] == [("reason", "先想")] * 6


def test_a_few_better_replies_are_shown_as_dialogues(made):
    pairs = {row.id: row for row in rows_of(made, "preferences") if row.method == "given"}
    shown = [row for row in rows_of(made, "instructions") if row.method == "demonstration"]

    assert len(shown) == 2
    for row in shown:
        pair = pairs[row.references[0]]
        assert [message.content for message in row.messages] == [pair.messages[-1].content, pair.chosen]
        assert row.task == "preferred"


@pytest.mark.parametrize(("table", "part", "count"), [("prompts", "train", 4), ("questions", "test", 1)])
def test_what_pairs_ask_is_asked_again_for_a_reply_to_judge(made, table, part, count):
    asked = [row for row in rows_of(made, table) if row.task == "preferred"]

    assert len(asked) == count
    assert all(row.references[0].startswith(f"Preference/{part}") for row in asked)


def test_the_ledger_says_what_was_used(made):
    entries = json.loads((made / "ledger.json").read_text(encoding="utf-8"))["entries"]
    by_table = {entry["table"]: entry for entry in entries if entry["source"] == "a.md"}

    assert (by_table["exams"]["in"], by_table["exams"]["out"], by_table["exams"]["dropped"]) == (12, 11, {"not asked about": 1})
    assert by_table["facts"]["out"] == 12
    assert by_table["documents"]["dropped"]["not asked about"] >= 6
    assert by_table["made/instructions"]["made"]["fact"] == 12
    assert by_table["documents"]["changed"]["definition: defines nothing"] > 0
    assert by_table["made/instructions"]["changed"]["named its skill"] > 0


def test_no_method_asks_what_is_kept_for_the_test(made):
    kept = {row.references[0] for row in rows_of(made, "questions") if row.known == "documents"}
    trained = [row for name in ("instructions", "preferences", "prompts") for row in rows_of(made, name)]

    assert {row.method for row in trained} > {"retrieval", "situation", "keywords", "exam"}
    assert len(kept) > 2
    assert not [row for row in trained if kept & {row.id, *row.references}]


def test_an_article_that_a_given_row_refers_to_is_not_kept_for_the_test(tmp_path):
    write_parts(tmp_path)
    tables = tables_of("train", 6)
    articles = [row.id for row in tables["documents"]]
    tables["dialogues"] = [row.model_copy(update={"references": articles}) for row in tables["dialogues"]]
    write_tables(tmp_path / "train", tables)

    generate.run(PARAMS, tmp_path / "train", tmp_path / "dev", tmp_path / "test", out=tmp_path / "out")

    questions = [row for row in rows_of(tmp_path / "out", "questions") if row.method == "article"]
    assert {row.known for row in questions} == {"taught"}


def test_labels_that_a_signal_gave_train_under_its_name_and_test_nobody(tmp_path):
    write_parts(tmp_path)
    signalled = PARAMS.model_copy(update={"weak": [Signal(name="the desk that filed it", task="risk")]})

    generate.run(signalled, tmp_path / "train", tmp_path / "dev", tmp_path / "test", out=tmp_path / "out")

    rows = [row for row in rows_of(tmp_path / "out", "instructions") if row.task == "classify"]
    assert {(row.method, row.teacher) for row in rows} == {("weak", "signal: the desk that filed it")}
    assert [
        row for name in ("questions", "dev_instructions", "prompts") for row in rows_of(tmp_path / "out", name) if row.task == "classify"
    ] == []


def test_training_is_shown_passages_as_the_service_shows_them():
    shared = {"passages", "max_characters"}

    assert RetrievalParams().model_dump(include=shared) == index.Params().model_dump(include=shared)


def test_same_records_same_bytes(made, tmp_path):
    write_parts(tmp_path)

    generate.run(PARAMS, tmp_path / "train", tmp_path / "dev", tmp_path / "test", out=tmp_path / "out")

    files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    assert len(files) == len(MADE) + 3
    assert [path for path in files if (made / path).read_bytes() != (tmp_path / "out" / path).read_bytes()] == []


def test_empty_tables_make_empty_tables(tmp_path):
    for part in PARTS:
        write_tables(tmp_path / part, {})

    generate.run(PARAMS, tmp_path / "train", tmp_path / "dev", tmp_path / "test", out=tmp_path / "out")

    assert [rows_of(tmp_path / "out", name) for name in MADE] == [[]] * len(MADE)


def taught(folder, server, **asked):
    """A run with a teacher; asked: how many records for each method."""
    sections = {name: section | {"records": asked.get(name, 0)} for name, section in ASKED.items()}
    teacher = TEACHER | {"base_url": server.url}
    without = {"keywords": {"a_fact": 0, "documents": 0.0, "dialogues": 0.0, "most": 1}}
    params = generate.Params.model_validate(PARAMS.model_dump() | without | {"teacher": teacher, "asked": sections})
    generate.run(params, folder / "train", folder / "dev", folder / "test", out=folder / "out", work=folder / "work")
    return folder / "out"


def test_a_teacher_is_shown_the_training_part_only_and_nothing_that_is_held_out(tmp_path):
    write_parts(tmp_path)

    with serving() as server:
        made = taught(tmp_path, server, reliable=99, entity=99, replaced=99)

    shown = "\n".join(json.loads(body)["messages"][1]["content"] for body in server.asked)
    held_out = [row.references[0] for row in rows_of(made, "questions") if row.known == "documents" and row.method == "article"]
    assert held_out
    assert len(set(re.findall(r"train机长\d", shown))) > ARTICLES / 3
    assert not [number for number in held_out if f"机长{number[-1]}不得" in shown]
    assert not [word for part in ("dev", "test") for word in (f"{part}机长", f"机型{part}", f"{part}第") if word in shown]


def test_what_a_teacher_makes_of_a_fact_kept_for_the_test_goes(tmp_path):
    write_parts(tmp_path)
    told = {"question": "机型test1的升限是多少？", "answer": "机型test1的升限是10米。"}

    with serving(lambda body, _: Reply({"items": [told]})) as server:
        made = taught(tmp_path, server, entity=1)

    [drop] = read_jsonl(made / "dropped.jsonl")
    assert (drop["reason"], drop["evidence"], drop["row"]["messages"][0]["content"]) == (
        "speaks_of_the_test",
        "机型test1 升限",
        told["question"],
    )


def test_the_ledger_adds_up_with_a_teacher_and_says_why_rows_went(tmp_path):
    write_parts(tmp_path)
    tables = {name: list(rows) for name, rows in tables_of("train", 2).items()}
    preface = tables["documents"][0].model_copy(update={"id": "preface", "section": "前言"})
    write_tables(tmp_path / "train", tables | {"documents": [preface]})

    def wrong(body, _):
        grounded = {"answer": "按第九条，机长不得离岗。"} if asked_for(body) == "Grounded" else {}
        return Reply(good_answer(body) | grounded)

    with serving(wrong) as server:
        made = taught(tmp_path, server, reliable=2, replaced=3)

    ledger = json.loads((made / "ledger.json").read_text(encoding="utf-8"))
    by_table = {entry["table"]: entry for entry in ledger["entries"]}
    assert by_table["made/instructions"]["made"]["reliable"] == 1
    assert by_table["made/instructions"]["dropped"]["invented_article"] == 1
    assert by_table["made/instructions"]["changed"]["invented citations"] == 1
    assert by_table["documents"]["dropped"]["no answer about it passed the checks"] == 1
    assert len(list(read_jsonl(made / "dropped.jsonl"))) == sum(by_table["made/instructions"]["dropped"].values())


def test_rows_of_a_teacher_are_added_and_the_others_stay_as_they_were(made, tmp_path):
    write_parts(tmp_path)

    with serving() as server:
        out = taught(tmp_path, server, entity=2)

    rows = rows_of(out, "instructions")
    own = [row for row in rows if row.method == "entity"]
    assert own
    others = [row for row in rows_of(made, "instructions") if row.method != "keywords"]
    assert [row.id for row in rows if row.method != "entity"] == [row.id for row in others]
    assert {row.teacher for row in own} == {"wise"}


def write_parts(folder):
    for part, count in PARTS.items():
        write_tables(folder / part, {name: list(rows) for name, rows in tables_of(part, count).items()})


def tables_of(part, count):
    origin = {"source": "a.md", "licence": "CC0", "scope": "domain", "language": "zh"}
    made = {"task": "", "references": [], "method": "given", "teacher": "", "prompt_hash": "", "review": ""}

    def row(row_type, number, **values):
        return row_type(id=f"{row_type.__name__}/{part}{number}", place=f"{part} {number}", **origin, **values)

    def turns(number):
        user = Message(role="user", content=f"{part}第{number}问")
        return [user, Message(role="assistant", content="不得起飞。", reasoning="先想")]

    numbers = range(count)
    return {
        "documents": [
            row(Document, number, title="飞行规则", section=f"第{number}条", text=f"{part}机长{number}不得离岗。")
            for number in range(ARTICLES)
        ],
        "facts": [
            row(Fact, number, entity=f"机型{part}{number}", kind="无人机", relation="升限", values=[f"{number}0米"]) for number in numbers
        ],
        "dialogues": [row(Dialogue, number, messages=turns(number), **made) for number in numbers],
        "labels": [row(Label, number, text=f"{part}报告{number}", label="高低"[number % 2], task="risk") for number in numbers],
        "exams": [row(Exam, number, question="?", options=["甲", "乙"], right=[0]) for number in numbers],
        "preferences": [row(Preference, number, messages=turns(number)[:1], chosen="停", rejected="飞", **made) for number in numbers],
    }
