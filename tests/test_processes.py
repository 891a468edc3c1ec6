"""Training in several processes is what it is in one, up to rounding, and starts, fails and ends as a stage does."""

import os
import signal
import socket
import time

import numpy as np
import pytest
from training import LORA, ROOT, SFT, TRAINING, contents, curves, ended, project, staged, weights

from lingyu.files import read_json
from lingyu.launch import launched
from lingyu.stage import StageError

pytestmark = pytest.mark.slow

# Twelve updates of four rows: every batch is whole, for several processes fill up a last one with rows of the first.
COMMON = {**TRAINING, **SFT, "global_batch_size": 4, "num_train_epochs": 6, "evaluations": 3, "start": "start"}
ROWS = [(f"what is {i}?", f"it is {'x' * i}") for i in range(8)]
FULL = {"name": "full"}


def sft(folder, tiny_model, name="full", method=FULL, **changes):
    place = project(folder, tiny_model, asked=ROWS, sft={"common": {**COMMON, **changes}, "candidates": {name: {"method": method}}})
    return place, ["sft", name]


@pytest.mark.parametrize(
    ("method", "changes"),
    [(FULL, {"processes": 2}), (LORA, {"processes": 2}), (FULL, {"processes": 2, "sharding": "fsdp"})],
    ids=["full", "lora", "fsdp"],
)
def test_two_processes_learn_what_one_does(tiny_model, warm, tmp_path, method, changes):
    outs = []
    for name, more in {"one": {}, "two": changes}.items():
        place, words = sft(tmp_path / name, tiny_model, method=method, **more)
        status, _, err = ended(staged(place, *words, warm=warm))
        assert status == 0, err
        outs.append(place / "out" / "sft" / "full")

    one, two = (np.array([[row["train_loss"] or 0, row["eval_loss"] or 0] for row in curves(out)], float) for out in outs)
    assert len(one) >= 6
    assert one[-1, 1] < one[0, 0] - 0.1
    assert two == pytest.approx(one, rel=1e-4)
    before, first, second = weights(tiny_model), *(weights(out / "model") for out in outs)
    assert set(first) == set(second)
    moved = max(np.abs(first[name] - before[name]).max() for name in first)
    assert max(np.abs(first[name] - second[name]).max() for name in first) < 0.05 * moved
    metrics = [read_json(out / "metrics.json") for out in outs]
    assert metrics[1] == pytest.approx(metrics[0], rel=1e-4)
    files = [set(contents(out)) for out in outs]
    assert files[0] == files[1]
    assert contents(outs[0])["model/config.json"] == contents(outs[1])["model/config.json"]


def test_two_killed_processes_go_on_where_they_were(tiny_model, warm, tmp_path):
    folders = [sft(tmp_path / name, tiny_model, processes=2, evaluations=6) for name in ("unbroken", "broken")]
    for index, (place, words) in enumerate(folders):
        if index:
            process = staged(place, *words)
            for line in process.stderr:
                if "step 6/12  eval_loss" in line:
                    break
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            time.sleep(2)  # its workers see that it is gone
        status, _, err = ended(staged(place, *words, warm=warm))
        assert status == 0, err

    assert "goes on from checkpoint-" in err
    unbroken, broken = (contents(place / "out" / "sft") for place, _ in folders)
    assert unbroken == broken


# For the second process, when all have the model but its own part is to be written.
LOST = """
import os, signal, sys

def lost(event, arguments):
    if event == "os.mkdir" and str(arguments[0]).endswith("checkpoint-8"):
        os.kill(os.getpid(), signal.SIGKILL)

if os.environ.get("RANK") == "1":
    sys.addaudithook(lost)
"""


def test_a_process_lost_in_the_middle_of_a_checkpoint_leaves_the_one_before(tiny_model, warm, tmp_path):
    place, words = sft(tmp_path / "project", tiny_model, processes=2)
    (tmp_path / "sitecustomize.py").write_text(LOST)

    assert ended(staged(place, *words, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}"))[0] == 1
    status, _, err = ended(staged(place, *words, warm=warm))

    assert status == 0, err
    assert "goes on from checkpoint-4" in err


def test_what_a_person_must_mend_is_said_once(tiny_model, warm, tmp_path):
    place, words = sft(tmp_path, tiny_model, processes=2, max_length=12)

    status, _, err = ended(staged(place, *words, warm=warm))

    assert status == 1
    assert err.count("rows are longer than 12 tokens") == 1
    assert "Traceback" not in err


def nodes(folder, warm):
    """Two nodes on one machine and in one folder, as on a file system that both see."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = {"LINGYU_NODES": "2", "LINGYU_RENDEZVOUS": f"127.0.0.1:{free.getsockname()[1]}"}
    return [staged(folder, "sft", "full", warm=warm, **where, LINGYU_NODE=node) for node in "01"]


def test_two_nodes_learn_what_one_process_does_also_after_one_was_lost(tiny_model, warm, tmp_path):
    long = {"num_train_epochs": 18, "evaluations": 9}  # the others must learn of the loss before they have finished
    alone, shared = (sft(tmp_path / name, tiny_model, processes=count, **long)[0] for name, count in {"alone": 1, "shared": 2}.items())
    first, second = nodes(shared, warm)
    for line in first.stderr:
        if "step 5/36  loss" in line:
            break
    second.kill()

    assert ended(second)[0] == -signal.SIGKILL
    status, _, err = ended(first)
    assert status == 1
    assert "sft@full: another process of this training was lost. Start it again" in err
    assert "Traceback" not in err

    results = [ended(each) for each in (*nodes(shared, warm), staged(alone, "sft", "full", warm=warm))]

    assert [status for status, _, _ in results] == [0, 0, 0], results
    assert "goes on from checkpoint-" in results[0][2]
    assert results[1][2] == ""
    metrics = [read_json(place / "out" / "sft" / "full" / "metrics.json") for place in (alone, shared)]
    assert metrics[1] == pytest.approx(metrics[0], rel=1e-4)


def test_nodes_that_cannot_meet_are_told(tiny_model, warm, tmp_path):
    place, words = sft(tmp_path, tiny_model, processes=2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = {"LINGYU_NODES": "2", "LINGYU_NODE": "0", "LINGYU_RENDEZVOUS": f"127.0.0.1:{taken.getsockname()[1]}"}

        status, _, err = ended(staged(place, *words, warm=warm, **where))

    assert status == 1
    assert "sft@full: node 0 " in err
    assert "127.0.0.1:" in err
    assert "address already in use" in err
    assert "Traceback" not in err


def test_nodes_share_the_processes_evenly(monkeypatch):
    for name, value in {"NODES": "2", "NODE": "0", "RENDEZVOUS": "127.0.0.1:29500"}.items():
        monkeypatch.setenv(f"LINGYU_{name}", value)

    with pytest.raises(StageError, match=r"processes is 3.* 2 nodes \(LINGYU_NODES\)"):
        launched("stages.sft", 3)


@pytest.mark.parametrize(
    "given",
    [
        {"NODES": "2"},
        {"NODES": "2", "NODE": "2", "RENDEZVOUS": "a:1"},
        {"NODES": "2", "NODE": "0", "RENDEZVOUS": "a"},
        {"RENDEZVOUS": "a:1"},
    ],
)
def test_a_node_that_is_half_told_where_it_stands_is_refused(given, monkeypatch):
    for name, value in given.items():
        monkeypatch.setenv(f"LINGYU_{name}", value)

    with pytest.raises(StageError, match=r"LINGYU_NODES='.*LINGYU_NODE='.*LINGYU_RENDEZVOUS='.*LINGYU_RENDEZVOUS=node1:29500"):
        launched("stages.sft", 2)
