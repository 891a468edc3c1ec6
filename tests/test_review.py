"""review: what decisions do to rows, how they find them again, and when a batch is held back."""

from pathlib import Path

import pytest

from lingyu.files import read_json, read_jsonl, read_table, write_jsonl, write_table, write_tables
from lingyu.generate.registry import METHODS
from lingyu.generate.tables import MADE
from lingyu.records import Dialogue, Document, Fact, Message, Preference, Question
from lingyu.review import batches, rulings
from lingyu.review.review_item import item_of
from lingyu.stage import StageError
from stages import review

ORIGIN = {"source": "a.md", "place": "row 1", "licence": "CC0", "scope": "domain", "language": "zh"}


@pytest.mark.parametrize(
    ("decision", "policy", "reason"),
    [
        (None, "auto", None),
        (None, "required", review.WAITS),
        (None, "sample", review.WAITS),
        ("approve", "required", None),
        ("通过", "required", None),
        ("Approve 通过", "required", None),
        ("edit", "required", None),
        ("reject", "required", review.REJECTED),
        ("reject", "auto", review.REJECTED),
    ],
)
def test_what_holds_a_row_back(project, decision, policy, reason):
    made(project, instructions=[instruction("i1")])
    decide(project, *([{"id": "i1", "decision": decision, "answer": "新" if decision == "edit" else ""}] if decision else []))

    run(project, policy, sample_share=1.0)

    assert [row["reason"] for row in dropped(project)] == ([reason] if reason else [])
    assert len(approved(project)) == (0 if reason else 1)


def test_decisions_reach_the_rows_and_the_ledger(project, capsys):
    made(project, instructions=[instruction("i1"), instruction("i2"), instruction("i3")])
    decide(
        project,
        {"id": "i1", "decision": "edit", "answer": "改过", "reviewer": "李 工"},
        {"id": "i2", "decision": "reject", "note": "错"},
        {"id": "gone", "decision": "approve"},
        {"id": "i2", "decision": "reject"},
        {"id": "i3", "decision": ""},
    )

    run(project, "auto")

    assert [(row.id, row.messages[-1].content, row.review) for row in approved(project)] == [
        ("i1", "改过", "edited by 李 工"),
        ("i3", "答", "auto"),
    ]
    assert [(row["table"], row["reason"], row["id"], row.get("note")) for row in dropped(project)] == [
        ("instructions", review.REJECTED, "i2", "错"),
        ("decisions", rulings.AGAIN, "i2", None),
        ("decisions", rulings.UNKNOWN, "gone", None),
    ]
    assert "first.jsonl row 3: no row has this id: gone" in capsys.readouterr().err
    entries = read_json(project / "out/ledger.json")["entries"]
    assert [(entry["source"], entry["in"], entry["out"], entry["dropped"]) for entry in entries] == [
        ("reviews/first.jsonl", 4, 2, {rulings.AGAIN: 1, rulings.UNKNOWN: 1}),
        ("a.md", 3, 2, {review.REJECTED: 1}),
    ]


@pytest.mark.parametrize(
    ("table", "row", "field"),
    [
        ("preferences", lambda: preference("p1"), "chosen"),
        ("questions", lambda: question("q1"), "answer"),
        ("statements", lambda: statement("s1"), "text"),
    ],
)
def test_an_edit_changes_the_better_answer_of_any_row(project, table, row, field):
    made(project, **{table: [row()]})
    decide(project, {"id": row().id, "decision": "edit", "answer": "改过"})

    run(project, "auto")

    assert [getattr(found, field) for found in approved(project, table)] == ["改过"]


def test_a_person_chooses_the_other_reply_of_a_pair(project):
    made(project, preferences=[preference("p1")])
    decide(project, {"id": "p1", "decision": "对调"})

    run(project, "required")

    assert [(row.chosen, row.rejected, row.review) for row in approved(project, "preferences")] == [("坏", "好", "edited")]


def test_reasoning_is_edited_beside_the_answer_and_stays_where_nobody_names_it(project):
    rows = [instruction(f"i{number}", reasoning="想") for number in range(3)]
    made(project, instructions=rows)
    decide(
        project,
        {"id": "i0", "decision": "edit", "answer": "新"},
        {"id": "i1", "decision": "edit", "answer": "新", "reasoning": "再想"},
        {"id": "i2", "decision": "edit", "answer": "新", "reasoning": ""},
    )

    run(project, "auto")

    assert [row.messages[-1].reasoning for row in approved(project)] == ["想", "再想", None]


@pytest.mark.parametrize("word", ["approve", "edit", "reject"])
def test_a_decision_finds_its_row_under_another_id(project, word):
    before = instruction("i1", asked="问题", answer="答")
    made(project, instructions=[instruction("i2", asked="问题", answer="答"), instruction("i3", asked="别的", answer="答")])
    decide(project, decision_on(before, word, "新" if word == "edit" else "答"))

    run(project, "required")

    found = [(row.id, row.messages[-1].content) for row in approved(project)]
    assert found == {"approve": [("i2", "答")], "edit": [("i2", "新")], "reject": []}[word]
    assert [row["reason"] for row in dropped(project) if row["id"] == "i2"] == ([review.REJECTED] if word == "reject" else [])
    (entry,) = [entry for entry in read_json(project / "out/ledger.json")["entries"] if entry["table"] == "decisions"]
    assert (entry["out"], entry["changed"]) == (1, {"found its row under another id": 1})


def test_ids_that_moved_on_by_one_take_their_decisions_with_them(project):
    made(project, instructions=[instruction("i1", "新问"), instruction("i2", "甲"), instruction("i3", "乙")])
    decide(project, decision_on(instruction("i1", "甲"), "reject"), decision_on(instruction("i2", "乙"), "approve", "答"))

    run(project, "auto")

    assert [(row.id, row.review) for row in approved(project)] == [("i1", "auto"), ("i3", "approved")]


def test_a_decision_on_what_the_row_said_before_is_kept_and_shown_to_whoever_decides_anew(project):
    made(project, instructions=[instruction("i1", answer="新的回答")])
    decide(project, decision_on(instruction("i1", answer="旧的回答"), "edit", "人写的回答") | {"reviewer": "李"})

    run(project, "auto")

    assert [(row["table"], row["reason"]) for row in dropped(project)] == [
        ("instructions", review.OUTDATED),
        ("decisions", rulings.CHANGED),
    ]
    (task,) = read_json(project / "out/label_studio.json")
    assert task["data"]["earlier"] == "edit\n李\n人写的回答"

    decide(project, decision_on(instruction("i1", answer="新的回答"), "approve"), name="second.jsonl")
    run(project, "auto")

    assert [(row.messages[-1].content, row.review) for row in approved(project)] == [("新的回答", "approved")]
    assert [row["reason"] for row in dropped(project)] == [rulings.REPLACED]


def test_decisions_of_lost_rows_that_contradict_each_other_are_both_listed(project):
    made(project, instructions=[instruction("i9", "问")])
    decide(project, decision_on(instruction("i1", "问"), "reject"), decision_on(instruction("i2", "问"), "approve"))

    run(project, "auto")

    assert [row.review for row in approved(project)] == ["auto"]
    assert [row["reason"] for row in dropped(project)] == [rulings.CONTRADICTED] * 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"decision": "approve", "answer": "改过"}, "approve, but the answer was changed; .*edit"),
        ({"decision": "approve", "question": "改过"}, "the question was changed"),
        ({"decision": "edit", "answer": " 答 "}, "edit, but the answer is unchanged"),
        ({"decision": "swap"}, "swap .*approve, edit or reject"),
    ],
)
def test_a_change_that_would_be_lost_stops_the_run(project, change, told):
    made(project, instructions=[instruction("i1")])
    decide(project, decision_on(instruction("i1"), "approve", "答") | {"question": "问"} | change)

    with pytest.raises(StageError, match=f"first.jsonl row 1: {told}"):
        run(project, "auto")


def test_a_sample_of_each_batch_waits_and_stays_when_rows_come(project):
    rows = [instruction(f"i{number}", asked=f"问{number}") for number in range(300)]
    made(project, instructions=rows[:200])
    run(project, "sample", sample_share=0.2, judged_by="low")
    first = {row["id"] for row in dropped(project)}

    made(project, instructions=rows)
    run(project, "sample", sample_share=0.2, judged_by="low")

    assert 20 <= len(first) <= 60
    assert first <= {row["id"] for row in dropped(project)}
    assert read_json(project / "out/metrics.json")["instructions/fact"]["drawn"] == len(dropped(project))


@pytest.mark.parametrize(("rows", "least", "drawn"), [(50, 20, 20), (10, 20, 10), (50, 0, 0)])
def test_of_a_small_batch_so_many_are_drawn(project, rows, least, drawn):
    made(project, instructions=[instruction(f"i{number}") for number in range(rows)])

    run(project, "sample", sample_share=0.0, sample_rows=least, judged_by="low")

    assert len(dropped(project)) == drawn


@pytest.mark.parametrize(
    ("wrong", "of", "judged_by", "reason"),
    [
        (0, 0, "high", batches.FEW),
        (0, 0, "low", None),
        (0, 0, "rate", None),
        (0, 20, "high", batches.FEW),  # up to 16 % may be wrong
        (0, 20, "rate", None),
        (3, 20, "rate", batches.ERRORS),
        (3, 20, "low", None),  # at least 5.2 %
        (12, 20, "low", batches.ERRORS),
    ],
)
def test_a_batch_passes_or_not_by_what_its_sample_shows(project, wrong, of, judged_by, reason, capsys):
    rows = [instruction(f"i{number}", asked=f"问{number}", references=[f"f{number}"]) for number in range(60)]
    made(project, instructions=rows)
    run(project, "sample", sample_share=0.0, sample_rows=20)
    drawn = sorted(row["id"] for row in dropped(project) if row["reason"] == review.WAITS)
    assert len(drawn) == 20
    decide(project, *({"id": row_id, "decision": "reject" if at < wrong else "approve"} for at, row_id in enumerate(drawn[:of])))
    capsys.readouterr()

    run(project, "sample", sample_share=0.0, sample_rows=20, judged_by=judged_by, max_error=0.1)

    held = [row["reason"] for row in dropped(project) if row["id"] not in drawn]
    metrics = read_json(project / "out/metrics.json")["instructions/fact"]
    assert held == ([reason] * 40 if reason else [])
    assert len(approved(project)) == of - wrong + (0 if reason else 40)
    assert metrics.get("held_back", 0) == len(held)
    assert ("error_rate" in metrics) == bool(of)
    if of:
        assert metrics["error_rate"]["value"] == wrong / of
        assert metrics["error_rate"]["low"] <= wrong / of <= metrics["error_rate"]["high"]
    assert (f"instructions/fact: {reason}" in capsys.readouterr().err) == bool(reason)


def test_questions_on_one_record_are_no_independent_witnesses(project):
    def interval(references):
        rows = [instruction(f"i{number}", asked=f"问{number}", references=[references(number)]) for number in range(20)]
        made(project, instructions=rows)
        decide(project, *({"id": f"i{number}", "decision": "reject" if number < 4 else "approve"} for number in range(20)))
        run(project, "required")
        rate = read_json(project / "out/metrics.json")["instructions/fact"]["error_rate"]
        return rate["high"] - rate["low"]

    assert interval(lambda number: f"f{number // 4}") > interval(lambda number: f"f{number}") + 0.1


def test_the_queue_shows_the_passages_that_a_row_rests_on(project):
    made(project, instructions=[instruction("i1", references=["f1", "d1", "gone"])])
    fact = Fact(id="f1", entity="苍鹰", kind="机型", relation="续航", values=["40 分钟", "四十分钟"], **ORIGIN)
    document = Document(id="d1", title="手册", section="第一章", text="续航四十分钟。", **ORIGIN)
    write_tables(project / "split/train", {"facts": [fact]})
    write_tables(project / "split/test", {"documents": [document]})

    run(project, "required")

    (task,) = read_json(project / "out/label_studio.json")
    assert task["data"]["passage"] == (
        "[a.md, row 1]\n苍鹰（机型） · 续航：40 分钟；四十分钟\n\n[a.md, row 1]\n手册 / 第一章\n续航四十分钟。\n\n"
        "[gone] 已不在 out/split 中 · no longer in out/split"
    )


def test_same_rows_same_bytes(project):
    made(project, instructions=[instruction("i1")])

    run(project, "required")
    first = {path.name: path.read_bytes() for path in (project / "out").rglob("*") if path.is_file()}
    run(project, "required")

    assert len(first) == len(MADE) + 6
    assert {path.name: path.read_bytes() for path in (project / "out").rglob("*") if path.is_file()} == first


def test_metrics_count_what_became_of_each_row(project):
    made(project, instructions=[instruction(f"i{number}", f"问{number}") for number in range(4)], preferences=[preference("p1")])
    decide(
        project, {"id": "i0", "decision": "approve"}, {"id": "i1", "decision": "edit", "answer": "新"}, {"id": "i2", "decision": "reject"}
    )

    run(project, "required")

    counts = read_json(project / "out/metrics.json")["instructions/fact"]
    rate = counts.pop("error_rate")
    assert counts == {
        "rows": 4,
        "drawn": 4,
        "decided": 3,
        "errors": 2,
        "passed_approved": 1,
        "passed_edited": 1,
        "rejected": 1,
        "waiting": 1,
    }
    assert rate["count"] == 3


def test_policies_name_no_other_method():
    with pytest.raises(ValueError, match="fct; known: given, "):
        params("auto", policies={"fct": "auto"})


def test_a_method_that_policies_do_not_name_keeps_its_default():
    policies = params("auto", policies={"fact": "required"}).policies

    assert policies.keys() == set(METHODS)
    assert {name: policies[name] for name in ("fact", "given", "weak", "reliable", "nvc")} == {
        "fact": "required",
        "given": "auto",
        "weak": "sample",
        "reliable": "sample",
        "nvc": "required",
    }


@pytest.fixture
def project(tmp_path):
    """Folders as the stages before leave them: no record, no decision."""
    for part in ("train", "dev", "test"):
        write_tables(tmp_path / "split" / part, {})
    return tmp_path


def run(project, policy, **changes):
    parts = (project / "split" / part for part in ("train", "dev", "test"))
    review.run(params(policy, **changes), project / "made", *parts, project / "data", out=project / "out")


def params(policy, **changes):
    values = {"seed": 1, "policies": dict.fromkeys(METHODS, policy), "sample_share": 0.5, "sample_rows": 0}
    return review.Params.model_validate(values | {"max_error": 0.05, "judged_by": "high"} | changes)


def approved(project, table="instructions"):
    return list(read_table(project / "out/approved" / f"{table}.parquet", MADE[table]))


def dropped(project):
    return list(read_jsonl(project / "out/dropped.jsonl"))


def decide(project, *rows, name="first.jsonl"):
    write_jsonl(project / "data/reviews" / name, rows)


def decision_on(row, word, answer=""):
    """As the queue gives it out and takes it back."""
    return {"id": row.id, "print": item_of(row).fingerprint(), "decision": word, "answer": answer}


def provenance(references=("f",)):
    made = {"task": "fact", "references": list(references), "method": "fact", "teacher": "rules", "prompt_hash": "", "review": ""}
    return {**made, **ORIGIN}


def instruction(row_id, asked="问", answer="答", reasoning=None, references=("f",)):
    messages = [Message(role="user", content=asked), Message(role="assistant", content=answer, reasoning=reasoning)]
    return Dialogue(id=row_id, messages=messages, **provenance(references))


def preference(row_id):
    return Preference(id=row_id, messages=[Message(role="user", content="问")], chosen="好", rejected="坏", **provenance())


def question(row_id):
    messages = [Message(role="user", content="问")]
    return Question(id=row_id, messages=messages, answer="答", wrong=[], known="", **provenance())


def statement(row_id):
    return Document(id=row_id, title="", section="", text="句", **ORIGIN)


def made(project: Path, **tables):
    for name, row_type in MADE.items():
        write_table(project / "made" / f"{name}.parquet", tables.get(name, []), row_type)
