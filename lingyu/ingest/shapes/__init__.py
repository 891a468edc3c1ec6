"""Converts records into rows: the known shapes, recognised by their field names."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lingyu.ingest.readers import Record
from lingyu.ingest.sections import Origin
from lingyu.ingest.shapes.exams import LETTERS, OPTIONS, RIGHT, STEM, columns_of, from_columns, from_exam
from lingyu.ingest.shapes.knowledge import ENTITY, KIND, RELATION, VALUE, from_entity, from_fact, from_statements, merged
from lingyu.ingest.shapes.mapping import ROLE, Mapping, mapped
from lingyu.ingest.shapes.talk import from_instruction, from_laws, from_messages, from_pair, from_question
from lingyu.ingest.shapes.texts import LABEL, from_label, from_text
from lingyu.ingest.shapes.values import ANSWER, QUESTION, REASONING, TEXT, TITLE, Common, Made, Misfit, Values, named
from lingyu.records import Row

__all__ = ["SHAPES", "TRIPLES", "Mapping", "Misfit", "Shape", "Shaped", "merged", "rows_of"]


@dataclass(frozen=True)
class Shape:
    """A name, the required fields (one of each group), the function that makes rows, and the optional fields."""

    name: str
    fields: tuple[tuple[str, ...], ...]
    rows: Callable[[Values, Common], Made]
    more: tuple[tuple[str, ...], ...] = ()

    def lacks(self, values: Values) -> list[tuple[str, ...]]:
        return [group for group in self.fields if not named(values, group)]

    def unread(self, values: Values) -> list[str]:
        """The fields that are not used. Of two names for the same field, the first is used."""
        if self.rows is from_entity:
            return []
        read = {named(values, group) for group in (*self.fields, *self.more)}
        if self.rows is from_columns:
            read |= {*LETTERS[: columns_of(values)]}
        return [str(name) for name, value in values.items() if name not in read | {"id", "language"} and value not in ("", None, [])]


@dataclass(frozen=True)
class Shaped:
    """The rows of a record with their tables, its shape, and its unused fields."""

    shape: str
    rows: list[tuple[str, Row]]
    unread: list[str]


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
    values = mapped(record.values, mapping)
    shape = shape_of(values, mapping.shape, map(str, record.values))
    language = values.get("language")
    common = Common(origin, record.place, language if language in ("zh", "en") else None, mapping.values.get(ROLE, {}))
    rows = list(shape.rows(values, common))
    if not rows:
        raise Misfit("incomplete", f"a record of the shape {shape.name} without content")
    return Shaped(shape.name, rows, shape.unread(values))


def shape_of(values: Values, wanted: str, names: Iterable[str]) -> Shape:
    """The shape set in params.yaml, else the first shape whose required fields are all present."""
    among = [shape for shape in SHAPES if shape.name == wanted] if wanted else SHAPES
    if fitting := next((shape for shape in among if not shape.lacks(values)), None):
        return fitting
    nearest = min(among, key=lambda shape: (len(shape.lacks(values)), -len(shape.fields)))
    lacking = " and ".join("/".join(group) for group in nearest.lacks(values))
    raise Misfit(
        "unknown_shape",
        f"the fields {', '.join(names)} match no {'such' if wanted else 'known'} shape; the closest, {nearest.name}, lacks {lacking}. "
        "Map the fields in params.yaml, ingest.sources, columns",
    )


TRIPLES = {"spo_list", "triple"}
"""Shapes with one value per fact: facts of a file with the same entity and relation are merged (`merged`)."""

BEFORE = (("system",), ("history",))
# The first with all required fields present is used: specific shapes come before general ones.
SHAPES = [
    Shape("sharegpt pair", (("conversations", "messages"), ("chosen",), ("rejected",)), from_pair, (("system",),)),
    Shape("pair", (("prompt", "question", "instruction"), ("chosen",), ("rejected",)), from_pair, (("input",), *BEFORE)),
    Shape("whole pair", (("chosen",), ("rejected",)), from_pair, (("system",),)),
    Shape("openai", (("messages",),), from_messages, (("system",),)),
    Shape("sharegpt", (("conversations", "conversation"),), from_messages, (("system",),)),
    Shape("exam", (STEM, OPTIONS, RIGHT), from_exam),
    Shape("exam in columns", (STEM, ("a",), ("b",), RIGHT), from_columns),
    Shape("consultation", (("laws",), QUESTION, ANSWER), from_laws, BEFORE),
    Shape("alpaca", (("instruction", "指令"), ("output", "输出")), from_instruction, (("input", "输入"), REASONING, *BEFORE)),
    Shape("question", (QUESTION, ANSWER), from_question, (REASONING, *BEFORE)),
    Shape("spo_list", (("spo_list",),), from_statements, (TEXT,)),
    Shape("fact", (ENTITY, RELATION, ("values",)), from_fact, (KIND,)),
    Shape("triple", (ENTITY, RELATION, VALUE), from_fact, (KIND,)),
    Shape("entity", (("entity", "中心词"),), from_entity),
    Shape("label", (TEXT, LABEL), from_label),
    Shape("text", (TEXT,), from_text, (TITLE, ("section",))),
]
