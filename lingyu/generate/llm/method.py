"""What a method with a teacher works with: it says what is to be made of which record, and gets back the rows that passed.

Records are worked on concurrently; rows, drops and exchanges are kept in the order of the records, whatever the order of the answers.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lingyu.files import short_hash
from lingyu.generate.llm.checks import Candidate, Limits, Seen, answers_of, finding, ground_of, questions_of
from lingyu.generate.llm.client import A, Given, Stopped, Teacher, Unusable
from lingyu.generate.provenance import provenance
from lingyu.records import Dialogue, Document, Fact, Label, Message, Preference, Row, headed
from lingyu.stage import StageError
from lingyu.text.legal import cited
from lingyu.text.normalise import key

T = TypeVar("T")

AHEAD = 2  # records under way for each request that may be: one is asked about while another is checked


@dataclass(frozen=True)
class Learn:
    """What may be shown to a teacher: the training part's rows of the domain, without what is kept for the test."""

    documents: list[Document]
    facts: list[Fact]
    dialogues: list[Dialogue]
    labels: list[Label]
    seed: int


@dataclass(frozen=True)
class Drop:
    """What was asked about and made no row: the reason, the piece of text that shows it, and the row if there was one."""

    record: Row
    method: str
    reason: str
    evidence: str = ""
    prompt_hash: str = ""
    row: Dialogue | Preference | None = None


Tried = Candidate | Drop
Making = Callable[["Ask"], Coroutine[Any, Any, list[Tried]]]


@dataclass
class Ask:
    """Asks the teacher about one record."""

    teacher: Teacher
    record: Row
    method: str
    used: set[tuple[str, int, str]] = field(default_factory=set)  # step, variant, id of each exchange
    guessed: bool = False  # an answer was made up, to count what is missing

    async def __call__(self, step: str, like: A, *, variant: int = 0, judge: bool = False, method: str = "", **fields: str) -> Given[A]:
        """The answer to prompts/<method>/<step> in the shape of `like`, which is as long as answers are.

        method: whose prompt it is, if another's; judge: not sampled.
        """
        prompt = f"{method or self.method}/{step}"
        try:
            given = await self.teacher.ask(prompt, self.record.language, like, fields, variant=variant, judge=judge)
        except Unusable as error:
            self.used.add((step, variant, error.prompt_hash))
            raise
        self.used.add((step, variant, given.prompt_hash))
        self.guessed |= not given.recorded
        return given

    async def each(self, tries: Iterable[Coroutine[Any, Any, list[Tried]]]) -> list[Tried]:
        """Several tries side by side; one that fails is a drop, and the others go on."""
        return [tried for several in await together(self.one(attempt) for attempt in tries) for tried in several]

    async def one(self, attempt: Coroutine[Any, Any, list[Tried]]) -> list[Tried]:
        try:
            return await attempt
        except Unusable as error:
            return [self.drop(error.reason, error.said, error.prompt_hash)]

    def drop(self, reason: str, evidence: str = "", prompt_hash: str = "", row: Dialogue | Preference | None = None) -> Drop:
        return Drop(self.record, self.method, reason, evidence, prompt_hash, row)

    def dialogue(self, given: Given[Any], turns: Sequence[tuple[str, str]], *, task: str, references: Sequence[str] = ()) -> Dialogue:
        """A row of these turns, each what is asked and what is answered."""
        messages = [
            message
            for asked, answered in turns
            for message in (Message(role="user", content=asked.strip()), Message(role="assistant", content=answered.strip()))
        ]
        return Dialogue(**self.fields(given, task, [message.content for message in messages], references), messages=messages)

    def preference(
        self, given: Given[Any], messages: list[Message], chosen: str, rejected: str, *, task: str, references: Sequence[str] = ()
    ) -> Preference:
        fields = self.fields(given, task, [*(message.content for message in messages), chosen, rejected], references)
        return Preference(**fields, messages=messages, chosen=chosen.strip(), rejected=rejected.strip())

    def fields(self, given: Given[Any], task: str, said: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
        """What a row tells of itself. Its id changes with all that is said in it: a decision never passes on to another answer."""
        fields = provenance(self.record, method=self.method, task=task, asked=short_hash(*said), references=references)
        return fields | {"teacher": self.teacher.model, "prompt_hash": given.prompt_hash}


class Teaching:
    """One run of all methods."""

    def __init__(self, teacher: Teacher, limits: Limits, questions: Iterable[str], mentioned: Callable[[str], str], workers: int) -> None:
        """questions: those there are already. mentioned: the test item that a text mentions, "" for none."""
        self.teacher, self.limits = teacher, limits
        self.rows: list[Dialogue | Preference] = []
        self.drops: list[Drop] = []
        self.used: list[str] = []
        self.invented: Counter[tuple[str, str]] = Counter()  # citations by table and source
        self.asked: set[str] = set()  # ids of the records asked about
        self.begun: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self._mentioned, self._workers = mentioned, workers
        self._seen = Seen(limits.near)
        for question in questions:
            self._seen.near(question)

    async def each(self, method: str, works: Iterable[tuple[Row, Making]]) -> list[Dialogue | Preference]:
        """Do what is to be done about each record, and return the rows that passed the checks, in the order of the records."""
        work = list(works)
        self.begun[method] += len(work)
        results: list[tuple[Ask, list[Tried]] | None] = [None] * len(work)
        waiting = iter(range(len(work)))

        async def some() -> None:
            for place in waiting:
                record, making = work[place]
                ask = Ask(self.teacher, record, method)
                results[place] = ask, await ask.one(making(ask))
                self.ended[method] += 1

        try:
            await together(some() for _ in range(self._workers))
        except Stopped:
            raise self.teacher.fault or StageError("the teacher stopped") from None
        return [row for result in results if result for row in self._kept(*result)]

    def drop(self, record: Row, method: str, reason: str) -> None:
        """A record that is not asked about, since nothing could come of it."""
        self.drops.append(Drop(record, method, reason))
        self.asked.add(record.id)

    def passages(self, documents: Iterable[Document], method: str) -> Iterator[Document]:
        """The documents with enough text to ask about; the others are drops."""
        for document in documents:
            said = key(document.text)
            if len(said) < self.limits.min_passage:
                self.drop(document, method, "short_passage" if said else "empty_passage")
            else:
                yield document

    def _kept(self, ask: Ask, tries: list[Tried]) -> Iterator[Dialogue | Preference]:
        self.used += [id_ for *_, id_ in sorted(ask.used)]
        self.asked.add(ask.record.id)
        for tried in tries:
            if isinstance(tried, Drop):
                self.drops.append(tried)
            elif ask.guessed:
                yield tried.row
            elif drop := self._fault(ask, tried):
                self.drops.append(drop)
            else:
                self.rows.append(tried.row)
                yield tried.row

    def _fault(self, ask: Ask, tried: Candidate) -> Drop | None:
        row = tried.row
        sources = ground_of("\n".join(tried.sources)).articles
        self.invented[table_of(row), row.source] += sum(article not in sources for answer in answers_of(row) for article in cited(answer))
        if item := self._mentioned("\n".join([*questions_of(row), *answers_of(row)])):
            return Drop(ask.record, ask.method, "speaks_of_the_test", item, row.prompt_hash, row)
        found = finding(tried, self.limits, self._seen)
        return Drop(ask.record, ask.method, found.reason, found.evidence, row.prompt_hash, row) if found else None


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them return. An exception is raised once all have ended: requests under way are paid for, and counted."""
    found = await asyncio.gather(*coroutines, return_exceptions=True)
    for problem in found:
        if isinstance(problem, BaseException):
            raise problem
    return [one for one in found if not isinstance(one, BaseException)]


def table_of(row: Dialogue | Preference | None) -> str:
    return "preferences" if isinstance(row, Preference) else "instructions"


def source_of(document: Document) -> str:
    """A document as a source: with its headings, by which it is cited."""
    return headed(document.title, document.section, document.text)
