"""What a model answered, held against what it was given: the first rule that a row breaks names the reason why it goes.

Grounded means: every number, article, title, quotation and Latin term of the answer stands in its sources, most of its words
do, and no sentence that follows a source says the opposite. It is a rule's judgement: what it passes may still be wrong,
so rows of a model wait for people as review's policies say.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

from pydantic import Field, PositiveInt

from lingyu.clean import quality
from lingyu.records import Dialogue, Preference
from lingyu.retrieve.chunks import sentences
from lingyu.retrieve.support import NEGATION, overlap, squeezed, word_set
from lingyu.retrieve.words import folded, singular
from lingyu.split.leak import same_subject
from lingyu.stage import StageParams
from lingyu.text.language import is_foreign
from lingyu.text.ngrams import Grams, grams_of, similarity
from lingyu.text.numerals import value
from lingyu.text.word_lists import own_lists

# 第五条, 第28条之一; Article 5: what an answer cites, whatever stands around it.
CITED = re.compile(
    r"第\s*([〇零一二三四五六七八九十百千\d]+)\s*条(?:之([一二三四五六七八九十\d]+))?|\b(?:article|section|art\.)\s*(\d+)([a-z]?)\b"
)
TITLE = re.compile(r"《([^《》]{2,60})》")
QUOTED = re.compile(r"[“「『]([^“”「」『』\n]{2,200})[”」』]|(?<!\w)\"([^\"\n]{2,200})\"(?!\w)")
# Digits with their 万 or 亿; a Chinese numeral of two characters; one character before a measure, but for 一, 第二 and 两人.
FIGURE = re.compile(
    r"(?<![a-z\d.])\d+(?:,\d{3})*(?:\.\d+)?(?:[百千]?[万亿])?|[〇零一二两三四五六七八九十百千万亿]{2,}"
    r"|(?<![第之十百千])(?:[二两三四五六七八九十百](?=个?(?:年|月|日|天|周|小时|分钟|秒|元|米|公里|千米|千克|公斤|吨|倍|级|岁|层(?!面)|度))"
    r"|[三四五六七八九十百](?=个?(?:人|次)))"
)
# 1. and （三） before an item, at the start of a line or after a stop; 3.5 there is a number.
ITEM = re.compile(r"(?:^|(?<=[\s*:;。,!?]))(?:\((?:\d{1,2}|[一二三四五六七八九十]+)\)|\d{1,2}[.、)](?!\d))", re.MULTILINE)
NO_FIGURE = {"千万", "万一", "一一", "万万", "百千", "千百"}  # words, where they stand alone
LATIN = re.compile(r"(?<![a-z0-9])[a-z][a-z0-9]*(?:[-./_][a-z0-9]+)*", re.IGNORECASE)
# In English a name is told by its capitals or digits, and one capital only inside a sentence.
NAME = re.compile(r".*\d|.*[A-Z].*[A-Z]")
INSIDE = re.compile(r"[a-z,;:)] $")
# From this share of a sentence's words on it follows the source's sentence, and must deny what that denies: 可以在夜间飞行 has .75 of
# 禁止在夜间飞行. So has 高度应低于120米 of 不得超过120米, which is right and goes, too.
SAID_AGAIN, ENOUGH = 0.7, 4  # words: fewer say too little to be held against a sentence
SKETCH = 8  # of a text's least grams: two texts alike by .6 share none of them once in a thousand


class Limits(StageParams):
    """What a model's rows must meet."""

    min_passage: PositiveInt = Field(20, description="Characters. A shorter passage is a heading, with nothing to ask about.")
    min_chars: PositiveInt = Field(2, description="Characters of an answer.")
    max_chars: PositiveInt = Field(2000, description="Characters of an answer. A longer one is an essay.")
    max_repeated: float = Field(0.3, ge=0, le=1, description="Share of an answer that repeats its own sentences, as clean has it.")
    overlap: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of an answer's words that its source has. The same content in other words has 0.26 and more, other content "
        "0.22 at most (docs/decisions/0046-checks-of-llm-answers.md).",
    )
    near: float = Field(0.7, gt=0, le=1, description="Similarity of trigrams from which a question repeats an existing one.")


@dataclass(frozen=True)
class Candidate:
    """A row that a model has part in, before it is checked.

    sources: all that its answer may rest on. asked: whether its question must rest there, too. told: whether most words of
    the answer must be the sources', which a rewriting in other words cannot meet. fresh: whether the question must be
    another than those there are, which a row made of a given question cannot be.
    """

    row: Dialogue | Preference
    sources: list[str]
    asked: bool = False
    told: bool = True
    fresh: bool = False


@dataclass(frozen=True)
class Finding:
    """What is wrong, and the piece of text that shows it."""

    reason: str
    evidence: str = ""


def finding(candidate: Candidate, limits: Limits, seen: "Seen") -> Finding | None:
    """The first rule that the row breaks, or None to keep it, in which case its question is among those seen."""
    row = candidate.row
    whole = quality.Limits(min_chars=1, max_repeated=limits.max_repeated, languages=(row.language,), words=own_lists())
    if reason := quality.reason_to_drop(row, whole):
        return Finding(reason)
    answers = answers_of(row)
    for answer in answers:
        if is_foreign(answer, (row.language,)):
            return Finding("wrong_language", answer[:40])
        if not limits.min_chars <= len(answer) <= limits.max_chars:
            return Finding("too_short" if len(answer) < limits.min_chars else "too_long", str(len(answer)))
    asked = (ungrounded(question, candidate.sources) for question in (questions_of(row) if candidate.asked else []))
    told = (found for answer in answers for found in (*ungrounded(answer, candidate.sources), *contradicting(answer, candidate.sources)))
    if found := next(chain(told, *asked), None):
        return found
    for answer in answers:
        if candidate.told and overlap(answer, "\n".join(candidate.sources)) < limits.overlap:
            return Finding("not_told_by_the_source", answer[:40])
    if candidate.fresh and (near := seen.near("\n".join(questions_of(row)))):
        return Finding("near_duplicate", near)
    return None


def ungrounded(text: str, sources: Sequence[str]) -> Iterator[Finding]:
    """What the text claims and no source has."""
    ground = ground_of("\n".join(sources))
    for article in cited(text):
        if article not in ground.articles:
            yield Finding("invented_article", article)
    for title in TITLE.findall(text):
        if squeezed(title) not in ground.inside:
            yield Finding("invented_title", title)
    for quotation in filter(None, (one or other for one, other in QUOTED.findall(text))):
        if squeezed(quotation).strip("。，.,！!？?；;") not in ground.inside:
            yield Finding("invented_quotation", quotation)
    for figure in figures_of(CITED.sub(" ", folded(text))):
        if figure not in ground.figures:
            yield Finding("invented_number", f"{figure:g}")
    for term in terms_of(text):
        if not {folded(term), singular(folded(term))} & ground.words:
            yield Finding("invented_term", term)


@dataclass(frozen=True)
class Ground:
    """What a source has. inside: its characters without blanks."""

    inside: str
    articles: frozenset[str]
    figures: frozenset[float]
    words: frozenset[str]


@lru_cache(maxsize=64)  # of one passage come several questions and answers, one after another
def ground_of(source: str) -> Ground:
    figures = figures_of(CITED.sub(" ", folded(source)))
    return Ground(squeezed(source), frozenset(cited(source)), frozenset(figures), frozenset(latin_of(source)))


def contradicting(text: str, sources: Sequence[str]) -> Iterator[Finding]:
    """The sentences that follow one of a source and lose, or add, its negation."""
    for sentence in sentences(text):
        if not sentence.rstrip().endswith(("?", "？")) and denial_lost(sentence, "\n".join(sources)):
            yield Finding("lost_negation", sentence.strip())


def cited(text: str) -> list[str]:
    """The articles that a text names, in one form: 第二十八条之一 and 第28条之一 are 28-1."""
    found = []
    for number, second, english, letter in CITED.findall(folded(text)):
        found.append(f"{value(number)}{f'-{value(second)}' if second else ''}" if number else english + letter)
    return found


def figures_of(text: str) -> list[float]:
    """The numbers of a text by their value, without those of list items and codes: 1.2万, 12,000 and 一万二千 are one."""
    plain = LATIN.sub(" ", ITEM.sub(" ", folded(text)))
    return [value_of(figure) for figure in FIGURE.findall(plain) if figure not in NO_FIGURE]


def value_of(figure: str) -> float:
    """The value of digits or of a Chinese numeral, with their 万 and 亿."""
    for mark, unit in (("亿", 1e8), ("万", 1e4)):
        high, found, low = figure.rpartition(mark)
        if found:
            return (value_of(high) if high else 1) * unit + (value_of(low) if low else 0)
    if figure[0].isascii():
        return float(figure.rstrip("百千").replace(",", "")) * {"百": 100, "千": 1000}.get(figure[-1], 1)
    return float(value(figure))


def terms_of(text: str) -> list[str]:
    """The Latin terms of a Chinese text, the names of an English one."""
    if re.search("[\u4e00-\u9fff]", text):
        return [term for term in LATIN.findall(folded(text)) if len(term) > 1]
    found = [(match[0], text[max(0, match.start() - 2) : match.start()]) for match in LATIN.finditer(text)]
    return [term for term, before in found if NAME.match(term) or (term[0].isupper() and len(term) > 1 and INSIDE.match(before))]


def latin_of(source: str) -> set[str]:
    words = LATIN.findall(folded(source))
    return {form for word in words for form in (word, singular(word))}


def denial_lost(sentence: str, source: str) -> bool:
    """Whether the sentence follows one of the source nearly word by word, and denies what that affirms, or the reverse."""
    said = word_set(sentence)
    told = max(sentences(source), key=lambda one: (overlap(sentence, one), overlap(one, sentence)), default="")
    if len(said) < ENOUGH or overlap(sentence, told) < SAID_AGAIN:
        return False
    return bool(NEGATION.search(folded(sentence))) != bool(NEGATION.search(folded(told)))


def answers_of(row: Dialogue | Preference) -> list[str]:
    return [row.chosen] if isinstance(row, Preference) else quality.said(row.messages, "assistant")


def questions_of(row: Dialogue | Preference) -> list[str]:
    return quality.said(row.messages, "user")


@dataclass
class Seen:
    """Questions that are there already; another that is near one of them, and about the same, is none."""

    limit: float
    _texts: list[str] = field(default_factory=list)
    _grams: list[Grams] = field(default_factory=list)
    _sketches: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def near(self, text: str) -> str:
        """The text that is nearly this one, "" where there is none: then this one is there from now on."""
        grams = grams_of(text)
        keys = grams[:SKETCH].tolist()
        for number in sorted({number for key in keys for number in self._sketches[key]}):
            if similarity(grams, self._grams[number]) >= self.limit and same_subject(text, self._texts[number]):
                return self._texts[number]
        for key in keys:
            self._sketches[key].append(len(self._texts))
        self._texts.append(text)
        self._grams.append(grams)
        return ""
