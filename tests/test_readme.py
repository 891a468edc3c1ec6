"""The results that the READMEs show are those of the run."""

import csv
import json
from pathlib import Path

import pytest

from bench import results
from lingyu.evaluate.metrics import Change, Measure
from stages.select import stage_rows, write_csv

ROOT = Path(__file__).parent.parent
PAGES = {language: (ROOT / name).read_text(encoding="utf-8") for language, name in results.READMES.items()}
README = pytest.mark.parametrize("language", results.READMES)


@README
def test_the_results_are_those_of_the_last_run(language):
    if not (ROOT / "out/select/leaderboard.csv").exists():
        pytest.skip("out/select/leaderboard.csv is not there; `make repro` makes it")

    made = results.block(ROOT, language)

    assert results.filled(PAGES[language], made) == PAGES[language], "run `python -m bench.results`"


def test_results_say_what_was_measured_and_what_moved(tmp_path):
    measured = {"base": {"fact_exact_taught": Measure(value=0.0, low=0.0, high=0.04, count=90)}}
    measured["sft-full"] = {"fact_exact_taught": Measure(value=0.891, low=0.81, high=0.94, count=90)}
    change = Change(before_value=0.0, after_value=0.891, difference=0.891, low=0.8, high=0.95, chance=0.0001, count=90)
    same = Change(before_value=0.5, after_value=0.51, difference=0.01, low=-0.1, high=0.12, chance=0.8, count=50)
    run_folder(tmp_path, measured, {("base", "sft-full"): {"fact_exact_taught": change, "reason_exact": same}})

    made = results.block(tmp_path, "en")

    assert "| checkpoint | facts right: taught<br>n = 90 |" in made
    assert "| `base` | 0.0% (0–4) |\n| **`sft-full`** winner | 89.1% (81–94) |" in made
    assert "**better** facts right: taught 0.0% → 89.1% (+80.0 … +95.0)<br>**not told apart** reasoning: answers right |" in made
    assert "12 words as tokens of their own: 1.000 → 0.750 tokens a character of held-out text (−25%)" in made
    assert "95.0% (83–99) of 40 held-out pairs" in made
    assert "first 3 passages in 99.0% (97–100) of 300 questions" in made


@README
def test_without_a_run_there_are_no_results_to_show(tmp_path, language):
    assert "`make repro`" in results.block(tmp_path, language)


def test_a_page_without_marks_is_not_written():
    with pytest.raises(SystemExit, match="Put both back into"):
        results.filled("no marks here", "results")


def run_folder(top, measured, changes):
    """As much of a run's files as the results are made from."""
    files = {
        "select/winner.json": {"checkpoint": "sft-full", "why": {"zh": "因为。", "en": "Because."}},
        "extend/metrics.json": {"terms": 12, "gain": 0.25, "tokens_a_character_before": 1.0, "tokens_a_character_after": 0.75},
        "reward/metrics.json": {"dev_accuracy": 0.95, "dev_pairs": 40},
        "index/metrics.json": {"fact_of_question_recall@3": {"value": 0.99, "low": 0.97, "high": 1.0, "count": 300}},
    }
    for name, values in files.items():
        path = top / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    pair = {"before": "base", "after": "sft-full", "zh": "微调", "en": "Fine-tuning"}
    (top / "params.yaml").write_text(json.dumps({"select": {"level": 0.05, "pairs": [pair]}}), encoding="utf-8")
    with (top / "out/select/leaderboard.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(name, metric, *measure.values()) for name, found in measured.items() for metric, measure in found.items()]
        csv.writer(file).writerows([("checkpoint", "metric", *Measure.__annotations__), *rows])
    write_csv(top / "out/select/stages.csv", ("before", "after", "metric", *Change.__annotations__), stage_rows(changes))
