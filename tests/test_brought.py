"""Questions and answers that people bring, and runs outside the DAG: what is wrong with a file is named and counted."""

import json
import shutil
from pathlib import Path

import openpyxl
import pytest
from openai_server import Reply, serving
from test_evaluate import question

from lingyu.__main__ import main
from lingyu.evaluate import brought, run
from lingyu.evaluate.answers import read_answers
from lingyu.evaluate.scorers import exams
from lingyu.evaluate.settings import NewTokens, Settings
from lingyu.files import read_json, write_jsonl, write_table
from lingyu.records import Question
from lingyu.stage import StageError

SETTINGS = Settings(
    checkpoint="x", threads=1, resamples=20, max_new_tokens=dict.fromkeys(NewTokens.model_fields, 2), batch_tokens=512, keep_mb=0
)


def sheet(path: Path, *rows: tuple) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def csv_file(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_a_sheet_of_questions_becomes_questions(tmp_path):
    path = sheet(tmp_path / "quiz.xlsx", ("题目", "答案"), ("云雀的颜色是什么？", "红色"), ("风速上限？", "六级"))

    found = brought.read_items(path, task="quiz")

    assert [(row.task, row.messages[-1].content, row.answer) for row in found.questions] == [
        ("quiz", "云雀的颜色是什么？", "红色"),
        ("quiz", "风速上限？", "六级"),
    ]
    assert not found.left


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030"])
def test_exam_items_in_columns_become_exams_with_several_right_options(tmp_path, encoding):
    path = csv_file(tmp_path / "exam.csv", "题目,A,B,C,答案\n起飞前检查什么？,桨叶,电池\u00a0电量,心情,AB\n", encoding)

    (row,) = brought.read_items(path).questions

    assert row.task == "choice"
    assert brought.scored.right_options(row) == frozenset("AB")


def test_columns_of_other_names_are_mapped(tmp_path):
    path = csv_file(tmp_path / "q.csv", "stem,truth\n颜色？,红色\n")

    assert brought.read_items(path, columns={"question": "stem", "answer": "truth"}).questions[0].answer == "红色"


def test_what_cannot_be_asked_is_left_out_by_reason(tmp_path):
    path = csv_file(tmp_path / "q.csv", "id,题目,答案\n7,颜色？,红色\n8,重量？,\n9,颜色？,白色\n")

    found = brought.read_items(path)

    assert [row.id for row in found.questions] == ["7"]
    assert found.left == {"no answer": 1, "asked twice": 1}


def test_an_exam_whose_right_option_is_none_of_the_options_is_left_out(tmp_path):
    path = csv_file(tmp_path / "exam.csv", "题目,A,B,答案\n选哪个？,甲,乙,丙\n选哪项？,甲,乙,B\n")

    found = brought.read_items(path)

    assert len(found.questions) == 1
    assert found.left == {"ill_typed": 1}
    assert "is not one of the options A, B" in found.places[0][2]


@pytest.mark.parametrize(
    ("options", "answer", "right"),
    [
        (("起飞 前", "降落\u00a0后", "巡航"), "降落 后", "B"),
        (("起飞\u3000前", "降落\u2009后", "巡航\ufeff"), "巡航", "C"),
        (("起飞", "降\u200b落", "巡航"), "降落", "B"),
        (("甲", "乙", "丙"), "Ｂ", "B"),
        (("甲", "乙", "丙"), "b.", "B"),
        (("甲", "乙", "丙"), "A、C", "AC"),
    ],
)
def test_spaces_and_width_do_not_part_the_right_option_from_the_options(tmp_path, options, answer, right):
    path = sheet(tmp_path / "exam.xlsx", ("题目", "A", "B", "C", "答案"), ("选哪个？", *options, answer))

    (item,) = brought.read_items(path).questions

    assert exams.right_options(item) == frozenset(right)
    assert exams.score(item, item.answer)["exact"] == 1


def test_labelled_texts_are_classified_among_the_labels_of_the_file(tmp_path):
    found = brought.read_items(csv_file(tmp_path / "q.csv", "text,label\nshares fall,bearish\nshares rise,bullish\n"))

    assert [(row.task, row.answer, row.wrong) for row in found.questions] == [
        ("classify", "bearish", ["bullish"]),
        ("classify", "bullish", ["bearish"]),
    ]


def test_the_articles_that_a_question_came_with_are_not_counted_as_left_out(tmp_path):
    laws = ["《民法典》第一条：为了保护民事主体的合法权益，制定本法。"]
    write_jsonl(tmp_path / "q.jsonl", [{"query": "立法目的是什么？", "laws": laws, "response": "保护合法权益。"}])

    found = brought.read_items(tmp_path / "q.jsonl")

    assert (len(found.questions), found.left) == (1, {})


def test_two_items_of_one_id_are_counted_once(tmp_path):
    found = brought.read_items(csv_file(tmp_path / "q.csv", "id,题目,答案\n7,颜色？,红色\n7,重量？,九克\n"))

    assert ([row.id for row in found.questions], found.left) == (["7"], {"asked twice": 1})


def test_a_model_without_a_chat_template_is_refused(tmp_path, quiz, tiny_model):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    (model / "chat_template.jinja").unlink()

    with pytest.raises(StageError, match=r"no chat template.*chat_template\.jinja"):
        run.evaluate(str(model), quiz, tmp_path / "run", SETTINGS)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("q.csv", "题目,答案\n颜色？,\n", r"no question that can be asked: 1 "),
        ("q.csv", "x,y\n1,2\n", r"no question that can be asked: 1 unknown_shape"),
        ("q.md", "# 颜色？", r"Markdown document.*CSV, XLSX"),
    ],
)
def test_a_file_without_a_question_says_why(tmp_path, name, text, why):
    with pytest.raises(StageError, match=why):
        brought.read_items(csv_file(tmp_path / name, text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StageError, match=r"none\.csv not found"):
        brought.read_items(tmp_path / "none.csv")


QUESTIONS = [question(asked=f"第{i}问？", answer="红色") for i in range(3)]


def test_answers_are_met_by_id_or_by_question(tmp_path):
    write_jsonl(
        tmp_path / "a.jsonl",
        [{"id": f" {QUESTIONS[0].id}\u00a0", "reply": "红"}, {"question": "第1问？", "answer": "白"}, {"id": "?", "reply": ""}],
    )

    found = read_answers(tmp_path / "a.jsonl", QUESTIONS)

    assert found.replies == {QUESTIONS[0].id: "红", QUESTIONS[1].id: "白"}
    assert (found.lacking, found.strange) == ([QUESTIONS[2].id], ["?"])


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([{"id": QUESTIONS[0].id, "reply": "红"}] * 2, "answers 1 items twice"),
        ([{"id": "?", "reply": "红"}], r"answers none of the 3 items.*'\?'"),
        ([{"id": QUESTIONS[0].id}], "has no reply"),
        ([{"reply": "红"}], "has no id"),
    ],
)
def test_a_file_of_answers_that_fits_nothing_is_an_error(tmp_path, lines, why):
    write_jsonl(tmp_path / "a.jsonl", lines)

    with pytest.raises(StageError, match=why):
        read_answers(tmp_path / "a.jsonl", QUESTIONS)


@pytest.fixture
def quiz(tmp_path) -> Path:
    rows = "".join(f"第{i}问？,红色\n" for i in range(6))
    return csv_file(tmp_path / "quiz.csv", f"题目,答案\n{rows}")


def test_a_folder_with_a_model_is_evaluated(tmp_path, quiz, tiny_model):
    record = run.evaluate(str(tiny_model), quiz, tmp_path / "run", SETTINGS)

    assert record["items"]["asked"] == 6
    assert read_json(tmp_path / "run/metrics.json")["own_exact"]["count"] == 6
    assert [row.answer for row in run.read_run(tmp_path / "run")] == ["红色"] * 6


def test_an_endpoint_is_evaluated_and_what_it_answered_is_kept(tmp_path, quiz):
    with serving(lambda body, _: Reply("红色" if "第0" in body["messages"][-1]["content"] else "白色")) as server:
        run.evaluate(server.url, quiz, tmp_path / "run", SETTINGS, model="m")
        first = len(server.asked)
        run.evaluate(server.url, quiz, tmp_path / "run", SETTINGS, model="m")

    assert (first, len(server.asked)) == (6, 6)
    assert json.loads(server.asked[0])["temperature"] == 0
    assert read_json(tmp_path / "run/metrics.json")["own_exact"]["value"] == pytest.approx(1 / 6, abs=1e-6)


def test_an_endpoint_that_dies_half_way_goes_on_where_it_was(tmp_path, quiz, monkeypatch):
    monkeypatch.setenv("LINGYU_EVALUATE_KEY", "secret-key")
    with serving(lambda _, number: Reply("红色") if number < 4 else Reply("secret-key is wrong", status=401)) as server:
        with pytest.raises(StageError, match=r"4 of 6 answers are kept in .*answers\.jsonl") as error:
            run.evaluate(server.url, quiz, tmp_path / "run", SETTINGS, model="m")
        server.script = lambda *_: Reply("红色")
        run.evaluate(server.url, quiz, tmp_path / "run", SETTINGS, model="m")

    assert "secret-key" not in str(error.value) + (tmp_path / "run/answers.jsonl").read_text(encoding="utf-8")
    assert read_json(tmp_path / "run/metrics.json")["own_exact"]["value"] == 1


def test_a_request_that_the_endpoint_refuses_counts_as_answered_wrong(tmp_path, quiz):
    with serving(lambda body, _: Reply("", status=400) if "第3" in body["messages"][-1]["content"] else Reply("红色")) as server:
        run.evaluate(server.url, quiz, tmp_path / "run", SETTINGS, model="m")

    assert read_json(tmp_path / "run/metrics.json")["own_exact"]["value"] == pytest.approx(5 / 6, abs=1e-6)


@pytest.mark.parametrize(("target", "why"), [("http://127.0.0.1:9/v1", "Name it with --model"), ("nowhere", "no folder with a model")])
def test_a_target_that_is_none_is_named(tmp_path, quiz, target, why):
    with pytest.raises(StageError, match=why):
        run.evaluate(target, quiz, tmp_path / "run", SETTINGS)


def test_the_commands_print_figures_and_which_items_were_fixed_or_broken(tmp_path, quiz, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "items.parquet", QUESTIONS, Question)
    for name, right in {"one": [0, 1], "two": [1, 2]}.items():
        lines = [{"id": row.id, "reply": "红色" if place in right else "白色"} for place, row in enumerate(QUESTIONS)]
        write_jsonl(tmp_path / f"{name}.jsonl", lines)
        assert main(["evaluate", f"{name}.jsonl", "--items", "items.parquet", "--out", name, "--lang", "en"]) == 0
    told = capsys.readouterr().out

    assert main(["diff", "one", "two", "--lang", "en"]) == 0

    changed = capsys.readouterr().out
    assert "66.7%" in told
    assert "3 items are few" in told
    assert "fixed: 1" in changed
    assert "broken: 1" in changed
    assert QUESTIONS[2].id in changed
    assert "p = 1.000" in changed


def test_runs_without_a_common_item_or_with_other_answers_cannot_be_compared(tmp_path):
    for name, rows in {"a": QUESTIONS[:1], "b": QUESTIONS[1:], "c": [QUESTIONS[0].model_copy(update={"answer": "白色"})]}.items():
        write_table(tmp_path / f"{name}.parquet", rows, Question)
        write_jsonl(tmp_path / f"{name}.jsonl", [{"id": row.id, "reply": "红色"} for row in rows])
        run.evaluate(str(tmp_path / f"{name}.jsonl"), tmp_path / f"{name}.parquet", tmp_path / name, SETTINGS)

    with pytest.raises(StageError, match="no item in common"):
        run.diff(tmp_path / "a", tmp_path / "b")
    with pytest.raises(StageError, match="two right answers"):
        run.diff(tmp_path / "a", tmp_path / "c")
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(StageError, match="is no run"):
        run.diff(tmp_path / "a", tmp_path / "b")
