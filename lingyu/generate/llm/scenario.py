"""Scenarios and guides: a conversation of several turns in a scenario, whose answers rest on a guide's passage."""

from functools import partial

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.generate.llm.checks import Candidate
from lingyu.generate.llm.client import Answer
from lingyu.generate.llm.method import Ask, Learn, Teaching, Tried, source_of
from lingyu.generate.stable_choice import picks, shuffled
from lingyu.records import Document, Language
from lingyu.stage import StageParams

METHOD, TASK = "scenario", "talk"
PROMPTS = ("1-talk",)


class Asked(StageParams):
    """Conversations in scenarios around a passage."""

    records: NonNegativeInt = Field(0, description="Passages; 0 switches the method off.")
    scenarios: PositiveInt = Field(1, description="Scenarios for each passage.")
    turns: PositiveInt = Field(3, description="Turns of a conversation.")
    kinds: dict[Language, list[str]] = Field(
        {
            "zh": ["第一次遇到这件事的新人", "正在现场着急处理的人", "向领导汇报前来核对的人", "对规定有疑问的人"],
            "en": [
                "somebody new to the matter",
                "somebody on the spot and in a hurry",
                "somebody checking before a report",
                "somebody who doubts the rule",
            ],
        },
        description="Who asks.",
    )


class Turn(Answer):
    user: str
    assistant: str


class Turns(Answer):
    turns: list[Turn]


TURN = Turn(user="我现在遇到这种情况，应该怎么办？", assistant="可以先按要求检查，再按规定的步骤处理，处理完要记录下来。")


async def make(learn: Learn, asked: Asked, teaching: Teaching) -> None:
    chosen = shuffled(learn.documents, learn.seed, METHOD)[: asked.records]
    works = [
        (document, partial(row, document, kinds[kind], asked.turns))
        for document in teaching.passages(chosen, METHOD)
        for kinds in [asked.kinds.get(document.language, [])]
        for kind in picks(asked.scenarios, len(kinds), learn.seed, METHOD, document.id)
    ]
    await teaching.each(METHOD, works)


async def row(document: Document, scenario: str, turns: int, ask: Ask) -> list[Tried]:
    passage = source_of(document)
    given = await ask("1-talk", Turns(turns=[TURN] * turns), passage=passage, scenario=scenario, count=str(turns))
    said = [(turn.user, turn.assistant) for turn in given.said.turns][:turns]
    if not said:
        return [ask.drop("no_question", prompt_hash=given.prompt_hash)]
    talk = ask.dialogue(given, said, task=TASK)
    return [Candidate(talk, [passage, *(user for user, _ in said)], new_question=True)]
