"""Learning from one's own replies: what GRPO, RLOO, PPO and best-of-n share, their settings, and the first two, by TRL's trainers."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from lingyu.align.context import Given, Ready, watched
from lingyu.align.preference import built
from lingyu.align.rewards import ByModel, Prompt, Reward, measures
from lingyu.files import read_table
from lingyu.model.chat import Chat
from lingyu.records import Question
from lingyu.stage import StageError, StageParams
from lingyu.train.run import arguments, resumable


class Sampling(StageParams):
    """What all methods share that learn from sampled replies."""

    renamed: ClassVar = {"max_new_tokens": "max_completion_length"}

    rewards: list[Reward] = Field(
        [ByModel(name="model")],
        min_length=1,
        description="What a reply is worth, added up by weight: model (the reward model), and rules: answer, format, length, text.",
    )
    max_completion_length: PositiveInt = Field(description="Tokens of a sampled reply.")
    temperature: PositiveFloat = Field(1.0, description="Of sampling. At 1 the replies are those of the policy that is trained.")
    dev_prompts: PositiveInt = Field(16, description="The first of the prompts, kept to choose the checkpoint by.")


class Grouped(Sampling):
    """Several replies to one prompt, compared with each other."""

    renamed: ClassVar = {**Sampling.renamed, "generations": "num_generations"}

    beta: NonNegativeFloat = Field(0.1, description="Weight of the KL to the start: in the loss of grpo, in the reward of rloo.")
    num_generations: int = Field(8, ge=2, description="Replies to each prompt; a batch is a multiple of it.")


class Grpo(Grouped):
    """Group-relative policy optimisation (Shao et al. 2024)."""

    name: Literal["grpo"]


class Rloo(Grouped):
    """REINFORCE against the mean of the other replies (Ahmadian et al. 2024)."""

    name: Literal["rloo"]


class Kl(StageParams):
    """The KL to the start in the reward of PPO (Ziegler et al. 2019)."""

    renamed: ClassVar = {"weight": "init_kl_coef"}

    init_kl_coef: NonNegativeFloat = Field(0.05, description="Its weight at first.")
    target: PositiveFloat | None = Field(None, description="KL of a reply, in nats, that the weight is adapted to. null: the weight stays.")
    horizon: PositiveInt = Field(10_000, description="Replies over which it adapts.")


class Ppo(Sampling):
    """Proximal policy optimisation (Schulman et al. 2017)."""

    renamed: ClassVar = {
        **Sampling.renamed,
        "rollout": "rollout_batch_size",
        "passes": "num_ppo_epochs",
        "clip": "cliprange",
        "clip_value": "cliprange_value",
        "value_weight": "vf_coef",
        "discount": "gamma",
        "trace": "gae_lambda",
        "normalise": "normalize_rewards",
    }

    name: Literal["ppo"]
    rollout_batch_size: PositiveInt = Field(64, description="Replies sampled in each step; a multiple of global_batch_size.")
    num_ppo_epochs: PositiveInt = Field(4, description="Times that they are learnt from.")
    cliprange: float = Field(0.2, gt=0, lt=1, description="How far the policy may move in a step.")
    cliprange_value: PositiveFloat = Field(0.2, description="How far the value may move in a step.")
    vf_coef: PositiveFloat = Field(0.1, description="Weight of the value loss.")
    gamma: float = Field(1.0, gt=0, le=1, description="Discount of later rewards; the reward comes with the last token.")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="Lambda of generalised advantage estimation.")
    normalize_rewards: bool = Field(True, description="By their running mean and standard deviation.")
    kl: Kl = Field(Kl(), description="The KL to the start in the reward.")


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
        **{**arguments(given.params, given.place, len(prompts) * method.num_generations), **BY_REWARD},
        beta=method.beta,
        num_generations=method.num_generations,
        steps_per_generation=1,
        max_completion_length=method.max_completion_length,
        temperature=method.temperature,
        reward_weights=[reward.weight for reward in method.rewards],
    )
    curves = ["reward", "eval_reward", "kl", *(f"rewards/{name}/mean" for name in by_name if len(by_name) > 1)]
    more = {"reward_funcs": list(by_name.values()), "callbacks": watched(given, curves)}
    return Ready(
        built(with_prompt_ids(resumable(trainer), Chat.of(given.tokenizer)), settings, rows[len(held) :], rows[: len(held)], given, **more),
        len(prompts),
        curves,
    )


def with_prompt_ids(trainer: Any, chat: Chat) -> Any:
    """The class of trainer, which would put BOS in front of a prompt that has one, with prompts encoded as the service encodes them."""

    class Encoded(trainer):
        def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return chat.encode_all(prompts), None, {}

    return Encoded


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
    chat = Chat.of(given.tokenizer)
    prompts = [prompt_of(row, chat) for row in rows]
    encoded = chat.encode_all([prompt.text for prompt in prompts])
    over = [row.id for row, ids in zip(rows, encoded, strict=True) if len(ids) + method.max_completion_length > given.params.max_length]
    if over:
        raise StageError(
            f"{len(over)} of {len(rows)} prompts leave no room for a reply of max_completion_length {method.max_completion_length} within "
            f"max_length {given.params.max_length}, first {', '.join(over[:5])}. Raise max_length, or lower mix.max_prompt_tokens."
        )
    return prompts[: method.dev_prompts], prompts[method.dev_prompts :]


def prompt_of(row: Question, chat: Chat) -> Prompt:
    """As evaluate asks it."""
    thinking = row.task == "reason"
    return Prompt(row, chat.prompt(row.messages, thinking), thinking)


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

    encoded = {"input_ids": Chat.of(tokenizer).encode_all(prompts)}
    inputs = tokenizer.pad(encoded, padding_side="left", return_tensors="pt").to(model.device)
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
    published, model.generation_config = model.generation_config, drawing  # which would fill in a repetition penalty
    try:
        with torch.no_grad():
            ids = model.generate(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], generation_config=drawing)
    finally:
        model.generation_config = published
    replies = ids[:, inputs["input_ids"].shape[1] :]
    ended = torch.isin(replies, torch.tensor(sorted(set(ends)), device=replies.device)).long()
    mask = (ended.cumsum(dim=1) - ended == 0).long()
    texts = [tokenizer.decode(row[kept.bool()], skip_special_tokens=True) for row, kept in zip(replies, mask, strict=True)]
    return Replies(ids, torch.cat([inputs["attention_mask"], mask], dim=1), replies.shape[1], texts)
