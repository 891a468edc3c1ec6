"""Dialogues of several turns, by rules: questions about one entity, or one article, one after another.

Only the first question names what is spoken of; the later ones lean on it, as people's do. Every answer is the record's own.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.generate.provenance import Left, exchange, provenance, unheard
from lingyu.generate.rules import articles, knowledge
from lingyu.generate.rules.articles import Article
from lingyu.generate.rules.taught import Taught
from lingyu.generate.stable_choice import number, pick, picks
from lingyu.generate.wordings import Phrases, Wordings, blanks
from lingyu.records import Dialogue, Fact, Message, Row
from lingyu.stage import StageParams

METHOD = TASK = "turns"

# A quotation of so much of an article leaves nothing to ask the whole of.
MOST_OF_IT = 0.7


class Forms(Phrases):
    then: Annotated[tuple[str, ...], blanks("r")]
    whole: tuple[str, ...]
    chapter: tuple[str, ...]
    under: Annotated[str, blanks("c")]


WORDINGS = Wordings("turns", Forms)


class Params(StageParams):
    """Dialogues of several turns."""

    an_entity: NonNegativeInt = Field(0, description="Dialogues for each entity with two facts or more.")
    an_article: NonNegativeInt = Field(0, description="Dialogues for each article.")
    most: PositiveInt = Field(3, ge=2, description="Questions in one; people rarely ask a fourth about one thing.")


def make(params: Params, taught: Taught, left: Left) -> Iterator[Dialogue]:
    if params.an_entity:
        yield from of_facts(taught.facts, params.an_entity, params.most, taught.seed, left)
    if params.an_article:
        yield from of_articles(taught.articles, params.an_article, taught.seed, left)


def of_facts(facts: Iterable[Fact], dialogues: int, turns: int, seed: int, left: Left = unheard) -> Iterator[Dialogue]:
    """At most `dialogues` dialogues an entity, of two to `turns` of its relations each, in an order of their own."""
    entities: dict[tuple[str, str, str, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        entities[fact.source, fact.licence, fact.language, fact.entity].append(fact)
    for about in entities.values():
        if len(about) < 2:
            left(about[0], "nothing else is known of its entity")
            continue
        for turn in range(dialogues):
            order = sorted(about, key=lambda fact: (number(seed, METHOD, turn, fact.id), fact.id))[: max(2, turns)]
            first, *others = order
            (opening,) = knowledge.training_questions(first, 1, number(seed, METHOD, turn))
            forms = WORDINGS[first.language].then
            said = [(opening, knowledge.answer(first))]
            for fact, form in zip(others, cycled(len(others), len(forms), seed, turn, first.id), strict=True):
                said.append((forms[form].format(r=fact.relation), knowledge.answer(fact)))
            yield dialogue(first, said, [fact.id for fact in others])


def cycled(count: int, below: int, *key: object) -> list[int]:
    """`count` numbers under `below`, none again before all have come."""
    order = list(picks(below, below, *key))
    return [order[place % below] for place in range(count)]


def of_articles(found: Iterable[Article], dialogues: int, seed: int, left: Left = unheard) -> Iterator[Dialogue]:
    """Which article a quotation is from, what else it says, under which heading; at most `dialogues` an article, by different quotes."""
    for article in found:
        language, said_before = article.record.language, article.record.section.split(" / ")[:-1]
        words = WORDINGS[language]
        later, whole = [], []
        if article.short:
            whole.append((pick(words.whole, seed, "whole", article.record.id), articles.answer(article, articles.RECALL)))
        if said_before:
            later.append((pick(words.chapter, seed, "chapter", article.record.id), words.under.format(c=said_before[-1])))
        if not (later or whole) or not article.quotes:
            left(article.record, "nothing to ask after its number")
            continue
        forms = articles.WORDINGS[language].train[articles.CITE]
        for quote, form in articles.quotations(article, forms, dialogues, seed, METHOD):
            first = (articles.in_words(form, article, quote), articles.answer(article, articles.CITE))
            whole_quoted = len(quote) >= MOST_OF_IT * len(article.text)
            if later or not whole_quoted:
                yield dialogue(article.record, [first, *([] if whole_quoted else whole), *later], article.references)


def dialogue(record: Row, said: list[tuple[str, str]], references: Iterable[str]) -> Dialogue:
    messages: list[Message] = [message for question, answer in said for message in exchange(question, answer)]
    asked = "\n".join(question for question, _ in said)
    fields: dict[str, Any] = provenance(record, method=METHOD, task=TASK, asked=asked, references=list(references))
    return Dialogue(**fields, messages=messages)
