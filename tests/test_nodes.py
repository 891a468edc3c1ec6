"""The flow nodes with a real Prefect API, a work pool and its workers on loopback: one training over two nodes."""

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from training import ROOT, SFT, TRAINING, curves
from training import project as training_project

from flows import dag, nodes
from lingyu.stage import StageError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")]

STAGES = {
    "sft": {
        "foreach": "${sft.candidates}",
        "do": {
            "cmd": f"{sys.executable} -m stages.sft ${{key}}",
            "deps": ["out/start/model", "out/mix"],
            "params": ["sft"],
            "outs": ["out/sft/${key}"],
        },
    },
    "select": {"cmd": "touch out/chosen", "deps": ["out/sft/full"], "outs": ["out/chosen"]},
}


@pytest.fixture
def project(tiny_model, tmp_path, monkeypatch):
    """sft@full and sft@lora in two processes each, and select, which reads from the first."""
    common = {**TRAINING, **SFT, "processes": 2, "start": "start"}
    candidates = {name: {"method": {"name": "full"}} for name in ("full", "lora")}
    place = training_project(tmp_path, tiny_model, sft={"common": common, "candidates": candidates})
    for name in ("flows", "lingyu", "stages"):
        (place / name).symlink_to(ROOT / name)
    (place / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}), encoding="utf-8")
    monkeypatch.chdir(place)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    return place


@pytest.fixture
def pool(project, prefect_server):
    """A work pool of this test alone, for a worker that has gone counts for a while, without workers."""
    name = project.name
    prefect("work-pool", "create", name, "--type", "process").communicate()
    return name


@pytest.fixture
def workers(pool, warm):
    """One worker for each of two nodes."""
    processes: list[subprocess.Popen] = []
    with ExitStack() as stack:
        for number in range(2):
            queue = ("--work-queue", f"node{number}", "--name", f"w{number}", "--limit", "1")
            process = stack.enter_context(prefect("worker", "start", "--pool", pool, *queue, LINGYU_WARM=warm))
            stack.callback(process.terminate)
            processes.append(process)
        end = time.monotonic() + 120
        while not online(pool):
            assert time.monotonic() < end
            time.sleep(0.2)
        yield processes


def online(pool: str) -> bool:
    try:
        nodes.check_workers(pool, 2)
    except StageError:
        return False
    return True


def prefect(*words: str, **more: str) -> subprocess.Popen:
    from prefect.settings import PREFECT_API_URL

    environment = {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value(), "PREFECT_WORKER_QUERY_SECONDS": "1", **more}
    return subprocess.Popen(
        [sys.executable, "-m", "prefect", *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def meeting() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_two_workers_train_one_stage_and_none_waits_for_one_that_failed(pool, workers, caplog, monkeypatch):
    monkeypatch.setattr(nodes, "STOP_TIMEOUT", 3.0)
    nodes.train_on_nodes("sft@full", pool, 2, meeting())

    assert "sft@full" not in dag.stale()
    assert len(curves(Path("out/sft/full"))) > 5
    assert any("node 0: sft@full  step 9/9" in line for line in caplog.messages)

    nodes.train_on_nodes("sft@full", pool, 2, meeting())

    assert "sft@full is up to date. 已是最新。" in caplog.messages

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StageError, match=r"sft@lora: node 0 and node 1 of 2 nodes failed.*Run again"):
            nodes.train_on_nodes("sft@lora", pool, 2, f"127.0.0.1:{taken.getsockname()[1]}")

    assert any("address already in use" in line for line in caplog.messages)

    workers[1].terminate()
    monkeypatch.setattr(nodes, "START_TIMEOUT", 15.0)
    with pytest.raises(StageError, match=r"sft@lora: node 0 and node 1 \(no worker .*queue node1\) of 2 nodes failed"):
        nodes.train_on_nodes("sft@lora", pool, 2, meeting())


@pytest.mark.parametrize(
    ("stage", "count", "told"),
    [
        ("sft@full", 2, r"0 of 2 nodes have a worker in the pool .*--work-queue node0"),
        ("sft", 2, r"sft has several items.* sft@full, sft@lora\."),
        ("sft@full", 3, r"sft@full trains in 2 processes.* 3 nodes"),
        ("select", 2, r"select depends on .* sft@full\. .*`dvc repro sft@full`"),
        ("sft@full", 1, r"nodes is 1\..*`dvc repro sft@full`"),
        ("fly", 2, r"no stage named 'fly'\. Known: sft@full"),
    ],
)
def test_what_cannot_begin_is_told_before_anything_does(pool, stage, count, told):
    with pytest.raises(StageError, match=told):
        nodes.train_on_nodes(stage, pool, count, meeting())


def test_a_pool_that_is_not_there_is_told_with_how_to_make_it(project, prefect_server):
    with pytest.raises(StageError, match=r"'nowhere'.*`prefect work-pool create nowhere --type process`"):
        nodes.check_workers("nowhere", 2)


def test_without_a_server_it_is_told_how_to_start_one(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)

    with pytest.raises(StageError, match=r"`prefect server start --host 0\.0\.0\.0`.*PREFECT_API_URL="):
        nodes.on_a_server({})
