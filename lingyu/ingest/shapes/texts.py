"""Labelled texts and plain texts."""

import re

from lingyu.ingest.shapes.values import TEXT, TITLE, Common, Made, Values, text_of
from lingyu.records import Document, Label
from lingyu.text.normalise import language_of

LABEL = ("label", "标签", "类别")


def from_label(values: Values, common: Common) -> Made:
    """Chinese and English labels are two tasks, because a reply is in one language."""
    text, label = text_of(values, *TEXT), text_of(values, *LABEL)
    task = common.origin.task or "classify"
    if re.search(r"[^\W\d_]", label):
        task = f"{task}-{language_of(label, 'en')}"
    yield "labels", Label(**common.row(text), id=common.id("labels"), text=text, label=label, task=task)


def from_text(values: Values, common: Common) -> Made:
    text, title, section = text_of(values, *TEXT), text_of(values, *TITLE, required=False), text_of(values, "section", required=False)
    yield "documents", Document(**common.row(text), id=common.id("documents"), title=title, section=section, text=text)
