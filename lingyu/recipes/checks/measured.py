"""Metrics of checkpoints, and paired tests between them."""

import csv
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from lingyu.files import read_json, read_jsonl
from lingyu.recipes.checks.check import Bounds, Check, Run
from lingyu.recipes.checks.tables import table

RESAMPLES, SEED = 1000, 0


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


class Kept(Asked):
    """A checkpoint has not lost more of a metric than a margin, relative to another: bits per byte of everyday text, for example."""

    kind: Literal["kept"]
    checkpoint: str
    than: str
    metric: str
    margin: float = Field(gt=0)

    def look(self, run: Run) -> tuple[bool, str]:
        from lingyu.evaluate.metrics import named

        change = self.change(run, self.than, self.checkpoint, self.metric)
        sign = 1 if named(self.metric).better == "lower" else -1
        lost = sign * change["difference"] / change["before_value"]
        return lost <= self.margin, f"{change_text(change)}; {lost:+.0%}"


class Confusion(Bounds, Asked):
    """The confusion matrix of a checkpoint, a row for each class with a column for each and one for replies that name none; and the share
    on its diagonal."""

    kind: Literal["confusion"]
    checkpoint: str
    classes: int

    def look(self, run: Run) -> tuple[bool, str]:
        from lingyu.evaluate.metrics import confusion_rows

        rows = confusion_rows([row for row in self.predictions(run, self.checkpoint) if row.options])
        names = list(dict.fromkeys(actual for actual, _, _ in rows))
        lines = ["/".join(str(count) for actual, _, count in rows if actual == name) for name in names]
        right, total = sum(count for actual, called, count in rows if actual == called), sum(count for _, _, count in rows)
        holds = len(names) == self.classes and total > 0 and self.within(right / total)
        return holds, f"{'; '.join(lines)} ({right}/{total})"


class Compared(Asked):
    """Checkpoints are compared with the first of them by paired tests on the same items; whichever wins."""

    kind: Literal["compared"]
    checkpoints: list[str] = Field(min_length=2)
    metric: str

    def look(self, run: Run) -> tuple[bool, str]:
        first, *others = self.checkpoints
        changes = {name: self.change(run, first, name, self.metric) for name in others}
        return True, "; ".join(f"{first} → {name} {change_text(change)}" for name, change in changes.items())


class Sizes(Asked):
    """A checkpoint of this recipe against one of the recipe named as `second`, which ran before on the same test items: the table of two
    rows and columns with McNemar's exact test. In the leaderboard the second stands as a model of others."""

    kind: Literal["sizes"]
    checkpoint: str
    second: str
    task: str

    def look(self, run: Run) -> tuple[bool, str]:
        import numpy as np

        from lingyu.statistics import mcnemar

        folder = run.folder.parent / self.second
        first, second = (
            {row.id: row.correct for row in self.predictions(one, self.checkpoint) if row.task == self.task} for one in (run, Run(folder))
        )
        both = [id_ for id_ in first if id_ in second]
        pairs = [(float(first[id_]), float(second[id_])) for id_ in both]
        ours, others = np.array(pairs).reshape(-1, 2).T
        cells = [int(sum((ours == one) & (others == other))) for one in (1, 0) for other in (1, 0)]
        weights = [sum(tensor.size for tensor in tensors(one / "out/base/model").values()) / 1e6 for one in (run.folder, folder)]
        listed = any(row["checkpoint"] == self.second for row in csv_rows(run.folder / "out/select/leaderboard.csv"))
        found = (
            f"{' / '.join(map(str, cells))} of {len(both)}; McNemar p = {mcnemar(others, ours):.3f}; {weights[0]:.1f} : {weights[1]:.1f} M"
        )
        return len(both) > 0 and len(both) == len(first) and listed and weights[0] > weights[1], found


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


class Curve(Check):
    """The losses of a training: that of the training rows and that of the held-out ones fall together. rebound: how far, relative to its
    lowest, the held-out loss may rise again before the end; apart: how far the two may end from each other, relative to the held-out."""

    kind: Literal["curve"]
    checkpoint: str
    rebound: float = Field(gt=0)
    apart: float = Field(gt=0)

    def look(self, run: Run) -> tuple[bool, str]:
        rows = csv_rows(run.folder / "out" / self.checkpoint / "curves.csv")
        train, held = ([float(row[name]) for row in rows if row[name]] for name in ("train_loss", "eval_loss"))
        falls = train[-1] < train[0] and held[-1] < held[0]
        holds = falls and held[-1] <= min(held) * (1 + self.rebound) and abs(held[-1] - train[-1]) <= self.apart * held[-1]
        return holds, f"{train[0]:.2f} → {train[-1]:.2f}; {held[0]:.2f} → {held[-1]:.2f}"


class Vocabulary(Check):
    """The rows of the words that extend added are other ones after a training than before it."""

    kind: Literal["vocabulary"]
    before: str
    after: str

    def look(self, run: Run) -> tuple[bool, str]:
        before, after = (embedding(run.folder / "out" / name / "model") for name in (self.before, self.after))
        ids = {one["content"]: one["id"] for one in read_json(run.folder / "out/extend/model/tokenizer.json")["added_tokens"]}
        added = [ids[row["term"]] for row in csv_rows(run.folder / "out/extend/terms.csv")]
        changed = int((before[added] != after[added]).any(axis=1).sum())
        return changed == len(added) > 0, f"{changed}/{len(added)}"


class Quantized(Bounds):
    """The share of dev questions whose answer changes with fewer bits a weight (q8_0, q4_0), as package.quantize counts it."""

    kind: Literal["quantized"]
    bits: Literal["q8_0", "q4_0"]
    count: int = 40

    def look(self, run: Run) -> tuple[bool, str]:
        from lingyu.export import quantized

        tokens = read_json(run.folder / "out/package/bento/src/settings.json")["max_tokens"]
        questions = run.folder / "out/mix/dev/questions.parquet"
        counted = quantized.check(run.folder / "out/select/model", questions, self.bits, tokens, 1.0, self.count)
        return self.within(counted["changed"] / counted["questions"]), f"{counted['changed']}/{counted['questions']}"


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tensors(model: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return {name: tensor for file in sorted(model.glob("*.safetensors")) for name, tensor in load_file(file).items()}


def embedding(model: Path) -> Any:
    return next(tensor for name, tensor in tensors(model).items() if name.endswith("embed_tokens.weight"))


def change_text(change: Any) -> str:
    chance = "< .001" if change["chance"] < 0.001 else f"= {change['chance']:.3f}"
    return f"{change['before_value']:.3f} → {change['after_value']:.3f} (p {chance}, n = {change['count']})"
