"""Seeds and task kinds: instructions in the manner of the corpus's own, a round after another, each about a passage.

A round shows the teacher some instructions of the pool, one kind of task and a passage; what passes the checks is answered
out of the passage and joins the pool. The pool begins with what people asked in the training part.
"""

from functools import partial

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.generate.llm.client import Answer
from lingyu.generate.llm.method import Ask, Learn, Teaching, Tried, source_of
from lingyu.generate.llm.reliable import answered, some_questions
from lingyu.generate.stable_choice import number, pick, shuffled
from lingyu.records import Document, Language
from lingyu.stage import StageParams

METHOD = "seeds"
PROMPTS = ("1-instructions",)


class Asked(StageParams):
    """Instructions bootstrapped from a pool (Self-Instruct)."""

    records: NonNegativeInt = Field(0, description="Passages in each round; 0 switches the method off.")
    rounds: PositiveInt = Field(3, description="Rounds; each draws examples from what earlier ones made.")
    instructions: PositiveInt = Field(2, description="Instructions for each passage.")
    examples: PositiveInt = Field(4, description="Instructions of the pool that a prompt shows.")
    kinds: dict[Language, list[str]] = Field(
        {
            "zh": ["问答", "判断并说明理由", "操作步骤", "概括要点"],
            "en": ["question and answer", "judgement with reasons", "steps to take", "summary in points"],
        },
        description="Kinds of tasks to ask for.",
    )
    seeds: dict[Language, list[str]] = Field(
        {"zh": [], "en": []}, description="Instructions that the pool begins with, beside what people asked in the training part."
    )


class Instructions(Answer):
    instructions: list[str]


async def make(learn: Learn, asked: Asked, teaching: Teaching) -> None:
    pool: dict[str, list[str]] = {language: list(seeds) for language, seeds in asked.seeds.items()}
    for dialogue in learn.dialogues:
        pool.setdefault(dialogue.language, []).append(dialogue.messages[0].content)
    passages = shuffled(learn.documents, learn.seed, METHOD)
    for turn in range(asked.rounds if asked.records else 0):
        chosen = passages[turn * asked.records : (turn + 1) * asked.records]
        works = [
            (document, partial(rows, document, examples(document, pool, asked.examples, learn.seed), asked, learn.seed))
            for document in teaching.passages(chosen, METHOD)
        ]
        for row in await teaching.each(METHOD, works):
            pool.setdefault(row.language, []).append(row.messages[0].content)


def examples(document: Document, pool: dict[str, list[str]], count: int, seed: int) -> list[str]:
    """Instructions of the pool, drawn for this passage."""
    distinct = sorted(set(pool.get(document.language, [])))
    return sorted(distinct, key=lambda text: number(seed, METHOD, document.id, text))[:count]


async def rows(document: Document, examples: list[str], asked: Asked, seed: int, ask: Ask) -> list[Tried]:
    passage, kinds = source_of(document), asked.kinds.get(document.language) or [""]
    given = await ask(
        "1-instructions",
        Instructions(instructions=some_questions(asked.instructions)),
        passage=passage,
        kind=pick(kinds, seed, METHOD, "kind", document.id),
        examples="\n".join(f"- {' '.join(example.split())}" for example in examples),
        count=str(asked.instructions),
    )
    distinct = list(dict.fromkeys(text.strip() for text in given.said.instructions))[: asked.instructions]
    if not distinct:
        return [ask.drop("no_question", prompt_hash=given.prompt_hash)]
    return await ask.each(answered(text, passage, False, ask) for text in distinct)
