"""Runs Great Expectations over one table, and makes its page usable offline."""

import os
import re
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

from lingyu.stage import StageError
from lingyu.validate.columns import frames, short
from lingyu.validate.suites import Expectation, Suite

# Disables the telemetry of Great Expectations.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

RUN_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # a constant, so that output is reproducible
BACK = (
    '<p><a href="index.html">← all tables · 全部表</a></p>\n'
    "<p>Great Expectations results for this table · 该表的 Great Expectations 检查结果</p>"
)
PIECE = 20_000  # rows checked at a time; all at once for suites with a custom `expect`, which may need the whole table
AROUND = 30  # characters of context shown around a match


@dataclass(frozen=True)
class Outcome:
    """The result of an expectation on a table. broken: the number of failing rows; by_file: their files; examples: places and rows."""

    table: str
    expectation: Expectation
    stops: bool
    met: bool
    broken: int
    rows: int
    observed: str
    by_file: dict[str, int]
    examples: list[str]

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

    def check(self, path: Path, suite: Suite, only_warn: list[str], examples: int) -> tuple[list[Outcome], str]:
        """The result of each expectation on the table in this file, in the suite's order, and the HTML page."""
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
        whole: Any = None
        outcomes: list[Outcome] = []
        for frame in frames(path, table, wanted, alone, most):
            result = self._checked(definition, frame, suite)
            found = {((one.expectation_config and one.expectation_config.meta) or {})["number"]: one for one in result.results}
            piece = [
                outcome(suite, one, stops[number], found[number], len(frame), examples) for number, one in enumerate(suite.expectations)
            ]
            for one in result.results:  # thousands of failing values would fill memory and make a page of megabytes; the counts are kept
                for name in ("unexpected_list", "unexpected_index_list", "unexpected_index_query"):
                    one.result.pop(name, None)
            outcomes = [one.with_more(more, examples) for one, more in zip(outcomes, piece, strict=True)] if outcomes else piece
            whole = whole or result
        for one in whole.results:
            set_totals(one, outcomes[one.expectation_config.meta["number"]])
        met = sum(one.met for one in outcomes)
        whole.success = met == len(outcomes)
        whole.statistics |= {"successful_expectations": met, "unsuccessful_expectations": len(outcomes) - met}
        whole.statistics["success_percent"] = 100 * met / len(outcomes)
        return outcomes, self._page(whole)

    def _checked(self, definition: Any, frame: Any, suite: Suite) -> Any:
        from great_expectations.core.run_identifier import RunIdentifier

        for one in suite.expectations:
            if one.files:
                frame[condition(one)] = frame["source"].map(lambda source, one=one: int(fnmatchcase(source, one.files)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pandas warns about groups in users' regular expressions
            return definition.run(
                batch_parameters={"dataframe": frame},
                result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["source", "place", "row"]},
                run_id=RunIdentifier(run_name=suite.table, run_time=RUN_TIME),
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

    def _page(self, result: Any) -> str:
        renderer: Any = import_module("great_expectations.render.renderer")  # untyped
        view: Any = import_module("great_expectations.render.view")
        return offline(view.DefaultJinjaPageView().render(renderer.ValidationResultsPageRenderer().render(result)))


def set_totals(result: Any, whole: Outcome) -> None:
    """Set the counts of the whole table in the result of its first piece, for the page."""
    if "element_count" not in result.result:  # about the table, not its rows: checked in one piece
        return
    percent = 100 * whole.broken / max(1, whole.rows)
    shares = dict.fromkeys(("unexpected_percent", "unexpected_percent_total", "unexpected_percent_nonmissing"), percent)
    result.success = whole.met
    result.result |= {"element_count": whole.rows, "unexpected_count": whole.broken, **shares}


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
    )


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


def offline(page: str) -> str:
    """A page of Great Expectations without external resources and without values that differ between runs."""
    page = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    page = re.sub(r"<link\b[^>]*https?://[^>]*>", "", page)
    page = re.sub(r"<(a|img)\b[^>]*(?:https?://|\.\./)[^>]*>", r"<\1>", page)
    page = re.sub(r"url\(['\"]?https?://[^)]*\)", "none", page).replace("<img>", "")
    page = re.sub(r"\d{8}T\d{6}\.\d{6}Z|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*", "", page)
    seen: dict[str, str] = {}
    page = re.sub(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", lambda uuid: seen.setdefault(uuid[0], f"id{len(seen)}"), page)
    page = "\n".join(line.rstrip() for line in page.split("\n") if line.strip())
    page = re.sub(r"(<body[^>]*>)", rf"\1{BACK}", page, count=1)
    return page.replace("</head>", '<link rel="stylesheet" href="report.css">\n</head>')
