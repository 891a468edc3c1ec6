"""Terms and what they mean, from sentences of documents that define them: 是指, 指的是, "means", "is defined as".

The answer is the sentence as it is, from the term on. A term that its document defines twice is left out.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.generate.provenance import Left, exchange, provenance, unheard
from lingyu.generate.rules.taught import Taught
from lingyu.generate.stable_choice import picks
from lingyu.generate.wordings import Phrases, Wordings, blanks
from lingyu.records import Dialogue, Document, Language
from lingyu.stage import StageParams
from lingyu.text.legal import ARTICLE, ITEM_HEAD
from lingyu.text.sentences import BARE

METHOD = "definition"
DEFINE, NAME = "define", "name"

# What may precede the term: the number of an item or an article, 本条例所称.
LEAD = re.compile(
    rf"(?:{ARTICLE}[\s\u3000]*)?(?:其中，)?(?:本[^，。、]{{1,8}}?(?:所称|所指|所规定)的?|所谓的?|前款所称的?)?"
    r"|(?:In th(?:is|ese) \w+,? )?"
)
TERM: dict[Language, re.Pattern[str]] = {
    "zh": re.compile(
        r"(?P<term>[“‘「]?[^\s，。；：、？！“”‘’「」的是不应]{1,24}?(?:的[^\s，。；：、？！“”的是不应]{1,12}?)?[”’」]?)"
        r"(?:，\s*(?:是指|系指|指的是|指)|(?:是指|系指|指的是))(?P<body>[^：:]{4,})"
    ),
    "en": re.compile(
        r"(?P<term>(?:[Tt]he term )?[“\"]?[A-Za-z][\w/-]*(?: [\w/-]+){0,4}?[”\"]?) (?:means|refers to|is defined as|stands for) "
        r"(?P<body>[^:]{12,})"
    ),
}
# No terms: what points at something said before.
POINTING = re.compile(
    r"^(?:其|该|此|这|那|它|上述|前述|主要|一般|通常|就|也|都)|^(?:it|this|that|these|those|which|he|she|they|what)\b", re.IGNORECASE
)
ELSEWHERE = re.compile(r"前[款项条]|上述")
DETERMINER = re.compile(r"^(?:a|an|the) ", re.IGNORECASE)
CLOSING = "。；;. "


class Forms(Phrases):
    defined: Annotated[tuple[str, ...], blanks("t", "x")]
    named: Annotated[tuple[str, ...], blanks("t", "b")]
    untitled: Annotated[tuple[str, ...], blanks("x")]
    untitled_named: Annotated[tuple[str, ...], blanks("b")]
    end: str


WORDINGS = Wordings("definitions", Forms)


@dataclass(frozen=True)
class Definition:
    record: Document
    term: str
    body: str
    sentence: str  # from the term on, as the record has it, without its closing mark


class Params(StageParams):
    """Rows from the definitions in documents."""

    questions: NonNegativeInt = Field(0, description="Questions for each term about its meaning.")
    names: NonNegativeInt = Field(0, description="Questions for each meaning about its term.")
    max_asked_by: PositiveInt = Field(80, description="Characters of a meaning that a person could still quote.")


def make(params: Params, taught: Taught, left: Left) -> Iterator[Dialogue]:
    if params.questions or params.names:
        found = definitions_of(taught.documents, left)
        yield from instructions(found, params.questions, params.names, params.max_asked_by, taught.seed, left)


def definitions_of(documents: Iterable[Document], left: Left = unheard) -> list[Definition]:
    """The definitions in the documents, in their order; of the domain only, for general text is not what is taught."""
    found = []
    for record in documents:
        of_record = list(sentences_that_define(record)) if record.scope == "domain" else []
        if not of_record:
            left(record, "defines nothing" if record.scope == "domain" else "general text")
        found += of_record
    times = Counter((one.record.title, one.term) for one in found)
    for one in found:
        if times[one.record.title, one.term] > 1:
            left(one.record, "its document defines the term twice")
    return [one for one in found if times[one.record.title, one.term] == 1]


def sentences_that_define(record: Document) -> Iterator[Definition]:
    for sentence in BARE.findall(record.text):
        bare = ITEM_HEAD.sub("", sentence.strip())
        lead = LEAD.match(bare)
        bare = bare[lead.end() :] if lead else bare
        match = TERM[record.language].match(bare)
        if match is None or match.end() != len(bare) or POINTING.match(match["term"]) or ELSEWHERE.search(bare):
            continue
        term = DETERMINER.sub("", re.sub(r"^the term ", "", match["term"], flags=re.IGNORECASE)).strip("“”‘’「」\"'")
        yield Definition(record, term, match["body"].rstrip(CLOSING), bare.rstrip(CLOSING))


def instructions(
    found: Iterable[Definition], questions: int, names: int, longest: int, seed: int, left: Left = unheard
) -> Iterator[Dialogue]:
    """For each definition `questions` that give the term and, where what it means is no longer than `longest`, `names` that give that."""
    for one in found:
        words, title = WORDINGS[one.record.language], one.record.title.strip("《》 ")
        forms = words.defined if title else words.untitled
        for form in picks(questions, len(forms), seed, DEFINE, one.record.id, one.term):
            yield instruction(one, DEFINE, forms[form].format(t=title, x=one.term), one.sentence + words.end)
        if names and len(one.body) > longest:
            left(one.record, "what the term means is too long to ask by")
            continue
        forms = words.named if title else words.untitled_named
        for form in picks(names, len(forms), seed, NAME, one.record.id, one.term):
            yield instruction(one, NAME, forms[form].format(t=title, b=one.body), one.term + words.end)


def instruction(one: Definition, task: str, asked: str, answer: str) -> Dialogue:
    return Dialogue(**provenance(one.record, method=METHOD, task=task, asked=asked), messages=exchange(asked, answer))
