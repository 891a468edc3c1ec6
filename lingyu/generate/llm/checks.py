"""Checks of what a model answered against what it was given: the first rule that a row breaks is the reason why it is dropped.

Grounded means: every number, article, title, quotation and Latin term of the answer is in its sources, most of its words
are, and no sentence that repeats one of a source says the opposite. It is a rule's judgement: what it passes may still be wrong,
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
from lingyu.retrieve.support import overlap, squeezed, word_set
from lingyu.retrieve.words import folded, singular
from lingyu.split.leak import same_subject
from lingyu.stage import StageParams
from lingyu.text.language import is_foreign
from lingyu.text.legal import TITLE, cited, without_citations
from lingyu.text.negation import denies
from lingyu.text.ngrams import Grams, grams_of, similarity
from lingyu.text.numerals import COUNTED, FIGURE, NO_FIGURE, figure
from lingyu.text.questions import asks
from lingyu.text.sentences import STOPS, sentences
from lingyu.text.word_lists import own_lists

QUOTED = re.compile(r"[“「『]([^“”「」『』\n]{2,200})[”」』]|(?<!\w)\"([^\"\n]{2,200})\"(?!\w)")
# 1. and （三） before an item, at the start of a line or after a stop; 3.5 there is a number.
ITEM = re.compile(rf"(?:^|(?<=[\s*:;。,!?]))(?:\((?:\d{{1,2}}|[{COUNTED}]+)\)|\d{{1,2}}[.、)](?!\d))", re.MULTILINE)
LATIN = re.compile(r"(?<![a-z0-9])[a-z][a-z0-9]*(?:[-./_][a-z0-9]+)*", re.IGNORECASE)
# In English a name has capitals or digits; a single capital counts only inside a sentence.
NAME = re.compile(r".*\d|.*[A-Z].*[A-Z]")
INSIDE = re.compile(r"[a-z,;:)] $")
# From this share of a sentence's words on it follows the source's sentence, and must deny what that denies: 可以在夜间飞行 has .75 of
# 禁止在夜间飞行. So has 高度应低于120米 of 不得超过120米, which is right and dropped, too.
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
    """A row made by a model, before it is checked.

    sources: all that its answer may rest on. grounded_question: its question must rest on them, too. source_words: most words of
    the answer must be the sources', which a rewriting in other words cannot meet. new_question: the question must differ from
    those there are, which a row made of a given question cannot.
    """

    row: Dialogue | Preference
    sources: list[str]
    grounded_question: bool = False
    source_words: bool = True
    new_question: bool = False


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
    asked = (ungrounded(question, candidate.sources) for question in (questions_of(row) if candidate.grounded_question else []))
    claims = (found for answer in answers for found in (*ungrounded(answer, candidate.sources), *contradicting(answer, candidate.sources)))
    if found := next(chain(claims, *asked), None):
        return found
    for answer in answers:
        if candidate.source_words and overlap(answer, "\n".join(candidate.sources)) < limits.overlap:
            return Finding("not_told_by_the_source", answer[:40])
    if candidate.new_question and (near := seen.near("\n".join(questions_of(row)))):
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
        if squeezed(quotation).strip(f"{STOPS}，.,") not in ground.inside:
            yield Finding("invented_quotation", quotation)
    for number in figures_of(without_citations(folded(text))):
        if number not in ground.figures:
            yield Finding("invented_number", f"{number:g}")
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
    figures = figures_of(without_citations(folded(source)))
    return Ground(squeezed(source), frozenset(cited(source)), frozenset(figures), frozenset(latin_of(source)))


def contradicting(text: str, sources: Sequence[str]) -> Iterator[Finding]:
    """The sentences that follow one of a source and lose, or add, its negation."""
    for sentence in sentences(text):
        if not asks(sentence) and denial_lost(sentence, "\n".join(sources)):
            yield Finding("lost_negation", sentence.strip())


def figures_of(text: str) -> list[float]:
    """The numbers of a text by their value, without those of list items and codes: 1.2万, 12,000 and 一万二千 are one."""
    plain = LATIN.sub(" ", ITEM.sub(" ", folded(text)))
    return [figure(found) for found in FIGURE.findall(plain) if found not in NO_FIGURE]


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
    nearest = max(sentences(source), key=lambda one: (overlap(sentence, one), overlap(one, sentence)), default="")
    if len(said) < ENOUGH or overlap(sentence, nearest) < SAID_AGAIN:
        return False
    return denies(folded(sentence)) != denies(folded(nearest))


def answers_of(row: Dialogue | Preference) -> list[str]:
    return [row.chosen] if isinstance(row, Preference) else quality.contents(row.messages, "assistant")


def questions_of(row: Dialogue | Preference) -> list[str]:
    return quality.contents(row.messages, "user")


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
