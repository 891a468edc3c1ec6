"""Entities, relations and values."""

from collections.abc import Iterable
from typing import Any

from lingyu.ingest.shapes.values import TEXT, Common, Made, Misfit, Values, distinct, named, text_of, texts
from lingyu.records import Document, Fact

ENTITY = ("entity", "head", "subject", "中心词", "实体", "头实体")
RELATION = ("relation", "predicate", "关系")
VALUE = ("value", "tail", "object", "值", "尾实体")
KIND = ("kind", "类型")


def from_statements(values: Values, common: Common) -> Made:
    """A text and its [entity, relation, value] triples."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for triple in values["spo_list"] or []:
        entity, relation, value = parts_of(triple)
        grouped.setdefault((entity, relation), []).append(value)
    for number, ((entity, relation), listed) in enumerate(grouped.items(), 1):
        yield "facts", fact(common, number, entity, "", relation, listed)
    if body := text_of(values, *TEXT, required=False):
        yield "documents", Document(**common.row(body), id=common.id("documents"), title="", section="", text=body)


def parts_of(triple: Any) -> tuple[str, str, str]:
    """Entity, relation and value of a triple, as a list or as an object; the value may be an object with @value."""
    if isinstance(triple, dict):
        found = [triple.get(name) for name in (named(triple, ENTITY), named(triple, RELATION), named(triple, VALUE))]
        triple = [part.get("@value") if isinstance(part, dict) else part for part in found]
    if not isinstance(triple, list) or len(triple) != 3 or not all(isinstance(part, str | int | float) for part in triple):
        raise Misfit("ill_typed", f"not a triple in spo_list: {triple!r}")
    return str(triple[0]), str(triple[1]), str(triple[2])


def from_fact(values: Values, common: Common) -> Made:
    entity, relation = text_of(values, *ENTITY), text_of(values, *RELATION)
    name = named(values, ("values", *VALUE))
    yield "facts", fact(common, 1, entity, text_of(values, *KIND, required=False), relation, texts(values[name], name))


def from_entity(values: Values, common: Common) -> Made:
    """A record about one entity: every other field is a relation; blank fields are ignored."""
    entity, kind = text_of(values, *ENTITY), text_of(values, *KIND, required=False)
    aside = {named(values, ENTITY), named(values, KIND), "language", "id"}
    relations = {str(name): [text for text in texts(value, name) if text.strip()] for name, value in values.items() if name not in aside}
    for number, (relation, listed) in enumerate(((relation, listed) for relation, listed in relations.items() if listed), 1):
        yield "facts", fact(common, number, entity, kind, relation, listed)


def fact(common: Common, number: int, entity: str, kind: str, relation: str, listed: list[str]) -> Fact:
    fields = common.row(relation + entity)
    return Fact(**fields, id=common.id("facts", number), entity=entity, kind=kind, relation=relation, values=distinct(listed))


def merged(facts: Iterable[Fact]) -> list[Fact]:
    """One fact for each entity and relation with all values, at the position of the first."""
    first: dict[tuple[str, str], Fact] = {}
    values: dict[tuple[str, str], list[str]] = {}
    for one in facts:
        first.setdefault((one.entity, one.relation), one)
        values.setdefault((one.entity, one.relation), []).extend(one.values)
    return [one.model_copy(update={"values": distinct(values[about])}) for about, one in first.items()]
