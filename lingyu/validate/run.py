"""Runs Great Expectations over one table."""

import os
import re
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lingyu.stage import StageError
from lingyu.validate.columns import frames, short
from lingyu.validate.suites import Expectation, Suite

# Disables the telemetry of Great Expectations.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

PIECE = 20_000  # rows checked at a time; all at once for suites with a custom `expect`, which may need the whole table
AROUND = 30  # characters of context shown around a match


@dataclass(frozen=True)
class Outcome:
    """The result of an expectation on a table. broken: the number of failing rows; by_file: their files; examples: places and rows.
    call: what Great Expectations was asked."""

    table: str
    expectation: Expectation
    stops: bool
    met: bool
    broken: int
    rows: int
    observed: str
    by_file: dict[str, int]
    examples: list[str]
    call: str

    def with_more(self, more: "Outcome", examples: int) -> "Outcome":
        """The combined result of two pieces of a table."""
        broken, rows = self.broken + more.broken, self.rows + more.rows
        return replace(
            self,
            met=rows - broken >= self.expectation.share * rows - 1e-6,
            broken=broken,
            rows=rows,
            by_file=dict(sorted((Counter(self.by_file) + Counter(more.by_file)).items())),
            examples=[*self.examples, *more.examples][:examples],
        )


class Checker:
    """One context for all tables, because the import is expensive."""

    def __init__(self, piece: int = PIECE) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its imports raise deprecation warnings
            import great_expectations
            from great_expectations.data_context.types.base import ProgressBarsConfig

        self._gx, self._piece = great_expectations, piece
        self._context = great_expectations.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._source = self._context.data_sources.add_pandas("corpus")

    def check(self, path: Path, suite: Suite, only_warn: list[str], examples: int) -> list[Outcome]:
        """The result of each expectation on the table in this file, in the suite's order."""
        table = suite.table
        gx_suite = self._context.suites.add(self._gx.ExpectationSuite(name=table))
        stops = [one.stop and f"{table}.{one.name}" not in only_warn for one in suite.expectations]
        for number, one in enumerate(suite.expectations):
            gx_suite.add_expectation(self._expectation(suite, one, stops[number], number))
        batch = self._source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
        definition = self._context.validation_definitions.add(self._gx.ValidationDefinition(name=table, data=batch, suite=gx_suite))
        wanted = {name for one in suite.expectations for name in one.columns}
        alone = [one.columns for one in suite.expectations if one.unique]
        most = sys.maxsize if any(one.expect for one in suite.expectations) else self._piece
        outcomes: list[Outcome] = []
        for frame in frames(path, table, wanted, alone, most):
            result = self._checked(definition, frame, suite)
            found = {((one.expectation_config and one.expectation_config.meta) or {})["number"]: one for one in result.results}
            piece = [
                outcome(suite, one, stops[number], found[number], len(frame), examples) for number, one in enumerate(suite.expectations)
            ]
            outcomes = [one.with_more(more, examples) for one, more in zip(outcomes, piece, strict=True)] if outcomes else piece
        return outcomes

    def _checked(self, definition: Any, frame: Any, suite: Suite) -> Any:
        for one in suite.expectations:
            if one.files:
                frame[condition(one)] = frame["source"].map(lambda source, one=one: int(fnmatchcase(source, one.files)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pandas warns about groups in users' regular expressions
            return definition.run(
                batch_parameters={"dataframe": frame},
                result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["source", "place", "row"]},
            )

    def _expectation(self, suite: Suite, one: Expectation, stops: bool, number: int) -> Any:
        expect, arguments = suite.gx_call(one)
        kind = getattr(self._gx.expectations, "".join(part.capitalize() for part in expect.split("_")), None)
        if kind is None:
            raise StageError(f"{suite.table}.yaml: {one.name}: Great Expectations has no {expect!r}.")
        if one.files:
            from great_expectations.expectations.row_conditions import Column

            arguments["row_condition"] = Column(condition(one)) > 0
        try:
            severity = "critical" if stops else "warning"
            return kind(**arguments, severity=severity, meta={"number": number}, notes=f"{one.name}: {one.why.en} {one.why.zh}")
        except ValueError as error:
            raise StageError(f"{suite.table}.yaml: {one.name} is not a valid expectation: {error}") from error


def condition(one: Expectation) -> str:
    """The column that marks the rows of the files an expectation applies to."""
    return f"of {one.files}"


def outcome(suite: Suite, one: Expectation, stops: bool, found: Any, rows: int, examples: int) -> Outcome:
    if found.exception_info and (message := exception_of(found.exception_info)):
        raise StageError(f"{suite.table}.yaml: {one.name} cannot be evaluated on this table: {message}")
    result = found.result
    broken = result.get("unexpected_index_list") or []
    return Outcome(
        table=suite.table,
        expectation=one,
        stops=stops,
        met=bool(found.success),
        broken=int(result.get("unexpected_count") or 0),
        rows=int(result.get("element_count", rows)),
        observed=str(result.get("observed_value", "")),
        by_file=dict(sorted(Counter(place["source"] for place in broken).items())),
        examples=[example(place, one, suite.regex(one)) for place in broken[:examples]],
        call=call_of(*suite.gx_call(one)),
    )


def call_of(expect: str, arguments: dict[str, Any]) -> str:
    return f"{expect}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


def example(place: dict[str, Any], one: Expectation, regex: str) -> str:
    """The location and summary of a row; for forbidden words, those words with their context."""
    summary = place["row"]
    value = place.get(one.columns[0])
    if regex and isinstance(value, str) and (match := re.search(regex, value)):
        before, after = value[: match.start()], value[match.end() :]
        left, right = " ".join(before[-AROUND:].split()), " ".join(after[:AROUND].split())
        what = f"{match[0]} U+{ord(match[0]):04X}" if len(match[0]) == 1 else short(match[0])  # ⺠ looks like 民
        summary = f"{'…' if len(before) > AROUND else ''}{left}【{what}】{right}{'…' if len(after) > AROUND else ''}"
    elif isinstance(value, int | float) and not isinstance(value, bool) and str(value) not in ("True", "False"):
        summary = f"{one.columns[0]} {value}: {summary}"
    return f"{place['source']}, {place['place']}: {summary}"


def exception_of(info: dict[str, Any]) -> str:
    """The error of an expectation that could not be evaluated, for example because of a misspelt column; empty if there is none."""
    listed = [info] if "exception_message" in info else list(info.values())
    return "; ".join(str(one["exception_message"]) for one in listed if isinstance(one, dict) and one.get("exception_message"))
