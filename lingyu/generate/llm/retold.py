"""Single to multi-turn: one long question and its answer, rewritten as a conversation that says the same and no more."""

from functools import partial

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.generate.llm.checks import Candidate
from lingyu.generate.llm.method import Ask, Learn, Teaching, Tried
from lingyu.generate.llm.scenario import TASK, TURN, Turns
from lingyu.generate.stable_choice import shuffled
from lingyu.records import Dialogue
from lingyu.stage import StageParams

METHOD = "retold"
PROMPTS = ("1-talk",)


class Asked(StageParams):
    """Single answers rewritten as several turns."""

    records: NonNegativeInt = Field(0, description="Given dialogues; 0 switches the method off.")
    turns: PositiveInt = Field(4, description="Turns of the conversation.")
    min_chars: PositiveInt = Field(120, description="Characters of an answer that has enough for several turns.")


async def make(learn: Learn, asked: Asked, teaching: Teaching) -> None:
    long = [row for row in single(learn.dialogues) if len(row.messages[-1].content) >= asked.min_chars]
    chosen = shuffled(long, learn.seed, METHOD)[: asked.records]
    await teaching.each(METHOD, ((given, partial(row, given, asked.turns)) for given in chosen))


def single(dialogues: list[Dialogue]) -> list[Dialogue]:
    """Those of one question and one answer, without reasoning."""
    return [row for row in dialogues if [m.role for m in row.messages] == ["user", "assistant"] and not row.messages[-1].reasoning]


async def row(dialogue: Dialogue, most: int, ask: Ask) -> list[Tried]:
    question, answer = (message.content for message in dialogue.messages)
    given = await ask("1-talk", Turns(turns=[TURN] * most), question=question, answer=answer, count=str(most))
    said = [(turn.user, turn.assistant) for turn in given.said.turns][:most]
    if len(said) < 2:
        return [ask.drop("single_turn", prompt_hash=given.prompt_hash)]
    talk = ask.dialogue(given, said, task=TASK, references=dialogue.references)
    return [Candidate(talk, [question, answer], grounded_question=True)]
