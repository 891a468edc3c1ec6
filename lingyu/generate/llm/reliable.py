"""Reliable self-instruction: a passage, questions that it answers, and each answered with the passage in view.

The answer names the words of the passage on which it rests, and they must be in it. With `verify` the model is asked once
more, as a judge that sees only the passage, whether it says what the answer says.
"""

from functools import partial

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.generate.llm.checks import Candidate
from lingyu.generate.llm.client import Answer
from lingyu.generate.llm.method import Ask, Learn, Teaching, Tried, source_of
from lingyu.generate.stable_choice import shuffled
from lingyu.records import Document
from lingyu.retrieve.support import squeezed
from lingyu.stage import StageParams

METHOD, TASK = "reliable", "passage"
PROMPTS = ("1-questions", "2-answer", "3-verify")


class Asked(StageParams):
    """Questions about passages, with answers that are verified."""

    records: NonNegativeInt = Field(0, description="Passages to ask about; 0 switches the method off.")
    questions: PositiveInt = Field(3, description="Questions for each passage.")
    verify: bool = Field(True, description="Ask once more for each answer whether the passage supports all of it.")


class Questions(Answer):
    questions: list[str]


class Grounded(Answer):
    answerable: bool
    evidence: str
    answer: str


class Verdict(Answer):
    unsupported: str
    supported: bool


QUESTION = "规定要求在什么情况下怎样做，由谁负责？"
SENTENCE = "这是一句回答，说明应当怎样做，以及为什么要这样做。"


async def make(learn: Learn, asked: Asked, teaching: Teaching) -> None:
    chosen = shuffled(learn.documents, learn.seed, METHOD)[: asked.records]
    await teaching.each(METHOD, ((document, partial(rows, document, asked)) for document in teaching.passages(chosen, METHOD)))


async def rows(document: Document, asked: Asked, ask: Ask) -> list[Tried]:
    passage = source_of(document)
    like = Questions(questions=some_questions(asked.questions))
    questions = await ask("1-questions", like, passage=passage, count=str(asked.questions))
    distinct = list(dict.fromkeys(question.strip() for question in questions.said.questions))[: asked.questions]
    if not distinct:
        return [ask.drop("no_question", prompt_hash=questions.prompt_hash)]
    return await ask.each(answered(question, passage, asked.verify, ask) for question in distinct)


def some_questions(count: int) -> list[str]:
    return [f"{QUESTION}（{number}）" for number in range(count)]


async def answered(question: str, passage: str, verify: bool, ask: Ask) -> list[Tried]:
    """The question with an answer out of the passage."""
    like = Grounded(answerable=True, evidence=SENTENCE, answer=SENTENCE * 3)
    given = await ask("2-answer", like, method=METHOD, passage=passage, question=question)
    said = given.said
    if not said.answerable:
        return [ask.drop("not_answerable", question, given.prompt_hash)]
    row = ask.dialogue(given, [(question, said.answer)], task=TASK)
    evidence = squeezed(said.evidence)
    if given.recorded and not (evidence and evidence in squeezed(passage)):
        return [ask.drop("invented_evidence", said.evidence, given.prompt_hash, row)]
    if verify:
        verdict = await ask(
            "3-verify", Verdict(unsupported="", supported=True), method=METHOD, judge=True, passage=passage, question=question,
            answer=said.answer,
        )  # fmt: skip
        if not verdict.said.supported:
            return [ask.drop("judged_unsupported", verdict.said.unsupported, verdict.prompt_hash, row)]
    return [Candidate(row, [passage], grounded_question=True, new_question=True)]
