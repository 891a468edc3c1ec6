"""Rejection sampling: several replies to each prompt, the best of them by reward learnt as if it had been given (best-of-n)."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field, PositiveInt

from lingyu.align.context import Given, Ready
from lingyu.align.policy import Sampling, prompts_of, sampled
from lingyu.align.rewards import Measure, Prompt, measures, together
from lingyu.model.chat import Chat
from lingyu.model.load import device
from lingyu.stage import StageError
from lingyu.train.data import NOT_LEARNT, Example, stored
from lingyu.train.run import causal_trainer


class BestOf(Sampling):
    """Rejection sampling: the best of several replies is learnt."""

    renamed: ClassVar = {
        **Sampling.renamed,
        "samples": "num_generations",
        "sampling_batch": "sampling_batch_size",
        "least": "min_reward",
    }

    name: Literal["best_of"]
    num_generations: int = Field(8, ge=2, description="Replies to each prompt.")
    sampling_batch_size: PositiveInt = Field(16, description="Prompts that are sampled at once.")
    min_reward: float | None = Field(None, description="Reward that the best reply must reach to be learnt. null: any.")


def best_of(given: Given, method: BestOf) -> Ready:
    held, prompts = prompts_of(given, method)
    reward_fn = together(method.rewards, measures(method.rewards, [*held, *prompts], given))
    model = given.policy()
    drawn = draws(model, [*held, *prompts], reward_fn, given, method)
    best = [max(row, key=lambda draw: draw.reward) for row in drawn]
    good = [method.min_reward is None or draw.reward >= method.min_reward for draw in best]
    examples = [learnt(draw, prompt, given.tokenizer) for draw, prompt in zip(best, [*held, *prompts], strict=True)]
    learnable = list(zip(examples, good, strict=True))
    dev, train = ([example for example, kept in part if kept] for part in (learnable[: len(held)], learnable[len(held) :]))
    if not train:
        raise StageError(
            f"no reply to any of {len(prompts)} prompts reaches a reward of {method.min_reward} (method.min_reward); the best has "
            f"{max(draw.reward for draw in best[len(held) :]):.3f}. Lower method.min_reward, or raise method.num_generations or "
            "method.temperature."
        )
    rows, held_rows = stored(train, given.place / "train.arrow"), stored(dev or train[:1], given.place / "dev.arrow")
    trainer = causal_trainer(model, given.tokenizer, rows, held_rows, given.params, given.place, given.label, given.out)
    rewards = [draw.reward for row in drawn for draw in row]
    kept = [draw.reward for draw, kept in zip(best, good, strict=True) if kept]
    return Ready(
        trainer,
        len(train),
        [],
        {"prompts": len(prompts), "sampled_reward": sum(rewards) / len(rewards), "learnt_reward": sum(kept) / len(kept)},
    )


class Draw(NamedTuple):
    """A reply, as token ids with the mark that ended it, and what it is worth."""

    ids: list[int]
    reward: float


def draws(model: Any, prompts: Sequence[Prompt], reward_fn: Measure, given: Given, method: BestOf) -> list[list[Draw]]:
    """For each prompt its replies. Written down batch by batch, each with a seed of its own, so that what was drawn is not drawn again."""
    from transformers import set_seed

    model.to(device()).eval()
    done = given.place / "draws.jsonl"
    rows = whole_lines(done)
    with done.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(batch) + "\n" for batch in rows)
        for number in range(len(rows), math.ceil(len(prompts) / method.sampling_batch_size)):
            set_seed(given.params.seed + number)
            some = prompts[number * method.sampling_batch_size : (number + 1) * method.sampling_batch_size]
            many = [prompt for prompt in some for _ in range(method.num_generations)]
            made = sampled(model, given.tokenizer, [prompt.text for prompt in many], method.max_completion_length, method.temperature)
            ids = [row[kept.bool()].tolist() for row, kept in zip(made.ids[:, -made.width :], made.mask[:, -made.width :], strict=True)]
            flat = list(zip(ids, reward_fn(many, made.texts), strict=True))
            rows.append([flat[place : place + method.num_generations] for place in range(0, len(flat), method.num_generations)])
            file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
    return [[Draw(*draw) for draw in row] for batch in rows for row in batch]


def whole_lines(path: Path) -> list[Any]:
    """What was written before a kill; a line that it cut is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def learnt(draw: Draw, prompt: Prompt, tokenizer: Any) -> Example:
    """The reply as it was drawn: one that came to no end is not taught to end there."""
    before = Chat.of(tokenizer).encode(prompt.text)
    return Example(input_ids=before + draw.ids, labels=[NOT_LEARNT] * len(before) + draw.ids)
