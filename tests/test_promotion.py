"""From a new file in the corpus to a commit, a release and a tag, with a person's approval: git, DVC, its remote and Prefect are real.

The stages stand for a training: how many test questions the model gets right is what the corpus says.
"""

import json
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from retraining import ROOT, dvc, git, tree
from retraining import project as small_project

from flows import retrain
from lingyu.files import read_json
from lingyu.stage import StageError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")]

STAGES = """
import pathlib, shutil, sys
from predictions import prediction
from lingyu.evaluate.scorer import Prediction
from lingyu.files import hashes, write_json, write_table

share = float(pathlib.Path("data/rules.txt").read_text())
if sys.argv[1] == "select":
    rows = [prediction("fact", id=f"f{i}", group=f"f{i}", exact=i < share * 200) for i in range(200)]
    write_table(pathlib.Path("out/select/test/full.parquet"), rows, Prediction)
    pathlib.Path("out/select/model").mkdir(parents=True, exist_ok=True)
    pathlib.Path("out/select/model/model.safetensors").write_text(str(share))
else:
    release = pathlib.Path("out/package/release")
    shutil.copytree("out/select/model", release)
    write_json(release / "manifest.json", {"winner": "full", "metrics": {}, "files": hashes(release)})
"""


@pytest.fixture
def project(tmp_path, monkeypatch, prefect_server):
    """A clone with a git remote and a DVC remote, both folders; its first model is right in half of the questions, and released."""
    top = small_project(tmp_path, "0.5")
    (top / "make.py").write_text(STAGES)
    run = f"{sys.executable} make.py"
    stages = {
        "mix": {"cmd": "mkdir -p out/mix/test && echo questions > out/mix/test/questions", "outs": ["out/mix/test"]},
        "select": {"cmd": f"{run} select", "deps": ["data", "make.py"], "outs": ["out/select/test", "out/select/model"]},
        "package": {"cmd": f"{run} package", "deps": ["out/select/model"], "outs": ["out/package/release"]},
    }
    (top / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    evaluate = {"common": {}, "candidates": {"full": {"checkpoint": "sft/full"}}}
    (top / "params.yaml").write_text(yaml.safe_dump({"retrain": {}, "release": {"to": ["folder"]}, "evaluate": evaluate, "select": {}}))
    (top / ".gitignore").write_text((top / ".gitignore").read_text() + "/releases/*\n!/releases/released.json\n!/releases/answers/\n")
    git(tmp_path, "init", "--quiet", "--bare", "origin.git")
    git(top, "remote", "add", "origin", str(tmp_path / "origin.git"))
    dvc(top, "remote", "add", "--quiet", "--default", "store", str(tmp_path / "store"))
    git(top, "add", ".")
    git(top, "commit", "--quiet", "-m", "stages")
    git(top, "push", "--quiet", "origin", "main")
    monkeypatch.chdir(top)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setattr(retrain, "POLL_SECONDS", 0.2)
    retrain.retrain(commit=True, push=True)
    assert git(top, "log", "--format=%s", "-1").startswith("Retrain")
    retrain.release_flow()
    git(top, "add", ".")
    git(top, "commit", "--quiet", "-m", "first release")
    return top


def test_a_better_model_is_committed_pushed_released_and_tagged_and_a_worse_one_only_committed(project, tmp_path):
    (tmp_path / "source/rules.txt").write_text("0.7")

    retrain.retrain(commit=True, push=True, release=True)

    entries = read_json(Path("releases/released.json"))
    version = entries[-1]["version"]
    assert len(entries) == 2
    assert Path("releases", version, "model.safetensors").read_text() == "0.7"
    assert git(project, "branch", "--show-current") == "retrain"
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "log", "--format=%s", "-2").splitlines() == [f"Release {version}", "Retrain: 1 changed document"]
    assert "Release recommended" in git(project, "log", "--format=%b", "-1", "HEAD~1")
    assert (
        git(tmp_path / "origin.git", "rev-parse", "retrain", f"release-{version}^{{}}").splitlines()
        == [git(project, "rev-parse", "HEAD")] * 2
    )

    git(tmp_path, "clone", "--quiet", "--branch", f"release-{version}", "origin.git", "elsewhere")
    dvc(tmp_path / "elsewhere", "pull", "--quiet", "out/select/model")
    assert (tmp_path / "elsewhere/out/select/model/model.safetensors").read_text() == "0.7"

    commits = git(project, "rev-list", "--count", "HEAD")
    assert retrain.retrain(commit=True, push=True, release=True, return_state=True).name == "Nothing new"
    assert git(project, "rev-list", "--count", "HEAD") == commits

    (tmp_path / "source/rules.txt").write_text("0.6")
    retrain.retrain(commit=True, push=True, release=True)
    assert read_json(Path("releases/released.json")) == entries
    assert "significantly worse" in git(project, "log", "--format=%b", "-1")
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.parametrize("yes", [True, False])
def test_a_release_waits_for_a_person(project, tmp_path, yes):
    (tmp_path / "source/rules.txt").write_text("0.7")
    person = threading.Thread(target=answered, args=[{"release": yes, "name": "Ada", "remark": "read it"}])
    person.start()

    retrain.retrain(commit=True, release=True, approve=True)

    person.join()
    assert len(read_json(Path("releases/released.json"))) == 1 + yes
    assert f"Release {'approved' if yes else 'refused'} by Ada. read it" in git(project, "log", "--format=%b", "-2")


def test_what_is_not_committed_stops_a_run_that_commits_before_it_begins(project, tmp_path):
    (tmp_path / "source/rules.txt").write_text("0.7")
    before = tree(project)
    Path("make.py").write_text("# edited")

    with pytest.raises(StageError, match=r"not committed: make\.py"):
        retrain.retrain(commit=True)

    git(project, "checkout", "--quiet", "make.py")
    git(project, "switch", "--quiet", "main")
    with pytest.raises(StageError, match=r"branch retrain exists, .* on main.*git merge main"):
        retrain.retrain(commit=True)
    git(project, "switch", "--quiet", "retrain")
    assert tree(project) == before


def answered(answer: dict) -> None:
    """Resume the run that waits, as its page does."""
    from prefect.client.orchestration import get_client

    end = time.monotonic() + 120
    with get_client(sync_client=True) as client:
        while time.monotonic() < end:
            for run in client.read_flow_runs():
                if run.state.is_paused():
                    said = client.resume_flow_run(run.id, run_input=answer)
                    assert said.status.value == "ACCEPT", json.dumps(said.model_dump(mode="json"))
                    return
            time.sleep(0.2)
