"""Nonviolent communication: a message that may hurt, rewritten by observation, feeling, need and request, with its risk.

Asks about labelled texts of the tasks named in params.yaml. What the rewriting says of the matter must stand in the message.
"""

from functools import partial
from typing import Literal

from pydantic import Field, NonNegativeInt

from lingyu.generate.llm.checks import Candidate
from lingyu.generate.llm.client import Answer, refuses
from lingyu.generate.llm.method import Ask, Learn, Teaching, Tried
from lingyu.generate.stable_choice import shuffled
from lingyu.records import Label, Language
from lingyu.stage import StageParams

METHOD = TASK = "nvc"
PROMPTS = ("1-rewrite",)

ASKED: dict[Language, str] = {
    "zh": "下面这条消息可能伤人。请判断风险，说出其中的观察、感受、需要和请求，并改写：\n{text}",
    "en": "The message below may hurt. Judge the risk, name observation, feeling, need and request, and rewrite it:\n{text}",
}
ANSWERED: dict[Language, str] = {
    "zh": "风险：{risk}\n观察：{observation}\n感受：{feeling}\n需要：{need}\n请求：{request}\n改写：{rewrite}",
    "en": "Risk: {risk}\nObservation: {observation}\nFeeling: {feeling}\nNeed: {need}\nRequest: {request}\nRewrite: {rewrite}",
}
RISKS: dict[Language, dict[str, str]] = {"zh": {"low": "低", "medium": "中", "high": "高"}, "en": {}}


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
    elements["risk"] = RISKS[label.language].get(given.said.risk, given.said.risk)
    asked, answer = ASKED[label.language].format(text=label.text), ANSWERED[label.language].format(**elements)
    return [Candidate(ask.dialogue(given, [(asked, answer)], task=TASK), [label.text], told=False)]
