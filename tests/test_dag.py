"""The whole DAG in miniature with the real DVC: nothing is stale for nothing, and nothing is made twice."""

import json

import pytest
import yaml
from miniature import change_params, commit, dvc, git, overlaid, project, repro

from lingyu.files import read_json

MUST_FIND = {"question": "沙鸥水上的返航电量是多少？", "source": "documents/zh-01-preflight.md"}
MADE_FIRST = {
    "sft": {"candidates": {"full": {"start": "pretrain", "method": {"name": "full"}}}},
    "evaluate": {
        "candidates": {"base": {"checkpoint": "base"}, "sft-full": {"checkpoint": "sft/full"}, "align-dpo": {"checkpoint": "align/dpo"}}
    },
}
SWITCHED_OFF = {
    "pretrain": {"enabled": False},
    "sft": {"candidates": {"full": {"start": "extend", "method": {"name": "full"}}}},
    "reward": {"enabled": False},
    "align": {"candidates": {}},
    "evaluate": {"candidates": {"base": {"checkpoint": "base"}, "sft-full": {"checkpoint": "sft/full"}}},
}


@pytest.mark.slow
def test_a_run_is_made_once_whatever_is_switched_cloned_or_left_out(tmp_path):
    top = project(tmp_path / "one")
    dpo = yaml.safe_load((top / "params.yaml").read_text(encoding="utf-8"))["align"]["candidates"]["dpo"]
    change_params(top, lambda values: replaced(values, {**MADE_FIRST, "align": {"candidates": {"dpo": dpo}}}))
    (top / "samples/drone/retrieval_set.jsonl").write_text(json.dumps(MUST_FIND, ensure_ascii=False) + "\n", encoding="utf-8")
    dvc(top, "update", "-q", "data.dvc")
    commit(top, "fewer candidates")

    assert len(repro(top)) == 19
    assert git(top, "status", "--porcelain").split() == ["??", "dvc.lock"]
    assert [one["found"] for one in read_json(top / "out/index/retrieval.json")] == [True]
    commit(top, "first")
    git(top, "branch", "first")
    assert repro(top) == []

    # Without alignment, reward model and pretraining it runs to its end, and makes only what that changes.
    change_params(top, lambda values: replaced(values, SWITCHED_OFF))
    assert repro(top) == ["pretrain", "sft@full", "reward", "evaluate@base", "evaluate@sft-full", "select", "package"]
    assert "a reward model" in read_json(top / "out/select/winner.json")["why"]["en"]
    commit(top, "second")

    # Back to an earlier state, and to the later one again: everything is restored.
    for branch in ("first", "-"):
        git(top, "switch", "-q", branch)
        dvc(top, "checkout", "-q")
        assert repro(top) == []
        assert git(top, "status", "--porcelain") == ""

    # Another clone, at another commit.
    dvc(top, "remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    commit(top, "remote")
    dvc(top, "push", "-q")
    clone = tmp_path / "two"
    git(tmp_path, "clone", "-q", str(top), str(clone))
    dvc(clone, "update", "-q", "data.dvc")
    dvc(clone, "pull", "-q")
    assert dvc(clone, "status", "-q") == ""
    assert repro(clone) == []
    for stage in ("split", "select", "package"):
        assert repro(clone, "-f", "-s", stage) == [stage]
    assert git(clone, "status", "--porcelain") == ""

    # An index that loses what the last run found is not packaged, however often it is tried.
    change_params(clone, lambda values: overlaid(values, {"index": {"min_score": 1.0}}))
    for _ in range(2):
        with pytest.raises(AssertionError, match=f"no longer finds(.*\n)+.*{MUST_FIND['question']}") as refused:
            repro(clone)
        assert "Running stage 'package'" not in str(refused.value)


def replaced(values: dict, sections: dict) -> dict:
    """The sections overlaid; their candidates are these and no others."""
    candidates = {name: more["candidates"] for name, more in sections.items() if "candidates" in more}
    merged = overlaid(values, sections)
    return {name: {**section, "candidates": candidates[name]} if name in candidates else section for name, section in merged.items()}
