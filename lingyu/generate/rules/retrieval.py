"""Questions with passages, in the very form of professional mode: the right passage is among others that its search finds, too.

Some rows have only the others, and the answer is that the passages do not say. Only where that is certain: for facts and
articles it is known which passage has the answer; for what people asked, nobody knows which other passage helps.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.generate.provenance import Left, exchange, provenance, unheard
from lingyu.generate.rules import articles, knowledge, situations
from lingyu.generate.rules.articles import Article
from lingyu.generate.rules.taught import Share, Taught
from lingyu.generate.stable_choice import number
from lingyu.records import Dialogue, Document, Fact, Row
from lingyu.retrieve.chunks import Chunk, chunk_of_fact, chunks_of_document
from lingyu.retrieve.index import Knowledge, build
from lingyu.retrieve.prompt import NOTHING_FOUND, is_chinese, passage_text, with_passages
from lingyu.retrieve.retrievers import Choice
from lingyu.stage import StageParams

METHOD = TASK = "retrieval"


class Params(StageParams):
    """Questions with retrieved passages before them, for package.context_prompt: before."""

    renamed: ClassVar = {"k1": "retriever.options.k1", "b": "retriever.options.b"}

    a_fact: NonNegativeInt = Field(0, description="Questions for each fact.")
    an_article: NonNegativeInt = Field(0, description="Questions for each article.")
    dialogues: Share = Field(0.0, description="Share of the given dialogues that refer to their records.")
    passages: PositiveInt = Field(3, description="Passages before a question, as index has it: the service will send the same.")
    unanswerable: Share = Field(
        0.2,
        description="Share without the right passage, whose answer is that the documents do not say. With more, a model learns to refuse.",
    )
    max_characters: PositiveInt = Field(240, description="Characters of a passage, as index has it.")
    retriever: Choice = Field(
        Choice(name="bm25"),
        description="How the other passages are found: by words, in a millisecond. hybrid would embed every passage of the training part.",
    )


def make(params: Params, taught: Taught, left: Left) -> Iterator[Dialogue]:
    """The search is built only where something is asked of it."""
    if params.a_fact or params.an_article or params.dialogues:
        shelf = Shelf(taught.documents, taught.facts, params.max_characters, params.retriever)
        asked = [
            *of_facts(taught.facts, params.a_fact, taught.seed),
            *of_articles(taught.articles, params.an_article, taught.seed),
            *of_dialogues(taught.dialogues, taught.articles, params.dialogues, taught.seed, left),
        ]
        yield from instructions(asked, shelf, params.passages, params.unanswerable, taught.seed, left)


@dataclass(frozen=True)
class Asked:
    """A question and its answer; `tells`: words that together give the answer away, none where that is not known."""

    record: Row
    question: str
    answer: str
    references: tuple[str, ...]  # the rows that have the answer
    whole: bool  # all passages of them are needed, not only one that tells
    tells: tuple[str, ...]


class Shelf:
    """The passages of the records, found as professional mode finds them."""

    def __init__(self, documents: Iterable[Document], known: Iterable[Fact], max_characters: int, retriever: Choice) -> None:
        self._of_record: dict[str, list[Chunk]] = {}
        self._record: dict[str, str] = {}
        for document in documents:
            if document.scope == "domain":
                self._put(document.id, list(chunks_of_document(document, max_characters)))
        for fact in known:
            if fact.scope == "domain":
                self._put(fact.id, [chunk_of_fact(fact)])
        self.chunks = [chunk for chunks in self._of_record.values() for chunk in chunks]
        with tempfile.TemporaryDirectory() as folder:
            build(self.chunks, Path(folder), retriever)
            self._knowledge = Knowledge(Path(folder))

    def _put(self, record: str, chunks: list[Chunk]) -> None:
        self._of_record[record] = chunks
        self._record.update((chunk.id, record) for chunk in chunks)

    def has(self, asked: Asked) -> bool:
        return all(record in self._of_record for record in asked.references)

    def right(self, asked: Asked, most: int) -> list[Chunk]:
        """The passages that the answer rests on; nothing where they are more than `most`, or a record has none."""
        if not self.has(asked):
            return []
        chunks = [chunk for record in asked.references for chunk in self._of_record[record]]
        found = chunks if asked.whole else [chunk for chunk in chunks if holds(chunk, asked.tells)][:1]
        return found if len(found) <= most else []

    def others(self, asked: Asked, count: int, key: object) -> list[Chunk]:
        """`count` passages that do not answer: the best of the search, and where it has no more, any."""
        searched = [hit.chunk for hit in self._knowledge.search(asked.question, 4 * count + 8)]
        found: dict[str, Chunk] = {}
        for chunk in [*searched, *self._drawn(count, key)]:
            if len(found) < count and self._record[chunk.id] not in asked.references and not (asked.tells and holds(chunk, asked.tells)):
                found.setdefault(chunk.text, chunk)
        return list(found.values())

    def _drawn(self, count: int, key: object) -> Iterator[Chunk]:
        for draw in range(4 * count if self.chunks else 0):
            yield self.chunks[number("passage", key, draw) % len(self.chunks)]


def holds(chunk: Chunk, tells: Iterable[str]) -> bool:
    text = squeezed(passage_text(chunk))
    return all(squeezed(word) in text for word in tells)


def squeezed(text: str) -> str:
    return "".join(text.split())


def of_facts(known: Iterable[Fact], count: int, seed: int) -> Iterator[Asked]:
    for fact in known:
        for asked in knowledge.training_questions(fact, count, seed):
            yield Asked(fact, asked, knowledge.answer(fact), (fact.id,), False, (fact.entity, fact.values[0]))


def of_articles(found: Iterable[Article], count: int, seed: int) -> Iterator[Asked]:
    """Which article says it, and what an article says, by turns."""
    for article in found:
        rows = (article.record.id, *article.references)
        made = list(articles.instructions([article], count, count, seed))
        for row in sorted(made, key=lambda row: (number(seed, METHOD, row.id), row.id))[:count]:
            asked, recalled = row.messages[0].content, row.task == articles.RECALL
            tells = (article.title, article.number) if recalled else (next(quote for quote in article.quotes if quote in asked),)
            yield Asked(article.record, asked, row.messages[1].content, rows, recalled, tells)


def of_dialogues(dialogues: Iterable[Dialogue], found: Iterable[Article], share: float, seed: int, left: Left = unheard) -> Iterator[Asked]:
    """People's questions, those of one turn, with the records that the given answer rests on.

    An answer that cites an article that no passage will show would teach to invent citations.
    """
    by_row = situations.by_row(found)
    for row in dialogues:
        if row.references and len(row.messages) == 2 and number(seed, METHOD, row.id) < share * 2**64:
            if situations.strange(row, situations.referred(row, by_row)):
                left(row, situations.UNKNOWN)
            else:
                yield Asked(row, row.messages[0].content, row.messages[1].content, tuple(row.references), True, ())


def instructions(
    asked: Iterable[Asked], shelf: Shelf, passages: int, unanswerable: float, seed: int, left: Left = unheard
) -> Iterator[Dialogue]:
    """Each question with `passages` passages in an order of its own; of those that can be, a share `unanswerable` lacks the right one."""
    for one in asked:
        right = shelf.right(one, passages)
        if not right:
            left(one.record, "its passages are more than fit" if shelf.has(one) else "its records are not in the training part")
            continue
        without = bool(one.tells) and number(seed, "unanswerable", one.record.id, one.question) < unanswerable * 2**64
        shown = [] if without else right
        shown = [*shown, *shelf.others(one, passages - len(shown), one.question)]
        if len(shown) == len(right) and not without and passages > len(right):
            left(one.record, "no other passage to set beside")
            continue
        if not shown:
            left(one.record, "no passage that does not answer")
            continue
        shown.sort(key=lambda chunk: number(seed, "place", one.question, chunk.id))
        prompt = with_passages(one.question, shown)
        answer = NOTHING_FOUND[is_chinese(one.question)] if without else one.answer
        references = [] if without else [record for record in one.references if record != one.record.id]
        fields = provenance(one.record, method=METHOD, task=TASK, asked=prompt, references=references)
        yield Dialogue(**fields, messages=exchange(prompt, answer))
