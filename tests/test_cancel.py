"""A run that is stopped from outside leaves no process, no lock and no change; what it had made is used by the next run."""

import os
import signal
import subprocess
import sys
import time

import pytest
from retraining import ROOT, begun, dvc_locks, environment, git, gone, processes, project, tree, wait_until

from lingyu.retrain import lock
from lingyu.retrain import tree as as_it_was
from lingyu.runtime import supervised

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = "import os, signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
time.sleep(600)
"""


@pytest.fixture
def made(tmp_path):
    """The project after a run on the first corpus, committed; its corpus has a new rule, which takes long to train on."""
    top = project(tmp_path)
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=top, env=environment(top), check=True)
    git(top, "add", ".")
    git(top, "commit", "--quiet", "-m", "made")
    (tmp_path / "source/rules.txt").write_text("a slow rule")
    return top


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_by_hand_ends_within_ten_seconds_and_the_next_goes_on_from_its_checkpoint(made, prefect_server, how):
    before = tree(made)
    with begun(made, "flows.retrain", **server()) as run:
        numbers = wait_until(lambda: processes(made))
        other = subprocess.run(
            [sys.executable, "-m", "flows.retrain"], cwd=made, env=environment(made, **server()), capture_output=True, text=True
        )
        assert other.returncode == 1
        assert f"process {run.pid} on " in other.stderr
        assert "Traceback" not in other.stderr

        run.send_signal(how)
        wait_until(lambda: gone(numbers), 10)
        assert run.wait(30) != 0

    assert dvc_locks(made) == []
    if how != signal.SIGKILL:
        assert tree(made) == before
    steps = int((made / ".lingyu/checkpoint").read_text())
    assert steps > 0

    (made / "train.py").write_text((made / "train.py").read_text().replace("1000", "done + 1"))
    done = subprocess.run(
        [sys.executable, "-m", "flows.retrain"], cwd=made, env=environment(made, **server()), capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert f"begins at step {steps}" in done.stderr
    assert ("as before it" in done.stderr) == (how == signal.SIGKILL)
    assert (made / "out/model").read_text() == "a slow rule"


def test_the_command_ends_with_whoever_started_it_and_takes_its_descendants_with_it():
    starter = f"""
import os, sys, time
from lingyu.runtime import supervised
command = supervised.started((sys.executable, "-c", {STUBBORN!r}), dict(os.environ))
print(command.pid, int(command.stdout.readline()), flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE, text=True) as process:
        numbers = [int(number) for number in process.stdout.readline().split()]
        assert not gone(numbers[:1])
        process.kill()
    wait_until(lambda: gone(numbers), supervised.GRACE + supervised.LAST + 2)


def test_a_command_gives_back_its_output_and_status():
    command = supervised.started((sys.executable, "-c", "print('said'); raise SystemExit(75)"), dict(os.environ))

    assert command.communicate()[0] == b"said\n"
    assert command.returncode == 75


def test_a_lock_names_its_holder_and_is_free_when_the_holder_is_killed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    file = tmp_path / ".lingyu/lock"
    code = "import pathlib, sys, time\nfrom lingyu.retrain import lock\n"
    code += "with lock.held(pathlib.Path(sys.argv[1]), 'first'): print(1, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code, file], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(lock.Busy, match=f"first, process {holder.pid} on "), lock.held(file, "second"):
            pass
        holder.kill()
    with lock.held(file, "second"):
        assert "second" in file.read_text()
    assert file.read_text() == ""


def test_a_lock_is_not_free_before_the_last_process_that_inherited_it_is_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ".lingyu/lock"
    with lock.held(file, "first") as held:
        command = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1.5)"], pass_fds=[held])
    began = time.monotonic()
    monkeypatch.setattr(lock, "PATIENCE", 0.2)
    with pytest.raises(lock.Busy), lock.held(file, "second"):
        pass
    command.wait()
    with lock.held(file, "second"):
        assert time.monotonic() - began > 0.5


def test_a_dvc_command_that_is_at_work_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    held = {"read": {"data": [{"pid": 2**22 + 1, "cmd": "dvc gone"}]}, "write": {"out": {"pid": os.getpid(), "cmd": "dvc repro"}}}
    (tmp_path / ".dvc/tmp/rwlock").write_text(str(held).replace("'", '"'))

    with pytest.raises(lock.Busy, match=rf"`dvc repro`, process {os.getpid()}\.") as raised, lock.held(tmp_path / "lock", "run"):
        pass

    assert "gone" not in str(raised.value)


def test_files_are_put_back_and_what_was_made_of_them_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    was, new = tmp_path / "data.dvc", tmp_path / "dvc.lock"
    was.write_text("1")
    calls = []

    def stopped() -> None:
        with as_it_was.kept([was, new], lambda: calls.append(was.read_text())):
            was.write_text("2")
            new.write_text("2")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()

    assert (was.read_text(), new.exists(), calls) == ("1", False, ["1"])
    assert {file.name: file.read_text() for file in as_it_was.HALF_MADE.iterdir()} == {"data.dvc": "2", "dvc.lock": "2"}
    assert not as_it_was.put_back(lambda: calls.append("again"))
    assert calls == ["1"]


def server() -> dict[str, str]:
    from prefect.settings import PREFECT_API_URL

    return {"PREFECT_API_URL": PREFECT_API_URL.value()}
