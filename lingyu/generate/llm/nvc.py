"""Nonviolent communication: a message that may hurt, rewritten by observation, feeling, need and request, with its risk.

Asks about labelled texts of the tasks named in params.yaml. Whatever the rewriting claims must be in the message.
"""

from functools import partial
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from lingyu.generate.llm.checks import Candidate
from lingyu.generate.llm.client import Answer, refuses
from lingyu.generate.llm.method import Ask, Learn, Teaching, Tried
from lingyu.generate.stable_choice import shuffled
from lingyu.generate.wordings import Phrases, Wordings, blanks
from lingyu.records import Label
from lingyu.stage import StageParams

METHOD = TASK = "nvc"
PROMPTS = ("1-rewrite",)


class Forms(Phrases):
    asked: Annotated[str, blanks("text")]
    answered: Annotated[str, blanks("risk", "observation", "feeling", "need", "request", "rewrite")]
    risks: dict[Literal["low", "medium", "high"], str]


WORDINGS = Wordings("nvc", Forms)


class Asked(StageParams):
    """Violent messages rewritten as nonviolent communication."""

    records: NonNegativeInt = Field(0, description="Labelled messages to rewrite; 0 switches the method off.")
    tasks: list[str] = Field(["message"], description="Tasks of labels whose texts are messages.")


class Rewriting(Answer):
    risk: Literal["low", "medium", "high"]
    observation: str
    feeling: str
    need: str
    request: str
    rewrite: str


SOME = "我看到这件事没有做完"
LIKE = Rewriting(risk="medium", observation=SOME, feeling=SOME, need=SOME, request=SOME, rewrite=SOME * 4)


async def make(learn: Learn, asked: Asked, teaching: Teaching) -> None:
    messages = [label for label in learn.labels if label.task in asked.tasks]
    chosen = shuffled(messages, learn.seed, METHOD)[: asked.records]
    await teaching.each(METHOD, ((label, partial(row, label)) for label in chosen))


async def row(label: Label, ask: Ask) -> list[Tried]:
    given = await ask("1-rewrite", LIKE, message=label.text)
    elements = given.said.model_dump()
    if empty := [name for name, text in elements.items() if not text.strip()]:
        return [ask.drop("element_missing", ", ".join(empty), given.prompt_hash)]
    if refused := [text for text in elements.values() if refuses(text)]:
        return [ask.drop("refusal", refused[0], given.prompt_hash)]
    words = WORDINGS[label.language]
    elements["risk"] = words.risks[given.said.risk]
    asked, answer = words.asked.format(text=label.text), words.answered.format(**elements)
    return [Candidate(ask.dialogue(given, [(asked, answer)], task=TASK), [label.text], source_words=False)]
