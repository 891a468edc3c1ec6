"""Asking a judge: recorded and resumable as a teacher's answers are. An answer of another form is asked for once more, then counted."""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lingyu import last_run
from lingyu.files import write_jsonl
from lingyu.generate.llm.client import Answer, Model, Spent, Stopped, Teacher, Unusable, within
from lingyu.generate.llm.endpoint import opened
from lingyu.generate.llm.response_cache import Record
from lingyu.judge.rubric import Judge, word
from lingyu.records import Language
from lingyu.stage import StageError

FINAL = {"refused_by_the_endpoint", "filtered_by_the_endpoint"}  # asking again would not help
JOURNAL = Path(".lingyu", "judge.jsonl")


@dataclass(frozen=True)
class Ask:
    """like: the shape of the answer, as long as answers are. form: the shape as the prompt says it."""

    name: str
    language: Language
    messages: list[dict[str, str]]
    like: Answer
    form: str


@dataclass(frozen=True)
class Said:
    """What became of an ask: an answer, or the reason why there is none."""

    answer: Any
    reason: str
    used: tuple[str, ...]  # ids of the exchanges
    recorded: bool = True


def ask_all(judge: Judge, asks: Sequence[Ask], output: Path | None = None, journal: Path = JOURNAL) -> list[Said]:
    """What the judge says, in the order of the asks. journal: keeps every answer as it comes; output: those that this rests on.

    What was answered before is not asked again. Raises StageError where the endpoint is gone or the budget is too small.
    """
    earlier = last_run.left(output) if output else None
    with Record(journal, earlier, wait=True) as record:
        plan = Teacher(judge, record)
        said = asyncio.run(all_of(plan, asks))
        if plan.missing.exchanges:
            announce(judge, plan)
            said = asyncio.run(really(judge, record, asks, plan.missing.exchanges))
        if output:
            output.parent.mkdir(parents=True, exist_ok=True)
            record.write(output, [id_ for one in said for id_ in one.used])
    return said


def nothing_asked(output: Path, journal: Path = JOURNAL) -> None:
    """The output of a run without a judge. What an earlier one was answered stays in the journal."""
    if (earlier := last_run.at_hand(output)) and earlier.stat().st_size:
        with Record(journal, earlier, wait=True):
            pass
    write_jsonl(output, [])


async def really(judge: Judge, record: Record, asks: Sequence[Ask], missing: int) -> list[Said]:
    with ExitStack() as stack:
        bar = stack.enter_context(tqdm(total=missing, desc="judge", unit="answer", mininterval=0.5 if sys.stderr.isatty() else 30))
        async with opened(judge, os.environ.get(judge.key_from, "")) as endpoint:
            teacher = Teacher(judge, record, endpoint, lambda _: moved(bar))
            try:
                return await all_of(teacher, asks)
            except StageError as error:
                kept = teacher.spent.exchanges
                raise type(error)(f"{error}\nAll {kept} answers are kept; the same command asks only for the rest.") from None


def moved(bar: "tqdm[Any]") -> None:
    if bar.total is not None and bar.n >= bar.total:
        bar.total = bar.n + 1  # some are asked twice
    bar.update()


async def all_of(teacher: Teacher, asks: Sequence[Ask]) -> list[Said]:
    found = await asyncio.gather(*(one(teacher, ask) for ask in asks), return_exceptions=True)
    for fault in found:
        if isinstance(fault, BaseException):
            raise teacher.fault or fault if isinstance(fault, Stopped) else fault
    return [said for said in found if not isinstance(said, BaseException)]


async def one(teacher: Teacher, ask: Ask) -> Said:
    """An answer; where it has another form, once more with the form named."""
    try:
        given = await teacher.put(ask.name, ask.messages, ask.like, judge=True)
        return Said(given.said, "", (given.prompt_hash,), given.recorded)
    except Unusable as error:
        if error.reason in FINAL:
            return Said(None, error.reason, (error.prompt_hash,))
        first = error
    before = [{"role": "assistant", "content": first.said}] if first.said.strip() else []
    again = [*ask.messages, *before, {"role": "user", "content": f"{word('again', ask.language)}{ask.form}"}]
    try:
        given = await teacher.put(f"{ask.name}/again", again, ask.like, judge=True)
        return Said(given.said, "", (first.prompt_hash, given.prompt_hash), given.recorded)
    except Unusable as error:
        return Said(None, error.reason, (first.prompt_hash, error.prompt_hash))


def announce(judge: Model, plan: Teacher) -> None:
    """What will be asked and spent. Raises StageError where that is over the budget."""
    missing, spent, budget = plan.missing, plan.spent, judge.budget
    would = Spent(judge.price)
    for part in (missing, spent):
        would.add(part.asked, part.answered)
    limit = f"{budget.tokens:,} tokens, {judge.price.currency} {budget.money:,.2f}"
    print(
        f"judge: will ask {judge.model} at {judge.base_url}: about {missing.exchanges:,} requests, {missing.shown()}. "
        f"Recorded already: {spent.exchanges:,}. Budget: {limit}.\n"
        f"judge: 将请 {judge.model} 评审约 {missing.exchanges:,} 次，约 {missing.shown()}；"
        f"已有记录 {spent.exchanges:,} 条。预算：{limit}。",
        file=sys.stderr,
        flush=True,
    )
    if not within(would, budget):
        raise StageError(
            f"judging would take about {would.shown()} in all, more than the budget of {limit}. Nothing was asked. "
            f"Raise {judge.section}.budget, or judge less (tasks, most; params.yaml)."
        )
