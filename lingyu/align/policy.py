"""Learning from one's own replies: what GRPO, RLOO, PPO and best-of-n share, their settings, and the first two, by TRL's trainers."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from lingyu.align.context import Given, Ready, watched
from lingyu.align.preference import built
from lingyu.align.rewards import Prompt, Reward, measures
from lingyu.files import read_table
from lingyu.model.chat import render
from lingyu.records import Question
from lingyu.stage import StageError, StageParams
from lingyu.train.run import arguments, resumable


class Sampling(StageParams):
    """rewards: what a reply is worth, added up by weight. dev_prompts: the first of the prompts, kept to measure by."""

    rewards: list[Reward] = Field(min_length=1)
    max_new_tokens: PositiveInt
    temperature: PositiveFloat
    dev_prompts: PositiveInt


class Grpo(Sampling):
    """Group-relative policy optimisation (Shao et al. 2024). beta: weight of the KL to the start."""

    name: Literal["grpo"]
    beta: NonNegativeFloat
    generations: int = Field(ge=2)


class Rloo(Sampling):
    """REINFORCE against the mean of the other replies (Ahmadian et al. 2024). beta: weight of the KL to the start, in the reward."""

    name: Literal["rloo"]
    beta: NonNegativeFloat
    generations: int = Field(ge=2)


class Kl(StageParams):
    """weight: of the KL to the start, in nats, in the reward. With a target (nats a reply) the weight is moved towards it, slower the
    longer the horizon (replies); null: it stays."""

    weight: NonNegativeFloat
    target: PositiveFloat | None
    horizon: PositiveInt


class Ppo(Sampling):
    """rollout: replies sampled a step. passes: times that they are learnt from. clip: how far the policy, clip_value how far the value may
    move in a step. trace: lambda of GAE. normalise: scores by their running mean and deviation."""

    name: Literal["ppo"]
    rollout: PositiveInt
    passes: PositiveInt
    clip: float = Field(gt=0, lt=1)
    clip_value: PositiveFloat
    value_weight: PositiveFloat
    discount: float = Field(gt=0, le=1)
    trace: float = Field(ge=0, le=1)
    normalise: bool
    kl: Kl


def grpo(given: Given, method: Grpo | Rloo) -> Ready:
    """GRPO and RLOO."""
    import trl

    held, prompts = prompts_of(given, method)
    by_name: dict[str, Any] = {}
    for measure, reward in zip(measures(method.rewards, [*held, *prompts], given), method.rewards, strict=True):
        name = reward.name if reward.name not in by_name else f"{reward.name}_{len(by_name) + 1}"
        by_name[name] = told_apart(measure, [*held, *prompts], name)
    config, trainer = (trl.GRPOConfig, trl.GRPOTrainer) if isinstance(method, Grpo) else (trl.RLOOConfig, trl.RLOOTrainer)
    places = range(len(held) + len(prompts))
    rows = [{"prompt": prompt.text, "place": place} for prompt, place in zip([*held, *prompts], places, strict=True)]
    settings = config(
        **{**arguments(given.params, given.place, len(prompts) * method.generations), **BY_REWARD},
        beta=method.beta,
        num_generations=method.generations,
        steps_per_generation=1,
        max_completion_length=method.max_new_tokens,
        temperature=method.temperature,
        reward_weights=[reward.weight for reward in method.rewards],
    )
    curves = ["reward", "eval_reward", "kl", *(f"rewards/{name}/mean" for name in by_name if len(by_name) > 1)]
    more = {"reward_funcs": list(by_name.values()), "callbacks": watched(given, curves)}
    return Ready(built(resumable(trainer), settings, rows[len(held) :], rows[: len(held)], given, **more), len(prompts), curves)


# The best checkpoint is the one whose replies to the held prompts are worth most.
BY_REWARD = {"metric_for_best_model": "eval_reward", "greater_is_better": True}


def told_apart(measure: Any, prompts: Sequence[Prompt], name: str) -> Any:
    """The measure as TRL calls it, under a name for the curves."""

    def reward(completions: list[str], place: list[int], **others: Any) -> list[float]:
        return list(measure([prompts[number] for number in place], completions))

    reward.__name__ = name
    return reward


def prompts_of(given: Given, method: Sampling) -> tuple[list[Prompt], list[Prompt]]:
    """The held prompts and the others. Raises StageError where too few are left, or some leave no room for a reply."""
    rows = list(read_table(given.train / "prompts.parquet", Question))
    if len(rows) <= method.dev_prompts:
        raise StageError(
            f"mix left {len(rows)} prompts; the method keeps {method.dev_prompts} of them to measure by (dev_prompts) and needs more."
        )
    prompts = [prompt_of(row, given.tokenizer) for row in rows]
    encoded = given.tokenizer([prompt.text for prompt in prompts], add_special_tokens=False)["input_ids"]
    over = [row.id for row, ids in zip(rows, encoded, strict=True) if len(ids) + method.max_new_tokens > given.params.max_length]
    if over:
        raise StageError(
            f"{len(over)} of {len(rows)} prompts leave no room for a reply of max_new_tokens {method.max_new_tokens} within max_length "
            f"{given.params.max_length}, first {', '.join(over[:5])}. Raise max_length, or lower mix.max_prompt_tokens."
        )
    return prompts[: method.dev_prompts], prompts[method.dev_prompts :]


def prompt_of(row: Question, tokenizer: Any) -> Prompt:
    """As evaluate asks it."""
    thinking = row.task == "reason"
    return Prompt(row, render(row.messages, tokenizer.chat_template, add_generation_prompt=True, enable_thinking=thinking), thinking)


class Replies(NamedTuple):
    """Token ids, prompts padded before and replies behind; mask: what is no padding; width: columns of the reply; texts: its words."""

    ids: Any
    mask: Any
    width: int
    texts: list[str]


def sampled(model: Any, tokenizer: Any, prompts: Sequence[str], most: int, temperature: float) -> Replies:
    """One reply to each prompt, drawn from torch's generator; the mark that ends a reply belongs to it."""
    import torch
    from transformers import GenerationConfig

    inputs = tokenizer(list(prompts), padding=True, padding_side="left", add_special_tokens=False, return_tensors="pt").to(model.device)
    named = model.generation_config.eos_token_id
    ends = [*(named if isinstance(named, list) else [named] if named is not None else []), tokenizer.eos_token_id]
    drawing = GenerationConfig(
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        max_new_tokens=most,
        eos_token_id=sorted(set(ends)),
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.no_grad():
        ids = model.generate(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], generation_config=drawing)
    replies = ids[:, inputs["input_ids"].shape[1] :]
    ended = torch.isin(replies, torch.tensor(sorted(set(ends)), device=replies.device)).long()
    mask = (ended.cumsum(dim=1) - ended == 0).long()
    texts = [tokenizer.decode(row[kept.bool()], skip_special_tokens=True) for row, kept in zip(replies, mask, strict=True)]
    return Replies(ids, torch.cat([inputs["attention_mask"], mask], dim=1), replies.shape[1], texts)
