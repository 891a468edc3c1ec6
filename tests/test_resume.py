"""A training stage killed at any moment and started again ends with the bytes of an unbroken run."""

import os
import random
import signal
import time

import pytest
from training import BEST_OF, CPO, DPO, GRPO, KTO, LORA, ORPO, PPO, RLOO, SFT, SIMPO, TRAINING, contents, ended, project, staged, worker
from tuning_methods import method

from lingyu.runtime.warm import KILLED

pytestmark = pytest.mark.slow

# Checkpoints fall into the middle of epochs and on their ends.
LONG = {**TRAINING, "num_train_epochs": 8, "evaluations": 12, "learning_rate": 2.0e-3}
TUNED = {
    "full": {"name": "full"},
    "lora": {**LORA, "lora_dropout": 0.1},
    **{name: method(name, "new") for name in ("pissa", "ptuning_v2", "bottleneck")},
}
ALIGNED = {given["name"]: given for given in (DPO, KTO, ORPO, SIMPO, CPO, GRPO, RLOO, PPO, BEST_OF)}
CANDIDATES = {**TUNED, **ALIGNED}
# Killed and started as a person would, each time a new process; the others in forks of the warm one, as `make repro` has it.
COLD = {"full"}


@pytest.mark.parametrize(
    ("stage", "item", "optimizer"),
    [
        ("pretrain", "", "muon"),
        ("pretrain", "lora", "adamw_torch_fused"),
        ("sft", "full", "adamw_torch_fused"),
        ("sft", "lora", "muon"),
        ("sft", "pissa", "adamw_torch_fused"),
        ("sft", "ptuning_v2", "adamw_torch_fused"),
        ("sft", "bottleneck", "muon"),
        ("reward", "", "adamw_torch_fused"),
        *(("align", name, "muon" if name in ("dpo", "cpo") else "adamw_torch_fused") for name in ALIGNED),
    ],
)
def test_a_killed_stage_ends_as_an_unbroken_one(stage, item, optimizer, warm, tiny_model, tiny_reward_model, tmp_path):
    long = {**LONG, "optim": optimizer}
    section = {**long, "instructions": False, "packing": "joined"} if stage == "pretrain" else {**long, "start": "start"}
    if stage == "pretrain" and item:
        section, item = {**section, "method": TUNED[item]}, ""
    if item:
        common = {**long, **(SFT if stage == "sft" else {"start_share": 0.5})}
        section = {"common": common, "candidates": {item: {"start": "start", "method": CANDIDATES[item]}}}
    unbroken, broken = (project(tmp_path / name, tiny_model, tiny_reward_model, **{stage: section}) for name in ("unbroken", "broken"))
    words = [stage, *filter(None, [item])]
    where = "" if item in COLD else warm
    chance = random.Random(stage + item)

    status, _, err = ended(staged(unbroken, *words, warm=warm))
    assert status == 0, err
    steps = int(err.rsplit(" step ")[-1].split()[0].split("/")[1])
    first = chance.randrange(steps // 5, steps // 2)
    killed_at_step(first, broken, staged(broken, *words, warm=where), chance)
    spoil_the_newest_checkpoint(broken, chance)
    killed_at_step(chance.randrange(steps // 2, steps - 2), broken, staged(broken, *words, warm=where), chance)
    status, _, err = ended(staged(broken, *words, warm=where))

    assert status == 0, err
    assert "Warning" not in err
    assert "goes on from checkpoint-" in err
    made = [contents(folder / "out" / stage / item) for folder in (unbroken, broken)]
    assert "model/model.safetensors" in made[0]
    assert [path for path in made[0] if made[0][path] != made[1].get(path)] == []
    assert set(made[0]) == set(made[1])


def killed_at_step(step, folder, process, chance):
    """Let it come to this step, and a random moment further, then kill what does the work."""
    number = 0
    for line in process.stderr:
        number = number or worker(process, folder)
        if " step " in line and int(line.split(" step ")[1].split("/")[0]) >= step:
            break
    assert number
    time.sleep(chance.uniform(0, 0.05))
    os.kill(number, signal.SIGKILL)
    said = process.communicate()[1]
    assert (process.returncode, KILLED in said) == ((-signal.SIGKILL, False) if number == process.pid else (1, True))


def spoil_the_newest_checkpoint(folder, chance):
    """As a kill in the middle of writing it leaves it."""
    checkpoints = sorted((folder / ".lingyu").glob("*/*/checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    assert checkpoints
    state = checkpoints[-1] / "trainer_state.json"
    half = state.read_bytes()[: chance.randrange(200)] if state.exists() else b""
    state.write_bytes(half)
    (checkpoints[-1] / "optimizer.pt").unlink(missing_ok=True)
