"""Asking instead of answering: a question from which something is missing, and the question back that a good adviser asks."""

from functools import partial

from pydantic import Field, NonNegativeInt

from lingyu.generate.llm.checks import Candidate
from lingyu.generate.llm.client import Answer
from lingyu.generate.llm.method import Ask, Learn, Teaching, Tried
from lingyu.generate.llm.retold import single
from lingyu.generate.stable_choice import shuffled
from lingyu.records import Dialogue
from lingyu.stage import StageParams
from lingyu.text.questions import asks

METHOD, TASK = "clarify", "clarify"
PROMPTS = ("1-inquiry",)


class Asked(StageParams):
    """Questions back, where a fact is missing."""

    records: NonNegativeInt = Field(0, description="Given dialogues; 0 switches the method off.")


class Inquiry(Answer):
    opening: str
    missing: str
    question: str


LIKE = Inquiry(opening="我遇到了这个问题，应该怎么办？", missing="具体情况", question="请问发生在什么时候，具体是什么情况？")


async def make(learn: Learn, asked: Asked, teaching: Teaching) -> None:
    chosen = shuffled(single(learn.dialogues), learn.seed, METHOD)[: asked.records]
    await teaching.each(METHOD, ((given, partial(row, given)) for given in chosen))


async def row(dialogue: Dialogue, ask: Ask) -> list[Tried]:
    question, answer = (message.content for message in dialogue.messages)
    given = await ask("1-inquiry", LIKE, question=question, answer=answer)
    inquiry = ask.dialogue(given, [(given.said.opening, given.said.question)], task=TASK)
    if not asks(given.said.question):
        return [ask.drop("no_question", given.said.question, given.prompt_hash, inquiry)]
    return [Candidate(inquiry, [question, answer], grounded_question=True, source_words=False)]
