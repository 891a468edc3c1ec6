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
from lingyu.text.legal import ARTICLE, ITEM_HEAD, bare_title
from lingyu.text.sentences import BARE

METHOD = "definition"
DEFINE, NAME = "define", "name"

# What may precede the term: the number of an item or an article, 本条例所称.
LEAD = re.compile(
    rf"(?:{ARTICLE}[\s\u3000]*)?(?:其中，)?(?:本[^，。、]{{1,8}}?(?:所称|所指|所规定)的?|所谓的?|前款所称的?)?"
    r"|(?:In th(?:is|ese) \w+,? )?"
)
# 指 is part of other words: 指令, 指派, 指定. Behind 是 and 系 few of them can be meant, for 是指向公众提供… and 是指定期检查 define;
# behind a comma many.
OTHER_WORD = (
    r"导(?:性|思想|意见|原则|作用|下)|令(?![人牌])|定(?![期时量点额员向位制型价])|派|挥|示(?:灯|牌|标|器|性|符)"
    r"|标(?![准志识明牌线签记注])|南(?![方北])|纹"
)
OTHER_VERB = rf"{OTHER_WORD}|[导令定派挥示标南纹出明向使引责认控正证望点教着点]"
TERM: dict[Language, re.Pattern[str]] = {
    "zh": re.compile(
        r"(?P<term>[“‘「]?[^\s，。；：、？！“”‘’「」的是不应]{1,24}?(?:的[^\s，。；：、？！“”的是不应]{1,12}?)?[”’」]?)"
        rf"(?:，\s*(?:(?:是指|系指)(?!{OTHER_WORD})|指的是|(?P<bare>指)(?!{OTHER_VERB}))|(?:(?:是指|系指)(?!{OTHER_WORD})|指的是))"
        r"(?P<body>[^：:]{4,})"
    ),
    "en": re.compile(
        r"(?P<term>(?:[Tt]he term )?[“\"]?[A-Za-z][\w/-]*(?: [\w/-]+){0,4}?[”\"]?) "
        r"(?:means (?!of\b|to\b|for\b|by\b|that\b)|(?P<bare>refers to) |is defined as |stands for )(?P<body>[^:]{12,})"
    ),
}
# Words that no term ends or begins with: a condition (接到报警后，指…), the noun "means", a person who refers to something.
NO_TERM = re.compile(
    r"^(?:发现|接到|经|由|如|若|当|对|在|按照?|根据|依照|为了?)|[后时前中内外下上]$"
    r"|\b(?:by|any|all|no|some|other|such|these|those|what|which|and|or|the|an?|who|their|its|his|not)[”\"]?$",
    re.IGNORECASE,
)
NAMED = re.compile(r"^(?:the term |[“\"‘])", re.IGNORECASE)
IN_DEFINITIONS = re.compile(r"definition|interpretation|meaning|glossary|terms?\b", re.IGNORECASE)
A_KIND = re.compile(
    r"(?:an?|any|the) [\w-]+(?: [\w-]+){0,3} (?:that|which|who|whose|used|of|for|in|by|designed|intended|between)\b", re.IGNORECASE
)
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
        if (
            match is None
            or match.end() != len(bare)
            or POINTING.match(match["term"])
            or ELSEWHERE.search(bare)
            or not defines(match, record)
        ):
            continue
        term = DETERMINER.sub("", re.sub(r"^the term ", "", match["term"], flags=re.IGNORECASE)).strip("“”‘’「」\"'")
        yield Definition(record, term, match["body"].rstrip(CLOSING), bare.rstrip(CLOSING))


def defines(match: re.Match[str], record: Document) -> bool:
    """Whether the verb says what a term means; "refers to" does so only of a term that is named as one, or by the kind of thing it is."""
    term = match["term"]
    if match["bare"] is None:
        return record.language == "zh" or not NO_TERM.search(term)
    if record.language == "zh":
        return not NO_TERM.search(term)
    return bool(
        NAMED.match(term)
        or IN_DEFINITIONS.search(record.section)
        or (A_KIND.match(match["body"]) and not re.match("the ", match["body"], re.IGNORECASE))
    )


def instructions(
    found: Iterable[Definition], questions: int, names: int, longest: int, seed: int, left: Left = unheard
) -> Iterator[Dialogue]:
    """For each definition `questions` that give the term and, where what it means is no longer than `longest`, `names` that give that."""
    for one in found:
        words, title = WORDINGS[one.record.language], bare_title(one.record.title)
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
