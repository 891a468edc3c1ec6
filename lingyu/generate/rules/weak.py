"""Weak labels: classes that no person gave to the text but a signal from outside, a pattern that it matches or a column of its file.

They are right as often as the signal is. So each row names the signal as its teacher, none of them is ever tested with, and
review draws a sample by default. The prompts are those of classify.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lingyu.generate.provenance import Left, unheard
from lingyu.generate.rules import classify
from lingyu.generate.rules.taught import Taught
from lingyu.records import Dialogue, Document, Label, Language, Row

METHOD = "weak"


class Signal(BaseModel):
    """What labels texts without a person."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="As the provenance of a row calls it.")
    task: str = Field(description="Whose classes these are.")
    patterns: dict[str, str] = Field(
        {},
        description="By class a regular expression that its texts match. Without any, the labels of this task are the signal's: a column "
        "that says something else than a person's judgement (who answered, where it was filed).",
    )

    @field_validator("patterns")
    @classmethod
    def compiles(cls, patterns: dict[str, str]) -> dict[str, str]:
        for label, pattern in patterns.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"the pattern {pattern!r} of class {label!r} is no regular expression: {error}") from None
        return patterns

    @model_validator(mode="after")
    def parts_at_least_two(self) -> "Signal":
        if len(self.patterns) == 1:
            raise ValueError(f"the signal {self.name!r} has one class only; a text that is not of it would need another")
        return self


Params = list[Signal]
DESCRIPTION = "Signals that give a class without a person; docs/generation.md has an example."


def make(params: Params, taught: Taught, left: Left) -> Iterator[Dialogue]:
    for signal in params:
        labels = labelled(signal, [*taught.documents, *taught.dialogues, *taught.labels], left)
        yield from instructions(signal, labels, taught.shots, taught.max_example_chars, taught.seed)


def labelled(signal: Signal, rows: Iterable[Row], left: Left = unheard) -> list[Label]:
    """The texts with the class that the signal gives them: of documents and dialogues by pattern, of labels of its task by column.

    None of a language in which it gives one class only: there would be nothing to choose.
    """
    found = [(row, label) for row in rows if (label := label_of(signal, row, left))]
    classes: dict[Language, set[str]] = defaultdict(set)
    for _, label in found:
        classes[label.language].add(label.label)
    for row, label in found:
        if len(classes[label.language]) < 2:
            left(row, f"{signal.name}: only one class found")
    return [label for _, label in found if len(classes[label.language]) > 1]


def label_of(signal: Signal, row: Row, left: Left) -> Label | None:
    if isinstance(row, Label):
        return row if given_by_column([signal], row) else None
    text = text_of(row)
    if not signal.patterns or not text or row.scope != "domain":
        return None
    classes = [label for label, pattern in signal.patterns.items() if re.search(pattern, text, re.IGNORECASE)]
    if len(classes) != 1:
        left(row, f"{signal.name}: {'several classes match' if classes else 'no class matches'}")
        return None
    origin = row.model_dump(include={"id", "source", "place", "licence", "scope", "language"})
    return Label(**origin, text=text, label=classes[0], task=signal.task)


def text_of(row: Row) -> str:
    """What a text is judged by: of a dialogue what the person said first."""
    if isinstance(row, Document):
        return row.text.strip()
    if isinstance(row, Dialogue):
        return next((message.content for message in row.messages if message.role == "user"), "").strip()
    return ""


def instructions(signal: Signal, labels: Iterable[Label], shots: Iterable[int], max_chars: int, seed: int) -> Iterator[Dialogue]:
    labels = list(labels)
    for row in classify.instructions(labels, classify.classes_of(labels, max_chars), shots, seed):
        yield row.model_copy(update={"id": f"{row.id}-{METHOD}", "method": METHOD, "teacher": teacher(signal)})


def teacher(signal: Signal) -> str:
    return f"signal: {signal.name}"


def given_by_column(signals: Iterable[Signal], label: Label) -> bool:
    """Whether a label is from a column that params.yaml calls a signal."""
    return any(not signal.patterns and signal.task == label.task for signal in signals)
