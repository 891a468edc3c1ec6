"""What is published is what a run measured, and the pages show it. Nothing here depends on a run of this machine."""

import csv
from pathlib import Path

import pytest
import yaml
from parameters import TINY

from bench import results
from lingyu.evaluate.metrics import Change, Measure
from lingyu.files import write_json
from stages.select import stage_rows, write_csv

ROOT = Path(__file__).parent.parent
SHARE = Measure(value=0.891, low=0.81, high=0.94, count=90)


@pytest.fixture
def folder(tmp_path):
    """Results of two checkpoints."""
    write_json(tmp_path / "winner.json", {"checkpoint": "sft-full", "why": {"zh": "因为。", "en": "Because."}})
    lengths = {"tokens_a_character_before": 1.0, "tokens_a_character_after": 0.75}
    write_json(tmp_path / "extend.json", {"terms": 12, "gain": 0.25, **lengths})
    write_json(tmp_path / "reward.json", {"dev_accuracy": 0.95, "dev_pairs": 40})
    write_json(tmp_path / "index.json", {"fact_of_question_recall@3": {"value": 0.99, "low": 0.97, "high": 1.0, "count": 300}})
    pair = {"before": "base", "after": "sft-full", "zh": "微调", "en": "Fine-tuning", "guarded": False}
    write_json(tmp_path / results.SELECT, {"level": 0.05, "pairs": [pair]})
    measured = {"base": {"fact_exact": Measure(value=0.0, low=0.0, high=0.04, count=90)}, "sft-full": {"fact_exact": SHARE}}
    with (tmp_path / "leaderboard.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(name, metric, *measure.values()) for name, found in measured.items() for metric, measure in found.items()]
        csv.writer(file).writerows([("checkpoint", "metric", *Measure.__annotations__), *rows])
    change = Change(before_value=0.0, after_value=0.891, difference=0.891, low=0.8, high=0.95, chance=0.0001, count=90)
    same = Change(before_value=0.5, after_value=0.51, difference=0.01, low=-0.1, high=0.12, chance=0.8, count=50)
    changes = {("base", "sft-full"): {"fact_exact_taught": change, "reason_exact": same}}
    write_csv(tmp_path / "stages.csv", ("before", "after", "metric", *Change.__annotations__), stage_rows(changes))
    return tmp_path


def test_the_readme_has_a_row_a_metric_and_the_base_beside_the_winner(folder):
    head, _, row, *_ = results.short(folder, "en").splitlines()

    assert head.count("|") == row.count("|") == 4
    assert "`base`" in head
    assert "`sft-full`" in head
    assert "n = 90" in row
    assert "0.0% (0–4)" in row
    assert "89.1% (81–94)" in row


def test_without_the_base_the_readme_shows_the_winner_alone(folder):
    lines = (folder / "leaderboard.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "leaderboard.csv").write_text("".join(line for line in lines if not line.startswith("base")), encoding="utf-8")

    assert results.short(folder, "zh").splitlines()[0].count("|") == 3


def test_the_page_says_what_moved_and_what_each_stage_added(folder):
    made = results.full(folder, "en")

    assert "Because." in made
    assert "0.0% → 89.1% (+80.0 … +95.0)" in made
    assert "1.000 → 0.750" in made
    assert "12 terms" in made
    assert "95.0% (83–99) of 40" in made
    assert "99.0% (97–100) of 300" in made


def test_a_run_without_a_reward_model_has_no_row_of_it(folder):
    write_json(folder / "reward.json", {"dev_accuracy": None, "dev_pairs": 0})

    assert "`reward`" not in results.full(folder, "en")


def test_the_table_of_stages_has_each_stage_of_dvc_yaml_and_its_files(monkeypatch):
    monkeypatch.chdir(ROOT)
    stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    _, _, *rows = results.stages().splitlines()

    assert [row.split("`")[1] for row in rows] == list(stages) == list(results.STAGES_ZH)
    assert "${" not in "".join(rows)
    row = next(row for row in rows if row.startswith("| `extend`"))
    assert "`mix/train`" in row
    assert "`terms.csv`" in row
    assert "vocabulary.py" not in row


def test_the_committed_pages_have_the_marks_that_are_written_between(monkeypatch):
    monkeypatch.chdir(ROOT)

    assert results.pages(results.FOLDER).keys() == {"README.md", "README.zh.md", "docs/results.md"}


def test_a_page_without_marks_is_not_written():
    with pytest.raises(SystemExit, match=r"README\.md.*<!-- results -->"):
        results.filled("no marks here", "results", "results", "README.md")


def test_what_is_published_is_compared_with_dvc_lock(folder, monkeypatch):
    monkeypatch.chdir(folder)
    outs = [
        {"path": source.as_posix(), "md5": results.md5(folder / name), "size": 1}
        for name, source in results.PUBLISHED.items()
        if name != "winner.json"
    ]
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": {"all": {"outs": outs}}}), encoding="utf-8")

    (fault,) = results.not_published(folder)

    assert "winner.json" in fault


def test_publishing_copies_the_outputs_of_the_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "params.yaml").symlink_to(ROOT / "params.yaml")
    for name, source in results.PUBLISHED.items():
        source.parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(source)

    results.publish(Path("published"))

    assert {path.name for path in Path("published").iterdir()} == {*results.PUBLISHED, results.SELECT}
    assert list(Path("published/winner.json").read_bytes()) == list(Path("out/select/winner.json").read_bytes())


def test_what_the_project_ships_as_parameters_is_one_screen_of_the_tiny_profile():
    assert list(results.not_shipped(TINY)) == []
    assert ["tiny" in fault for fault in results.not_shipped(TINY.replace("learning_rate: 5.0e-3", "learning_rate: 4.0e-3"))] == [True]
    assert ["120" in fault for fault in results.not_shipped(TINY + "\n# more" * 120)] == [True]
    assert ["2.0e-4" in fault for fault in results.not_shipped(TINY.replace("index: {}", "index: {min_score: 4e-1}"))] == [True]
