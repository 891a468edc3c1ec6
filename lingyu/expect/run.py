"""Great Expectations over one table, and its page as it can be opened offline."""

import os
import re
import warnings
from datetime import UTC, datetime
from typing import Any

from lingyu.expect.suites import Expectation, Outcome
from lingyu.stage import StageError

# Great Expectations would report its use to its makers.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

RUN_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # of no meaning; the same on every run


class Checker:
    """One context for all tables: what is dear is the import."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports what Python has deprecated
            import great_expectations
            from great_expectations.data_context.types.base import ProgressBarsConfig

        self._gx = great_expectations
        self._context = great_expectations.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._source = self._context.data_sources.add_pandas("corpus")

    def check(
        self, table: str, rows: list[dict[str, Any]], suite: list[Expectation], only_warn: list[str], examples: int
    ) -> tuple[list[Outcome], str]:
        """How each expectation fared, in the suite's order, and the page that shows it."""
        import pandas
        from great_expectations.core.run_identifier import RunIdentifier

        blocking = [one.blocking and f"{table}.{one.name}" not in only_warn for one in suite]
        asked = self._context.suites.add(self._gx.ExpectationSuite(name=table))
        for number, (one, blocks) in enumerate(zip(suite, blocking, strict=True)):
            asked.add_expectation(self._expectation(table, one, blocks, number))
        batch = self._source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("all")
        definition = self._gx.ValidationDefinition(name=table, data=batch, suite=asked)
        result = self._context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": pandas.DataFrame(rows)},
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["source", "place"]},
            run_id=RunIdentifier(run_name=table, run_time=RUN_TIME),
        )
        outcomes = []
        for found in result.results:  # not in the suite's order
            place = ((found.expectation_config and found.expectation_config.meta) or {})["number"]
            outcomes.append((place, outcome(table, suite[place], blocking[place], found, len(rows), examples)))
        return [one for _, one in sorted(outcomes, key=lambda numbered: numbered[0])], self._page(result)

    def _expectation(self, table: str, one: Expectation, blocks: bool, number: int) -> Any:
        name = "".join(part.capitalize() for part in one.expect.split("_"))
        kind = getattr(self._gx.expectations, name, None)
        if kind is None:
            raise StageError(f"{table}.yaml: Great Expectations knows no {one.expect!r}.")
        try:
            severity = "critical" if blocks else "warning"
            return kind(**one.arguments, severity=severity, meta={"number": number}, notes=f"{one.why.en} {one.why.zh}")
        except ValueError as error:
            raise StageError(f"{table}.yaml: {one.name} cannot be asked: {error}") from error

    def _page(self, result: Any) -> str:
        from great_expectations.render.renderer import ValidationResultsPageRenderer  # type: ignore[attr-defined]
        from great_expectations.render.view import DefaultJinjaPageView  # type: ignore[attr-defined]

        for one in result.results:  # thousands of finds would make a page of megabytes; the counts stay
            for name in ("unexpected_list", "unexpected_index_list", "unexpected_index_query"):
                one.result.pop(name, None)
        return offline(DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result)))  # type: ignore[no-untyped-call]


def outcome(table: str, one: Expectation, blocks: bool, found: Any, rows: int, examples: int) -> Outcome:
    if found.exception_info and (message := exception_of(found.exception_info)):
        raise StageError(f"{table}.yaml: {one.name} cannot be asked of this table: {message}")
    result = found.result
    shown = []
    for place in (result.get("unexpected_index_list") or [])[:examples]:
        values = [str(value) for name, value in place.items() if name not in ("source", "place") and str(value) not in ("True", "False")]
        shown.append(": ".join(filter(None, [f"{place['source']}, {place['place']}", short(" | ".join(values))])))
    return Outcome(
        table,
        one,
        blocks,
        bool(found.success),
        int(result.get("unexpected_count") or 0),
        rows,
        str(result.get("observed_value", "")),
        shown,
    )


def exception_of(info: dict[str, Any]) -> str:
    """The message of an expectation that could not be computed, a misspelt column for one; empty where all went well."""
    listed = [info] if "exception_message" in info else list(info.values())
    return "; ".join(str(one["exception_message"]) for one in listed if isinstance(one, dict) and one.get("exception_message"))


def short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:79] + "…"


def offline(page: str) -> str:
    """A page of Great Expectations without what it would fetch from elsewhere, and without what differs from run to run."""
    page = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    page = re.sub(r"<link\b[^>]*https?://[^>]*>", "", page)
    page = re.sub(r"<(a|img)\b[^>]*(?:https?://|\.\./)[^>]*>", r"<\1>", page)
    page = re.sub(r"url\(['\"]?https?://[^)]*\)", "none", page).replace("<img>", "")
    page = re.sub(r"\d{8}T\d{6}\.\d{6}Z|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*", "", page)
    seen: dict[str, str] = {}
    page = re.sub(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", lambda uuid: seen.setdefault(uuid[0], f"id{len(seen)}"), page)
    page = "\n".join(line.rstrip() for line in page.split("\n") if line.strip())
    return page.replace("</head>", '<link rel="stylesheet" href="report.css">\n</head>')
