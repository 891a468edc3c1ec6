"""lingyu.train: rows to token ids, checkpoints that survive a kill, curves."""

import copy
import ctypes
import json
import os
import subprocess
import sys
from itertools import pairwise

import pytest
from rows import dialogue
from tokenizers import Tokenizer
from training import ASKED, ROOT, TRAINING, curves

from lingyu.model.chat import Chat
from lingyu.model.load import load_model, load_tokenizer, save
from lingyu.records import Message
from lingyu.stage import StageError
from lingyu.train.checkpoints import last_whole_checkpoint
from lingyu.train.data import NOT_LEARNT, Padding, dialogues, packed
from lingyu.train.run import arguments, causal_trainer, progress, train, write_curves
from lingyu.train.settings import Training

ROWS = [dialogue(i, *pair) for i, pair in enumerate(ASKED)]


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return load_tokenizer(tiny_model)


def test_packed_blocks_hold_every_token_once_and_a_mark_after_each_text(tokenizer):
    texts = ["abc", "defgh", ""]
    whole = [token for text in texts for token in [*tokenizer(text)["input_ids"], tokenizer.pad_token_id]]

    blocks = list(packed(texts, tokenizer, 4))

    assert [len(block["input_ids"]) for block in blocks] == [4, 4, 3]
    assert [token for block in blocks for token in block["input_ids"]] == whole
    assert all(block["labels"] == block["input_ids"] for block in blocks)
    assert list(packed([], tokenizer, 4)) == []


def test_only_the_last_reply_is_learnt_to_its_end_of_turn(tokenizer):
    row = dialogue(1, "up?", "no")
    row.messages[:0] = [Message(role="user", content="hello"), Message(role="assistant", content="earlier reply")]

    [example] = dialogues([row], tokenizer, 100, loss_on="last")

    learnt = [token for token in example["labels"] if token != NOT_LEARNT]
    assert tokenizer.decode(learnt) == "no<|im_end|>"
    assert example["input_ids"][-len(learnt) :] == learnt
    assert tokenizer.decode(example["input_ids"]) + "\n" == Chat.of(tokenizer).render(row.messages)


def test_reasoning_is_learnt_with_the_reply(tokenizer):
    row = dialogue(1, "up?", "no")
    row.messages[-1].reasoning = "wind"

    [example] = dialogues([row], tokenizer, 100)

    assert tokenizer.decode([token for token in example["labels"] if token != NOT_LEARNT]) == "<think>\nwind\n</think>\n\nno<|im_end|>"


def test_the_prompt_has_the_token_ids_that_service_sends(tiny_model, tokenizer):
    served = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))

    for row, example in zip(ROWS, dialogues(ROWS, tokenizer, 100), strict=True):
        text = Chat.of(tokenizer).prompt(row.messages[:-1])
        prompt = served.encode(text, add_special_tokens=False).ids
        assert example["input_ids"][: len(prompt)] == prompt
        assert example["labels"][: len(prompt)] == [NOT_LEARNT] * len(prompt)
        assert example["labels"][len(prompt)] != NOT_LEARNT


def test_rows_over_the_limit_are_named_and_none_is_cut(tokenizer):
    long = dialogue("long", "how far?", "far " * 40)
    longest = max(len(tokenizer("".join(Chat.of(tokenizer).prompt_and_reply(row.messages)))["input_ids"]) for row in ROWS)

    assert len(list(dialogues(ROWS, tokenizer, longest))) == len(ROWS)
    with pytest.raises(StageError, match=rf"1 of {len(ROWS) + 1} rows are longer than {longest} tokens, first {long.id}\."):
        list(dialogues([*ROWS, long], tokenizer, longest))
    assert list(dialogues([], tokenizer, longest)) == []


def test_padding_is_neither_seen_nor_learnt():
    batch = Padding(0)([{"input_ids": [5, 6, 7], "labels": [NOT_LEARNT, 6, 7]}, {"input_ids": [8], "labels": [8]}])

    assert {key: value.tolist() for key, value in batch.items()} == {
        "input_ids": [[5, 6, 7], [8, 0, 0]],
        "labels": [[NOT_LEARNT, 6, 7], [8, NOT_LEARNT, NOT_LEARNT]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
    }


def test_the_loss_is_the_library_s_own_over_the_learnt_tokens(tiny_model, tokenizer, tmp_path):
    import torch

    examples = list(dialogues(ROWS, tokenizer, 100))
    model = load_model(tiny_model, 64)
    batch = Padding(tokenizer.pad_token_id)(examples)
    trainer = causal_trainer(model, tokenizer, examples, examples, Training(**TRAINING), tmp_path, "test", tmp_path)

    with torch.no_grad():
        assert trainer.compute_loss(model, batch).item() == pytest.approx(model(**batch).loss.item(), rel=1e-5)


def test_the_weight_of_a_task_is_that_of_its_tokens_in_the_loss(tiny_model, tokenizer, tmp_path):
    import torch

    rows = [dialogue(1, "up?", "no", task="chat"), dialogue(2, "far?", "a bit more", task="classify")]
    plain, weighed = (list(dialogues(rows, tokenizer, 100, weights=weights)) for weights in (None, {"classify": 3.0}))
    model = load_model(tiny_model, 64)
    trainer = causal_trainer(model, tokenizer, plain, plain, Training(**TRAINING), tmp_path, "test", tmp_path)

    def summed(examples):
        with torch.no_grad():
            loss, count = trainer.loss_of(model, Padding(tokenizer.pad_token_id)(examples))
        return loss.item(), count.item()

    alone = [summed([example]) for example in plain]
    loss, count = summed(weighed)
    assert loss == pytest.approx(alone[0][0] + 3 * alone[1][0], rel=1e-5)
    assert count == alone[0][1] + alone[1][1]


@pytest.mark.parametrize(
    ("examples", "changes", "steps_between"),
    [
        (10, {"num_train_epochs": 2, "evaluations": 5}, 2),
        (10, {"num_train_epochs": 2, "evaluations": 3}, 4),
        (10, {"num_train_epochs": 2, "evaluations": 99}, 1),
        (11, {"num_train_epochs": 1, "global_batch_size": 6, "gradient_accumulation_steps": 3, "evaluations": 1}, 2),
        (10, {"num_train_epochs": 0.1, "evaluations": 2}, 1),
        (0, {"num_train_epochs": 1, "evaluations": 1}, 1),
    ],
)
def test_the_dev_set_is_measured_so_many_times_and_a_checkpoint_written_each_time(tmp_path, examples, changes, steps_between):
    settings = arguments(Training(**{**TRAINING, **changes}), tmp_path, examples)

    assert settings["eval_steps"] == settings["save_steps"] == steps_between


def test_what_a_killed_run_was_writing_is_not_in_the_model_of_the_next(tiny_model, tokenizer, tmp_path):
    (tmp_path / "adapter").mkdir()
    for left in (tmp_path / ".tmpPe5llX", tmp_path / "adapter" / ".tmpq1"):
        left.write_bytes(b"half of the weights")

    save(load_model(tiny_model, 64), tokenizer, tmp_path)

    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == {file.name for file in tiny_model.iterdir()}


def test_curves_have_a_row_a_step_and_empty_cells_where_nothing_was_measured(tmp_path):
    history = [
        {"step": 2, "loss": 3.5, "grad_norm": 1.0},
        {"step": 2, "eval_loss": 3.0, "eval_runtime": 9.9},
        {"step": 1, "loss": 4.0, "accuracy": 0.5},
        {"step": 3, "train_runtime": 9.9},
    ]

    write_curves(history, tmp_path / "new" / "curves.csv", ["accuracy"])

    assert (tmp_path / "new" / "curves.csv").read_text() == "step,train_loss,eval_loss,accuracy\n1,4.0,,0.5\n2,3.5,3.0,\n"


def test_a_loss_that_is_no_number_stops_with_a_clear_word(tiny_model, tokenizer, tmp_path, capsys):
    examples = list(dialogues(ROWS, tokenizer, 100))
    params = Training(**{**TRAINING, "learning_rate": 1e30, "lr_scheduler_type": "constant"})
    trainer = causal_trainer(load_model(tiny_model, 64), tokenizer, examples, examples, params, tmp_path, "test", tmp_path)

    with pytest.raises(StageError, match=r"training diverged at step \d+: .*nan.*Lower learning_rate"):
        train(trainer, "test", "auto")

    assert "test  step 1/9  loss" in capsys.readouterr().err


def test_a_loss_that_stays_far_above_its_start_stops_the_run():
    from types import SimpleNamespace

    watching = progress("test", divergence_factor=1.5)
    args, state = SimpleNamespace(logging_steps=2), SimpleNamespace(global_step=2, max_steps=40, log_history=[], num_input_tokens_seen=0)

    def log(loss):
        state.log_history.append({"loss": loss, "step": state.global_step})
        watching.on_log(args, state, None, {"loss": loss})
        state.global_step += 2

    watching.on_train_begin(args, state, None)
    for loss in (2.0, 3.5, 3.6, 3.5, 2.9, 3.5, 3.5, 3.5):  # one log below 1.5 times the start, and the count begins anew
        log(loss)
    with pytest.raises(StageError, match=r"diverged: the loss, 2\.000 at first, is 4\.000 at step 18 .* 1\.5 times .* for 8 steps"):
        log(4.0)


def test_the_curves_grow_while_it_trains(tiny_model, tokenizer, tmp_path):
    from transformers import TrainerCallback

    grown = []

    class Look(TrainerCallback):
        def on_step_end(self, args, state, control, **others):
            if state.global_step == 6:
                grown.extend(curves(tmp_path / "out"))

    examples = list(dialogues(ROWS, tokenizer, 100))
    trainer = causal_trainer(
        load_model(tiny_model, 64), tokenizer, examples, examples, Training(**TRAINING), tmp_path, "t", tmp_path / "out"
    )
    trainer.add_callback(Look())

    train(trainer, "t", "auto")

    assert [row["step"] for row in grown] == ["1", "2", "3", "4", "5"]
    assert curves(tmp_path / "out")[:5] == grown
    assert len(curves(tmp_path / "out")) == 9


@pytest.mark.parametrize("optimizer", ["adamw_torch", "adafactor"])
def test_an_optimizer_of_the_library_learns_with_bf16_products_and_recomputed_activations(tiny_model, tokenizer, tmp_path, optimizer):
    seen = set()
    examples = list(dialogues(ROWS, tokenizer, 100))
    params = Training(
        **{
            **TRAINING,
            "optim": optimizer,
            "precision": "bf16",
            "gradient_checkpointing": True,
            "lr_scheduler_type": {"name": "warmup_stable_decay", "decay_ratio": 0.3, "min_lr_ratio": 0.1},
        }
    )
    model = load_model(tiny_model, 64)
    model.model.layers[0].mlp.down_proj.register_forward_hook(lambda module, given, made: seen.add(str(made.dtype)))
    trainer = causal_trainer(model, tokenizer, examples, examples, params, tmp_path, "test", tmp_path)

    train(trainer, "test", "auto")

    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert seen == {"torch.bfloat16"}
    assert logs[-1]["loss"] < logs[0]["loss"] - 0.2
    rates = [entry["learning_rate"] for entry in logs]
    assert rates[1:6] == [5e-3] * 5
    assert 5e-4 <= rates[-1] < 2e-3


def test_training_keeps_the_best_by_dev_loss_and_says_so(tiny_model, tokenizer, tmp_path, capsys):
    import torch

    learnt, other = list(dialogues(ROWS[:2], tokenizer, 100)), list(dialogues(ROWS[-1:], tokenizer, 100))
    params = Training(**{**TRAINING, "num_train_epochs": 12, "learning_rate": 2e-2, "lr_scheduler_type": "constant"})
    trainer = causal_trainer(load_model(tiny_model, 64), tokenizer, learnt, other, params, tmp_path, "test", tmp_path)

    metrics = train(trainer, "test", "auto")

    write_curves(trainer.state.log_history, tmp_path / "curves.csv")
    measured = {int(row["step"]): float(row["eval_loss"]) for row in curves(tmp_path) if row["eval_loss"]}
    assert len(measured) == 6
    assert metrics["best_step"] == min(measured, key=measured.get) < 12
    assert metrics["best_eval_loss"] == min(measured.values()) < max(measured.values())
    assert metrics["parameters"] == metrics["trainable_parameters"] == sum(p.numel() for p in trainer.model.parameters())
    with torch.no_grad():
        now = trainer.compute_loss(trainer.model, Padding(0)(other)).item()
    assert now == pytest.approx(metrics["best_eval_loss"], rel=1e-5)
    assert "test  step 12/12" in capsys.readouterr().err


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (16, 16)])
def test_muon_moves_a_matrix_as_torch_does_and_the_rest_as_adamw(shape):
    import torch

    from lingyu.train.muon import OTHERS_SHARE, Muon, orthogonal

    torch.manual_seed(0)
    ours = torch.nn.ModuleDict({"layer": torch.nn.Linear(*shape), "embed": torch.nn.Embedding(*shape)})
    theirs = copy.deepcopy(ours)
    muon = Muon(ours, learning_rate=0.02, beta2=0.95, weight_decay=0.1)
    matrix, others = [theirs["layer"].weight], [theirs["layer"].bias, theirs["embed"].weight]
    separate = [
        torch.optim.Muon(matrix, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=0.02 * OTHERS_SHARE, betas=(0.9, 0.95), weight_decay=0),
    ]

    for _ in range(3):
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        for optimizer in (muon, *separate):
            optimizer.step()

    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine, other, atol=2e-3 if name == "layer.weight" else 1e-6), name  # torch's iteration rounds to bf16
    values = torch.linalg.svdvals(orthogonal(torch.randn(3, *shape)))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_muon_is_an_optimizer_that_the_settings_can_name(tiny_model, tokenizer, tmp_path):
    examples = list(dialogues(ROWS, tokenizer, 100))
    params = Training(**{**TRAINING, "optim": "muon", "num_train_epochs": 20})
    trainer = causal_trainer(load_model(tiny_model, 64), tokenizer, examples, examples, params, tmp_path, "test", tmp_path)

    train(trainer, "test", "auto")

    assert type(trainer.optimizer.optimizer).__name__ == "Muon"
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert losses[-1] < 0.8 * losses[0]


def test_the_state_of_a_checkpoint_is_written_last(tiny_model, tokenizer, tmp_path):
    """last_whole_checkpoint takes its file for a sign that the others are whole."""
    examples = list(dialogues(ROWS, tokenizer, 100))
    trainer = causal_trainer(load_model(tiny_model, 64), tokenizer, examples, examples, Training(**TRAINING), tmp_path, "test", tmp_path)

    train(trainer, "test", "auto")
    folder = last_whole_checkpoint(tmp_path)

    files = sorted((file for file in folder.iterdir()), key=lambda file: file.stat().st_mtime_ns)
    assert files[-1].name == "trainer_state.json"
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"} <= {file.name for file in files}
    assert json.loads(files[-1].read_text())["global_step"] == 9


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc has mallopt")
def test_memory_that_tensors_leave_is_kept_for_the_next_ones():
    """Else every step asks the system for each page anew."""
    code = """
import ctypes, resource, sys
from contextlib import nullcontext
from lingyu.runtime import fast_process

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
SIZE = 30 << 20

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

with fast_process() if sys.argv[1] == "fast" else nullcontext():
    for round in range(8):
        if round == 3:
            before = faults()
        blocks = [libc.malloc(SIZE) for _ in range(3)]
        for block in blocks:
            ctypes.memset(block, 1, SIZE)
        for block in blocks:
            libc.free(block)
    print(faults() - before)
"""

    def faults(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", code, how], cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    assert faults("fast") < faults("plain") / 4


def test_the_end_of_a_process_does_not_look_through_all_that_was_imported():
    code = """
import atexit, gc
from lingyu.runtime import fast_process
atexit.register(lambda: print(gc.get_freeze_count() > 1000))
with fast_process():
    import lingyu.stage
"""

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "True\n"


def test_no_table_of_what_was_compiled_is_made_at_the_end_of_a_stage(tmp_path):
    (tmp_path / "params.yaml").write_text("fly: {}", encoding="utf-8")
    code = """
import atexit, sys
atexit.register(lambda: print("tabulate" in sys.modules))
import torch._dynamo.utils
from lingyu.stage import StageParams, start
sys.argv = ["fly.py"]
start(lambda values: None, StageParams, heavy=True)
"""
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    assert subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout == "False\n"


def test_groups_of_like_length_come_in_no_order_of_length():
    import torch
    from transformers.trainer_pt_utils import LengthGroupedSampler

    from lingyu.train.run import mixed

    lengths = [8 + number % 97 for number in range(403)]
    plain = LengthGroupedSampler(16, lengths=lengths, generator=torch.Generator().manual_seed(1))
    sampler = LengthGroupedSampler(16, lengths=lengths, generator=torch.Generator())
    sampler.__class__ = mixed(LengthGroupedSampler, 4)
    orders = []
    for seed in (1, 1, 2):
        sampler.generator.manual_seed(seed)
        orders.append(list(sampler))
    groups = [[lengths[row] for row in orders[0][first : first + 4]] for first in range(0, 400, 4)]
    rising = sum(sum(one) < sum(other) for one, other in pairwise(groups))

    assert sorted(orders[0]) == list(range(403))
    assert orders[0] == orders[1] != orders[2]
    assert orders[0][0] == next(iter(plain))
    assert max(lengths) in groups[0]
    assert sum(max(group) - min(group) for group in groups) / len(groups) < 8
    assert 30 < rising < 70


def test_a_table_of_fewer_rows_than_a_group_is_read_whole():
    import torch
    from transformers.trainer_pt_utils import LengthGroupedSampler

    from lingyu.train.run import mixed

    for count in (1, 3, 4, 5, 9):
        sampler = LengthGroupedSampler(2, lengths=[3] * count, generator=torch.Generator().manual_seed(0))
        sampler.__class__ = mixed(LengthGroupedSampler, 4)
        assert sorted(sampler) == list(range(count))
