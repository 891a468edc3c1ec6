"""The methods without a model that params.yaml turns on by a count or a share, put together; and why they leave what they leave."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from lingyu.generate.provenance import Left
from lingyu.generate.rules import definitions, exams, keywords, retrieval, situations, turns, weak
from lingyu.generate.rules.articles import Article
from lingyu.generate.rules.weak import Signal
from lingyu.ledger import Ledger
from lingyu.records import TABLES, Dialogue, Document, Exam, Fact, Label, Row
from lingyu.stage import StageParams

Share = Annotated[float, Field(ge=0, le=1)]


class ExamParams(StageParams):
    """Rows from exam items."""

    choices: NonNegativeInt = Field(2, description="Rows that ask the whole item, its options in another order the second time.")
    judgements: NonNegativeInt = Field(2, description="Rows that ask whether one option is right, with the reason.")


class RetrievalParams(StageParams):
    """Questions with retrieved passages before them, for package.context_prompt: before."""

    a_fact: NonNegativeInt = Field(0, description="Questions for each fact.")
    an_article: NonNegativeInt = Field(0, description="Questions for each article.")
    dialogues: Share = Field(0.0, description="Share of the given dialogues that refer to their records.")
    passages: PositiveInt = Field(3, description="Passages before a question, as index has it: the service will send the same.")
    unanswerable: Share = Field(
        0.2,
        description="Share without the right passage, whose answer is that the documents do not say. With more, a model learns to refuse.",
    )
    max_characters: PositiveInt = Field(240, description="Characters of a passage, as index has it.")
    k1: PositiveFloat = Field(1.5, description="Of BM25, as index has it.")
    b: Share = Field(0.75, description="Of BM25, as index has it.")


class DefinitionParams(StageParams):
    """Rows from the definitions in documents."""

    questions: NonNegativeInt = Field(0, description="Questions for each term about its meaning.")
    names: NonNegativeInt = Field(0, description="Questions for each meaning about its term.")
    max_asked_by: PositiveInt = Field(80, description="Characters of a meaning that a person could still quote.")


class SituationParams(StageParams):
    """Rows about situations that articles decide."""

    questions: NonNegativeInt = Field(0, description="Wordings of each situation that an article decides.")
    basis: NonNegativeInt = Field(0, description="Wordings that ask for the articles behind a given answer, where they are known.")


class KeywordParams(StageParams):
    """Rows that ask for search keywords."""

    a_fact: NonNegativeInt = Field(0, description="Questions for each fact.")
    documents: Share = Field(0.0, description="Share of the documents.")
    dialogues: Share = Field(0.0, description="Share of the given dialogues.")
    most: PositiveInt = Field(6, description="Keywords that a person would type into a search at most; neighbours are joined.")


class TurnParams(StageParams):
    """Dialogues of several turns."""

    an_entity: NonNegativeInt = Field(0, description="Dialogues for each entity with two facts or more.")
    an_article: NonNegativeInt = Field(0, description="Dialogues for each article.")
    most: PositiveInt = Field(3, ge=2, description="Questions in one; people rarely ask a fourth about one thing.")


class Methods(StageParams):
    """Methods without a model. Most are off: the tiny model would spend its few steps on many kinds of rows and know its facts less well.
    docs/generation.md shows what each makes of which records."""

    exams: ExamParams = Field(ExamParams(), description="Rows from exam items.")
    retrieval: RetrievalParams = Field(RetrievalParams(), description="Questions with retrieved passages before them.")
    definitions: DefinitionParams = Field(DefinitionParams(), description="Rows from the definitions in documents.")
    situations: SituationParams = Field(SituationParams(), description="Rows about situations that articles decide.")
    keywords: KeywordParams = Field(KeywordParams(), description="Rows that ask for search keywords.")
    turns: TurnParams = Field(TurnParams(), description="Dialogues of several turns.")
    weak: list[Signal] = Field([], description="Signals that give a class without a person; docs/generation.md has an example.")
    skills: Share = Field(
        0.0,
        description="Share of the instructions under a system message that names the kind of task; below 1, so that a model works without.",
    )


class Reasons:
    """Why methods left records, or parts of them: counted by method, table and source for the ledger."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str, str]] = Counter()

    def of(self, method: str) -> Left:
        def left(record: Row, reason: str) -> None:
            table = next(name for name, row_type in TABLES.items() if isinstance(record, row_type))
            self._counts[table, record.source, method, reason] += 1

        return left

    def count(self, ledger: Ledger) -> None:
        for (table, source, method, reason), count in self._counts.items():
            ledger.changed(table, source, f"{method}: {reason}", count)


@dataclass(frozen=True)
class Taught:
    """The records of the training part that may be asked about: without what is kept for the test."""

    documents: list[Document]
    facts: list[Fact]
    dialogues: list[Dialogue]
    labels: list[Label]
    exams: list[Exam]
    articles: list[Article]


def more_instructions(
    methods: Methods, taught: Taught, shots: list[int], max_example_chars: int, seed: int, reasons: Reasons
) -> Iterator[Dialogue]:
    """What each method makes, none that is left at 0. shots, max_example_chars: as classify has them, for weak labels."""
    of_exams, of_terms, of_cases, of_turns = methods.exams, methods.definitions, methods.situations, methods.turns
    if of_exams.choices or of_exams.judgements:
        yield from exams.instructions(taught.exams, of_exams.choices, of_exams.judgements, seed, reasons.of(exams.METHOD))
    yield from retrieved(methods.retrieval, taught, seed, reasons.of(retrieval.METHOD))
    if of_terms.questions or of_terms.names:
        left = reasons.of(definitions.METHOD)
        found = definitions.definitions_of(taught.documents, left)
        yield from definitions.instructions(found, of_terms.questions, of_terms.names, of_terms.max_asked_by, seed, left)
    yield from situations.instructions(taught.articles, of_cases.questions, seed, reasons.of(situations.METHOD))
    yield from situations.basis(taught.dialogues, taught.articles, of_cases.basis, seed, reasons.of(situations.METHOD))
    yield from searched_for(methods.keywords, taught, seed, reasons.of(keywords.METHOD))
    if of_turns.an_entity:
        yield from turns.of_facts(taught.facts, of_turns.an_entity, of_turns.most, seed, reasons.of(turns.METHOD))
    if of_turns.an_article:
        yield from turns.of_articles(taught.articles, of_turns.an_article, seed, reasons.of(turns.METHOD))
    for signal in methods.weak:
        labels = weak.labelled(signal, [*taught.documents, *taught.dialogues, *taught.labels], reasons.of(weak.METHOD))
        yield from weak.instructions(signal, labels, shots, max_example_chars, seed)


def retrieved(of: RetrievalParams, taught: Taught, seed: int, left: Left) -> Iterator[Dialogue]:
    """Questions with passages. The search is built only where something is asked of it."""
    if of.a_fact or of.an_article or of.dialogues:
        shelf = retrieval.Shelf(taught.documents, taught.facts, of.max_characters, of.k1, of.b)
        asked = [
            *retrieval.of_facts(taught.facts, of.a_fact, seed),
            *retrieval.of_articles(taught.articles, of.an_article, seed),
            *retrieval.of_dialogues(taught.dialogues, taught.articles, of.dialogues, seed, left),
        ]
        yield from retrieval.instructions(asked, shelf, of.passages, of.unanswerable, seed, left)


def searched_for(of: KeywordParams, taught: Taught, seed: int, left: Left) -> Iterator[Dialogue]:
    yield from keywords.from_facts(taught.facts, of.a_fact, seed)
    if of.documents or of.dialogues:
        documents = [row for row in taught.documents if row.scope == "domain"]
        texts = [*(row.text for row in documents), *(row.messages[0].content for row in taught.dialogues if row.scope == "domain")]
        headings = {heading for row in documents for heading in (row.title, row.section)}
        words = keywords.Words(texts, headings, {name for fact in taught.facts for name in (fact.entity, fact.relation)})
        yield from keywords.from_documents(documents, of.documents, words, of.most, seed, left)
        yield from keywords.from_dialogues(taught.dialogues, of.dialogues, words, of.most, seed, left)
