"""How often each row goes into training: what params.yaml says of methods, tasks, sources, turns and general text."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from math import prod
from typing import Self

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator, model_validator

from lingyu.generate.tables import fault_of_names
from lingyu.mix.balance import Entry, capped, is_multi_turn, replayed, tempered, thinned, weighted
from lingyu.records import Made, Row
from lingyu.stage import StageError, StageParams


class PretrainWeights(StageParams):
    document: NonNegativeFloat
    statement: NonNegativeFloat


class Weights(StageParams):
    pretrain: PretrainWeights
    sft: dict[str, NonNegativeFloat]
    preference: dict[str, NonNegativeFloat]

    @field_validator("sft", "preference")
    @classmethod
    def known_methods(cls, weights: dict[str, float]) -> dict[str, float]:
        if fault := fault_of_names(weights, needed=()):
            raise ValueError(fault)
        return weights

    @model_validator(mode="after")
    def every_method(self) -> Self:
        if fault := fault_of_names({*self.sft, *self.preference}):
            raise ValueError(f"{fault}, in sft where it makes dialogues, in preference where it makes pairs")
        return self

    def of_table(self, name: str) -> dict[str, float]:
        """The weights of the kinds of rows in a training table; one without weights takes all rows once."""
        found: dict[str, float] = self.model_dump().get(name, {})
        return found


class Shares(StageParams):
    pretrain: float = Field(ge=0, lt=1)
    sft: float = Field(ge=0, lt=1)


class Portion(StageParams):
    """weight: how often its rows go in, times the weight of their method; most: so many at most, before they are repeated."""

    weight: NonNegativeFloat = 1.0
    most: PositiveInt | None = None


class SourcePortion(Portion):
    """Of all files of the domain whose path matches; * reaches into folders."""

    pattern: str


class Portions(StageParams):
    seed: int
    weights: Weights
    tasks: dict[str, Portion]
    sources: list[SourcePortion]
    temperature: float = Field(ge=1)
    max_repeats: float = Field(ge=1)
    multi_turn_share: float | None = Field(gt=0, lt=1)
    general_share: Shares
    general_repeats: PositiveInt

    def of_task(self, row: Row) -> Portion | None:
        return self.tasks.get(row.task) if isinstance(row, Made) else None

    def of_source(self, row: Row) -> SourcePortion | None:
        """The first that matches."""
        return next((portion for portion in self.sources if fnmatchcase(row.source, portion.pattern)), None)


def stop_at_methods(rows: dict[str, list[Row]], weights: Weights) -> None:
    """Raise where a row's method has no weight: it would go in, or stay out, by nobody's choice."""
    tables = {f"train/{name}": weights.of_table(name) for name in ("sft", "preference")}
    found = {(table, row.method) for table in tables for row in rows[table] if isinstance(row, Made)}
    lacking = [f"  mix.weights.{table.split('/')[1]}.{method}" for table, method in sorted(found) if method not in tables[table]]
    if lacking:
        raise StageError("\n".join(["params.yaml has no weight for methods that made training rows; 1.0 takes each once:", *lacking]))


def stop_at_portions(rows: dict[str, list[Row]], params: Portions) -> None:
    """Raise where params.yaml speaks of tasks or files that no training row of the domain has: a slip, or a corpus that changed."""
    trained = [row for table in rows if table.startswith("train/") for row in rows[table] if row.scope == "domain"]
    tasks, sources = {row.task for row in trained if isinstance(row, Made)}, {row.source for row in trained}
    faults = [
        f"  mix.tasks: no row has the task {task!r}; there are: {', '.join(sorted(tasks))}" for task in params.tasks if task not in tasks
    ]
    faults += [
        f"  mix.sources: no file matches {portion.pattern!r}; one is {min(sources, default='none')}"
        for portion in params.sources
        if not any(fnmatchcase(source, portion.pattern) for source in sources)
    ]
    if faults:
        raise StageError("\n".join(["params.yaml weighs what is not among the training rows of the domain:", *faults]))


def amounts(table: str, entries: Sequence[Entry], params: Portions) -> Iterator[tuple[Entry, int, str]]:
    """Each entry with how often it goes in, and why not where it does not: rows of the domain by their weights and caps, general
    ones by the share they are to have."""
    part, name = table.split("/")
    share = params.general_share.model_dump().get(name) if part != "test" else None
    general = [entry for entry in entries if entry.row.scope == "general"] if share is not None else []
    domain = [entry for entry in entries if entry.row.scope == "domain"] if share is not None else entries
    over = capped(domain, lambda entry: caps_of(entry, params), params.seed) if part == "train" else set()
    yield from ((entry, 0, "over its cap") for entry in domain if entry.row.id in over)
    domain = [entry for entry in domain if entry.row.id not in over]
    weights = weights_of(name, domain, params) if part == "train" else {}
    weighed = list(weighted(domain, lambda entry: weights.get(entry.row.id, 1.0), params.seed))
    yield from ((*weighing, "over its share") for weighing in weighed)
    if share is not None:
        taken = sum(entry.tokens * times for entry, times in weighed)
        most = params.general_repeats if part == "train" else 1
        yield from ((*replay, "over its share") for replay in replayed(general, taken, share, most, params.seed))


def caps_of(entry: Entry, params: Portions) -> dict[str, int]:
    task, source = params.of_task(entry.row), params.of_source(entry.row)
    caps = {
        f"task {entry.row.task if isinstance(entry.row, Made) else ''}": task.most if task else None,
        f"source {source.pattern if source else ''}": source.most if source else None,
    }
    return {name: most for name, most in caps.items() if most is not None}


def weights_of(name: str, entries: Sequence[Entry], params: Portions) -> dict[str, float]:
    """The weight of each entry of a training table, by id: of its method, task and source, then what temperature and turns ask for."""
    by_method, weights = params.weights.of_table(name), dict[str, float]()
    for entry in entries:
        portions = (params.of_task(entry.row), params.of_source(entry.row))
        weights[entry.row.id] = by_method.get(entry.kind, 1.0) * prod(portion.weight for portion in portions if portion)
    if params.temperature > 1:
        sources = {entry.row.id: source.pattern if (source := params.of_source(entry.row)) else entry.row.source for entry in entries}
        factors = tempered(tokens_by(entries, sources, weights), params.temperature, params.max_repeats)
        weights = {row_id: weight * factors.get(sources[row_id], 1.0) for row_id, weight in weights.items()}
    if params.multi_turn_share is not None and name == "sft":
        turns_of = {entry.row.id: "multi" if is_multi_turn(entry.row) else "single" for entry in entries}
        tokens = tokens_by(entries, turns_of, weights)
        if lacking := [kind for kind in ("single", "multi") if not tokens.get(kind)]:
            raise StageError(
                f"mix.multi_turn_share is {params.multi_turn_share}, but train/sft has no {lacking[0]}-turn dialogue of the domain. "
                "Set it to null, or add such dialogues."
            )
        single, multi = thinned(tokens["single"], tokens["multi"], params.multi_turn_share)
        weights = {row_id: weight * (multi if turns_of[row_id] == "multi" else single) for row_id, weight in weights.items()}
    return weights


def tokens_by(entries: Sequence[Entry], groups: dict[str, str], weights: dict[str, float]) -> dict[str, float]:
    """The tokens of each group, as often as the weights take them."""
    tokens: dict[str, float] = defaultdict(float)
    for entry in entries:
        tokens[groups[entry.row.id]] += entry.tokens * weights[entry.row.id]
    return tokens
