"""lingyu ledger: where the rows went, told from the ledgers of the stages."""

import subprocess
import sys
from pathlib import Path

import pytest

from lingyu.__main__ import main
from lingyu.files import read_json, write_json
from lingyu.ledger import Ledger
from lingyu.ledger_report import STAGES, WORDS, table, width

ROOT = Path(__file__).parent.parent


def written(out, stages=STAGES):
    """The ledgers of a run that read five dialogues and two documents and lost some on the way."""
    ledgers = {stage: Ledger() for stage in STAGES}
    enter(ledgers["ingest"], "dialogues", "a.csv", made={"alpaca": 5})
    enter(ledgers["ingest"], "rejected", "a.csv", came=1, dropped={"ragged_row": 1})
    enter(ledgers["ingest"], "documents", "文件/b.md", made={"section": 2})
    enter(ledgers["clean"], "dialogues", "a.csv", came=5, dropped={"duplicate": 1})
    enter(ledgers["clean"], "documents", "文件/b.md", came=2)
    enter(ledgers["split"], "dialogues", "a.csv", came=4, dropped={"train_leaks_test": 1}, changed={"to train": 2, "to test": 1})
    enter(ledgers["split"], "documents", "文件/b.md", came=2, changed={"to train": 2})
    enter(ledgers["generate"], "dialogues", "a.csv", came=3)
    enter(ledgers["generate"], "documents", "文件/b.md", came=2, dropped={"not asked about": 1})
    enter(ledgers["generate"], "made/instructions", "a.csv", made={"given": 2})
    enter(ledgers["generate"], "made/questions", "a.csv", made={"given": 1})
    enter(ledgers["generate"], "made/preferences", "文件/b.md", made={"corruption": 4})
    enter(ledgers["review"], "instructions", "a.csv", came=2)
    enter(ledgers["review"], "questions", "a.csv", came=1)
    enter(ledgers["review"], "preferences", "文件/b.md", came=4, dropped={"rejected by a reviewer": 1})
    enter(ledgers["mix"], "train/sft", "a.csv", came=2, made={"repeat": 2})
    enter(ledgers["mix"], "test/questions", "a.csv", came=1)
    enter(ledgers["mix"], "train/preference", "文件/b.md", came=3)
    enter(ledgers["mix"], "train/pretrain", "文件/b.md", came=2, dropped={"over its share": 1})
    for stage in stages:
        ledgers[stage].write(out / stage / "ledger.json")
    return out


def enter(ledger, name, source, came=0, made=(), dropped=(), changed=()):
    made, dropped = dict(made), dict(dropped)
    ledger.read(name, source, came)
    for method, count in made.items():
        ledger.made(name, source, method, count)
    for reason, count in dropped.items():
        ledger.dropped(name, source, reason, count)
    for change, count in dict(changed).items():
        ledger.changed(name, source, change, count)
    ledger.kept(name, source, came + sum(made.values()) - sum(dropped.values()))


def asked(capsys, out, *more):
    """The exit status, and the lines as lists of words."""
    status = main(["ledger", "--out", str(out), "--lang", "en", *more])
    return status, capsys.readouterr().out


def test_every_file_is_followed_from_reading_to_training(tmp_path, capsys):
    status, said = asked(capsys, written(tmp_path))

    lines = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line}
    assert status == 0
    #                          read rej clean train dev test made approved training dev test
    assert lines["a.csv"] == ["5", "1", "4", "2", "0", "1", "3", "3", "4", "0", "1", "3", "given"]
    assert lines["文件/b.md"] == ["2", "0", "2", "2", "0", "0", "4", "3", "4", "0", "0", "4", "corruption"]
    assert lines["total"] == ["7", "1", "6", "4", "0", "1", "7", "6", "8", "0", "1"]
    assert "split     train_leaks_test" in said
    assert said.endswith(f"{WORDS['en']['right']}\n")


def test_one_file_is_shown_stage_by_stage(tmp_path, capsys):
    status, said = asked(capsys, written(tmp_path), "--source", "*b.md")

    assert status == 0
    assert "a.csv" not in said
    steps = [line.split("  ") for line in said.splitlines() if line.startswith("文件/b.md")][1:]
    assert [[cell.strip() for cell in step if cell.strip()][1] for step in steps] == [
        *STAGES[:3],
        "generate",
        "generate",
        "review",
        "mix",
        "mix",
    ]
    assert "1 rejected by a reviewer" in said


@pytest.mark.parametrize("count", range(1, len(STAGES)))
def test_stages_that_have_not_run_are_named_and_shown_as_dashes(tmp_path, capsys, count):
    status, said = asked(capsys, written(tmp_path, STAGES[:count]))

    assert status == 0
    assert f"not run yet: {', '.join(STAGES[count:])}." in said
    assert "–" in said


def test_rows_lost_between_two_stages_are_told(tmp_path, capsys):
    out = written(tmp_path)
    enter(ledger := Ledger(), "dialogues", "a.csv", came=3, changed={"to train": 3})
    enter(ledger, "documents", "文件/b.md", came=2, changed={"to train": 2})
    ledger.write(out / "split/ledger.json")

    status, said = asked(capsys, out)

    assert status == 1
    assert "clean → split: dialogues of a.csv: 4 out, 3 in" in said
    assert "generate" not in said.partition("do not balance")[2]


def test_what_mix_did_not_get_is_told_and_so_is_a_ledger_that_was_changed(tmp_path, capsys):
    out = written(tmp_path)
    entries = read_json(out / "mix/ledger.json")["entries"]
    for entry in entries:
        entry["in"] += entry["table"] in ("train/sft", "train/pretrain")
    write_json(out / "mix/ledger.json", {"entries": entries})

    status, said = asked(capsys, out)

    assert status == 1
    assert "mix: train/sft of a.csv: in 3 + made 2 != out 4 + dropped 0" in said
    assert "split, review → mix: train/sft of a.csv: 2 out, 3 in" in said
    assert "split, review → mix: train/pretrain of 文件/b.md: 2 out, 3 in" in said


def test_ledgers_of_the_data_before_are_told_as_such(tmp_path, capsys):
    out = written(tmp_path / "out")
    (tmp_path / "dvc.lock").write_text("stages: {ingest: {deps: [{path: lingyu/corpus, md5: c}, {path: data, md5: a.dir}]}}")

    (tmp_path / "data.dvc").write_text("outs: [{path: data, md5: a.dir}]")
    assert WORDS["en"]["before"] not in asked(capsys, out)[1]
    (tmp_path / "data.dvc").write_text("outs: [{path: data, md5: b.dir}]")
    assert WORDS["en"]["before"] in asked(capsys, out)[1]


def test_without_a_run_or_a_file_like_that_there_is_a_word_on_what_to_do(tmp_path, capsys):
    assert main(["ledger", "--out", str(tmp_path), "--lang", "en"]) == 1
    assert "make repro" in capsys.readouterr().err
    assert main(["ledger", "--out", str(written(tmp_path)), "--source", "nowhere", "--lang", "zh"]) == 1
    assert "'nowhere'" in capsys.readouterr().err


def test_columns_stand_under_each_other_in_chinese_too():
    lines = list(table([("文件", "读入"), ("a.md", "7"), ("目录/长名字.md", "1000")]))

    assert {width(line) for line in lines} == {width("目录/长名字.md") + 2 + 4}


def test_the_command_needs_no_heavy_library(tmp_path):
    loaded = "import sys, lingyu.__main__; print([name for name in ('torch', 'pandas', 'transformers', 'dvc') if name in sys.modules])"

    assert subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"
