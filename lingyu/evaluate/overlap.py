"""How much of a reference answer a reply has, by the measures that generation is usually reported in: BLEU, ROUGE and F1 by words.

BLEU is sacrebleu's of one sentence (its zh tokenizer for Chinese, 13a for English; exponential smoothing, effective order), so that the
mean over items has an interval; it is not the corpus BLEU of machine translation. ROUGE-N and ROUGE-L are Lin's (2004) as F1, over
characters of Chinese and words of English. Words of Chinese are jieba's.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from lingyu.evaluate.rules import characters
from lingyu.evaluate.scorer import Metric, Values
from lingyu.records import Language

ORDERS = (1, 2, 3, 4)
NAMES = (*(f"bleu_{order}" for order in ORDERS), "rouge_1", "rouge_2", "rouge_l", "word_f1")


def overlaps(reply: str, answer: str, language: Language) -> Values:
    said, right = characters(reply), characters(answer)
    return {
        **{f"bleu_{order}": bleu(reply, answer, language, order) for order in ORDERS},
        "rouge_1": f1(grams(said, 1), grams(right, 1)),
        "rouge_2": f1(grams(said, 2), grams(right, 2)),
        "rouge_l": rouge_l(said, right),
        "word_f1": f1(Counter(words(reply)), Counter(words(answer))),
    }


def metrics_of(task: str) -> tuple[Metric, ...]:
    return tuple(Metric(f"{task}_{name}", name, task, detail=True) for name in NAMES)


def bleu(reply: str, answer: str, language: Language, order: int) -> float:
    """Between 0 and 1, with n-grams up to this order."""
    return float(scorer(language, order).sentence_score(reply, [answer]).score) / 100


@cache
def scorer(language: Language, order: int) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize="zh" if language == "zh" else "13a", max_ngram_order=order, effective_order=True)


def grams(tokens: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[place : place + size]) for place in range(len(tokens) - size + 1))


def f1(said: Counter[Any], right: Counter[Any]) -> float:
    shared = (said & right).total()
    return 2 * shared / (said.total() + right.total()) if shared else 0.0


def rouge_l(said: Sequence[str], right: Sequence[str]) -> float:
    """F1 of the longest common subsequence."""
    row = [0] * (len(right) + 1)
    for one in said:
        corner = 0
        for place, other in enumerate(right, 1):
            corner, row[place] = row[place], corner + 1 if one == other else max(row[place], row[place - 1])
    return 2 * row[-1] / (len(said) + len(right)) if row[-1] else 0.0


def words(text: str) -> list[str]:
    """Words of Latin letters, numbers, and jieba's words of Han characters."""
    from lingyu.retrieve.words import tokenizer

    found: list[str] = []
    run = ""
    for unit in [*characters(text), ""]:
        if len(unit) == 1 and "\u3400" <= unit <= "\u9fff":
            run += unit
            continue
        found += tokenizer().cut(run, HMM=False) if run else []
        found += [unit] if unit else []
        run = ""
    return found
