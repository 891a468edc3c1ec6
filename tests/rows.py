"""Rows as short as tests need them."""

from lingyu.files import short_hash
from lingyu.records import Dialogue, Document, Exam, Fact, Label, Message, Preference

MADE = {"references": [], "method": "given", "teacher": "", "prompt_hash": "", "review": ""}


def common(place, source="a.md", scope="domain", language="zh"):
    row = {"id": short_hash(source, str(place)), "source": source, "place": str(place)}
    return row | {"licence": "MIT", "scope": scope, "language": language}


def document(place, text, title="手册", section="", **more):
    return Document(**common(place, **more), title=title, section=section, text=text)


def fact(place, entity, relation, *values, **more):
    return Fact(**common(place, **more), entity=entity, kind="", relation=relation, values=list(values))


def dialogue(place, question, answer, task="chat", **more):
    messages = [Message(role="user", content=question), Message(role="assistant", content=answer)]
    return Dialogue(**common(place, **more), **MADE, task=task, messages=messages)


def preference(place, question, chosen, rejected, **more):
    messages = [Message(role="user", content=question)]
    return Preference(**common(place, **more), **MADE, task="chat", messages=messages, chosen=chosen, rejected=rejected)


def label(place, text, name, task="risk", **more):
    return Label(**common(place, **more), text=text, label=name, task=task)


def exam(place, question, options, right, **more):
    return Exam(**common(place, **more), question=question, options=options, right=right)
