"""Facts in words: statements to pretrain on, questions to train on, and other questions and statements to test with.

A small model learns a fact from many shapes of it, and a test only shows that it was learnt when the test's
wording was never trained on. So each use has wordings of its own; tests/test_teach.py holds them apart. All of them
leave entity, relation and value as the graph gives them: what is said is right because the graph is.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Annotated

from lingyu.files import short_hash
from lingyu.generate.stable_choice import number, picks
from lingyu.generate.wordings import Phrases, Wordings, blanks
from lingyu.records import Document, Fact

Stated = Annotated[tuple[str, ...], blanks("e", "r", "v")]
Asked = Annotated[tuple[str, ...], blanks("e", "r")]
Plain = Annotated[tuple[str, ...], blanks()]


class Forms(Phrases):
    answer: Annotated[str, blanks("v")]
    between_values: str
    statements: Stated
    dev_statements: Stated
    test_statements: Stated
    prefixes: Plain
    cores: Asked
    suffixes: Plain
    dev_questions: Asked
    test_questions: Asked


WORDINGS = Wordings("knowledge", Forms)


def statements(fact: Fact, count: int, seed: int) -> list[str]:
    """The fact in `count` of the wordings for pretraining, or in all of them when there are no more."""
    forms = WORDINGS[fact.language].statements
    return [in_words(forms[form], fact) for form in picks(count, len(forms), seed, "statement", fact.id)]


def dev_statements(fact: Fact) -> list[str]:
    return [in_words(form, fact) for form in WORDINGS[fact.language].dev_statements]


def test_statements(fact: Fact) -> list[str]:
    return [in_words(form, fact) for form in WORDINGS[fact.language].test_statements]


def training_questions(fact: Fact, count: int, seed: int) -> list[str]:
    """`count` different questions for the fact, each a prefix, a core and a suffix."""
    words = WORDINGS[fact.language]
    questions = []
    for choice in picks(count, len(words.prefixes) * len(words.cores) * len(words.suffixes), seed, "question", fact.id):
        rest, suffix = divmod(choice, len(words.suffixes))
        prefix, core = divmod(rest, len(words.cores))
        questions.append(in_words(words.prefixes[prefix] + words.cores[core] + words.suffixes[suffix], fact))
    return questions


def dev_questions(fact: Fact) -> list[str]:
    return [in_words(form, fact) for form in WORDINGS[fact.language].dev_questions]


def test_questions(fact: Fact) -> list[str]:
    return [in_words(form, fact) for form in WORDINGS[fact.language].test_questions]


def answer(fact: Fact, value: str | None = None) -> str:
    """The fact in one sentence; with a value, the same sentence about that value, true or not."""
    return in_words(WORDINGS[fact.language].answer, fact, value)


def in_words(form: str, fact: Fact, value: str | None = None) -> str:
    return form.format(e=fact.entity, r=fact.relation, v=value_of(fact) if value is None else value)


def value_of(fact: Fact) -> str:
    """The values as one phrase, without the full stop that the sentence brings itself."""
    return WORDINGS[fact.language].between_values.join(value.strip().rstrip("。.") for value in fact.values)


def other_values(facts: Iterable[Fact]) -> dict[str, list[str]]:
    """For each fact, by id: the values that its relation has with other entities and not with this one, in an order by hash."""
    facts = list(facts)
    values: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    right: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for fact in facts:
        values[fact.language, fact.kind, fact.relation].add(value_of(fact))
        right[fact.language, fact.entity, fact.relation] |= {value_of(fact), *fact.values}
    others = {}
    for fact in facts:
        own = right[fact.language, fact.entity, fact.relation]
        candidates = values[fact.language, fact.kind, fact.relation] - own
        others[fact.id] = sorted(candidates, key=lambda value: (number(fact.id, value), value))
    return others


def statement_documents(spoken: Iterable[tuple[Fact, list[str]]], size: int, seed: int) -> Iterator[Document]:
    """Documents of up to `size` statements, one a line, no two of them about the same entity.

    With all facts of an entity in one document a model learns to copy from a line above instead of to remember.
    """
    shelves: dict[tuple[str, str, str, str], dict[str, list[tuple[int, Fact, str]]]] = defaultdict(lambda: defaultdict(list))
    for fact, texts in spoken:
        shelf = shelves[fact.source, fact.licence, fact.scope, fact.language][fact.entity]
        shelf.extend((number(seed, "order", fact.id, text), fact, text) for text in texts)
    for shelf_of in shelves.values():
        # A round takes one statement of every entity, so that a document cut out of a round never meets one twice.
        for round_ in zip_longest(*(sorted(lines, key=lambda line: (line[0], line[2])) for lines in shelf_of.values())):
            lines = sorted((line for line in round_ if line), key=lambda line: (line[0], line[2]))
            for start in range(0, len(lines), size):
                yield document_of([(fact, text) for _, fact, text in lines[start : start + size]])


def document_of(lines: list[tuple[Fact, str]]) -> Document:
    first, text = lines[0][0], "\n".join(text for _, text in lines)
    return Document(
        id=short_hash("statements", first.source, *(fact.id for fact, _ in lines), text),
        source=first.source,
        place="; ".join(dict.fromkeys(fact.place for fact, _ in lines)),
        licence=first.licence,
        scope=first.scope,
        language=first.language,
        title="",
        section="",
        text=text,
    )


class Mentions:
    """Finds of which facts a text names the entity, and the relation or a value beside it."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._by_entity: dict[str, list[Fact]] = defaultdict(list)
        for fact in facts:
            self._by_entity[fact.entity.casefold()].append(fact)
        self._by_start: dict[str, list[str]] = defaultdict(list)
        for entity in self._by_entity:
            self._by_start[entity[:2]].append(entity)

    def first(self, text: str) -> str:
        """Entity and relation of the first fact that the text mentions, "" where it mentions none."""
        return next((f"{fact.entity} {fact.relation}" for fact in self.of(text)), "")

    def of(self, text: str) -> list[Fact]:
        text = text.casefold()
        entities = {
            entity
            for place in range(len(text))
            for entity in self._by_start.get(text[place : place + 2], ())
            if text.startswith(entity, place)
        }
        return [
            fact
            for entity in sorted(entities)
            for fact in self._by_entity[entity]
            if any(word.casefold() in text for word in (fact.relation, *fact.values))
        ]


def mentioned(facts: Iterable[Fact], texts: Iterable[str]) -> set[str]:
    """The ids of the facts that some text mentions."""
    mentions = Mentions(facts)
    return {fact.id for text in texts for fact in mentions.of(text)}
