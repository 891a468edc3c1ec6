"""What an operator sees of a run: verdict first, then warnings, leaderboard, rows, and reports that open."""

import os

import pytest

from flows import artifacts
from lingyu.files import write_json
from lingyu.ledger import Ledger

BOARD = "checkpoint,metric,value,low,high,count\nbase,fact_exact,0,0,0.01,480\nsft-full,fact_exact,0.592,0.535,0.646,480\n"


@pytest.fixture
def out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out/select").mkdir(parents=True)
    (tmp_path / "out/select/leaderboard.csv").write_text(BOARD)
    (tmp_path / "out/select/report.html").write_text("<title>报告</title>")
    write_json(tmp_path / "out/select/winner.json", {"checkpoint": "sft-full"})
    warning = {"expectation": "dialogues.answer", "en": "answer is filled", "zh": "答案不为空", "broken": 40, "rows": 900, "found": ""}
    write_json(tmp_path / "out/validate/report/warnings.json", [{**warning, "files": {"qa.jsonl": 40}}])
    (tmp_path / "out/validate/report/index.html").write_text("")
    ledger = Ledger()
    for number in range(artifacts.SHOWN + 2):
        ledger.read("documents", f"{number}.md", number)
        ledger.kept("documents", f"{number}.md", number)
    ledger.write(tmp_path / "out/ingest/ledger.json")
    return tmp_path / "out"


def test_what_is_warned_of_in_the_data_has_its_count_and_file(out):
    (warning,) = artifacts.warnings_of_validate()

    assert warning == "dialogues.answer: answer is filled 答案不为空: 40 of 900 rows; qa.jsonl: 40"


def test_the_winner_stands_in_the_leaderboard_with_its_interval(out):
    assert "| base | sft-full |" in artifacts.leaderboard()
    assert artifacts.leaderboard().endswith("| 0.000 | **0.592** 0.535–0.646 |")


def test_rows_begin_with_the_sum_and_name_as_many_files_as_a_page_holds(out):
    head, _, total, largest, *_ = artifacts.rows().splitlines()

    assert total.startswith(f"| total | {sum(range(artifacts.SHOWN + 2))} |")
    assert largest.startswith(f"| {artifacts.SHOWN + 1}.md |")
    assert "The other 2 files" in artifacts.rows()
    assert all(line.count("|") == head.count("|") for line in artifacts.rows().splitlines()[:10])


def test_reports_are_kept_for_each_run_and_linked_only_where_they_are_served(out):
    assert "[Report 报告](http://host/r1/select/report.html)" in artifacts.reports("r1", "http://host/")
    assert (artifacts.REPORTS / "r1/select/report.html").read_text() == "<title>报告</title>"

    unserved = artifacts.reports("r2", "")
    assert "file://" not in unserved
    assert "`make schedule`" in unserved

    os.utime(artifacts.REPORTS / "r1", (0, 0))
    for number in range(artifacts.KEPT):
        artifacts.reports(f"more{number}", "")
    assert len(list(artifacts.REPORTS.iterdir())) == artifacts.KEPT
    assert not (artifacts.REPORTS / "r1").exists()


def test_a_page_begins_with_the_verdict_and_has_no_empty_section():
    assert artifacts.summary("no", [("A", ""), ("B", "text")]) == "**no**\n\n## B\n\ntext"
