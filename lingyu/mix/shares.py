"""How often each row is used in training, by method, task, source, turns and scope, as set in params.yaml."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from math import prod

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator

from lingyu.generate.registry import fault_of_names
from lingyu.mix.balance import Entry, capped, is_multi_turn, replayed, tempered, thinned, weighted
from lingyu.records import Made, Row
from lingyu.stage import StageError, StageParams


class PretrainWeights(StageParams):
    """By kind of text."""

    document: NonNegativeFloat = Field(1.0, description="Documents of the corpus.")
    statement: NonNegativeFloat = Field(1.0, description="Statements of facts.")


class Weights(StageParams):
    """How often a row of the domain is used: 2 is twice, 0.5 every second one, 0 none."""

    pretrain: PretrainWeights = Field(PretrainWeights(), description="By kind of text.")
    sft: dict[str, NonNegativeFloat] = Field({}, description="Dialogues, by method: {exam: 2.0}. A method that is not named has 1.")
    preference: dict[str, NonNegativeFloat] = Field({}, description="Pairs, by method. A method that is not named has 1.")

    @field_validator("sft", "preference")
    @classmethod
    def known_methods(cls, weights: dict[str, float]) -> dict[str, float]:
        if fault := fault_of_names(weights):
            raise ValueError(fault)
        return weights

    def of_table(self, name: str) -> dict[str, float]:
        """The weights of the kinds of rows in a training table; a kind without one has 1."""
        found: dict[str, float] = self.model_dump().get(name, {})
        return found


class Shares(StageParams):
    """Of all tokens of a table."""

    pretrain: float = Field(0.1, ge=0, lt=1, description="Of the texts to pretrain on.")
    sft: float = Field(0.1, ge=0, lt=1, description="Of the dialogues.")


class Portion(StageParams):
    """How much of a task or of a file is used."""

    weight: NonNegativeFloat = Field(1.0, description="How often its rows are used, times the weight of their method.")
    most: PositiveInt | None = Field(None, description="Rows at most, before they are repeated.")


class SourcePortion(Portion):
    """Of all files of the domain whose path matches."""

    pattern: str = Field(description="Of paths under data/; * matches / too. The first entry that matches a file counts.")


class Portions(StageParams):
    seed: int = Field(20, description="Orders the rows, and draws those that a fractional weight takes.")
    weights: Weights = Field(Weights(), description="How often a row of the domain is used.")
    tasks: dict[str, Portion] = Field({}, description="The same by what is asked: {recall: {weight: 0.5, most: 500}}. Weights multiply.")
    sources: list[SourcePortion] = Field(
        [], description='The same by file: [{pattern: "hotline/*", weight: 2.0, most: 5000}]. Without entries all files count alike.'
    )
    temperature: float = Field(
        1.0,
        ge=1,
        description="Above 1 small sources are read more often and large ones less: in proportion to tokens^(1/temperature). Files under "
        "one pattern of `sources` are one source.",
    )
    max_repeats: float = Field(
        4.0, ge=1, description="Times at most, for the temperature's sake: a source of three rows would be learnt by heart."
    )
    multi_turn_share: float | None = Field(
        None, gt=0, lt=1, description="Share of dialogues with several questions, by tokens; the rest is thinned out. null: as they are."
    )
    general_share: Shares = Field(
        Shares(), description="Of all tokens so much general text, against forgetting. More of it costs domain steps in a short run."
    )
    general_repeats: PositiveInt = Field(
        2,
        description="Times that a general row is used at most: repeated more often the model would learn it by heart, not keep its "
        "language.",
    )

    def of_task(self, row: Row) -> Portion | None:
        return self.tasks.get(row.task) if isinstance(row, Made) else None

    def of_source(self, row: Row) -> SourcePortion | None:
        """The first match."""
        return next((portion for portion in self.sources if fnmatchcase(row.source, portion.pattern)), None)


def check_portions(rows: dict[str, list[Row]], params: Portions) -> None:
    """Raises StageError if params.yaml names tasks or files that no domain training row has: a typo, or the corpus has changed."""
    trained = [row for table in rows if table.startswith("train/") for row in rows[table] if row.scope == "domain"]
    tasks, sources = {row.task for row in trained if isinstance(row, Made)}, {row.source for row in trained}
    faults = [f"  mix.tasks: no row has the task {task!r}; known: {', '.join(sorted(tasks))}" for task in params.tasks if task not in tasks]
    faults += [
        f"  mix.sources: no file matches {portion.pattern!r}; example file: {min(sources, default='none')}"
        for portion in params.sources
        if not any(fnmatchcase(source, portion.pattern) for source in sources)
    ]
    if faults:
        raise StageError("\n".join(["params.yaml has weights for tasks or sources without domain training rows:", *faults]))


def amounts(table: str, entries: Sequence[Entry], params: Portions) -> Iterator[tuple[Entry, int, str]]:
    """Each entry with its number of repeats and the reason if that is zero: domain rows by weights and caps, general rows by
    their target share."""
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
    """The weight of each entry of a training table, by id: of its method, task and source, then for temperature and turns."""
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
                f"mix.multi_turn_share is {params.multi_turn_share}, but train/sft has no {lacking[0]}-turn domain dialogues. "
                "Set it to null, or add such dialogues."
            )
        single, multi = thinned(tokens["single"], tokens["multi"], params.multi_turn_share)
        weights = {row_id: weight * (multi if turns_of[row_id] == "multi" else single) for row_id, weight in weights.items()}
    return weights


def tokens_by(entries: Sequence[Entry], groups: dict[str, str], weights: dict[str, float]) -> dict[str, float]:
    """The weighted tokens of each group."""
    tokens: dict[str, float] = defaultdict(float)
    for entry in entries:
        tokens[groups[entry.row.id]] += entry.tokens * weights[entry.row.id]
    return tokens
