"""Whether PPO raises a reward that is known: `python -m bench.ppo [--out out] [--seeds 2]`, after a run of the default recipe.

PPO starts from sft/full and is rewarded for short replies, by a rule that anybody can check. Start and result then reply to the prompts
that PPO kept aside, several times each; compared are the mean of the reward, in standard deviations of the start's, the KL of the result
to the start in nats a reply, and by a paired test, a prompt a group, whether chance would have done as much.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from lingyu.align.context import Given
from lingyu.align.policy import Ppo, Sampling, prompts_of, sampled
from lingyu.align.rewards import Prompt, measures, together
from lingyu.align.rollouts import logprobs_of
from lingyu.model.load import load_model, load_tokenizer, prepare
from lingyu.stage import read_params
from lingyu.statistics import group_sums, swap_test
from lingyu.train.settings import Training
from stages import align

REWARD = {"name": "length", "weight": 1.0, "characters": 4}
PPO: dict[str, Any] = {
    "name": "ppo",
    "rewards": [REWARD],
    "max_completion_length": 20,
    "temperature": 1.0,
    "dev_prompts": 48,
    "rollout_batch_size": 32,
    "num_ppo_epochs": 4,
    "cliprange": 0.2,
    "cliprange_value": 0.2,
    "vf_coef": 0.1,
    "gamma": 1.0,
    "gae_lambda": 0.95,
    "normalize_rewards": True,
    "kl": {"init_kl_coef": 0.02, "target": 6.0, "horizon": 1000},
}
TRAINING: dict[str, Any] = {"global_batch_size": 16, "num_train_epochs": 8, "learning_rate": 4.0e-4, "evaluations": 4, "threads": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    print("| seed | reward before | after | gain in deviations | KL, nats a reply | p, paired |")
    print("| --- | --- | --- | --- | --- | --- |")
    for seed in range(asked.seeds):
        with tempfile.TemporaryDirectory() as scratch:
            print(line(asked.out, Path(scratch), seed), flush=True)


def line(out: Path, scratch: Path, seed: int) -> str:
    values = {**read_params()["align"]["common"], **TRAINING, "seed": seed, "start_share": 0.0}  # what training changed, not half of it
    method = Ppo(**PPO)
    params = align.Params(**values, start="sft/full", method=method)
    align.run(params, out, out / "reward/model", out / "mix/train", out / "mix/dev", work=scratch / "work", out=scratch / "ppo")
    found = compared(params, method, out / "sft/full/model", scratch / "ppo/model", out / "mix/train")
    return "| {} | {before:.3f} | {after:.3f} | {gain:.2f} | {kl:.2f} | {chance:.4f} |".format(seed, **found)


def compared(
    params: Training, method: Sampling, start: Path, end: Path, train: Path, samples: int = 8, resamples: int = 4000
) -> dict[str, float]:
    """What both models' replies to the held prompts are worth by the rules that `end` was trained with, and its KL to the start."""
    prepare(params.threads)
    given = Given(params, start, Path(), load_tokenizer(start), train, train, Path(), "", Path())
    held, _ = prompts_of(given, method)
    prompts = [prompt for prompt in held for _ in range(samples)]
    first, second = (load_model(folder, params.max_length).eval() for folder in (start, end))
    (before, _), (after, kl) = (replied(model, first, prompts, method, given) for model in (first, second))
    places = [prompt.row.id for prompt in prompts]
    asked, earlier, later = group_sums(places, [1.0] * len(places), before, after)
    return {
        "before": statistics.mean(before),
        "after": statistics.mean(after),
        "gain": (statistics.mean(after) - statistics.mean(before)) / statistics.stdev(before),
        "kl": statistics.mean(kl),
        "chance": swap_test(earlier, asked, later, asked, resamples, seed=0),
    }


def replied(model: Any, start: Any, prompts: list[Prompt], method: Sampling, given: Given) -> tuple[list[float], list[float]]:
    """The worth of a reply to each prompt, and by how much likelier the model finds it than the start does."""
    import torch

    torch.manual_seed(0)
    made = sampled(model, given.tokenizer, [prompt.text for prompt in prompts], method.max_completion_length, method.temperature)
    worth = together(method.rewards, measures(method.rewards, prompts, given))(prompts, made.texts)
    with torch.no_grad():
        now, then = (logprobs_of(one, made.ids, made.mask, made.width, method.temperature)[0] for one in (model, start))
    return worth, ((now - then) * made.mask[:, -made.width :]).sum(dim=1).tolist()


if __name__ == "__main__":
    main()
