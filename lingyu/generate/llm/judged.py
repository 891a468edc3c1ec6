"""Preference pairs by sampling and judging: several answers to a question that people asked, the best against the worst.

The judge sees the given answer, and all candidates twice, the second time in reverse order: a model prefers what it reads
first. Two answers make a pair only where both looks agree on their order, by a margin.
"""

from functools import partial
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.generate.llm.checks import Candidate
from lingyu.generate.llm.client import Answer
from lingyu.generate.llm.method import Ask, Learn, Teaching, Tried, together
from lingyu.generate.llm.replaced import Reply
from lingyu.generate.llm.retold import single
from lingyu.generate.stable_choice import shuffled
from lingyu.generate.wordings import Phrases, Wordings, blanks
from lingyu.records import Dialogue, Message
from lingyu.stage import StageParams

METHOD = "judged"
PROMPTS = ("1-answer", "2-judge")


class Forms(Phrases):
    label: Annotated[str, blanks("number", "answer")]


WORDINGS = Wordings("judged", Forms)


class Asked(StageParams):
    """Preference pairs by a model's judgement."""

    records: NonNegativeInt = Field(0, description="Given questions; 0 switches the method off.")
    samples: int = Field(4, ge=2, description="Answers to each question.")
    margin: PositiveInt = Field(2, description="Points of ten by which one must lead, both times that the judge looks.")


class Scores(Answer):
    scores: list[int]


async def make(learn: Learn, asked: Asked, teaching: Teaching) -> None:
    chosen = shuffled(single(learn.dialogues), learn.seed, METHOD)[: asked.records]
    await teaching.each(METHOD, ((given, partial(row, given, asked)) for given in chosen))


async def row(dialogue: Dialogue, asked: Asked, ask: Ask) -> list[Tried]:
    question, reference = (message.content for message in dialogue.messages)
    like = Reply(answer="先说结论，再说明理由和做法。" * 4)
    sampled = await together(ask("1-answer", like, variant=turn, question=question) for turn in range(asked.samples))
    by_answer = {given.said.answer.strip(): given for given in sampled}
    answers = [answer for answer in by_answer if answer]
    if len(answers) < 2 and all(given.recorded for given in sampled):
        return [ask.drop("no_difference", prompt_hash=sampled[0].prompt_hash)]
    there, back = await together(looked(question, reference, order, ask) for order in (answers, answers[::-1]))
    if not len(there) == len(back) == len(answers):
        return [ask.drop("scores_missing", f"{len(there)}, {len(back)} of {len(answers)}")]
    scores = list(zip(there, back[::-1], strict=True))
    best, worst = (choose(range(len(answers)), key=lambda place: (sum(scores[place]), -place)) for choose in (max, min))
    if any(high - low < asked.margin for high, low in zip(scores[best], scores[worst], strict=True)):
        return [ask.drop("judge_not_sure", " ".join(f"{one}/{other}" for one, other in scores))]
    given = by_answer[answers[best]]
    messages = [Message(role="user", content=question)]
    pair = ask.preference(given, messages, answers[best], answers[worst], task=dialogue.task or "chat")
    return [Candidate(pair, [question, reference])]


async def looked(question: str, reference: str, answers: list[str], ask: Ask) -> list[int]:
    """The score of each answer, read in this order."""
    form = WORDINGS[ask.record.language].label
    listed = "\n\n".join(form.format(number=number, answer=answer) for number, answer in enumerate(answers, start=1))
    like = Scores(scores=[5] * len(answers))
    given = await ask("2-judge", like, judge=True, question=question, reference=reference, answers=listed)
    return given.said.scores
