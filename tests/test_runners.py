"""Stages on the work pools that their runners name: a real server, two pools, clones that share only git and a DVC remote."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from retraining import begun, dvc, environment, git, log, wait_until
from retraining import project as small_project

from flows import dag, retrain, runners
from flows.dag import Step
from lingyu.stage import StageError

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")


def steps(*given: tuple[str, str, str]) -> list[Step]:
    return [Step(name, runner, tuple(upstream.split()), (), ()) for name, runner, upstream in given]


def test_stages_of_a_runner_that_follow_each_other_are_one_job():
    every = steps(
        ("data.dvc", "here", ""),
        ("split", "here", "data.dvc"),
        ("base", "gpu", "split"),
        ("review", "here", "split"),
        ("mix", "here", "base review"),
        ("sft@a", "gpu", "base mix"),
        ("sft@b", "gpu", "base mix"),
        ("index", "here", "mix"),
        ("align", "gpu", "sft@a"),
        ("select", "here", "sft@b align"),
    )

    found = [(job.pool, [step.name for step in job.steps]) for job in dag.jobs(every, {"gpu": "big"})]

    assert found == [
        ("", ["data.dvc"]),
        ("", ["split"]),
        ("", ["review"]),
        ("big", ["base"]),
        ("", ["mix"]),
        ("", ["index"]),
        ("big", ["sft@a", "sft@b", "align"]),
        ("", ["select"]),
    ]
    assert [job.pool for job in dag.jobs(every, {})] == [""] * 10


def test_a_job_has_only_what_changed_and_what_reads_from_it():
    (job,) = dag.jobs(steps(("a", "gpu", ""), ("b", "gpu", "a"), ("c", "gpu", "")), {"gpu": "big"})

    assert job.stale(["a"], []) == ["a", "b"]
    assert job.stale(["c"], []) == ["c"]
    assert job.stale([], [["a"]]) == ["b"]


@pytest.fixture
def clones(tmp_path, monkeypatch, prefect_server):
    """This clone, and one for each of two runners; data comes from a folder that the runners do not read."""
    top = small_project(tmp_path, "a rule")
    stages = {
        "clean": {"cmd": "mkdir -p out && cp data/rules.txt out/clean", "deps": ["data"], "outs": ["out/clean"]},
        "pretrain": {"cmd": "mkdir -p out && sh work.sh clean pretrain", "deps": ["out/clean"], "outs": ["out/pretrain"]},
        "sft": {"cmd": "sh work.sh pretrain sft", "deps": ["out/pretrain"], "outs": ["out/sft"]},
        "score": {"cmd": "mkdir -p out && sh work.sh sft score", "deps": ["out/sft"], "outs": ["out/score"]},
        "report": {"cmd": "cp out/score out/report", "deps": ["out/score"], "outs": ["out/report"]},
    }
    for name, runner in {"pretrain": "gpu", "sft": "gpu", "score": "lab"}.items():
        stages[name]["meta"] = {"runner": runner}
    # Each stage says where it ran; with the word slow it waits until it is killed, once.
    (top / "work.sh").write_text(
        "echo $$ > started; if grep -q slow out/$1 && [ ! -e slept ]; then touch slept; sleep 600; fi\n"
        'echo "$(cat out/$1) $2 $(basename $(pwd))" > out/$2\n'
    )
    (top / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    pools = {"gpu": f"gpu-{tmp_path.name}", "lab": f"lab-{tmp_path.name}"}
    section = {"retries": 2, "retry_delay_seconds": 0, "pools": pools}
    (top / "params.yaml").write_text(yaml.safe_dump({"retrain": section, "release": {}}))
    (top / ".gitignore").write_text((top / ".gitignore").read_text() + "/started\n/slept\n")
    git(tmp_path, "init", "--quiet", "--bare", "origin.git")
    git(top, "remote", "add", "origin", str(tmp_path / "origin.git"))
    dvc(top, "remote", "add", "--quiet", "--default", "store", str(tmp_path / "store"))
    git(top, "add", ".")
    git(top, "commit", "--quiet", "-m", "stages")
    git(top, "push", "--quiet", "origin", "main")
    for name in pools:
        git(tmp_path, "clone", "--quiet", "--branch", "main", "origin.git", name)
        git(tmp_path / name, "config", "user.name", name)
        git(tmp_path / name, "config", "user.email", f"{name}@example.org")
    monkeypatch.chdir(top)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    return top, pools


def runner(clone: Path, pool: str):
    return begun(clone, "flows.runners", pool, PREFECT_WORKER_QUERY_SECONDS="1", **server())


def ready(clone: Path) -> None:
    wait_until(lambda: "started!" in log(clone), 180)


@pytest.mark.slow
def test_each_stage_runs_in_the_clone_of_its_runner_and_a_runner_that_was_lost_goes_on_when_it_is_back(clones, tmp_path):
    top, pools = clones
    with ExitStack() as stack:
        for name, pool in pools.items():
            environment(tmp_path / name)
            stack.enter_context(runner(tmp_path / name, pool))
        for name in pools:
            ready(tmp_path / name)
        retrain.retrain(commit=True, push=True)

        assert (top / "out/report").read_text() == "a rule pretrain gpu sft gpu score lab\n"
        if fault := runners.without_gpu():
            assert log(tmp_path / "gpu").count(fault[:40]) == 1
            assert fault[:40] not in log(tmp_path / "lab")
        assert git(top, "status", "--porcelain") == ""
        assert git(tmp_path / "origin.git", "branch", "--format=%(refname:short)").split() == ["main", "retrain"]
        assert not (tmp_path / "gpu/data").exists()
        assert retrain.retrain(return_state=True).name == "Nothing new"

        # A change for one runner alone is not work for the other.
        (tmp_path / "lab/started").unlink()
        (tmp_path / "gpu/started").unlink()
        (top / "dvc.yaml").write_text((top / "dvc.yaml").read_text().replace("sft score", "sft scored && mv out/scored out/score"))
        git(top, "commit", "--quiet", "--all", "-m", "another score")
        retrain.retrain(commit=True)
        assert (top / "out/report").read_text() == "a rule pretrain gpu sft gpu scored lab\n"
        assert ((tmp_path / "lab/started").exists(), (tmp_path / "gpu/started").exists()) == (True, False)

    # The machine of the runner stops while it trains, and is started again.
    (tmp_path / "source/rules.txt").write_text("a slow rule")
    (tmp_path / "lab/slept").touch()
    with ExitStack() as stack, runner(tmp_path / "gpu", pools["gpu"]) as first, runner(tmp_path / "lab", pools["lab"]):
        ready(tmp_path / "gpu")
        flow = stack.enter_context(begun(top, "flows.retrain", "--commit", **server()))
        wait_until(lambda: (tmp_path / "gpu/slept").exists(), 180)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        with runner(tmp_path / "gpu", pools["gpu"]):
            assert flow.wait(200) == 0, log(top)

    assert "the runner was lost" in log(top)
    assert (top / "out/report").read_text() == "a slow rule pretrain gpu sft gpu scored lab\n"


@pytest.mark.slow
def test_a_pool_without_a_runner_is_told_with_how_to_start_one(clones):
    top, pools = clones
    with pytest.raises(StageError, match=rf"pool {pools['gpu']} has no runner.*`python -m flows\.runners {pools['gpu']}`"):
        retrain.retrain()

    assert git(top, "status", "--porcelain") == ""


def server() -> dict[str, str]:
    from prefect.settings import PREFECT_API_URL

    return {"PREFECT_API_URL": PREFECT_API_URL.value()}
