"""The benchmarks of training: both sides get the same tokens, and the clock counts steps alone."""

import json
import subprocess
import sys

import pytest

from bench import gpu_training, training
from bench.gpu_training import SMALL, TINY, Case, line
from bench.training import Contestant, Failed, Run, examples, in_turn, make, peer_settings, processes_table, sow, steps_table


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    make(folder, "tiny", 4000, 1)
    return folder


def test_both_sides_read_the_same_tokens(made):
    from lingyu.model.load import load_tokenizer
    from lingyu.train.data import NOT_LEARNT

    tokenizer = load_tokenizer(made / "out/extend/model")
    rows = [json.loads(line) for line in (made / "peer/sft-train.jsonl").read_text(encoding="utf-8").splitlines()]

    ours = examples(made, "sft")

    assert len(ours) == len(rows) > 40
    for example, row in zip(ours, rows, strict=True):  # as the peer's template "deepseek" has it
        prompt = tokenizer.encode(f"User: {row['instruction']}\n\nAssistant:", add_special_tokens=False)
        reply = [*tokenizer.encode(row["output"], add_special_tokens=False), tokenizer.eos_token_id]
        assert example["input_ids"] == prompt + reply
        assert example["labels"] == [NOT_LEARNT] * len(prompt) + reply


def test_the_peer_is_told_our_recipe(made):
    told = peer_settings(made, "sft", {"flash_attn": "disabled"})

    assert (told["cutoff_len"], told["per_device_train_batch_size"], told["lr_scheduler_type"]) == (256, 16, "cosine")
    assert told["flash_attn"] == "disabled"


def test_a_round_has_one_seed_for_both(made):
    sow(made, 23)

    assert peer_settings(made, "pretrain", {})["seed"] == 23
    assert peer_settings(made, "sft", {})["seed"] == 23


def test_a_ratio_is_of_two_runs_of_one_round():
    ours = [Run(10, 1, [(1, 2), (1, 2)], 600, 0, 5.0), Run(20, 1, [(4, 8)], 600, 0, 5.0)]
    its = [Run(20, 1, [(3, 8)], 700, 0, 5.1), Run(40, 1, [(8, 8)], 700, 0, 5.1)]

    runs = {"lingyu": ours, "defaults": its}

    assert list(steps_table("sft", 1200, runs))[-1] == "| defaults | 218 | 1.75 (1.50–2.00) | 150 | 1.50 (1.00–2.00) | 5.10 (5.10–5.10) |"
    times = "30.00 (20.00–40.00) | 0.50 (0.50–0.50) | 1.00 (1.00–1.00)"
    assert list(processes_table("sft", runs))[-1] == f"| defaults | {times} | 700 | 5.10 (5.10–5.10) |"


def test_programs_take_eight_steps_each_in_turn(tmp_path):
    program = """
import sys, time
import transformers.trainer
clock = transformers.trainer.DEFAULT_CALLBACKS[-1]()
clock.on_train_begin()
for step in range(int(sys.argv[2])):
    clock.on_step_begin()
    with open("steps", "a") as file:
        file.write(sys.argv[1])
    clock.on_step_end()
clock.on_train_end()
"""
    (tmp_path / "transformers").mkdir()  # of the real one only torch matters here, and each process would import it
    (tmp_path / "transformers" / "__init__.py").touch()
    (tmp_path / "transformers" / "trainer.py").write_text("import torch; DEFAULT_CALLBACKS, TrainerCallback = [], object")
    commands = {"a": "17", "b": "9"}
    contestants = [
        Contestant(tmp_path, name, [sys.executable, "-c", program, name, count], tmp_path, 1) for name, count in commands.items()
    ]

    runs = in_turn(tmp_path, contestants)

    assert [len(run.steps) for run in runs] == [17, 9]
    assert (tmp_path / "steps").read_text() in {"a" * 8 + "b" * 8 + "a" * 8 + "ba", "b" * 8 + "a" * 8 + "b" + "a" * 9}


def test_the_clock_counts_the_steps_of_any_trainer_and_not_what_lies_between(tmp_path):
    program = """
import time
from transformers import Trainer
import transformers.trainer
clock = transformers.trainer.DEFAULT_CALLBACKS[-1]()
clock.on_train_begin()
for step in range(2):
    clock.on_step_begin()
    time.sleep(.05)
    clock.on_step_end()
    time.sleep(.5)
    clock.on_evaluate()
clock.on_train_end()
"""
    environment = {"PYTHONPATH": str(training.CLOCK), "STEP_CLOCK": str(tmp_path / "clock.json"), "PATH": ""}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)

    told = json.loads((tmp_path / "clock.json").read_text())
    assert len(told["steps"]) == 2
    assert all(0.05 <= seconds < 0.3 for seconds, _ in told["steps"])


def test_one_that_fails_before_its_first_step_ends_the_others(tmp_path):
    commands = {"well": "import time; time.sleep(60)", "ill": "raise SystemExit('no model')"}
    contestants = [Contestant(tmp_path, name, [sys.executable, "-c", program], tmp_path, 1) for name, program in commands.items()]

    with pytest.raises(Failed, match=r"exit status 1; .*ill.log") as told:
        in_turn(tmp_path, contestants)

    assert told.value.said == "no model\n"
    assert contestants[0].process.wait(10) < 0


@pytest.mark.slow
def test_one_round_of_ours_ends_in_a_table(tmp_path, monkeypatch, capsys):
    arguments = ["training", str(tmp_path / "bench"), "--rounds", "1", "--threads", "1", "--tokens", "4000", "--stage", "pretrain"]
    monkeypatch.setattr(sys, "argv", arguments)

    training.main()

    assert "| lingyu |" in capsys.readouterr().out


def test_the_arithmetic_of_a_token_is_that_of_the_shape():
    assert SMALL.multiplied == pytest.approx(1.543e9, rel=0.001)  # as its card has it, embeddings counted once: they are the head
    assert SMALL.a_token(2048) == 4 * SMALL.multiplied + 6 * 28 * 1536 * 2048


def test_a_case_says_whether_it_did_with_its_room():
    case = Case(TINY, 100, 2, room=16)
    run = Run(60, 20, [(9, 9), (9, 9), (1, 1), (1, 1)], 900, 15.5)

    text = line("drone", case, "lingyu", run, run, peak=TINY.a_token(100) * 400)

    assert text == "| drone | lingyu | 200 | 1.00 | 15.5 of 16 | 0% | 50% | 60 | 20 |"
    assert "more than 16" in line("drone", case, "lingyu", Run(60, 20, run.steps, 900, 16.5), run, 1e12)
    assert line("drone", case, "lingyu", "out of memory", run, 1e12).startswith("| drone | lingyu | out of memory |")


def test_without_a_gpu_the_real_shapes_are_left_out_with_the_reason(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["gpu_training", str(tmp_path)])

    gpu_training.main()

    assert "no GPU" in capsys.readouterr().out


@pytest.mark.slow
def test_the_tiny_shapes_go_the_road_of_the_real_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_training", str(tmp_path / "bench"), "--shapes", "tiny", "--case", "tiny drone"])

    gpu_training.main()

    assert "| tiny drone | lingyu |" in capsys.readouterr().out
    assert len(examples(tmp_path / "bench", "sft")) == 32
    assert {len(example["input_ids"]) for example in examples(tmp_path / "bench", "sft")} == {64}
