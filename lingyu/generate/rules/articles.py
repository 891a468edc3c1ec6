"""Articles of statutes as instructions: what an article says, and which article says it. The answer is the article's own text.

Some articles are held out: their text is in the documents, which pretraining reads, but no instruction asks for
them. Test questions ask for both kinds, in wordings of their own. For pretraining, what an article says is also stated
beside its number in several wordings: a document names the number first, and what is only read in that order cannot be
told in the other. Training quotes any clause that no other article of the title has, for with one quotation a model
learns the last characters before the number and no more; the test quotes how the article begins.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from lingyu.files import short_hash
from lingyu.generate.provenance import exchange, provenance, user
from lingyu.generate.stable_choice import number, pick, picks
from lingyu.generate.wordings import Phrases, Wordings, blanks, blanks_of
from lingyu.records import Dialogue, Document, Language, Question
from lingyu.text.legal import ITEM, ITEM_HEAD, LABEL
from lingyu.text.sentences import BARE, STOPS

METHOD = "article"
RECALL, CITE = "recall", "cite"

# A quotation stops at the first comma after so many characters, and is no question to ask when that leaves it longer.
# Short, the wording of the question outweighs it, so that the test's question is another one than training's.
QUOTED, LONGEST_QUOTED = 10, 40
# A clause, without the number of its item, and from how many characters to how many it says enough and is still short.
CLAUSE = re.compile(rf"(?:{ITEM}|[^{STOPS}，：,:\n])+")
CLAUSES: dict[Language, tuple[int, int]] = {"zh": (6, 24), "en": (20, 80)}


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
    numbers = Counter((article.title, article.number) for article in found)
    openings = Counter((article.title, article.opening) for article in found)
    clauses = Counter((article.title, quote) for article in found for quote in article.quotes)
    return [
        replace(article, opening=opening, quotes=tuple(dict.fromkeys(quote for quote in (opening, *own) if quote)))
        for article in found
        if article.opening and numbers[article.title, article.number] == 1
        for opening in [article.opening if openings[article.title, article.opening] == 1 and len(article.opening) <= LONGEST_QUOTED else ""]
        for own in [[quote for quote in article.quotes if clauses[article.title, quote] == 1]]
    ]


def article_of(rows: list[Document], longest: int) -> Article:
    first, text = rows[0], "\n".join(row.text.strip() for row in rows)
    label = "".join(LABEL.findall(first.section))
    label = label.replace(" ", "") if label.startswith("第") else label
    text = re.sub(rf"^{re.escape(label)}[\s:：.]*", "", text)
    title, short = first.title.strip("《》 "), len(text) <= longest
    others = tuple(row.id for row in rows[1:])
    return Article(first, others, title, label, text, opening_of(text), clauses_of(text, first.language), short)


def opening_of(text: str) -> str:
    """The first sentence, up to a comma if it is long."""
    sentence = next((part.strip() for part in BARE.findall(text)), "")
    comma = re.compile(r"[，：:]|, ").search(sentence, QUOTED)
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
    chosen = sample(articles, most, seed, "test")
    for task in (RECALL, CITE):
        for article in (article for article in chosen if can_ask(article, task)):
            asked = in_words(pick(WORDINGS[article.record.language].test[task], seed, "turn", task, article.record.id), article)
            yield Question(
                **fields_of(article, task, asked),
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


def fields_of(article: Article, task: str, asked: str) -> dict[str, Any]:
    return provenance(article.record, method=METHOD, task=task, asked=asked, references=article.references)


def answer(article: Article, task: str) -> str:
    words = WORDINGS[article.record.language]
    return in_words(words.recalled if task == RECALL else words.cited, article)


def in_words(form: str, article: Article, quote: str = "") -> str:
    return form.format(t=article.title, n=article.number, s=quote or article.opening, x=article.text)
