"""Scores by a language model: what each criterion says of a reply, and how far they grow with a reply's length alone."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import create_model

from lingyu import statistics as sure
from lingyu.evaluate.answers import ID, first, records_of
from lingyu.evaluate.judged import LACKING, PREFIX
from lingyu.evaluate.scorer import Prediction
from lingyu.generate.llm import prompts
from lingyu.generate.llm.client import Answer
from lingyu.generate.stable_choice import number
from lingyu.ingest.readers import Fault
from lingyu.judge import agreement
from lingyu.judge.asking import JOURNAL, Ask, ask_all, nothing_asked
from lingyu.judge.rubric import Judge, texts, word
from lingyu.records import RUBRIC, Language, Question, is_rubric
from lingyu.stage import StageError
from lingyu.statistics import Numbers

PROMPTS = Path(__file__).with_name("prompts")


def scored(
    predictions: Mapping[str, Sequence[Prediction]],
    questions: Sequence[Question],
    judge: Judge,
    output: Path | None,
    journal: Path = JOURNAL,
) -> dict[str, list[Prediction]]:
    """The predictions with what the judge says: judged_<criterion> in points, and judged_lacking, 1 where it gave no scores.

    predictions: by candidate; they begin with those of the questions, in their order. output: the exchanges that this rests on.
    """
    places = list(chosen(questions, judge)) if judge.on else []
    if not places:
        if output:
            nothing_asked(output, journal)
        return {name: list(rows) for name, rows in predictions.items()}
    work = [(name, place) for name in predictions for place in places]
    asks = [ask_of(questions[place], predictions[name][place].reply, judge) for name, place in work]
    made, faults = {name: list(rows) for name, rows in predictions.items()}, Counter[str]()
    for (name, place), said in zip(work, ask_all(judge, asks, output, journal), strict=True):
        points = {} if said.answer is None else {key: value for key, value in said.answer.model_dump().items() if key != "reason"}
        values = {f"{PREFIX}{key}": float(value) for key, value in points.items()} | {LACKING: float(said.answer is None)}
        row = made[name][place]
        made[name][place] = row.model_copy(update={"values": {**row.values, **values}})
        faults[said.reason] += bool(said.reason)
    if +faults:
        told = ", ".join(f"{count} {reason}" for reason, count in (+faults).items())
        print(f"judge: {judge.model} gave no scores for {(+faults).total()} of {len(work)} replies: {told}", flush=True)
    return made


def chosen(questions: Sequence[Question], judge: Judge) -> Iterator[int]:
    """The places of the questions whose replies are judged: of each task some, the same in every run."""
    tasks: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        if question.task in judge.tasks or is_rubric(question.task):
            tasks.setdefault(question.task, []).append(place)
    for places in tasks.values():
        yield from sorted(sorted(places, key=lambda place: number("judge", questions[place].id))[: judge.most])


def ask_of(question: Question, reply: str, judge: Judge) -> Ask:
    language, own = question.language, is_rubric(question.task)
    names = (RUBRIC,) if own else tuple(judge.criteria)
    listed = f"{word(RUBRIC, language)}\n{question.answer}" if own else "\n".join(f"- {judge.criterion(name, language)}" for name in names)
    form = form_of(names, judge, language)
    fields = {
        "question": asked(question),
        "known": "" if own else known(question.answer, "", language),
        "reply": reply.strip() or "∅",
        "levels": texts()["scales"][judge.scale][language],
        "criteria": listed,
        "form": form,
    }
    shape = shape_of(names, judge.points)
    like = shape.model_validate({"reason": word("reason", language) * 4, **dict.fromkeys(names, judge.points[-1])})
    return Ask("judge/score", language, prompts.messages("score", language, fields, PROMPTS), like, form)


def asked(question: Question) -> str:
    """The question, with what was said before it."""
    said = [message.content.strip() for message in question.messages]
    return "\n\n".join(said)


def known(answer: str, passage: str, language: Language) -> str:
    """What the judge is told to be right."""
    told = [f"\n{word(name, language)}\n{text.strip()}\n" for name, text in (("reference", answer), ("passage", passage)) if text.strip()]
    return "".join(told)


def form_of(names: Sequence[str], judge: Judge, language: Language) -> str:
    fields = [f'"reason": {json.dumps(word("reason", language), ensure_ascii=False)}', *(f'"{name}": {judge.points[-2]}' for name in names)]
    return f"{{{', '.join(fields)}}}"


@cache
def shape_of(names: tuple[str, ...], points: tuple[int, ...]) -> type[Answer]:
    """The answer: a reason and a score for each criterion. Points are listed: some endpoints know no bounds of numbers."""
    fields: dict[str, Any] = {"reason": (str, ...), **dict.fromkeys(names, (Literal[points], ...))}
    return create_model("Scored", __base__=Answer, **fields)


def summary_of(rows: Sequence[Prediction], resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """What the report says of a judge's scores of one candidate: how many it gave, and by criterion how they go with length."""
    judged = [row for row in rows if LACKING in row.values]
    names = dict.fromkeys(name for row in judged for name in row.values if name.startswith(PREFIX) and name != LACKING)
    return {
        "judged": len(judged),
        "lacking": sum(bool(row.values[LACKING]) for row in judged),
        "length": {
            name.removeprefix(PREFIX): by_length([row for row in judged if name in row.values], name, resamples, seed) for name in names
        },
    }


def by_length(rows: Sequence[Prediction], name: str, resamples: int, seed: int) -> dict[str, float | int | None]:
    """Spearman's correlation of score and length of the reply, with an interval by Fisher's z (Bonett and Wright 2000)."""
    scores, lengths = (ranks(values) for values in ([row.values[name] for row in rows], [float(len(row.reply.strip())) for row in rows]))
    if len(rows) < 5 or not scores.std() or not lengths.std():
        return {"value": None, "low": None, "high": None, "count": len(rows)}
    value = float(np.corrcoef(scores, lengths)[0, 1])
    half = sure.Z * math.sqrt((1 + value**2 / 2) / (len(rows) - 3))
    middle = math.atanh(max(-0.999999, min(0.999999, value)))
    low, high = math.tanh(middle - half), math.tanh(middle + half)
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4), "count": len(rows)}


def people_agree(rows: Sequence[Prediction], path: Path, points: Sequence[int]) -> dict[str, dict[str, Any]]:
    """By criterion how far a judge's scores agree with people's: a file with an id and a column for each criterion, in the same points.

    Raises StageError where a score is not one of the points, or the file speaks of no item that was judged."""
    by_id = {row.id: row for row in rows}
    pairs: dict[str, list[tuple[int, int]]] = {}
    for record in records_of(path):
        if isinstance(record, Fault):
            raise StageError(f"{path}, {record.place}: {record.detail}")
        row = by_id.get(first(record.values, ID) or "")
        for name, value in record.values.items():
            if row and value not in (None, "") and f"{PREFIX}{name}" in row.values:
                pairs.setdefault(name, []).append((int(row.values[f"{PREFIX}{name}"]), point_of(value, points, f"{path}, {record.place}")))
    if not pairs:
        raise StageError(f"{path} has no score of an item that was judged: a line has the item's id, and a column named as each criterion.")
    return {name: agreement.of_scores([one for one, _ in found], [two for _, two in found], points) for name, found in pairs.items()}


def point_of(value: object, points: Sequence[int], place: str) -> int:
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if number not in points:
        raise StageError(f"{place} has the score {value!r}, which is not one of {', '.join(map(str, points))}.")
    return int(number)


def ranks(values: Sequence[float]) -> Numbers:
    """Ranks, the mean of them where values are equal."""
    found = np.asarray(values, dtype=np.float64)
    _, index, counts = np.unique(found, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[index], dtype=np.float64)
