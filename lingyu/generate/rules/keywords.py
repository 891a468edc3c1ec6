"""Keywords for a search, from a question or a passage: words that are in it, and that few texts of the corpus have.

Of a fact's question they are what it asks about, entity and relation, as the graph names them.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from lingyu.generate.provenance import Left, exchange, provenance, unheard
from lingyu.generate.rules import knowledge
from lingyu.generate.rules.taught import Share, Taught
from lingyu.generate.stable_choice import number, pick, picks
from lingyu.generate.wordings import Phrases, Wordings, blanks
from lingyu.records import Dialogue, Document, Fact, Row
from lingyu.retrieve.words import CJK, LATIN, QUESTION_WORDS, folded, tokenizer
from lingyu.stage import StageParams

METHOD = TASK = "keywords"
RUN = re.compile(rf"[{CJK}]+|[A-Za-z][A-Za-z0-9]*(?:[-./_'’][A-Za-z0-9]+)*")
LONGEST_JOINED = 8
# By jieba's dictionary, set by eye on statutes and consultations:
# 情况 32833, 部门 16543, 单位 17532; 提出 22139, 给予 3433, 继承 2580, 离婚 886.
COMMON, COMMON_VERB = 10_000, 3000
# 本市, 该场所, 前款, 未办理, 之日起: their meaning depends on the words around them. 够不够, 有没有 only ask.
POINTING = re.compile(r"[本该前各全之未不无相其此]|(.)[不没]\1")


class Forms(Phrases):
    question: Annotated[tuple[str, ...], blanks("x")]
    passage: Annotated[tuple[str, ...], blanks("x")]
    between: str


WORDINGS = Wordings("keywords", Forms)


class Params(StageParams):
    """Rows that ask for search keywords."""

    a_fact: NonNegativeInt = Field(0, description="Questions for each fact.")
    documents: Share = Field(0.0, description="Share of the documents.")
    dialogues: Share = Field(0.0, description="Share of the given dialogues.")
    most: PositiveInt = Field(6, description="Keywords that a person would type into a search at most; neighbours are joined.")


def make(params: Params, taught: Taught, left: Left) -> Iterator[Dialogue]:
    yield from from_facts(taught.facts, params.a_fact, taught.seed)
    if params.documents or params.dialogues:
        documents = [row for row in taught.documents if row.scope == "domain"]
        texts = [*(row.text for row in documents), *(row.messages[0].content for row in taught.dialogues if row.scope == "domain")]
        headings = {heading for row in documents for heading in (row.title, row.section)}
        words = Words(texts, headings, {name for fact in taught.facts for name in (fact.entity, fact.relation)})
        yield from from_documents(documents, params.documents, words, params.most, taught.seed, left)
        yield from from_dialogues(taught.dialogues, params.dialogues, words, params.most, taught.seed, left)


class Words:
    """The words of a corpus that say what a text is about, and how much each tells.

    They are the names that the graph has; of Chinese also nouns and rare verbs, and more so the rarer the language has them; of English,
    for which there is no dictionary of nouns, only words of some title or heading.
    """

    def __init__(self, texts: Iterable[str], headings: Iterable[str], names: Iterable[str]) -> None:
        self._headings = {folded(word) for heading in headings for word in LATIN.findall(folded(heading))}
        self._names: dict[str, list[str]] = {}
        for name in sorted({name for name in names if len(name) > 1}, key=lambda name: (-len(name), name)):
            self._names.setdefault(name[:2], []).append(name)
        self._texts = 0
        self._holding: Counter[str] = Counter()
        for text in texts:
            self._texts += 1
            self._holding.update({word for _, word in self.found(text)})

    def weight(self, word: str) -> float:
        here = math.log(1 + self._texts / (1 + self._holding[word]))
        if word in self._names.get(word[:2], ()):
            return 2 * here
        frequency, total = tokenizer().FREQ.get(word) or 1, tokenizer().total
        return here if word.isascii() else here * math.log(total / frequency) / math.log(total)

    def can_join(self, word: str) -> bool:
        """Whether a word may be part of a longer term: a Chinese noun, and no name, which is whole."""
        return bool(word) and not word.isascii() and tags().get(word, "n") != "v" and word not in self._names.get(word[:2], ())

    def found(self, text: str) -> Iterator[tuple[int, str]]:
        """The words as they are in the text, with their places; a name whole, the longest there is."""
        place, since = 0, 0
        while place < len(text):
            name = next((name for name in self._names.get(text[place : place + 2], ()) if text.startswith(name, place)), "")
            if name:
                yield from self._between(text, since, place)
                yield place, name
                since = place + len(name)
            place += len(name) or 1
        yield from self._between(text, since, len(text))

    def _between(self, text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
        for run in RUN.finditer(text, start, end):
            place = run.start()
            for word in [run[0]] if run[0].isascii() else tokenizer().cut(run[0], HMM=False):
                if len(word) > 1 and folded(word) not in QUESTION_WORDS and (self._heads(word) if word.isascii() else is_topic(word)):
                    yield place, word
                place += len(word)

    def _heads(self, word: str) -> bool:
        return len(word) > 3 and folded(word) in self._headings


@cache
def tags() -> dict[str, str]:
    """What kind of word each entry of jieba's dictionary is; tokenizer() keeps the frequencies only."""
    with tokenizer().get_dict_file() as lines:
        entries = (line.decode("utf-8").split() for line in lines)
        return {entry[0]: entry[2] for entry in entries if len(entry) == 3}


def is_topic(word: str) -> bool:
    """Nouns, abbreviations and what the dictionary does not have, verbs if they are rare: 离婚 and not 进行. Nothing as common as 情况."""
    tag, frequency = tags().get(word, "n"), tokenizer().FREQ.get(word) or 0
    kind = tag[0] in "nj" or tag in {"vn", "an"} or (tag == "v" and frequency < COMMON_VERB)
    return kind and frequency < COMMON and not POINTING.match(word)


def keywords_of(text: str, words: Words, most: int) -> list[str]:
    """At most `most` words of the text that tell most, in their order there; two Chinese ones side by side are one."""
    found = list(words.found(text))
    weights = defaultdict[str, float](float)
    for _, word in found:
        weights[word] += words.weight(word)
    best = {word for word, _ in sorted(weights.items(), key=lambda entry: (-entry[1], entry[0]))[:most]}
    joined: list[tuple[int, str]] = []
    for place, word in ((place, word) for place, word in found if word in best):
        before = joined[-1] if joined else (0, "")
        beside = before[0] + len(before[1]) == place and words.can_join(before[1]) and words.can_join(word)
        if beside and len(before[1]) + len(word) <= LONGEST_JOINED:
            joined[-1] = (before[0], before[1] + word)
        else:
            joined.append((place, word))
    names = list(dict.fromkeys(word for _, word in joined))
    return [name for name in names if not any(name != other and name in other for other in names)]


def from_facts(facts: Iterable[Fact], count: int, seed: int) -> Iterator[Dialogue]:
    for fact in facts:
        forms = WORDINGS[fact.language].question
        for turn, question in zip(
            picks(count, len(forms), seed, METHOD, fact.id), knowledge.training_questions(fact, count, seed), strict=False
        ):
            yield row_of(fact, forms[turn], question, [fact.entity, fact.relation])


def from_documents(
    documents: Iterable[Document], share: float, words: Words, most: int, seed: int, left: Left = unheard
) -> Iterator[Dialogue]:
    for row in documents:
        if row.scope == "domain" and number(seed, METHOD, row.id) < share * 2**64:
            yield from from_text(row, WORDINGS[row.language].passage, row.text.strip(), words, most, seed, left)


def from_dialogues(
    dialogues: Iterable[Dialogue], share: float, words: Words, most: int, seed: int, left: Left = unheard
) -> Iterator[Dialogue]:
    """What people asked first."""
    for row in dialogues:
        asked = next((message.content for message in row.messages if message.role == "user"), "")
        if row.scope == "domain" and number(seed, METHOD, row.id) < share * 2**64:
            yield from from_text(row, WORDINGS[row.language].question, asked.strip(), words, most, seed, left)


def from_text(row: Row, forms: Sequence[str], text: str, words: Words, most: int, seed: int, left: Left) -> Iterator[Dialogue]:
    found = keywords_of(text, words, most)
    if len(found) < 2:
        left(row, "fewer than two words to search for")
        return
    yield row_of(row, pick(forms, seed, "form", row.id), text, found)


def row_of(row: Row, form: str, text: str, found: list[str]) -> Dialogue:
    asked, answer = form.format(x=text), WORDINGS[row.language].between.join(found)
    return Dialogue(**provenance(row, method=METHOD, task=TASK, asked=asked), messages=exchange(asked, answer))
