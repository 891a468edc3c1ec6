"""One answer against another by a language model, in both orders: a verdict counts where both looks agree, otherwise it is a tie."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lingyu import statistics as sure
from lingyu.generate.llm import prompts
from lingyu.generate.llm.client import Answer
from lingyu.judge.asking import Ask, ask_all
from lingyu.judge.rubric import Judge, word
from lingyu.judge.scores import PROMPTS, known
from lingyu.judge.sources import Pairing
from lingyu.judge.votes import Choice

DIGITS = 4


class Verdict(Answer):
    reason: str
    better: Literal["1", "2", "tie"]


def judged(pairings: Sequence[Pairing], judge: Judge, journal: Path) -> dict[str, Any]:
    """The judge's votes by key, its biases, and how many pairs it gave no verdict on, by reason."""
    asks = [ask_of(pairing, judge, order) for pairing in pairings for order in (False, True)]
    said = ask_all(judge, asks, None, journal)
    votes: dict[str, Choice] = {}
    looks: list[tuple[str, Choice]] = []  # of each decided look the place that it chose
    longer: list[tuple[str, float]] = []
    lacking, split = Counter[str](), 0
    for place, pairing in enumerate(pairings):
        there, back = said[2 * place], said[2 * place + 1]
        if there.answer is None or back.answer is None:
            lacking[there.reason or back.reason] += 1
            continue
        first, second = verdict(there.answer.better, swapped=False), verdict(back.answer.better, swapped=True)
        votes[pairing.key] = first if first == second else "tie"
        split += {first, second} == {"one", "other"}
        looks += [(pairing.item.id, "one" if one.answer.better == "1" else "other") for one in (there, back) if one.answer.better != "tie"]
        lengths = [len(reply.strip()) for reply in pairing.replies]
        if votes[pairing.key] != "tie" and lengths[0] != lengths[1]:
            longer.append((pairing.item.id, float((votes[pairing.key] == "one") == (lengths[0] > lengths[1]))))
    return {
        "votes": votes,
        "position": {
            "first_chosen": share([(item, float(side == "one")) for item, side in looks]),
            "contradicts_itself": share([(pairing.item.id, 0.0) for pairing in pairings if pairing.key in votes], split),
        },
        "longer_chosen": share(longer),
        "lacking": dict(lacking),
    }


def ask_of(pairing: Pairing, judge: Judge, swapped: bool) -> Ask:
    item, (first, second) = pairing.item, pairing.replies[::-1] if swapped else pairing.replies
    form = f'{{"reason": {json.dumps(word("reason", item.language), ensure_ascii=False)}, "better": "1 | 2 | tie"}}'
    fields = {
        "question": "\n\n".join([*(message.content for message in item.history), item.question]),
        "known": known(item.answer, item.passage, item.language),
        "first": first.strip() or "∅",
        "second": second.strip() or "∅",
        "form": form,
    }
    like = Verdict(reason=word("reason", item.language) * 4, better="1")
    return Ask("judge/compare", item.language, prompts.messages("compare", item.language, fields, PROMPTS), like, form)


def verdict(better: str, swapped: bool) -> Choice:
    if better == "tie":
        return "tie"
    return "one" if (better == "1") != swapped else "other"


def share(values: Sequence[tuple[str, float]], count: int | None = None) -> dict[str, float | int] | None:
    """A share with Wilson's interval, clustered by item; `count`: so many of them instead of the values."""
    if not values:
        return None
    if count is not None:
        value, (low, high) = count / len(values), sure.wilson_of(count / len(values), float(len(values)))
    else:
        won, asked = sure.group_sums([item for item, _ in values], [value for _, value in values], [1.0] * len(values))
        value, (low, high) = float(won.sum() / asked.sum()), sure.wilson(won, asked)
    return {"value": round(value, DIGITS), "low": round(low, DIGITS), "high": round(high, DIGITS), "count": len(values)}
