"""What a reply is worth: the reward model's score, or a rule whose verdict can be checked. Several add up by their weights."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from lingyu.align.context import Given
from lingyu.evaluate.rules import states_answer, thought_and_answered
from lingyu.model.chat import THINK_END, Chat
from lingyu.model.load import device, is_model, load_scorer, load_tokenizer
from lingyu.model.scoring import scored_text, scores
from lingyu.records import Question
from lingyu.stage import StageError, StageParams

WEIGHT = "Times that it counts in the sum."


class ByModel(StageParams):
    """What the reward model says of the reply."""

    name: Literal["model"]
    weight: float = Field(1.0, description=WEIGHT)


class ByAnswer(StageParams):
    """1 where the reply states the question's right answer and no wrong one, as evaluate counts it; else 0."""

    name: Literal["answer"]
    weight: float = Field(1.0, description=WEIGHT)


class ByFormat(StageParams):
    """1 where the reply is one thought between think marks and then an answer; else 0. For questions of the task `reason`."""

    name: Literal["format"]
    weight: float = Field(1.0, description=WEIGHT)


class ByLength(StageParams):
    """1 up to so many characters, falling to 0 at twice as many."""

    name: Literal["length"]
    weight: float = Field(1.0, description=WEIGHT)
    characters: PositiveInt = Field(description="Characters up to which a reply earns 1.")


class ByText(StageParams):
    """1 where the reply holds the text; else 0. With a negative weight, what it should not hold."""

    name: Literal["text"]
    weight: float = Field(1.0, description=WEIGHT)
    text: str = Field(min_length=1, description="What a reply should say, or with a negative weight should not.")


Reward = Annotated[ByModel | ByAnswer | ByFormat | ByLength | ByText, Field(discriminator="name")]


@dataclass(frozen=True)
class Prompt:
    """A question and its text for the model, which a thinking one leaves open for the thought."""

    row: Question
    text: str
    thinking: bool


Measure = Callable[[Sequence[Prompt], Sequence[str]], list[float]]


def measures(rewards: Sequence[Reward], prompts: Sequence[Prompt], given: Given) -> list[Measure]:
    """What gives each reward to replies. Raises StageError for all that these prompts or the reward model cannot bear."""
    faults = [fault for reward in rewards if (fault := fault_of(reward, prompts, given))]
    if faults:
        raise StageError("\n".join(faults))
    return [measure_of(reward, given) for reward in rewards]


def fault_of(reward: Reward, prompts: Sequence[Prompt], given: Given) -> str | None:
    if isinstance(reward, ByModel):
        return fault_of_judge(given.reward, given.tokenizer)
    if isinstance(reward, ByAnswer):
        without = [prompt.row.id for prompt in prompts if not prompt.row.answer.strip()]
        if without:
            return (
                f"the reward `answer` needs a right answer to each prompt; {len(without)} of {len(prompts)} in prompts.parquet have "
                f"none, first {', '.join(without[:5])}. Bring questions with answers, or take another reward."
            )
    if isinstance(reward, ByFormat) and not all(prompt.thinking for prompt in prompts):
        closed = sum(not prompt.thinking for prompt in prompts)
        return (
            f"the reward `format` needs prompts that ask for a thought; {closed} of {len(prompts)} in prompts.parquet are not of the "
            "task `reason`. Bring questions of that task, or take another reward."
        )
    return None


def fault_of_judge(folder: Path, tokenizer: Any) -> str | None:
    """Why the model of this folder cannot score the replies of a policy with this tokenizer; None where it can."""
    if not is_model(folder):
        return (
            f"{folder} holds no reward model. Set reward.enabled to true (params.yaml) and run `dvc repro reward`, or take another reward."
        )
    own = load_tokenizer(folder)
    kinds = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or ["nothing"]
    if not kinds[0].endswith("ForSequenceClassification"):
        return f"{folder} is no reward model but {kinds[0]}. `dvc repro reward` makes one."
    if own.get_vocab() != tokenizer.get_vocab():
        return (
            f"the reward model in {folder} has another vocabulary ({len(own)} entries) than the model to align ({len(tokenizer)}). "
            "Set reward.start and the candidate's start to models of one base, and run `dvc repro reward`."
        )
    return None


def measure_of(reward: Reward, given: Given) -> Measure:
    if isinstance(reward, ByModel):
        return by_model(given)
    rule = rule_of(reward)
    return lambda prompts, replies: [rule(prompt, reply) for prompt, reply in zip(prompts, replies, strict=True)]


def by_model(given: Given) -> Measure:
    judge = load_scorer(given.reward, given.params.max_length).to(device())
    tokenizer = load_tokenizer(given.reward)
    chat = Chat.of(tokenizer)

    def scored(prompts: Sequence[Prompt], replies: Sequence[str]) -> list[float]:
        # Pairs have no thoughts, so the reward model knows answers only.
        said = [answer_of(prompt, reply) for prompt, reply in zip(prompts, replies, strict=True)]
        texts = [scored_text(prompt.row.messages, reply, chat) for prompt, reply in zip(prompts, said, strict=True)]
        return scores(judge, tokenizer, texts, batch=given.params.rows_at_once)

    return scored


def rule_of(reward: ByAnswer | ByFormat | ByLength | ByText) -> Callable[[Prompt, str], float]:
    if isinstance(reward, ByAnswer):
        return right
    if isinstance(reward, ByFormat):
        return lambda _, reply: float(thought_and_answered(reply))
    if isinstance(reward, ByLength):
        return lambda prompt, reply: min(1.0, max(0.0, 2 - len(answer_of(prompt, reply)) / reward.characters))
    return lambda prompt, reply: float(reward.text in answer_of(prompt, reply))


def right(prompt: Prompt, reply: str) -> float:
    row = prompt.row
    return float(states_answer(answer_of(prompt, reply), row.answer, row.wrong, row.messages[-1].content))


def answer_of(prompt: Prompt, reply: str) -> str:
    """The reply without its thought."""
    return reply.rpartition(THINK_END)[2].strip() if prompt.thinking else reply


def together(rewards: Sequence[Reward], given_by: Sequence[Measure]) -> Measure:
    """The weighted sum of several."""

    def summed(prompts: Sequence[Prompt], replies: Sequence[str]) -> list[float]:
        parts = [measure(prompts, replies) for measure in given_by]
        return [sum(reward.weight * part[i] for reward, part in zip(rewards, parts, strict=True)) for i in range(len(replies))]

    return summed
