"""What must hold after a recipe has run: counts of rows, metrics, paired tests, and what the service answers.

A kind of check is a class here: its fields are what a recipe writes, `look` says whether it holds and what was found.
"""

import csv
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lingyu.files import read_json, read_jsonl
from lingyu.recipes.service import Service

RESAMPLES, SEED = 1000, 0
TITLED = re.compile(r"^《(.*?)》(.*)$")


@dataclass(frozen=True)
class Result:
    zh: str
    en: str
    holds: bool
    found: str


@dataclass
class Run:
    """A recipe's folder after `dvc repro`, and its service, started when it is first asked."""

    folder: Path
    _started: list[Service] = field(default_factory=list)

    @cached_property
    def service(self) -> Service:
        self._started.append(Service(self.folder / "out/package/bento", self.folder / ".lingyu"))
        return self._started[0]

    def close(self) -> None:
        for service in self._started:
            service.stop()


class Check(BaseModel, ABC):
    """zh, en: what is checked, in a phrase."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    zh: str
    en: str

    def result(self, run: Run) -> Result:
        """What cannot be looked at does not hold."""
        try:
            holds, found = self.look(run)
        except (OSError, KeyError, IndexError, ValueError) as error:
            holds, found = False, f"{type(error).__name__}: {error}"
        return Result(self.zh, self.en, holds, found)

    @abstractmethod
    def look(self, run: Run) -> tuple[bool, str]: ...


class Bounds(Check):
    at_least: float | None = None
    at_most: float | None = None

    def within(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


class Rows(Bounds):
    """The rows of a table that match. where: a regular expression for each field; a dot goes into a field, and into each of a list.
    distinct: count the different values of this field."""

    kind: Literal["rows"]
    table: Path
    where: dict[str, str] = {}
    distinct: str | None = None

    def look(self, run: Run) -> tuple[bool, str]:
        rows = [row for row in table(run.folder / "out" / self.table) if matches(row, self.where)]
        count = len({str(value) for row in rows for value in values_at(row, self.distinct)}) if self.distinct else len(rows)
        return self.within(count), f"{count:,}"


class Dropped(Bounds):
    """What a stage dropped for a reason, by its ledger."""

    kind: Literal["dropped"]
    stage: str
    reason: str

    def look(self, run: Run) -> tuple[bool, str]:
        reasons = read_json(run.folder / "out" / self.stage / "ledger.json")["total"]["dropped"]
        found = {reason: count for reason, count in reasons.items() if re.search(self.reason, reason)}
        return self.within(sum(found.values())), ", ".join(f"{reason} {count:,}" for reason, count in found.items()) or "0"


class Value(Bounds):
    """A number in a JSON file of out/. at: its keys, with dots between them."""

    kind: Literal["value"]
    file: Path
    at: str

    def look(self, run: Run) -> tuple[bool, str]:
        value = read_json(run.folder / "out" / self.file)
        for key in self.at.split("."):
            value = value[int(key)] if isinstance(value, list) else value[key]
        return self.within(float(value)), f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


class Asked(Check):
    """part: dev, the items that the winner is chosen by, or test, which the winner is asked and what select.pairs compares it with.
    sources: only items of files that match."""

    part: Literal["dev", "test"] = "dev"
    sources: str = "*"

    def predictions(self, run: Run, checkpoint: str) -> list[Any]:
        from lingyu.evaluate.metrics import Prediction
        from lingyu.files import read_table

        of = {"dev": f"evaluate/{checkpoint}/predictions.parquet", "test": f"select/test/{checkpoint}.parquet"}
        rows = list(read_table(run.folder / "out" / of[self.part], Prediction))
        if self.sources == "*":
            return rows
        questions = table(run.folder / "out/mix" / self.part / "questions.parquet")
        wanted = {one["id"] for one in questions if fnmatchcase(one["source"], self.sources)}
        return [row for row in rows if row.id in wanted]

    def change(self, run: Run, before: str, after: str, metric: str) -> Any:
        from lingyu.evaluate.metrics import change, named

        found = change(named(metric), self.predictions(run, before), self.predictions(run, after), RESAMPLES, SEED)
        if found is None:
            raise ValueError(f"no items of {metric}")
        return found


class Metric(Bounds, Asked):
    """A metric of a checkpoint."""

    kind: Literal["metric"]
    checkpoint: str
    metric: str

    def look(self, run: Run) -> tuple[bool, str]:
        from lingyu.evaluate.metrics import measure, named

        one = measure(named(self.metric), self.predictions(run, self.checkpoint), RESAMPLES, SEED)
        if one is None:
            raise ValueError(f"no items of {self.metric}")
        return self.within(one["value"]), f"{one['value']:.3f} ({one['low']:.3f}–{one['high']:.3f}, n = {one['count']})"


class Better(Asked):
    """A checkpoint is better than another in a metric, by the paired test on the same items."""

    kind: Literal["better"]
    checkpoint: str
    than: str
    metric: str
    level: float = 0.05

    def look(self, run: Run) -> tuple[bool, str]:
        from lingyu.evaluate.metrics import named

        change = self.change(run, self.than, self.checkpoint, self.metric)
        gained = (change["difference"] > 0) == (named(self.metric).better == "higher")
        return gained and change["chance"] < self.level, change_text(change)


class Compared(Asked):
    """Checkpoints are compared with the first of them by paired tests on the same items; whichever wins."""

    kind: Literal["compared"]
    checkpoints: list[str] = Field(min_length=2)
    metric: str

    def look(self, run: Run) -> tuple[bool, str]:
        first, *others = self.checkpoints
        changes = {name: self.change(run, first, name, self.metric) for name in others}
        return True, "; ".join(f"{first} → {name} {change_text(change)}" for name, change in changes.items())


class External(Asked):
    """The table of two rows and columns against what a model of others answered to the same texts, with McNemar's exact test.

    answers: JSON lines with a key and an answer, beside the corpus. source: the file of the corpus that the texts are rows of, and
    column: its field with the key. at_least: items that both were asked."""

    kind: Literal["external"]
    answers: Path
    source: Path
    column: str
    checkpoint: str
    at_least: int = 1

    def look(self, run: Run) -> tuple[bool, str]:
        import numpy as np

        from lingyu.records import Question
        from lingyu.statistics import mcnemar

        with (run.folder / "data" / self.source).open(encoding="utf-8-sig", newline="") as file:
            keys = {f"row {number}": row[self.column] for number, row in enumerate(csv.DictReader(file), 2)}
        theirs = {row["id"]: row["answer"] for row in read_jsonl(self.answers)}
        rows = {row.id: row for row in self.predictions(run, self.checkpoint)}
        asked = [Question.model_validate(row) for row in table(run.folder / "out/mix" / self.part / "questions.parquet")]
        pairs = [
            (float(rows[one.id].correct), float(theirs[keys[one.place]] == one.answer))
            for one in asked
            if one.id in rows and one.source == self.source.as_posix() and keys.get(one.place) in theirs
        ]
        ours, others = np.array(pairs).reshape(-1, 2).T
        cells = [int(sum((ours == one) & (others == other))) for one in (1, 0) for other in (1, 0)]
        return len(pairs) >= self.at_least, f"{' / '.join(map(str, cells))} of {len(pairs)}; McNemar p = {mcnemar(others, ours):.3f}"


class Ratings(Asked):
    """Elo ratings and win rates: of two checkpoints the one with more of a value, such as exact, wins the item.

    best: who must be ahead of all others."""

    kind: Literal["ratings"]
    checkpoints: list[str] = Field(min_length=2)
    task: str
    value: str = "exact"
    best: str

    def look(self, run: Run) -> tuple[bool, str]:
        from lingyu.judge.ranking import Vote, ranked

        values = {
            name: {row.id: row.values[self.value] for row in self.predictions(run, name) if row.task == self.task}
            for name in self.checkpoints
        }
        votes = [
            Vote(item, one, other, 0.5 if values[one][item] == values[other][item] else float(values[one][item] > values[other][item]))
            for one, other in combinations(values, 2)
            for item in values[one]
        ]
        found = ranked(votes, list(values), RESAMPLES, SEED)
        ratings = {name: rating["value"] for name, rating in found["elo"].items()}
        order = sorted(ratings, key=lambda name: -ratings[name])
        rates = [f"{one} : {other} {found['win_rates'][one][other]['value']:.2f}" for one, other in combinations(order, 2)]
        shown = ", ".join(f"{name} {ratings[name]:.0f}" for name in order)
        return bool(order) and order[0] == self.best, f"{shown}; {', '.join(rates)} (n = {len(values[self.checkpoints[0]])})"


class Answer(Check):
    """The service answers a conversation. turns: the person's; the replies between them are the service's own. says, never: regular
    expressions for the last reply; source: for title or place of one of its sources; whose: its answer_source."""

    kind: Literal["answer"]
    turns: list[str] = Field(min_length=1)
    mode: str = "professional"
    skill: str = ""
    says: str | None = None
    never: str | None = None
    source: str | None = None
    whose: str | None = None

    def look(self, run: Run) -> tuple[bool, str]:
        reply = run.service.converse(self.turns, self.mode, self.skill)
        text = reply["choices"][0]["message"]["content"] or ""
        places = places_of(reply)
        holds = (
            (self.says is None or re.search(self.says, text) is not None)
            and (self.never is None or re.search(self.never, text) is None)
            and (self.source is None or any(re.search(self.source, place) for place in places))
            and (self.whose is None or reply.get("answer_source") == self.whose)
        )
        shown = " ".join(text.split())
        return holds, f"{reply.get('answer_source') or self.mode}: {shown[:80]}{'…' if len(shown) > 80 else ''}"


class Prompts(Check):
    """The service's prompts have as many tokens as training's, for the first questions of one turn that the model was trained on."""

    kind: Literal["prompts"]
    count: int = 20

    def look(self, run: Run) -> tuple[bool, str]:
        from lingyu.model.load import load_tokenizer
        from lingyu.records import Dialogue
        from lingyu.train.data import NOT_LEARNT, dialogues

        rows = [Dialogue.model_validate(row) for row in table(run.folder / "out/mix/train/sft.parquet")]
        asked = [row for row in rows if [message.role for message in row.messages] == ["user", "assistant"]][: self.count]
        trained = [
            sum(label == NOT_LEARNT for label in example["labels"])
            for example in dialogues(asked, load_tokenizer(run.folder / "out/select/model"), 10_000)
        ]
        served = [run.service.converse([row.messages[0].content], "plain", tokens=1)["usage"]["prompt_tokens"] for row in asked]
        same = sum(one == other for one, other in zip(trained, served, strict=True))
        return same == len(asked) > 0, f"{same}/{len(asked)}"


class Questions(Bounds):
    """The share of questions of a file for which professional mode shows the right source. file: JSON lines under data/; asked, source:
    the fields with the question and with what must stand in a source's title and place, such as 《Title》Article 8."""

    kind: Literal["questions"]
    file: Path
    asked: str
    source: str

    def look(self, run: Run) -> tuple[bool, str]:
        rows = list(read_jsonl(run.folder / "data" / self.file))
        right = 0
        for row in rows:
            places = places_of(run.service.converse([row[self.asked]], "professional"))
            title, number = TITLED.sub(r"\1\n\2", row[self.source]).split("\n")
            right += any(title in place and re.search(rf"{re.escape(number)}(?![一二三四五六七八九十百\d])", place) for place in places)
        return self.within(right / len(rows)), f"{right}/{len(rows)}"


class Rewrite(Check):
    """Whether the service takes a message for one that may hurt, and then offers all four elements and a rewriting."""

    kind: Literal["rewrite"]
    text: str
    hurts: bool

    def look(self, run: Run) -> tuple[bool, str]:
        reply = run.service.rewrite(self.text)
        offered = [*reply["elements"].values(), reply["rewrite"]]
        holds = reply["hurts"] is self.hurts and (not self.hurts or (len(offered) >= 5 and all(offered)))
        return holds, f"{reply['risk'] or '-'}: {reply['rewrite'][:60] or '-'}"


class File(Check):
    """A file of the recipe's folder, and a regular expression for its text."""

    kind: Literal["file"]
    path: Path
    says: str = ""

    def look(self, run: Run) -> tuple[bool, str]:
        text = (run.folder / self.path).read_text(encoding="utf-8", errors="replace")
        found = re.search(self.says, text)
        return found is not None, " ".join(found[0].split())[:80] if found else f"{self.path}: -"


AnyCheck = Annotated[
    Rows | Dropped | Value | Metric | Better | Compared | External | Ratings | Answer | Prompts | Questions | Rewrite | File,
    Field(discriminator="kind"),
]


def places_of(reply: dict[str, Any]) -> list[str]:
    """What each source of a reply says of where it is: title, headings, place and file."""
    return [" ".join(str(value) for key, value in one.items() if key != "text") for one in reply.get("sources") or []]


def change_text(change: Any) -> str:
    chance = "< .001" if change["chance"] < 0.001 else f"= {change['chance']:.3f}"
    return f"{change['before_value']:.3f} → {change['after_value']:.3f} (p {chance}, n = {change['count']})"


def table(path: Path) -> Iterator[dict[str, Any]]:
    from lingyu.files import read_batches

    for batch in read_batches(path):
        yield from batch.to_pylist()


def matches(row: dict[str, Any], where: dict[str, str]) -> bool:
    return all(any(re.search(pattern, str(value)) for value in values_at(row, at)) for at, pattern in where.items())


def values_at(row: Any, at: str | None) -> Sequence[Any]:
    """The values at a place of a row, those of each item where it holds a list."""
    found = [row]
    for key in at.split(".") if at else []:
        found = [value for one in found for value in (one if isinstance(one, list) else [one])]
        found = [one[key] for one in found if isinstance(one, dict) and one.get(key) is not None]
    return [value for one in found for value in (one if isinstance(one, list) else [one])]
