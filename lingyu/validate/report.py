"""The index page of the report: every expectation, its result, and where it fails."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lingyu.validate.run import Outcome

TEMPLATE, STYLE = (Path(__file__).with_name(name) for name in ("index.html", "report.css"))
CHINESE = {"documents": "文档", "facts": "知识", "dialogues": "对话", "labels": "类别", "exams": "试题", "preferences": "偏好对"}


def write_report(report: Path, outcomes: Sequence[Outcome], numbers: Mapping[str, Mapping[str, Any]]) -> None:
    from jinja2 import Environment, StrictUndefined

    report.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(STYLE, report / STYLE.name)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    by_state = {state: [one for one in outcomes if state_of(one) == state] for state in ("broken", "warned", "met")}
    tables = [{"name": table, "zh": CHINESE[table], **counts} for table, counts in numbers.items()]
    index = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(tables=tables, outcomes=by_state)
    (report / "index.html").write_text(index, encoding="utf-8")


def state_of(one: Outcome) -> str:
    return "met" if one.met else "broken" if one.stops else "warned"


def describe(one: Outcome) -> str:
    """A failed expectation, with the number of failing rows and their locations."""
    extent = f"{one.broken} of {one.rows} rows" if one.broken else f"found {one.observed}"
    why = f"{one.expectation.why.en} {one.expectation.why.zh}"
    return "\n".join(
        [
            f"  {one.table}.{one.expectation.name} ({one.expectation.sentence.en}): {extent}. {why}",
            *(f"    {source}: {count}" for source, count in one.by_file.items()),
            *(f"    {example}" for example in one.examples),
        ]
    )
