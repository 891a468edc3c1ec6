"""The methods without a model that params.yaml turns on by a count or a share, put together; and why they leave what they leave.

Each is a module with METHOD, Params (its section, whose defaults say whether it is on) and make(params, taught, left), which yields
dialogues and tells `left` of what it makes nothing; lingyu/generate/registry.py lists them.
"""

from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model

from lingyu.generate.provenance import Left
from lingyu.generate.registry import RULES
from lingyu.generate.rules.taught import Share, Taught
from lingyu.ledger import Ledger
from lingyu.records import TABLES, Dialogue, Row
from lingyu.stage import StageParams

MODULES: dict[str, ModuleType] = {method.section: method.load("Params", "make") for method in RULES}


class Switches(StageParams):
    """Methods without a model. Most are off: the tiny model would spend its few steps on many kinds of rows and know its facts less well.
    docs/generation.md shows what each makes of which records."""

    skills: Share = Field(
        0.0,
        description="Share of the instructions under a system message that names the kind of task; below 1, so that a model works without.",
    )


def section_of(module: ModuleType) -> Any:
    """The field of a method's section."""
    description = getattr(module, "DESCRIPTION", None) or module.Params.__doc__
    return (module.Params, Field(default_factory=module.Params, description=description))


if TYPE_CHECKING:
    from lingyu.generate.rules import exams
    from lingyu.generate.rules.weak import Signal

    class Methods(Switches):
        """Switches, and a section for each method, of which plan.py reads these two."""

        exams: exams.Params
        weak: list[Signal]

else:
    Methods = create_model(
        "Methods", __base__=Switches, __module__=__name__, **{name: section_of(module) for name, module in MODULES.items()}
    )


class Reasons:
    """Why methods left records, or parts of them: counted by method, table and source for the ledger."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str, str]] = Counter()

    def of(self, method: str) -> Left:
        def left(record: Row, reason: str) -> None:
            table = next(name for name, row_type in TABLES.items() if isinstance(record, row_type))
            self._counts[table, record.source, method, reason] += 1

        return left

    def count(self, ledger: Ledger) -> None:
        for (table, source, method, reason), count in self._counts.items():
            ledger.changed(table, source, f"{method}: {reason}", count)


def more_instructions(methods: Methods, taught: Taught, reasons: Reasons) -> Iterator[Dialogue]:
    """What each method makes, none that is left at 0."""
    for section, module in MODULES.items():
        yield from module.make(getattr(methods, section), taught, reasons.of(module.METHOD))
