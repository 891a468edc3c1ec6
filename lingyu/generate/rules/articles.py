"""Articles of statutes as instructions: what an article says, and which article says it. The answer is the article's own text.

Some articles are held out: their text is in the documents, which pretraining reads, but no instruction asks for
them. Test questions ask for both kinds, in wordings of their own. For pretraining, what an article says is also stated
beside its number in several wordings: a document names the number first, and what is only read in that order cannot be
told in the other. Training quotes any clause that no other article of the title has, for with one quotation a model
learns the last characters before the number and no more; the test quotes how the article begins.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt

from lingyu.files import short_hash
from lingyu.generate.provenance import exchange, provenance, user
from lingyu.generate.stable_choice import number, pick, picks
from lingyu.generate.wordings import Phrases, Wordings, blanks, blanks_of
from lingyu.records import Dialogue, Document, Language, Question
from lingyu.text.legal import ITEM, ITEM_HEAD, LABEL, bare_title, without_heading
from lingyu.text.normalise import key, normal
from lingyu.text.sentences import BARE, STOPS

METHOD = "article"
RECALL, CITE = "recall", "cite"

# A quotation stops at the first comma after so many characters, and is no question to ask when that leaves it longer.
# Short, the wording of the question outweighs it, so that the test's question is another one than training's.
QUOTED: dict[Language, int] = {"zh": 10, "en": 30}
LONGEST_QUOTED: dict[Language, int] = {"zh": 40, "en": 100}
# A clause, without the number of its item, and from how many characters to how many it says enough and is still short.
CLAUSE = re.compile(rf"(?:{ITEM}|[^{STOPS}，：,:\n])+")
CLAUSES: dict[Language, tuple[int, int]] = {"zh": (6, 24), "en": (20, 80)}
# A quotation of which another article holds so much is not the one's own.
IN_PART = 0.8
WIDTHS = (96, 80, 66, 55, 46, 38, 32, 27, 23, 20, 17, 15, 13, 11, 9, 8, 7, 6, 5, 4, 3, 2, 1)
# Of a polynomial hash modulo 2**64: an odd number, and the one by which a product with it is undone.
TABLE = 1 << 20
TABLE_MASK = np.uint64(TABLE - 1)
BASE = np.uint64(0x9E3779B97F4A7C15)
INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 2**64))


Stated = Annotated[tuple[str, ...], blanks("t", "n", "s")]
Asked = Annotated[dict[str, tuple[str, ...]], blanks_of(recall=("t", "n"), cite=("t", "s"))]


class Forms(Phrases):
    recalled: Annotated[str, blanks("t", "n", "x")]
    cited: Annotated[str, blanks("t", "n")]
    statements: Stated
    dev_statements: Stated
    train: Asked
    dev: Asked
    test: Asked


WORDINGS = Wordings("articles", Forms)


@dataclass(frozen=True)
class Article:
    """A whole article: all rows under its number."""

    record: Document
    references: tuple[str, ...]  # the rows beside the first
    title: str
    number: str
    text: str
    opening: str  # how it begins, by which a citation is asked for; "" where that is too long, or another article begins alike
    quotes: tuple[str, ...]  # what training quotes of it, `opening` first
    short: bool  # enough to be recalled whole


def articles_of(documents: Iterable[Document], longest: int) -> list[Article]:
    """The articles among the documents, in their order; none without a title, or whose number the title has twice.

    longest: the characters up to which an article is short.
    """
    parts: dict[tuple[str, str, str], list[Document]] = {}
    for row in documents:
        if row.title and LABEL.search(row.section):
            parts.setdefault((row.source, row.title, row.section), []).append(row)
    found = [article_of(rows, longest) for rows in parts.values()]
    doubtful = in_two_versions(found)
    numbers = Counter((article.title, article.number) for article in found)
    by_title: dict[str, list[Article]] = defaultdict(list)
    for article in found:
        by_title[article.title].append(article)
    shared = {title: held_elsewhere(articles) for title, articles in by_title.items()}
    return [
        replace(article, opening=opening, quotes=tuple(dict.fromkeys(quote for quote in (opening, *own) if quote)))
        for article in found
        if article.opening and numbers[article.title, article.number] == 1 and article.title not in doubtful
        for others in [shared[article.title].get(article.number, frozenset())]
        for opening in [
            article.opening if article.opening not in others and len(article.opening) <= LONGEST_QUOTED[article.record.language] else ""
        ]
        for own in [[quote for quote in article.quotes if quote not in others]]
    ]


def in_two_versions(articles: Iterable[Article]) -> set[str]:
    """The titles that two documents have with different words under one number: nobody can say which of the two is in force.

    An article that a record quotes beside a question is no version of its law.
    """
    whole: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for article in articles:
        if normal(article.record.section) in article.record.place:
            whole[article.title, article.number].setdefault(article.record.source, key(article.text))
    return {title for (title, _), by_source in whole.items() if len({*by_source.values()}) > 1}


def held_elsewhere(articles: Sequence[Article]) -> dict[str, frozenset[str]]:
    """By number, which of an article's quotations another article of its title contains too, whole or all but a word or two of it.

    Found by windows of nearly a quotation's length, which are compared as numbers: linear in the length of a statute.
    """
    numbers = {name: place for place, name in enumerate(dict.fromkeys(article.number for article in articles))}
    by_width: dict[int, list[tuple[Article, str, int]]] = defaultdict(list)
    start = 0
    for article in articles:
        for quote in dict.fromkeys((article.opening, *article.quotes)):
            at = article.text.find(quote)
            if quote and at >= 0:
                by_width[width_of(quote)].append((article, quote, start + at))
        start += len(article.text) + 1
    windows = Windows("\0".join(article.text for article in articles))
    owners = np.repeat([numbers[article.number] for article in articles], [len(article.text) + 1 for article in articles])
    shared: dict[str, set[str]] = defaultdict(set)
    for width, quotes in by_width.items():
        held = windows.of(width)
        places = [np.arange(at, at + len(quote) - width + 1) for _, quote, at in quotes]
        wanted, which = np.unique(held[np.concatenate(places)], return_inverse=True)
        looked_for = np.zeros(TABLE, bool)
        looked_for[wanted & TABLE_MASK] = True
        maybe = np.flatnonzero(looked_for[held & TABLE_MASK])
        found = np.minimum(np.searchsorted(wanted, held[maybe]), wanted.size - 1)
        hits = wanted[found] == held[maybe]
        first, last = np.full(wanted.size, len(numbers)), np.full(wanted.size, -1)
        np.minimum.at(first, found[hits], owners[maybe[hits]])
        np.maximum.at(last, found[hits], owners[maybe[hits]])
        elsewhere = np.maximum.reduceat((first != last)[which], np.cumsum([0, *map(len, places[:-1])]))
        for (article, quote, _), is_shared in zip(quotes, elsewhere.tolist(), strict=True):
            if is_shared:
                shared[article.number].add(quote)
    return {name: frozenset(quotes) for name, quotes in shared.items()}


def width_of(quote: str) -> int:
    """Four fifths of its length, on a scale of few steps, for each step reads the statute once."""
    return next(step for step in WIDTHS if step <= max(1, math.ceil(IN_PART * len(quote))))


class Windows:
    """A number for each run of characters of a text, the same for the same run wherever it is."""

    def __init__(self, text: str) -> None:
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64) + np.uint64(1)
        self._inverse = powers(INVERSE, points.size)
        self._sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(points * powers(BASE, points.size))])

    def of(self, width: int) -> npt.NDArray[np.uint64]:
        hashed: npt.NDArray[np.uint64] = (self._sums[width:] - self._sums[:-width]) * self._inverse[: self._sums.size - width]
        return hashed ^ (hashed >> np.uint64(29))  # the low bits, by which they are looked up, are of the last characters alone


def powers(base: np.uint64, count: int) -> npt.NDArray[np.uint64]:
    return np.multiply.accumulate(np.concatenate([np.ones(1, np.uint64), np.full(count - 1, base)]))


def article_of(rows: list[Document], longest: int) -> Article:
    first, text = rows[0], "\n".join(row.text.strip() for row in rows)
    label = "".join(LABEL.findall(first.section))
    label = label.replace(" ", "") if label.startswith("第") else label
    text = without_heading(text, label)
    title, short = bare_title(first.title), len(text) <= longest
    others = tuple(row.id for row in rows[1:])
    return Article(first, others, title, label, text, opening_of(text, first.language), clauses_of(text, first.language), short)


def opening_of(text: str, language: Language) -> str:
    """The first sentence, up to a comma if it is long."""
    sentence = next((part.strip() for part in BARE.findall(text)), "")
    comma = re.compile(r"[，：:]|, ").search(sentence, QUOTED[language])
    return sentence[: comma.start()] if comma else sentence


def clauses_of(text: str, language: Language) -> tuple[str, ...]:
    """The clauses that are long enough to be known by and short enough to be quoted, each once."""
    least, most = CLAUSES[language]
    clauses = (ITEM_HEAD.sub("", clause).strip() for clause in CLAUSE.findall(text))
    return tuple(dict.fromkeys(clause for clause in clauses if least <= len(clause) <= most))


def is_held_out(article: Article, share: float, seed: int) -> bool:
    """Whether instructions leave this article out; the choice rests on its name, not on its neighbours."""
    return number(seed, "held out", article.title, article.number) < share * 2**64


def statements(articles: Iterable[Article], count: int, seed: int) -> Iterator[Document]:
    """What each article says beside its number, `count` times in the wordings for pretraining, fewer where it has fewer clauses."""
    for article in articles:
        for quote, form in quotations(article, WORDINGS[article.record.language].statements, count, seed, "statement"):
            yield statement(article, form, quote)


def dev_statements(articles: Iterable[Article], most: int, seed: int) -> Iterator[Document]:
    for article in sample((article for article in articles if article.opening), most, seed, "dev statement"):
        yield from (statement(article, form, article.opening) for form in WORDINGS[article.record.language].dev_statements)


def statement(article: Article, form: str, quote: str) -> Document:
    text = in_words(form, article, quote)
    return article.record.model_copy(
        update={"id": short_hash("statement", article.record.id, text), "title": "", "section": "", "text": text}
    )


def instructions(articles: Iterable[Article], recalls: int, cites: int, seed: int) -> Iterator[Dialogue]:
    for article in articles:
        forms = WORDINGS[article.record.language].train
        for form in picks(recalls if article.short else 0, len(forms[RECALL]), seed, RECALL, article.record.id):
            yield instruction(article, RECALL, forms[RECALL][form])
        for quote, words in quotations(article, forms[CITE], cites, seed, CITE):
            yield instruction(article, CITE, words, quote)


def quotations(article: Article, forms: Sequence[str], count: int, *key: object) -> Iterator[tuple[str, str]]:
    """`count` pairs of a quotation and a wording, all there are if fewer: every quotation once before any is repeated, no pair twice."""
    order = [forms[form] for form in picks(len(forms), len(forms), *key, article.record.id)]
    for turn in range(min(count, len(article.quotes) * len(forms))):
        again, place = divmod(turn, len(article.quotes))
        yield article.quotes[place], order[(again + place) % len(forms)]


def dev_instructions(articles: Iterable[Article], most: int, seed: int) -> Iterator[Dialogue]:
    for article in sample(articles, most, seed, "dev"):
        for task, forms in WORDINGS[article.record.language].dev.items():
            yield from (instruction(article, task, form) for form in forms if can_ask(article, task))


def can_ask(article: Article, task: str) -> bool:
    return article.short if task == RECALL else bool(article.opening)


def instruction(article: Article, task: str, form: str, quote: str = "") -> Dialogue:
    asked = in_words(form, article, quote)
    return Dialogue(**fields_of(article, task, asked), messages=exchange(asked, answer(article, task)))


def questions(
    articles: Iterable[Article], known: Literal["taught", "documents"], numbers: dict[str, list[str]], most: int, seed: int
) -> Iterator[Question]:
    """Test questions of each task, at most `most` of it; `numbers`: all articles of a title, the others of which are wrong to cite."""
    yield from asked_of(sample(articles, most, seed, "test"), "test", known, numbers, seed)


def dev_questions(
    articles: Iterable[Article], known: Literal["taught", "documents"], numbers: dict[str, list[str]], most: int, seed: int
) -> Iterator[Question]:
    """The same in the wordings for dev, from the other end: of articles that the test asks about only where there are too few."""
    articles = list(articles)
    yield from asked_of(sample(articles, len(articles), seed, "test")[::-1][:most], "dev", known, numbers, seed)


def not_tested(articles: Iterable[Article], most: int, seed: int) -> list[Article]:
    """Those that `questions` leaves over."""
    articles = list(articles)
    return sample(articles, len(articles), seed, "test")[most:]


def asked_of(
    articles: Sequence[Article],
    part: Literal["dev", "test"],
    known: Literal["taught", "documents"],
    numbers: dict[str, list[str]],
    seed: int,
) -> Iterator[Question]:
    for task in (RECALL, CITE):
        for article in (article for article in articles if can_ask(article, task)):
            words = WORDINGS[article.record.language]
            asked = in_words(pick((words.test if part == "test" else words.dev)[task], seed, "turn", task, article.record.id), article)
            yield Question(
                **fields_of(article, task, asked, "" if part == "test" else part),
                messages=user(asked),
                answer=article.number if task == CITE else article.text,
                wrong=[other for other in numbers[article.title] if other != article.number] if task == CITE else [],
                known=known,
            )


def sample(articles: Iterable[Article], most: int, *key: object) -> list[Article]:
    return sorted(articles, key=lambda article: (number(*key, article.record.id), article.record.id))[:most]


def numbers_of(articles: Iterable[Article]) -> dict[str, list[str]]:
    """The numbers that each title has among these articles, in their order."""
    numbers: dict[str, list[str]] = {}
    for article in articles:
        numbers.setdefault(article.title, []).append(article.number)
    return numbers


def fields_of(article: Article, task: str, asked: str, use: str = "") -> dict[str, Any]:
    return provenance(article.record, method=METHOD, task=task, asked=asked, use=use, references=article.references)


def answer(article: Article, task: str) -> str:
    words = WORDINGS[article.record.language]
    return in_words(words.recalled if task == RECALL else words.cited, article)


def in_words(form: str, article: Article, quote: str = "") -> str:
    return form.format(t=article.title, n=article.number, s=quote or article.opening, x=article.text)
