"""The methods with a teacher, and a run of all that params.yaml switches on.

Each is a module with METHOD, PROMPTS (the steps whose prompts are prompts/<method>/<step>.<language>.md), Asked (its section of
generate.asked) and make(learn, asked, teaching); lingyu/generate/registry.py lists them.

It runs twice: first without an endpoint, to see what is recorded and about what the rest will cost; where something is
missing, then with it. So a run all of which is recorded needs no endpoint, no key and no network.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model
from tqdm import tqdm

from lingyu import last_run
from lingyu.files import write_jsonl
from lingyu.generate.llm import prompts, written
from lingyu.generate.llm.checks import Limits
from lingyu.generate.llm.client import Settings, Spent, Teacher, within
from lingyu.generate.llm.endpoint import Endpoint, opened
from lingyu.generate.llm.method import AHEAD, Drop, Learn, Teaching
from lingyu.generate.llm.response_cache import Record
from lingyu.generate.llm.written import Written
from lingyu.generate.registry import LLM
from lingyu.records import Dialogue, Preference
from lingyu.stage import StageError, StageParams

NEEDED = {"openai": ("base_url", "model"), "written": ("file",)}
METHODS: list[ModuleType] = [method.load("PROMPTS", "Asked", "make") for method in LLM]


class Switches(StageParams):
    """How much each method asks the teacher about: in each section `records`, 0 for nothing."""

    def switched_on(self) -> list[str]:
        return [name for name in type(self).model_fields if getattr(self, name).records]


if TYPE_CHECKING:
    from lingyu.generate.llm import nvc

    class Counts(Switches):
        """Switches, and a section for each method, of which plan.py reads this one."""

        nvc: nvc.Asked

else:
    Counts = create_model(
        "Counts",
        __base__=Switches,
        __module__=__name__,
        **{method.METHOD: (method.Asked, Field(default_factory=method.Asked, description=method.Asked.__doc__)) for method in METHODS},
    )


@dataclass
class Answers:
    """The rows and drops of all methods."""

    rows: list[Dialogue | Preference] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    invented: dict[tuple[str, str], int] = field(default_factory=dict)  # citations, by table and source
    asked: set[str] = field(default_factory=set)  # ids of the records asked about


@dataclass(frozen=True)
class Lesson:
    """The inputs of a run, without the teacher. questions: those there are already; mentioned: the test item that a text mentions."""

    learn: Learn
    counts: Counts
    limits: Limits
    questions: list[str]
    mentioned: Callable[[str], str]

    def teaching(self, teacher: Teacher, workers: int) -> Teaching:
        return Teaching(teacher, self.limits, self.questions, self.mentioned, workers)

    async def all_methods(self, teaching: Teaching) -> Teaching:
        for method in METHODS:
            await method.make(self.learn, getattr(self.counts, method.METHOD), teaching)
        return teaching


def ask_all(lesson: Lesson, settings: Settings, journal: Path, output: Path) -> Answers:
    """Rows and drops of all methods, and the exchanges they rest on in `output`."""
    methods = lesson.counts.switched_on()
    if settings.kind == "rules":
        if methods:
            raise StageError(
                f"generate.asked switches on {', '.join(methods)}, and generate.teacher.kind is rules, no model to ask (params.yaml)."
            )
        if (earlier := last_run.at_hand(output)) and earlier.stat().st_size:
            with Record(journal, earlier):
                """What was asked before stays in the journal."""
        write_jsonl(output, [])
        return Answers()
    empty = [name for name in NEEDED[settings.kind] if not getattr(settings, name)]
    if not methods or empty:
        lacks = f"generate.teacher.{empty[0]} is empty" if methods else "all records of generate.asked are 0"
        raise StageError(f"generate.teacher.kind is {settings.kind}, and {lacks}: nothing to ask (params.yaml).")

    prompts.check({method.METHOD: method.PROMPTS for method in METHODS if method.METHOD in methods})
    with record_of(settings, journal, output) as record:
        plan = asyncio.run(lesson.all_methods(lesson.teaching(Teacher(settings, record), 1)))
        tell_idle([name for name in methods if not plan.begun[name] and name not in {drop.method for drop in plan.drops}])
        done = plan if not plan.teacher.missing.exchanges else asyncio.run(asked(lesson, settings, record, plan))
        output.parent.mkdir(parents=True, exist_ok=True)
        record.write(output, done.used)
    return Answers(done.rows, done.drops, dict(done.invented), done.asked)


@contextmanager
def record_of(settings: Settings, journal: Path, output: Path) -> Iterator[Record]:
    """What was answered before. A file of written answers costs nothing to read again, and may have changed."""
    if settings.kind == "written":
        with TemporaryDirectory() as folder, Record(Path(folder, journal.name), None) as record:
            yield record
    else:
        with Record(journal, last_run.left(output)) as record:
            yield record


async def asked(lesson: Lesson, settings: Settings, record: Record, plan: Teaching) -> Teaching:
    """The run with the endpoint, after announcing what it will cost."""
    announce(settings, plan.teacher)
    with ExitStack() as stack:
        bar = stack.enter_context(progress(plan.teacher.missing.exchanges))
        async with answering(settings) as endpoint:
            teacher = Teacher(settings, record, endpoint, lambda spent: advance(bar, spent))
            teaching = lesson.teaching(teacher, AHEAD * settings.concurrency)
            try:
                return await lesson.all_methods(teaching)
            except StageError as error:
                raise type(error)(f"{error}\n{unfinished(plan, teaching)}") from None


def answering(settings: Settings) -> AbstractAsyncContextManager[Endpoint | Written]:
    """The endpoint, or the file of answers."""
    if settings.kind == "written":
        return written.read(settings.file, settings.revision, settings.sampling.seed)
    return opened(settings, os.environ.get(settings.key_from, ""))


def tell_idle(methods: list[str]) -> None:
    """Name the methods that were switched on and find nothing to ask about: their rows would be missed only at the end."""
    if methods:
        print(
            f"generate: the training part has no records for {', '.join(methods)} (docs/generation.md), so they make no rows.\n"
            f"generate: 训练部分没有 {'、'.join(methods)} 可用的记录，不会产生行。",
            file=sys.stderr,
        )


def announce(settings: Settings, teacher: Teacher) -> None:
    """What will be asked and spent, for a person to read before it is. Raises StageError where that is over the budget."""
    budget, missing, spent = settings.budget, teacher.missing, teacher.spent
    would = Spent(settings.price)
    for part in (missing, spent):
        would.add(part.asked, part.answered)
    if settings.kind == "written":
        return
    limit = f"{budget.tokens:,} tokens, {settings.price.currency} {budget.money:,.2f}"
    print(
        f"generate: will ask {settings.model} at {settings.base_url}: about {missing.exchanges:,} requests, {missing.shown()}. "
        f"Recorded already: {spent.exchanges:,} answers, {spent.shown()}. Budget: {limit}.\n"
        f"generate: 将向 {settings.model} 提问约 {missing.exchanges:,} 次，约 {missing.shown()}。"
        f"已有记录：{spent.exchanges:,} 条，{spent.shown()}。预算：{limit}。",
        file=sys.stderr,
    )
    if not within(would, budget):
        raise StageError(
            f"asking would take about {would.shown()} in all, more than the budget of {limit}. Nothing was asked. "
            "Raise generate.teacher.budget, or ask less (generate.asked, params.yaml)."
        )


def unfinished(plan: Teaching, teaching: Teaching) -> str:
    """What a run that stopped has not done, by method; what it was answered is kept."""
    left = {name: (count - teaching.ended[name], count) for name, count in plan.begun.items()}
    listed = "; ".join(f"{name}: {missing} of {count} records" for name, (missing, count) in left.items() if missing > 0)
    return f"Missing: {listed or 'nothing'}. All {teaching.teacher.spent.exchanges} answers are kept, and a new run asks only for the rest."


def progress(total: int) -> "tqdm[Any]":
    """A bar where a person looks on, a line now and then in a log."""
    return tqdm(total=total, desc="teacher", unit="request", mininterval=0.5 if sys.stderr.isatty() else 30)


def advance(bar: "tqdm[Any]", spent: Spent) -> None:
    if bar.total is not None and bar.n >= bar.total:
        bar.total = bar.n + 1  # it was an estimate
    bar.set_postfix_str(spent.shown(), refresh=False)
    bar.update()
