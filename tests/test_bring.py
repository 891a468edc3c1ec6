"""lingyu review FILE: a reviewer's file goes into the corpus that data/ is made from, and from there into the training rows."""

import shutil
import subprocess
import sys
from pathlib import Path

import openpyxl
import pytest
import yaml

from lingyu.__main__ import main
from lingyu.files import read_json, read_jsonl, read_table, write_jsonl, write_table
from lingyu.generate.tables import MADE
from lingyu.records import Dialogue, Message
from lingyu.review.workbook import COLUMNS

ROOT = Path(__file__).parent.parent
ROW = {"source": "a.md", "place": "row 1", "licence": "CC0", "scope": "domain", "language": "zh", "task": "fact", "references": ["f"]}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose data/ is made from the folder corpus/, with one row made."""
    monkeypatch.chdir(tmp_path)
    Path("corpus").mkdir()
    Path("data.dvc").write_text(yaml.safe_dump({"deps": [{"path": "corpus"}], "outs": [{"path": "data"}]}))
    messages = [Message(role="user", content="问"), Message(role="assistant", content="答")]
    row = Dialogue(id="i1", messages=messages, method="fact", teacher="rules", prompt_hash="", review="", **ROW)
    for name, row_type in MADE.items():
        write_table(Path(f"out/generate/made/{name}.parquet"), [row] if name == "instructions" else [], row_type)
    return tmp_path


def test_files_of_one_name_stand_side_by_side(project, capsys):
    decide("queue.jsonl", {"id": "i1", "decision": "approve"}, {"id": "gone", "decision": "reject"})
    assert main(["review", "queue.jsonl"]) == 0
    decide("queue.jsonl", {"id": "i1", "decision": "approve", "reviewer": "李"})
    assert main(["review", "queue.jsonl"]) == 0

    assert sorted(path.name for path in Path("corpus/reviews").iterdir()) == ["queue-2.jsonl", "queue.jsonl"]
    told = capsys.readouterr().out
    assert "queue.jsonl: 2 decisions" in told
    assert "1 of them not used" in told
    assert "2 条" in told
    assert "新文件 row 2: no row has this id: gone" in told


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"id": "i1", "decision": "reject"}], "row 1: reject contradicts approve in before.jsonl row 1 for id i1"),
        ([{"id": "i1", "decision": ""}], "new.jsonl contains no decisions"),
        ([{"id": "i1", "decision": "yes"}], "row 1: decision 'yes' must be one of approve"),
        ([{"id": "i1", "decision": "approve"}], "new.jsonl is already in corpus/reviews as before.jsonl"),
        ([{"id": "i1", "decision": "swap"}], "swap contradicts approve"),
    ],
)
def test_what_does_not_fit_is_told_and_not_copied(project, capsys, rows, told):
    decide("corpus/reviews/before.jsonl", {"id": "i1", "decision": "approve"})
    decide("new.jsonl", *rows)

    assert main(["review", "new.jsonl"]) == 1

    assert told in capsys.readouterr().err
    assert [path.name for path in Path("corpus/reviews").iterdir()] == ["before.jsonl"]


@pytest.mark.parametrize(
    ("pointer", "told"),
    [
        ({"outs": [{"path": "data"}]}, "data.dvc"),
        ({"deps": [{"path": "s3://bucket/corpus"}]}, "s3://bucket/corpus"),
        ({"deps": [{"path": "gone"}]}, "from gone,"),
    ],
)
def test_a_corpus_that_is_not_here_is_told(project, capsys, pointer, told):
    Path("data.dvc").write_text(yaml.safe_dump(pointer))
    decide("new.jsonl", {"id": "i1", "decision": "approve"})

    assert main(["review", "new.jsonl"]) == 1
    assert told in capsys.readouterr().err


def test_before_a_run_there_is_nothing_to_hold_decisions_against(project, capsys):
    shutil.rmtree("out")
    decide("new.jsonl", {"id": "i1", "decision": "approve"})

    assert main(["review", "new.jsonl"]) == 1
    assert "run `make repro` first" in capsys.readouterr().err


def decide(name, *rows):
    write_jsonl(Path(name), rows)


@pytest.mark.slow
def test_an_edit_in_the_workbook_reaches_the_training_rows_by_dvc(tmp_path, monkeypatch):
    copy_of_the_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    command("dvc", "init", "--quiet", "--no-scm")
    command("dvc", "import-url", "--quiet", "--force", "corpus", "data")
    command("dvc", "repro", "--quiet", "mix")
    queue = openpyxl.load_workbook("out/review/queue.xlsx")
    sheet = queue.worksheets[0]
    names = list(COLUMNS)
    rows = [number for number in range(2, sheet.max_row + 1) if sheet.cell(number, names.index("table") + 1).value == "instructions"]
    for number, (decision, answer) in zip(
        rows, [("edit 修改", "人改过的回答"), ("reject 退回", None), ("approve 通过", None)], strict=False
    ):
        sheet.cell(number, names.index("decision") + 1).value = decision
        sheet.cell(number, names.index("reviewer") + 1).value = "李工"
        if answer:
            sheet.cell(number, names.index("answer") + 1).value = answer
    queue.save("from-li.xlsx")
    edited, rejected, approved = (sheet.cell(number, names.index("id") + 1).value for number in rows[:3])

    command(sys.executable, "-m", "lingyu", "review", "from-li.xlsx")
    command("dvc", "update", "--quiet", "data.dvc")
    command("dvc", "repro", "--quiet", "mix")

    trained = {row.id: row for row in read_table(Path("out/mix/train/sft.parquet"), Dialogue)}
    assert (trained[edited].messages[-1].content, trained[edited].review) == ("人改过的回答", "edited by 李工")
    assert trained[approved].review == "approved by 李工"
    assert rejected not in trained
    entries = {entry["source"]: entry for entry in read_json(Path("out/review/ledger.json"))["entries"] if entry["table"] == "decisions"}
    assert (entries["reviews/from-li.xlsx"]["in"], entries["reviews/from-li.xlsx"]["out"]) == (3, 3)
    assert {edited, rejected, approved}.isdisjoint(task["data"]["row"] for task in read_json(Path("out/review/label_studio.json")))
    assert rejected in {row["id"] for row in read_jsonl(Path("out/review/dropped.jsonl"))}
    assert main(["ledger"]) == 0


def copy_of_the_project(folder):
    """The stages up to mix on a small corpus, a base that is hardly trained, and facts under review."""
    for name in ("lingyu", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "samples/drone/general", folder / "corpus/general")
    graph = (ROOT / "samples/drone/knowledge/graph.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "corpus/knowledge").mkdir()
    (folder / "corpus/knowledge/graph.jsonl").write_text("".join(graph[:40]), encoding="utf-8")
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    road = ("ingest", "validate", "clean", "split", "generate", "review", "base", "mix")
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {name: stages[name] for name in road}}))
    shape = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "head_dim": 32,
        "intermediate_size": 32,
        "vocab_size": 512,
    }
    params = {name: {} for name in road} | {
        "ingest": {
            "sources": [
                {"pattern": "general/*", "licence": "MIT", "scope": "general"},
                {"pattern": "*", "licence": "MIT", "scope": "domain"},
            ]
        },
        "review": {"policies": {"fact": "required"}},
        "base": {"training": {"num_train_epochs": 1}, "shape": shape},
        "mix": {"max_tokens": 256, "max_prompt_tokens": 200},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")


def command(*words):
    if words[0] == "dvc":
        words = (sys.executable, "-m", *words)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
