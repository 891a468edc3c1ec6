"""lingyu.runtime.warm: a stage in a fork of the warm process does what it does by itself, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time

import pytest
from training import LORA, SFT, TRAINING, begun, contents, ended, project, write_mix

from lingyu.files import write_table
from lingyu.records import Dialogue
from lingyu.runtime.warm import KILLED

PROBE = """
import os, sys, time
from lingyu.runtime.warm import handed_over
if (status := handed_over("probe")) is not None:
    sys.exit(status)
exec(sys.argv[1])
"""


@pytest.fixture
def probe(tmp_path):
    """Begins a process that runs some code, in the warm process where one is named."""
    (tmp_path / "probe.py").write_text(PROBE)

    def probe(code, warm=""):
        return begun(tmp_path, "-m", "probe", code, warm=warm, HERE="here")

    return probe


def gone(number, group=False, seconds=240):
    """Whether a process, or a whole group of them, ends in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            (os.killpg if group else os.kill)(number, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    "code",
    [
        "print('said')",
        "print('no end of line', end='')",
        "print(sys.stdin.read())",
        "print(os.getcwd(), sys.path[0] == os.getcwd(), sys.argv[1:], os.environ['HERE'])",
        "os.write(2, b'below Python')",
        "print('x' * 100_000)",
        "sys.exit(3)",
        "sys.exit(-1)",
        "sys.exit()",
        "sys.exit('told')",
        "import tempfile; folder = tempfile.TemporaryDirectory(); print(__name__, __file__)",
        "import atexit; atexit.register(print, 'at the end')",
        "import lingyu.stage; print(lingyu.__file__)",
    ],
)
def test_a_fork_says_and_ends_as_the_process_itself_would(probe, warm, code):
    results = [ended(probe(code, warm=where), "asked") for where in ("", warm)]

    assert results[0] == results[1]


def test_a_bug_keeps_its_traceback(probe, warm):
    status, out, err = ended(probe("raise ValueError('a bug')", warm))

    assert (status, out) == (1, "")
    assert err.startswith("Traceback")
    assert err.endswith("ValueError: a bug\n")


def test_a_fork_has_the_libraries_imported_and_ours_not(probe, warm):
    code = "print('torch' in sys.modules, 'lingyu.stage' in sys.modules, len(os.listdir('/tmp')) > 0)"

    assert ended(probe(code, warm))[1] == "True False True\n"
    assert ended(probe(code))[1] == "False False True\n"


def test_what_a_fork_starts_gets_a_fork_of_its_own(probe, warm):
    """As the processes of a stage do; itself it does not ask again."""
    code = "import subprocess; print('torch' in sys.modules, flush=True)"
    again = "subprocess.run([sys.executable, '-m', 'probe', 'print(\"torch\" in sys.modules, sys.argv[1:])'], check=True)"

    assert ended(probe(f"{code}; {again}", warm))[:2] == (0, "True\nTrue ['print(\"torch\" in sys.modules, sys.argv[1:])']\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_fork_ends_with_the_stage_that_asked_for_it(probe, warm, number):
    process = probe("print(os.getpid(), flush=True); time.sleep(300)", warm)
    fork = int(process.stdout.readline())
    assert fork != process.pid

    process.send_signal(number)

    assert ended(process)[0] == -number
    assert gone(fork)


def test_a_fork_that_is_killed_fails_the_stage(probe, warm):
    status, _, err = ended(probe("os.kill(os.getpid(), 9)", warm))

    assert status == 1
    assert err == f"probe: {KILLED}\n"


def test_without_a_warm_process_a_stage_runs_where_it_is(probe, tmp_path):
    assert ended(probe("print('torch' in sys.modules)", warm=str(tmp_path / "gone"))) == (0, "False\n", "")


def test_a_stage_whose_streams_are_closed_runs_where_it_is(probe, warm, tmp_path):
    words = [sys.executable, "-m", "probe", "open('ran', 'w').write(str('torch' in sys.modules))"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LINGYU_WARM": warm}

    subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *words], cwd=tmp_path, env=environment, check=True)

    assert (tmp_path / "ran").read_text() == "False"


@pytest.mark.parametrize(
    ("command", "status"),
    [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("test -S $LINGYU_WARM", 0)],
)
def test_the_command_s_exit_status_is_given_back_and_nothing_left(tmp_path, command, status):
    """The command ends while the warm process is still importing."""
    process = begun(tmp_path, "-m", "lingyu.runtime.warm", "sh", "-c", f"{command}; exit $?")

    assert ended(process) == (status, "", "")

    assert gone(process.pid, group=True, seconds=5)


def test_a_signal_to_end_reaches_the_command(tmp_path):
    process = begun(tmp_path, "-m", "lingyu.runtime.warm", "sh", "-c", "echo $LINGYU_WARM; exec sleep 300")
    socket = process.stdout.readline().strip()

    process.terminate()

    assert ended(process)[0] == 128 + signal.SIGTERM
    assert gone(process.pid, group=True, seconds=5)
    assert not os.path.exists(os.path.dirname(socket))


def test_the_warm_process_ends_when_whoever_started_it_is_killed(tmp_path):
    process = begun(tmp_path, "-m", "lingyu.runtime.warm", "sh", "-c", "echo on; read line")
    process.stdout.readline()

    process.kill()

    process.communicate()
    assert gone(process.pid, group=True)


def test_a_command_is_needed(tmp_path):
    assert ended(begun(tmp_path, "-m", "lingyu.runtime.warm"))[::2] == (1, "usage: python -m lingyu.runtime.warm COMMAND…\n")


@pytest.mark.slow
def test_a_stage_has_the_same_bytes_and_words_with_and_without(warm, tiny_model, tmp_path):
    sections = {"sft": {"common": {**TRAINING, **SFT}, "candidates": {"lora": {"start": "start", "method": LORA}}}}
    folders = [project(tmp_path / name, tiny_model, **sections) for name in ("cold", "warm")]
    (tmp_path / "temporary").mkdir()

    results = [
        ended(begun(folder, "-m", "stages.sft", "lora", warm=where, TMPDIR=str(tmp_path / "temporary")))
        for folder, where in zip(folders, ("", warm), strict=True)
    ]

    assert [status for status, _, _ in results] == [0, 0], results
    made = [contents(folder / "out" / "sft" / "lora") for folder in folders]
    assert made[0] == made[1]
    assert "model/model.safetensors" in made[0]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_a_person_can_put_right_comes_through(warm, tiny_model, tmp_path):
    folder = project(tmp_path, tiny_model, sft={"common": {**TRAINING, **SFT}, "candidates": {"lora": {"start": "start", "method": LORA}}})
    write_mix(folder / "out" / "mix")
    write_table(folder / "out" / "mix" / "train" / "sft.parquet", [], Dialogue)

    status, _, err = ended(begun(folder, "-m", "stages.sft", "lora", warm=warm))

    assert status == 1
    assert err.startswith("sft@lora: mix left no dialogue to fine-tune on.")
    assert "Traceback" not in err


def test_the_command_of_the_warm_process_has_the_environment_that_is_read_when_torch_loads(tmp_path):
    code = "import os; print(os.environ['OMP_WAIT_POLICY'], os.environ['TOKENIZERS_PARALLELISM'])"

    assert ended(begun(tmp_path, "-m", "lingyu.runtime.warm", sys.executable, "-c", code))[:2] == (0, "PASSIVE false\n")
