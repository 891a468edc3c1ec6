"""The flow retrain on a small DVC project, with the real DVC and a real Prefect API: what runs, what is skipped, what it tells."""

import io
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from flows import artifacts, commands, dag, retrain
from lingyu.files import write_json
from lingyu.retrain import tree
from lingyu.stage import StageError

# DVC's own index trips over a change of one of its libraries.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")

TRAIN = """
import json, pathlib, sys
name, value, fails = sys.argv[1:]
pathlib.Path("out").mkdir(exist_ok=True)
print("step 1\\rstep 2\\rstep 3")
tries = pathlib.Path("tries")
if fails != "never" and (fails != "75-once" or not tries.exists()):
    with tries.open("a") as file:
        file.write("x")
    print(f"sft@{name}: the node was taken away.", file=sys.stderr)
    sys.exit(int(fails.partition("-")[0]))
pathlib.Path("out", name).write_text(value)
pathlib.Path("out", name + ".json").write_text(json.dumps({"fact_exact": {"value": 0.5, "low": 0.4, "high": 0.6, "count": 10}}))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """clean → sft@full, sft@lora → select; `fails` says with which exit status sft@lora fails, and whether only once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    Path("train.py").write_text(TRAIN)
    Path("data.txt").write_text("a regulation")
    write()
    sft = {
        "cmd": f"{sys.executable} train.py ${{key}} ${{item.value}} ${{item.fails}}",
        "deps": ["out/clean", "train.py"],
        "outs": ["out/${key}"],
        "metrics": ["out/${key}.json"],
        "meta": {"runner": "gpu"},
    }
    stages = {
        "clean": {"cmd": "mkdir -p out && head -c 5 data.txt > out/clean", "deps": ["data.txt"], "outs": ["out/clean"]},
        "sft": {"foreach": "${candidates}", "do": sft},
        "select": {"cmd": "cat out/full out/lora > out/report.html", "deps": ["out/full", "out/lora"], "outs": ["out/report.html"]},
    }
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    return tmp_path


@pytest.mark.slow
def test_what_is_stale_runs_in_order_and_what_is_fresh_is_skipped(project, prefect_server):
    retrain.retrain()
    assert Path("out/report.html").read_text() == "12"
    assert states() == {"clean": "Completed", "sft@full": "Completed", "sft@lora": "Completed", "select": "Completed"}

    write(full="3")
    retrain.retrain()
    assert Path("out/report.html").read_text() == "32"
    assert states() == {"clean": "Cached", "sft@full": "Completed", "sft@lora": "Cached", "select": "Completed"}

    Path("data.txt").write_text("a regulation, amended where nobody reads")
    retrain.retrain(target="sft")
    assert states() == {"clean": "Completed", "sft@full": "Cached", "sft@lora": "Cached"}

    told = kept_artifacts()
    assert any("| clean | data.txt modified |" in text for text in told["what-changed"])
    assert any("| fact_exact | 0.500 [0.400, 0.600], n = 10 |" in text for text in told["metrics"])
    assert any("The package was not part of this run" in text for text in told["verdict"])


@pytest.mark.slow
@pytest.mark.parametrize(("fails", "retries", "tries"), [("75-once", 1, 1), ("75", 2, 3), ("1", 2, 1)])
def test_what_may_pass_by_itself_is_tried_again_and_nothing_else(project, prefect_server, fails, retries, tries):
    write(fails=fails, retries=retries)

    if fails == "75-once":
        retrain.retrain()
    else:
        with pytest.raises(StageError, match=f"exited with {fails}"):
            retrain.retrain()

    assert len(Path("tries").read_text()) == tries
    assert Path("out/report.html").exists() == (fails == "75-once")


@pytest.mark.slow
def test_a_lock_of_dvc_that_a_kill_left_half_written_is_made_anew(project, prefect_server):
    write(retries=1)
    Path(".dvc/tmp").mkdir(parents=True, exist_ok=True)
    Path(".dvc/tmp/rwlock").write_text("")

    retrain.retrain()

    assert Path("out/report.html").exists()


@pytest.mark.slow
def test_a_failure_names_its_stage_and_what_waits_for_it_and_leaves_the_folder_as_it_was(project, prefect_server):
    retrain.retrain()
    before = tracked()
    Path("data.txt").write_text("a law")
    write(full="3", fails="1")

    with pytest.raises(StageError, match=r"(?s)sft@lora: the node was taken away.*because they depend on it: select\..*as before the run"):
        retrain.retrain()

    assert tracked() == before
    assert "'3'" not in Path("dvc.lock").read_text()
    assert "train.py full 3" in (tree.HALF_MADE / "dvc.lock").read_text()

    write(full="3")
    retrain.retrain()

    assert Path("out/report.html").read_text() == "32"
    assert states() == {"clean": "Restored", "sft@full": "Restored", "sft@lora": "Completed", "select": "Completed"}


@pytest.mark.slow
def test_a_run_with_nothing_to_do_leaves_no_trace(project, prefect_server):
    retrain.retrain()
    subprocess.run(["git", "add", "."], check=True)
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "all"], check=True)
    told = kept_artifacts()

    began = time.monotonic()
    state = retrain.retrain(return_state=True)

    assert time.monotonic() - began < 10
    assert state.name == "Nothing new"
    assert state.is_completed()
    assert states() == {}
    assert kept_artifacts() == told
    assert subprocess.run(["git", "status", "--porcelain"], check=True, capture_output=True).stdout == b""


@pytest.mark.slow
def test_stages_that_share_nothing_run_side_by_side(project, prefect_server):
    waits = "import pathlib, sys, time\npathlib.Path('out').mkdir(exist_ok=True)\npathlib.Path('at-' + sys.argv[1]).touch()\n"
    waits += "end = time.monotonic() + 60\nwhile len(list(pathlib.Path().glob('at-*'))) < 2 and time.monotonic() < end: time.sleep(.05)\n"
    waits += "if len(list(pathlib.Path().glob('at-*'))) < 2: sys.exit('alone')\n"
    Path("train.py").write_text(waits + TRAIN)

    retrain.retrain(limit=2)

    assert Path("out/report.html").read_text() == "12"


def test_the_dag_is_read_from_dvc_yaml(project):
    steps = dag.steps()

    assert [(step.name, step.runner, step.upstream) for step in steps] == [
        ("clean", "here", ()),
        ("sft@full", "gpu", ("clean",)),
        ("sft@lora", "gpu", ("clean",)),
        ("select", "here", ("sft@full", "sft@lora")),
    ]
    assert steps[1].metrics == (Path("out/full.json"),)


@pytest.mark.parametrize(
    ("target", "names"),
    [("clean", ["clean"]), ("sft@lora", ["clean", "sft@lora"]), ("sft", ["clean", "sft@full", "sft@lora"])],
)
def test_a_target_takes_what_leads_to_it(target, names):
    assert [step.name for step in dag.leading_to(target, STEPS)] == names


def test_a_target_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(StageError, match=r"no stage named 'slect'\. Known: clean, sft@full, sft@lora, select"):
        dag.leading_to("slect", STEPS)


@pytest.mark.parametrize(
    ("words", "message", "passes"),
    [
        ("dvc repro", "failed to run: python -m stages.generate, exited with 75", True),
        ("dvc repro", "failed to run: python -m stages.sft lora, exited with -9", True),
        ("dvc repro", "failed to run: python -m stages.sft lora, exited with 137", True),
        ("dvc repro", "failed to run: python -m stages.validate, exited with 1", False),
        ("dvc repro", "the teacher refuses access: 401\nstep 503\nfailed to run: python -m stages.generate, exited with 1", False),
        ("dvc repro", "Unable to acquire lock. Most likely another DVC process is running", True),
        ("dvc repro", "Unable to read RWLock-file '.dvc/tmp/rwlock'. JSON structure is corrupted", True),
        ("dvc push", "ERROR: unexpected error - Connection refused", True),
        ("dvc push", "ERROR: failed to push data to the cloud - 503 Server Error", True),
        ("dvc push", "ERROR: no remote specified in the project", False),
    ],
)
def test_what_may_pass_by_itself_is_known_by_what_dvc_says(words, message, passes):
    assert commands.may_pass(tuple(words.split()), message) == passes


@pytest.mark.parametrize(
    ("printed", "every", "lines"),
    [
        ("one\ntwo\n", 60, ["one", "two"]),
        ("\r10%\r20%\r100%\ndone\n", 60, ["100%", "done"]),
        ("\r10%\r20%\r\n", 60, ["20%"]),
        ("\r10%\r20%", 60, ["20%"]),
        ("\r10%\r20%\n", 0, ["10%", "20%"]),
        ("one\n\n\ntwo", 60, ["one", "two"]),
        ("训练\r\n", 60, ["训练"]),
    ],
)
def test_a_progress_bar_does_not_flood_the_log(printed, every, lines):
    assert list(commands.lines(io.BytesIO(printed.encode()), every)) == lines


def test_what_changed_is_told_by_stage():
    changed = {
        "sft@full": [{"changed deps": {"params.yaml": {"sft.lr": "modified"}, "train.py": "modified"}}, "changed command"],
        "other": ["x"],
    }

    assert "| sft@full | sft.lr modified, train.py modified, changed command |" in artifacts.changes(["clean", "sft@full"], changed)
    assert "up to date" in artifacts.changes(["clean"], {})


def test_metrics_stand_side_by_side_by_stage(tmp_path):
    write_json(tmp_path / "full.json", {"loss": 1.5, "fact_exact": measure(0.5), "facts": {"broken": {"unit": 3}}})
    write_json(tmp_path / "lora.json", {"loss": 2})
    write_json(tmp_path / "ledger.json", {"total": 3})
    steps = [
        dag.Step(f"sft@{name}", "gpu", (), (), (tmp_path / f"{name}.json", tmp_path / "ledger.json"))
        for name in ("full", "lora", "not-made")
    ]

    table = artifacts.metrics_table(steps)

    assert "| metric 指标 | full | lora |" in table
    assert "| loss | 1.5 | 2 |" in table
    assert "total" not in table  # of ledgers
    assert "| facts.broken.unit | 3 | – |" in table
    assert "| fact_exact | 0.500 [0.400, 0.600], n = 100 | – |" in table


@pytest.mark.slow
def test_without_a_server_the_history_has_every_stage(project):
    done = command(project)

    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(project / ".lingyu/prefect/prefect.db")) as history:
        assert history.execute("select name, state_name from task_run order by name").fetchall() == [
            (name, "Completed") for name in ("clean", "select", "sft@full", "sft@lora")
        ]
        assert history.execute("select state_name from flow_run").fetchall() == [("Completed",)]


@pytest.mark.slow
def test_the_command_runs_without_a_server_and_ends_in_one_message(project):
    write(fails="1")

    done = command(project)

    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "retrain: `dvc repro --single-item sft@lora` failed:" in done.stderr
    assert (project / ".lingyu/prefect/prefect.db").exists()
    assert not list((project / "home").iterdir())


STEPS = [
    dag.Step("clean", "here", (), (), ()),
    dag.Step("sft@full", "gpu", ("clean",), (), ()),
    dag.Step("sft@lora", "gpu", ("clean",), (), ()),
    dag.Step("select", "here", ("sft@full", "sft@lora"), (), ()),
]


def write(full: str = "1", fails: str = "never", retries: int = 1) -> None:
    """params.yaml of the small project; JSON is YAML too."""
    candidates = {"full": {"value": full, "fails": "never"}, "lora": {"value": "2", "fails": fails}}
    section = {"limit": 1, "retries": retries, "retry_delay_seconds": 0}
    write_json(Path("params.yaml"), {"candidates": candidates, "retrain": section})


def tracked() -> dict[str, bytes]:
    """What git and DVC have in the folder."""
    return {str(path): path.read_bytes() for path in [Path("dvc.lock"), *sorted(Path("out").iterdir())]}


def measure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "count": 100}


def states() -> dict[str, str]:
    """The final states of the tasks of the last run, by name. The server learns of them by events, a moment after the run."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort

    end = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
        while time.monotonic() < end:
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [run.id]}), sort=TaskRunSort.NAME_ASC, limit=200)
            if tasks and all(task.state.is_final() for task in tasks):
                break
            time.sleep(0.1)
    return {task.name: task.state.name for task in tasks}


def kept_artifacts() -> dict[str, list[str]]:
    """What all runs left, by key. By Prefect's own client, with the nulls that its server must bear (fastapi in pyproject.toml)."""
    from prefect.client.orchestration import get_client

    found: dict[str, list[str]] = {}
    with get_client(sync_client=True) as client:
        for artifact in client.read_artifacts():
            found.setdefault(artifact.key, []).append(str(artifact.data))
    return found


def environment(project: Path) -> dict[str, str]:
    top = str(Path(retrain.__file__).parent.parent)
    (project / "home").mkdir(exist_ok=True)
    return {**os.environ, "PYTHONPATH": top, "HOME": str(project / "home")}


def command(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {key: value for key, value in environment(project).items() if not key.startswith("PREFECT_")}
    return subprocess.run([sys.executable, "-m", "flows.retrain", *arguments], env=settings, capture_output=True, text=True)
