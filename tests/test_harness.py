"""lm-evaluation-harness on a checkpoint, offline, by a task and data of one's own; skipped where the harness is in no environment."""

import json
import os
from importlib.util import find_spec

import pytest

from lingyu.__main__ import main
from lingyu.evaluate import ask, harness
from lingyu.files import read_json
from lingyu.stage import StageError

TASK = """
task: drone_exam
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}\\n答案："
doc_to_choice: "{{{{options}}}}"
doc_to_target: "{{{{right}}}}"
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
ITEMS = [
    {"question": f"第{number}题：起飞前检查什么？", "options": ["桨叶", "电池", "天气", "心情"], "right": number % 4}
    for number in range(12)
]
needs_it = pytest.mark.skipif(
    find_spec("lm_eval") is None and not os.environ.get(harness.PYTHON),
    reason=f"lm-eval is not installed; {harness.PYTHON} may name the Python of an environment that has it",
)


@needs_it
def test_a_checkpoint_is_asked_a_task_of_ones_own_and_the_harness_agrees_with_our_likelihoods(tmp_path, tiny_model, capsys):
    data = tmp_path / "items.jsonl"
    data.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in ITEMS), encoding="utf-8")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "drone.yaml").write_text(TASK.format(data=data), encoding="utf-8")

    out = tmp_path / "found.json"
    status = main(["harness", str(tiny_model), "--tasks", "drone_exam", "--include", str(tmp_path / "tasks"), "--out", str(out)])

    assert status == 0
    found = read_json(out)["results"]
    assert [(one["task"], one["metric"], one["count"]) for one in found] == [("drone_exam", "acc", 12)]
    checkpoint = ask.load(tiny_model, 256, "fp32")
    hits = 0
    for item in ITEMS:
        asked = checkpoint.encode(f"{item['question']}\n答案：")
        options = [checkpoint.encode(f"{item['question']}\n答案： {option}") for option in item["options"]]
        nats = ask.log_likelihoods(checkpoint, [(option, len(asked)) for option in options])
        hits += nats.index(max(nats)) == item["right"]
    assert found[0]["value"] == pytest.approx(hits / 12, abs=1e-6)
    assert "drone_exam: acc" in capsys.readouterr().out


@needs_it
def test_a_task_that_does_not_exist_is_named(tiny_model):
    with pytest.raises(StageError, match="no_such_task"):
        harness.run(tiny_model, ["no_such_task"])


@pytest.mark.parametrize(("folder", "python", "match"), [("nowhere", "", "no folder with a model"), (None, "/no/python", "/no/python")])
def test_what_is_missing_is_said(tmp_path, tiny_model, folder, python, match):
    with pytest.raises(StageError, match=match):
        harness.run(tmp_path / folder if folder else tiny_model, ["x"], python=python)


def test_results_of_tasks_and_groups_have_counts_and_intervals():
    found = {
        "results": {"law": {"alias": "law", "acc,none": 0.5, "acc_stderr,none": 0.1}, "all": {"acc,none": 0.25, "acc_stderr,none": "N/A"}},
        "groups": {"all": {"acc,none": 0.25}},
        "group_subtasks": {"all": ["law", "tax"]},
        "n-samples": {"law": {"original": 900, "effective": 40}, "tax": {"original": 40, "effective": 40}},
        "n-shot": {"law": 5},
    }

    law, both = harness.results(found)

    assert (law["count"], law["shots"], both["count"]) == (40, 5, 80)
    assert (law["low"], law["high"]) == pytest.approx((0.352, 0.648), abs=1e-3)  # Wilson, 20 of 40
    assert any("law: acc, 5 shots" in line for line in harness.lines({"results": [law, both]}))


def test_our_own_figures_are_those_of_the_same_files(tmp_path, tiny_model):
    from lingyu.files import hashes, write_json

    for name, files in (("other", {"config.json": "x"}), ("same", hashes(tiny_model))):
        write_json(tmp_path / name / "checkpoint.json", {"files": files})
        write_json(tmp_path / name / "metrics.json", {"fact_exact": {"value": 1.0}})

    assert harness.ours(tiny_model, tmp_path) == ("same", {"fact_exact": {"value": 1.0}})
