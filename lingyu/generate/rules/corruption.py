"""Preference pairs by corruption: the right answer against the same answer with one thing wrong in it.

The difference is one that similarity does not show: the value of another entity, the number of another article, a
negation that was lost; or the whole answer is that to another question.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from lingyu.generate.provenance import provenance, user
from lingyu.generate.rules import articles, facts, knowledge
from lingyu.generate.rules.articles import Article
from lingyu.generate.stable_choice import pick, picks
from lingyu.records import Dialogue, Fact, Preference
from lingyu.text.negation import without_negation

METHOD = "corruption"


def fact_pairs(rows: Iterable[Fact], others: dict[str, list[str]], asked: Callable[[Fact], list[str]]) -> Iterator[Preference]:
    """A pair for each question that `asked` has for a fact; none for a fact whose relation has no other value."""
    for fact in rows:
        values = others[fact.id]
        for turn, question in enumerate(asked(fact) if values else []):
            value = values[turn % len(values)]
            yield Preference(
                **provenance(fact, method=METHOD, task=facts.TASK, asked=question),
                messages=user(question),
                chosen=knowledge.answer(fact),
                rejected=knowledge.answer(fact, value),
            )


def article_pairs(rows: Iterable[Article], numbers: dict[str, list[str]], seed: int) -> Iterator[Preference]:
    """A pair an article: its text under the number of another article, or without its negation where it has one."""
    for article in rows:
        others = [number for number in numbers[article.title] if number != article.number]
        forms = articles.WORDINGS[article.record.language].train[articles.RECALL]
        right = articles.answer(article, articles.RECALL)
        lost = without_negation(right)
        if lost is None and not others:
            continue
        for form in picks(1, len(forms), seed, "pair", article.record.id):
            asked = articles.in_words(forms[form], article)
            other = pick(others, seed, "other", article.record.id) if others else ""
            yield Preference(
                **provenance(article.record, method=METHOD, task=articles.RECALL, asked=asked, references=article.references),
                messages=user(asked),
                chosen=right,
                rejected=right.replace(article.number, other, 1) if lost is None else lost,
            )


def negation_pairs(rows: Iterable[Dialogue]) -> Iterator[Preference]:
    """A pair for each dialogue whose answer denies something, and has no reasoning that a pair could not carry."""
    for row in rows:
        *messages, reply = row.messages
        lost = None if reply.reasoning else without_negation(reply.content)
        if lost is not None:
            fields = provenance(row, method=METHOD, task=row.task, asked=messages[-1].content)
            yield Preference(**fields, messages=messages, chosen=reply.content, rejected=lost)


def swapped_pairs(rows: Sequence[Dialogue], seed: int) -> Iterator[Preference]:
    """A pair for each dialogue: its answer against another answer of its task. None where there is but one, or reasoning."""
    plain = [row for row in rows if not row.messages[-1].reasoning]
    found: dict[str, set[str]] = defaultdict(set)
    for row in plain:
        found[row.task].add(row.messages[-1].content)
    answers = {task: sorted(some) for task, some in found.items()}
    for row in plain:
        *messages, reply = row.messages
        if len(some := answers[row.task]) > 1:
            other = pick(some, seed, "swapped", row.id)
            if other == reply.content:
                other = some[some.index(other) - 1]
            fields = provenance(row, method=METHOD, task=row.task, asked=messages[-1].content)
            yield Preference(**fields, messages=messages, chosen=reply.content, rejected=other)
