"""Converts records into rows: the known shapes, recognised by their field names."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from lingyu.ingest.readers import Record
from lingyu.ingest.readers.structured import are_messages
from lingyu.ingest.sections import Origin
from lingyu.ingest.shapes.exams import LETTERS, OPTIONS, RIGHT, STEM, columns_of, from_columns, from_exam
from lingyu.ingest.shapes.knowledge import ENTITY, KIND, RELATION, VALUE, from_entity, from_fact, from_statements, merged
from lingyu.ingest.shapes.mapping import ROLE, Mapping, mapped
from lingyu.ingest.shapes.passages import PAIRS, PASSAGE, from_passage, from_passages, from_question_about, from_talk_about
from lingyu.ingest.shapes.speakers import turns_in
from lingyu.ingest.shapes.talk import (
    SAID,
    SPEAKER,
    SYSTEM,
    TALK,
    from_instruction,
    from_item,
    from_laws,
    from_messages,
    from_pair,
    from_question,
    from_rubric,
    parsed,
)
from lingyu.ingest.shapes.texts import LABEL, from_label, from_text
from lingyu.ingest.shapes.threads import AUTHOR, NESTED, POST, REPLIES, from_thread
from lingyu.ingest.shapes.trees import ROOT, from_mapping, from_tree, gathered, has_mapping, has_replies, has_tree
from lingyu.ingest.shapes.values import ANSWER, DATES, INPUT, QUESTION, REASONING, RUBRICS, TEXT, TITLE, Common, Made, Misfit, Values, named
from lingyu.records import Dialogue, Preference, Row
from lingyu.text.dates import day_of_field

__all__ = ["SHAPES", "TRIPLES", "Mapping", "Misfit", "Shape", "Shaped", "gathered", "merged", "rows_of"]


@dataclass(frozen=True)
class Shape:
    """A name, the required fields (one of each group), the function that makes rows, and the optional fields."""

    name: str
    fields: tuple[tuple[str, ...], ...]
    rows: Callable[[Values, Common], Made]
    more: tuple[tuple[str, ...], ...] = ()
    fits: Callable[[Values], bool] = lambda values: True  # where the names alone do not tell

    def lacks(self, values: Values) -> list[tuple[str, ...]]:
        return [group for group in self.fields if not named(values, group)]

    def day(self, values: Values) -> tuple[str, date] | None:
        """The field that says when the record was made, and that day; none where every field is a relation, or is read otherwise."""
        if self.rows is from_entity or NAMES_OF_DATES.isdisjoint(values):
            return None
        days = ((name, day_of_field(values[name])) for name in DATES if name in values)
        return next(((name, day) for name, day in days if day), None)

    def unread(self, values: Values) -> list[str]:
        """The fields that are not used. Of two names for the same field, the first is used."""
        if self.rows is from_entity:
            return []
        read = {named(values, group) for group in (*self.fields, *self.more)}
        if self.rows is from_columns:
            read |= {*LETTERS[: columns_of(values)]}
        if self.rows is from_question and named(values, QUESTION) == "instruction":
            read.add(named(values, INPUT))
        if dated := self.day(values):
            read.add(dated[0])
        return [str(name) for name, value in values.items() if name not in read | {"id", "language"} and value not in ("", None, [])]


@dataclass(frozen=True)
class Shaped:
    """The rows of a record with their tables, its shape, its unused fields, and what was changed or left out."""

    shape: str
    rows: list[tuple[str, Row]]
    unread: list[str]
    notes: Counter[str]


def rows_of(record: Record, origin: Origin, mapping: Mapping) -> Shaped:
    """The rows of a record, by its names or, if they match no shape, by the part after the group: 内容/问题. Raises Misfit."""
    try:
        return rows_by_names(record, origin, mapping)
    except Misfit:
        within = {str(name).rpartition("/")[2].strip(): value for name, value in record.values.items()}
        if len(within) < len(record.values) or within.keys() == record.values.keys():
            raise
        try:
            return rows_by_names(Record(within, record.place), origin, mapping)
        except Misfit:
            pass
        raise


def rows_by_names(record: Record, origin: Origin, mapping: Mapping) -> Shaped:
    values = without_blank_talk(mapped(record.values, mapping))
    shape = shape_of(values, mapping.shape, map(str, record.values))
    said = values.get("language")
    dated = shape.day(values)
    day = dated[1].isoformat() if dated else ""
    common = Common(origin, record.place, said if said in ("zh", "en") else None, mapping.values.get(ROLE, {}), day)
    rows = list(shape.rows(values, common))
    if not rows:
        raise Misfit("incomplete", f"a record of the shape {shape.name} without content")
    if (media := named(values, MEDIA)) and values[media] and any(asks_of_media(row) for _, row in rows):
        raise Misfit("not_text", f"a question about a picture or recording ({media}), which is not read")
    return Shaped(shape.name, rows, shape.unread(values), +common.notes)


def without_blank_talk(values: Values) -> Values:
    """Without the fields of a shape that a file leaves blank for the records of another: messages, chosen, rejected."""
    return {name: value for name, value in values.items() if value not in (None, [], "") or name not in BLANK_MEANS_NONE}


def shape_of(values: Values, wanted: str, names: Iterable[str]) -> Shape:
    """The shape set in params.yaml, else the first shape whose required fields are all present."""
    among = [shape for shape in SHAPES if shape.name == wanted] if wanted else SHAPES
    named = [shape for shape in among if not shape.lacks(values)] if wanted else by_names(frozenset(values))
    if fitting := next((shape for shape in named if wanted or shape.fits(values)), None):
        return fitting
    # Of two that lack as much, a question without an answer is more often that than one without a rubric.
    nearest = min(among, key=lambda shape: (len(shape.lacks(values)), -len(shape.fields), shape.rows is from_rubric))
    lacking = " and ".join("/".join(group) for group in nearest.lacks(values))
    raise Misfit(
        "unknown_shape",
        f"the fields {', '.join(names)} match no {'such' if wanted else 'known'} shape; the closest, {nearest.name}, lacks {lacking}. "
        "Map the fields in params.yaml, ingest.sources, columns",
    )


@lru_cache(maxsize=256)
def by_names(names: frozenset[str]) -> tuple["Shape", ...]:
    """The shapes of which a record has all the names, in their order; those of one file have the same names, most of them."""
    return tuple(shape for shape in SHAPES if not shape.lacks(dict.fromkeys(names, "")))


def has_talk(values: Values) -> bool:
    name = named(values, TALK)
    value = values[name]
    if name in {"data", "items"}:
        return isinstance(value, list) and len(value) > 1 and (all(isinstance(one, str) for one in value) or are_messages(value))
    return isinstance(value, list | dict) or (isinstance(value, str) and (parsed(value) is not None or len(turns_in(value)) > 1))


def has_passage(values: Values) -> bool:
    """Whether there is a text to ask about, and not the name of one."""
    value = values.get(named(values, PASSAGE))
    return isinstance(value, str) and len(value.strip()) >= 20


def has_pairs(values: Values) -> bool:
    value = values[named(values, PAIRS)]
    as_turns = named(values, PAIRS) == "questions" and has_passage(values)
    return isinstance(value, list) and (as_turns or all(isinstance(item, dict) for item in value))


def asks_of_passage(values: Values) -> bool:
    """An instruction with a context is one text: only both together say what to do."""
    return has_passage(values) and named(values, QUESTION) != "instruction"


def asks_of_media(row: Row) -> bool:
    return isinstance(row, Dialogue | Preference) and any(PLACEHOLDER.search(message.content) for message in row.messages)


MEDIA = ("images", "image", "videos", "video", "audios", "audio", "图片")
PLACEHOLDER = re.compile(r"<\|?(?:image|img|video|audio)(?:_pad)?\|?>", re.IGNORECASE)
TRIPLES = {"spo_list", "triple"}
"""Shapes with one value per fact: facts of a file with the same entity and relation are merged (`merged`)."""

NAMES_OF_DATES = frozenset(DATES)
BEFORE = (SYSTEM, ("history",))
BLANK_MEANS_NONE = {*TALK, *PAIRS, *NESTED, *PASSAGE, "chosen", "rejected", "laws", "paragraphs"}
# The first with all required fields present is used: specific shapes come before general ones.
SHAPES = [
    Shape("sharegpt pair", (("conversations", "messages"), ("chosen",), ("rejected",)), from_pair, (SYSTEM,)),
    Shape("pair", (("prompt", "question", "instruction"), ("chosen",), ("rejected",)), from_pair, (INPUT, *BEFORE)),
    Shape("whole pair", (("chosen",), ("rejected",)), from_pair, (SYSTEM,)),
    Shape("tree", (ROOT,), from_tree, (("message_tree_id",), ("tree_state",)), has_tree),
    Shape("message with replies", (SPEAKER, SAID, NESTED), from_tree, fits=has_replies),
    Shape("chatgpt", (("mapping",),), from_mapping, (TITLE, ("current_node",)), has_mapping),
    Shape(
        "conversation about a passage",
        (TALK, PASSAGE),
        from_talk_about,
        (TITLE, SYSTEM),
        lambda values: has_talk(values) and has_passage(values),
    ),
    Shape("openai", (("messages",),), from_messages, (SYSTEM,)),
    Shape("sharegpt", (("conversations", "conversation"),), from_messages, (SYSTEM,)),
    Shape("conversation", (TALK,), from_messages, (SYSTEM,), has_talk),
    Shape("passages", (("paragraphs",),), from_passages, (TITLE,)),
    Shape("passage", (PAIRS, (*PASSAGE, *TEXT)), from_passage, (TITLE, ("answers", "答案")), has_pairs),
    Shape("question with a rubric", ((*QUESTION, *STEM), RUBRICS), from_rubric, (ANSWER, *BEFORE)),
    Shape("exam", (STEM, OPTIONS, RIGHT), from_exam),
    Shape("exam in columns", (STEM, ("a",), ("b",), RIGHT), from_columns),
    Shape("consultation", (("laws",), QUESTION, ANSWER), from_laws, BEFORE),
    Shape("alpaca", (("instruction", "指令"), ("output", "输出")), from_instruction, (INPUT, REASONING, *BEFORE)),
    Shape("question about a passage", (PASSAGE, QUESTION, ANSWER), from_question_about, (TITLE, REASONING, *BEFORE), asks_of_passage),
    Shape("question", (QUESTION, ANSWER), from_question, (REASONING, *BEFORE)),
    Shape("item", (STEM, RIGHT), from_item, (REASONING, *BEFORE)),
    Shape("questions", (PAIRS,), from_passage, (TITLE,), has_pairs),
    Shape("thread", ((*POST, *TITLE), REPLIES), from_thread, (TITLE, POST, AUTHOR)),
    Shape("spo_list", (("spo_list",),), from_statements, (TEXT,)),
    Shape("fact", (ENTITY, RELATION, ("values",)), from_fact, (KIND,)),
    Shape("triple", (ENTITY, RELATION, VALUE), from_fact, (KIND,)),
    Shape("entity", (("entity", "中心词"),), from_entity),
    Shape("label", (TEXT, LABEL), from_label),
    Shape("text", (TEXT,), from_text, (TITLE, ("section",))),
]
