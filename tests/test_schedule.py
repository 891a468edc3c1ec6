"""Retraining on a schedule: a real server, worker and scheduler, started by the documented command on a small DVC project."""

import json
import signal
import socket
from pathlib import Path

import pytest
from retraining import ROOT, begun, dvc_locks, git, gone, log, processes, project, tree, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")]


def test_the_scheduler_makes_a_run_that_can_be_cancelled_and_the_folder_stays_as_it_was(tmp_path):
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import State, StateType

    top, port = project(tmp_path), free_port()
    with begun(top, "flows.schedule", "--every", "12", PREFECT_SERVER_API_PORT=port) as keeper:
        wait_until(lambda: "schedule: --interval 12" in log(top) or keeper.poll() is not None)
        assert keeper.poll() is None, log(top)
        with SyncPrefectClient(api=f"http://127.0.0.1:{port}/api") as client:
            first = ended(client, "Completed")
            assert first.auto_scheduled
            assert (top / "out/model").read_text() == "a rule"
            assert git(top, "log", "--format=%s", "-1", "retrain").startswith("Retrain: ")

            assert ended(client, "Nothing new").auto_scheduled
            assert git(top, "status", "--porcelain") == ""

            before = tree(top)
            (tmp_path / "source/rules.txt").write_text("a slow rule")
            numbers = wait_until(lambda: processes(top))
            holder = json.loads((top / ".lingyu/retrain/lock").read_text())["name"]
            active = next(run for run in client.read_flow_runs() if run.name == holder)
            skipped = ended(client, "Skipped", lambda run: holder in run.state.message)
            assert skipped.auto_scheduled
            client.set_flow_run_state(active.id, State(type=StateType.CANCELLING))
            wait_until(lambda: gone(numbers), 10)
            (tmp_path / "source/rules.txt").write_text("a rule")
            wait_until(lambda: client.read_flow_run(active.id).state.name == "Cancelled", 30)
            assert wait_until(lambda: task_states(client, active.id).get("train") == "Cancelled", 30), task_states(client, active.id)
            assert dvc_locks(top) == []
            assert tree(top) == before
            assert git(top, "status", "--porcelain") == ""
            assert int((top / ".lingyu/checkpoint").read_text()) > 0
        started = [int(line) for line in children(keeper.pid)]
        keeper.send_signal(signal.SIGINT)
        assert keeper.wait(30) == 1
    assert len(started) >= 4
    assert gone(started)


def test_prefect_reads_the_deployments_of_all_kinds_of_pools(capsys):
    from prefect.cli.deploy._config import _load_deploy_configs_and_actions
    from rich.console import Console

    found, _ = _load_deploy_configs_and_actions(Path(ROOT / "prefect.yaml"), console=Console())

    assert capsys.readouterr().out == ""
    assert {each["name"]: each["work_pool"]["name"] for each in found} == {
        "process": "lingyu",
        "docker": "lingyu-docker",
        "kubernetes": "lingyu-kubernetes",
    }
    assert {each["entrypoint"] for each in found} == {"flows/retrain.py:retrain"}
    for each in found:
        assert each["work_pool"]["job_variables"]["env"]["DO_NOT_TRACK"] == "1"


def ended(client, name: str, which=lambda run: True):
    """The first run that ends in a state of this name."""
    return wait_until(lambda: next((run for run in client.read_flow_runs() if run.state.name == name and which(run)), None), 240, 0.5)


def task_states(client, run) -> dict[str, str]:
    from prefect.client.schemas.filters import FlowRunFilter

    return {task.name: task.state.name for task in client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [run]}))}


def children(number: int) -> list[int]:
    import psutil

    return [process.pid for process in psutil.Process(number).children(recursive=True)]


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])
