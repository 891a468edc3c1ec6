"""Entity-centred self-instruction: all that the knowledge says of one entity, and tasks of several kinds about it."""

from collections import defaultdict
from functools import partial

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.generate.llm.checks import Candidate
from lingyu.generate.llm.client import Answer
from lingyu.generate.llm.method import Ask, Learn, Teaching, Tried
from lingyu.generate.stable_choice import picks, shuffled
from lingyu.generate.wordings import Phrases, Wordings
from lingyu.records import Fact, Language
from lingyu.retrieve.chunks import sentence_of
from lingyu.stage import StageParams

METHOD, TASK = "entity", "entity"
PROMPTS = ("1-items",)


class Forms(Phrases):
    kinds: tuple[str, ...]


WORDINGS = Wordings("entity", Forms)


class Asked(StageParams):
    """Tasks about entities of the knowledge graph."""

    records: NonNegativeInt = Field(0, description="Entities to ask about; 0 switches the method off.")
    kinds: PositiveInt = Field(5, description="Kinds of tasks for each.")


class Item(Answer):
    question: str
    answer: str


class Items(Answer):
    items: list[Item]


async def make(learn: Learn, asked: Asked, teaching: Teaching) -> None:
    by_entity: dict[tuple[Language, str], list[Fact]] = defaultdict(list)
    for fact in learn.facts:
        by_entity[fact.language, fact.entity].append(fact)
    first = shuffled((facts[0] for facts in by_entity.values()), learn.seed, METHOD)[: asked.records]
    works = ((fact, partial(rows, by_entity[fact.language, fact.entity], asked, learn.seed)) for fact in first)
    await teaching.each(METHOD, works)


async def rows(facts: list[Fact], asked: Asked, seed: int, ask: Ask) -> list[Tried]:
    fact, sentences = facts[0], [sentence_of(fact) for fact in facts]
    known = WORDINGS[fact.language].kinds
    kinds = [known[kind] for kind in picks(asked.kinds, len(known), seed, METHOD, fact.id)]
    like = Items(items=[Item(question="这个对象的这一项内容是什么？", answer="按记录，这一项的内容是这样，另一项是那样。")] * len(kinds))
    listed = "\n".join(f"{number}. {kind}" for number, kind in enumerate(kinds, start=1))
    given = await ask("1-items", like, entity=fact.entity, records="\n".join(sentences), kinds=listed)
    if not given.said.items:
        return [ask.drop("no_question", prompt_hash=given.prompt_hash)]
    others = [other.id for other in facts[1:]]
    return [
        Candidate(
            ask.dialogue(given, [(item.question, item.answer)], task=TASK, references=others),
            [*sentences, item.question],  # the question may hold a statement to judge, or a wrong note
            source_words=False,
            new_question=True,
        )
        for item in given.said.items[: asked.kinds]
    ]
