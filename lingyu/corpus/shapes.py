"""Records into rows: the known shapes, recognised by the names of their fields."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from lingyu.corpus.normalise import language_of
from lingyu.corpus.readers import Record
from lingyu.corpus.sections import Origin
from lingyu.files import short_hash
from lingyu.records import Dialogue, Document, Exam, Fact, Label, Language, Message, Preference, Row

Values = dict[str, Any]
Made = Iterator[tuple[str, Row]]  # the table and the row

QUESTION = ("question", "query", "ask", "prompt", "instruction", "问题")
ANSWER = ("answer", "response", "output", "回答", "答案")
ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    **dict.fromkeys(("user", "human", "问"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "model", "答"), "assistant"),
    "system": "system",
}


class Misfit(Exception):
    """A record of a known shape whose values do not fit it: the reason's name, and what a person should know."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Shape:
    """A name, the fields by which it is known (of each group one), and what makes rows of it."""

    name: str
    fields: tuple[tuple[str, ...], ...]
    rows: Callable[[Values, "Common"], Made]


@dataclass(frozen=True)
class Common:
    """What all rows of a record share."""

    origin: Origin
    place: str
    language: Language | None  # as the record says; else told from the text

    def row(self, text: str) -> dict[str, Any]:
        return {
            "source": self.origin.source,
            "place": self.place,
            "licence": self.origin.licence,
            "scope": self.origin.scope,
            "language": self.language or language_of(text),
        }

    def given(self, table: str, text: str, task: str, number: int = 1) -> dict[str, Any]:
        """The fields of a dialogue or preference that came with the corpus."""
        return self.row(text) | {
            "id": self.id(table, number),
            "task": self.origin.task or task,
            "references": [],
            "method": "given",
            "teacher": "",
            "prompt_hash": "",
            "review": "",
        }

    def id(self, table: str, number: int = 1) -> str:
        return short_hash(table, self.origin.source, self.place, str(number))


def rows_of(record: Record, origin: Origin, columns: dict[str, str]) -> tuple[str, list[tuple[str, Row]]]:
    """The name of the record's shape, and its rows with their tables. Raises Misfit."""
    values = renamed(record.values, columns)
    shape = next((shape for shape in SHAPES if all(any(name in values for name in group) for group in shape.fields)), None)
    if shape is None:
        fields = ", ".join(map(str, record.values))
        raise Misfit("unknown_shape", f"no known shape has the fields {fields}. Map them: params.yaml, ingest.sources, columns")
    said = values.get("language")
    common = Common(origin, record.place, said if said in ("zh", "en") else None)
    rows = list(shape.rows(values, common))
    if not rows:
        raise Misfit("incomplete", f"a record of the shape {shape.name} that holds nothing")
    return shape.name, rows


def renamed(values: Values, columns: dict[str, str]) -> Values:
    """The values under our names; all names change at once, so that two can be swapped."""
    missing = [theirs for theirs in columns.values() if theirs not in values]
    if missing:
        raise Misfit("missing_column", f"no field {', '.join(missing)} here, as params.yaml, ingest.sources, columns has it")
    rest = {name: value for name, value in values.items() if name not in columns.values() and name not in columns}
    return rest | {ours: values[theirs] for ours, theirs in columns.items()}


def text_of(values: Values, *names: str, required: bool = True) -> str:
    """The first of these fields that is there, as text. A required one may be blank (clean judges that) but not ill-typed."""
    for name in names:
        if name in values:
            value = values[name]
            if isinstance(value, dict | list):
                raise Misfit("ill_typed", f"{name} is not text but {type(value).__name__}")
            return "" if value is None else str(value)
    if required:
        raise Misfit("incomplete", f"none of {', '.join(names)}")
    return ""


def assistant(content: str, reasoning: str = "") -> Message:
    """An assistant's turn; reasoning that stands in the text between <think> marks is taken out of it."""
    match = re.match(r"\s*<think>(.*?)</think>\s*(.*)", content, re.DOTALL)
    if match and not reasoning:
        reasoning, content = match[1].strip(), match[2]
    return Message(role="assistant", content=content, reasoning=reasoning or None)


def turns(items: Any) -> list[Message]:
    """Messages in the OpenAI form or in sharegpt's (from, value)."""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Misfit("ill_typed", "the messages are not a list of objects")
    messages = []
    for item in items:
        role = str(item.get("role", item.get("from", ""))).lower()
        if role not in ROLES:
            raise Misfit("unknown_role", f"no role named {role!r}; known: {', '.join(ROLES)}")
        content = text_of(item, "content", "value")
        if ROLES[role] == "assistant":
            reasoning = text_of(item, "reasoning", "reasoning_content", required=False)
            messages.append(assistant(content, reasoning))
        else:
            messages.append(Message(role=ROLES[role], content=content))
    return messages


def asked(values: Values, question: str) -> list[Message]:
    """What comes before the answer: the system's turn, earlier turns, the question."""
    system = text_of(values, "system", required=False)
    messages = [Message(role="system", content=system)] if system else []
    for pair in values.get("history") or []:
        if not isinstance(pair, list) or len(pair) != 2:
            raise Misfit("ill_typed", "history is not a list of [question, answer]")
        messages += [Message(role="user", content=str(pair[0])), assistant(str(pair[1]))]
    return [*messages, Message(role="user", content=question)]


def instruction(values: Values) -> str:
    parts = [text_of(values, "instruction"), text_of(values, "input", required=False)]
    return "\n".join(part for part in parts if part.strip())


def from_messages(values: Values, common: Common) -> Made:
    messages = turns(values["messages"] if "messages" in values else values["conversations"])
    if system := text_of(values, "system", required=False):
        messages = [Message(role="system", content=system), *messages]
    roles = [message.role for message in messages if message.role != "system"]
    if not roles or roles[-1] != "assistant" or roles != ["user", "assistant"] * (len(roles) // 2):
        raise Misfit("incomplete", f"turns are not user, assistant, … to an assistant's end but {', '.join(roles) or 'none'}")
    text = " ".join(message.content for message in messages)
    yield "dialogues", Dialogue(**common.given("dialogues", text, "chat"), messages=messages)


def from_instruction(values: Values, common: Common) -> Made:
    question, answer = instruction(values), text_of(values, "output")
    reply = assistant(answer, text_of(values, "reasoning", required=False))
    yield "dialogues", Dialogue(**common.given("dialogues", question + answer, "chat"), messages=[*asked(values, question), reply])


def from_question(values: Values, common: Common) -> Made:
    """A dialogue an answer; one with reasoning has the task reason."""
    question, name = text_of(values, *QUESTION), next(name for name in ANSWER if name in values)
    reasoning = text_of(values, "reasoning", required=False)
    answers = values[name] if isinstance(values[name], list) else [values[name]]
    for number, answer in enumerate(answers, 1):
        reply = assistant(text_of({name: answer}, name), reasoning)
        fields = common.given("dialogues", question + reply.content, "reason" if reply.reasoning else "chat", number)
        yield "dialogues", Dialogue(**fields, messages=[*asked(values, question), reply])


def from_laws(values: Values, common: Common) -> Made:
    """A consultation that refers to the articles it rests on; each article is a document."""
    if not isinstance(values["laws"], list):
        raise Misfit("ill_typed", "laws is not a list")
    references = []
    for law in map(str, values["laws"]):
        parts = re.match(r"《(.+?)》(第[^：:]{1,12}?条(?:之[一二三四五六七八九十]+)?)[：:]\s*(.*)", law, re.DOTALL)
        title, section, text = parts.groups() if parts else ("", "", law)
        # Named by what it says: the same article under many questions is one row.
        references.append(short_hash("documents", common.origin.source, law))
        yield "documents", Document(**common.row(law), id=references[-1], title=title, section=section, text=text)
    question, answer = text_of(values, *QUESTION), text_of(values, *ANSWER)
    fields = common.given("dialogues", question + answer, "consult") | {"references": references}
    yield "dialogues", Dialogue(**fields, messages=[*asked(values, question), assistant(answer)])


def from_statements(values: Values, common: Common) -> Made:
    """A text and the [entity, relation, value] triples that stand in it."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for triple in values["spo_list"] or []:
        if isinstance(triple, dict):
            triple = [triple.get("subject"), triple.get("predicate"), triple.get("object")]
        if not isinstance(triple, list) or len(triple) != 3 or not all(isinstance(part, str | int | float) for part in triple):
            raise Misfit("ill_typed", f"not a triple in spo_list: {triple!r}")
        entity, relation, value = map(str, triple)
        listed = grouped.setdefault((entity, relation), [])
        if value not in listed:
            listed.append(value)
    for number, ((entity, relation), listed) in enumerate(grouped.items(), 1):
        yield "facts", fact(common, number, entity, "", relation, listed)
    if text := text_of(values, "text", required=False):
        yield "documents", Document(**common.row(text), id=common.id("documents"), title="", section="", text=text)


def from_fact(values: Values, common: Common) -> Made:
    entity, relation = text_of(values, "entity", "head", "subject"), text_of(values, "relation", "predicate")
    name = next(name for name in ("values", "value", "tail", "object") if name in values)
    given = values[name] if isinstance(values[name], list) else [text_of(values, name)]
    listed = list(dict.fromkeys(text_of({name: value}, name) for value in given))
    yield "facts", fact(common, 1, entity, text_of(values, "kind", required=False), relation, listed)


def fact(common: Common, number: int, entity: str, kind: str, relation: str, listed: list[str]) -> Fact:
    fields = common.row(relation + entity)
    return Fact(**fields, id=common.id("facts", number), entity=entity, kind=kind, relation=relation, values=listed)


def from_label(values: Values, common: Common) -> Made:
    """Labels in Chinese and in English are two tasks, for a reply is one or the other."""
    text, label = text_of(values, "text"), text_of(values, "label")
    task = common.origin.task or "classify"
    if re.search(r"[^\W\d_]", label):
        task = f"{task}-{language_of(label, 'en')}"
    yield "labels", Label(**common.row(text), id=common.id("labels"), text=text, label=label, task=task)


def from_exam(values: Values, common: Common) -> Made:
    """Options as a list or under letters; the right ones as letters (AC), as numbers counted from 0, or in full."""
    options = values["options"]
    letters = [chr(ord("A") + number) for number in range(26)]
    if isinstance(options, dict):
        letters, options = list(map(str, options)), list(options.values())
    if not isinstance(options, list) or not options:
        raise Misfit("ill_typed", "options is neither a list nor an object")
    options = [str(option) for option in options]
    given = values["right"] if "right" in values else values["answer"]
    if isinstance(given, str) and given not in options:
        given = list(re.sub(r"[\s,，、;；]", "", given).upper())
    right = [
        options.index(item) if item in options else letters.index(item) if item in letters else item
        for item in (given if isinstance(given, list) else [given])
    ]
    if not all(isinstance(number, int) and 0 <= number < len(options) for number in right):
        raise Misfit("ill_typed", f"the right options {given!r} are not among {len(options)} options")
    question = text_of(values, "question", "问题")
    yield "exams", Exam(**common.row(question), id=common.id("exams"), question=question, options=options, right=sorted({*right}))


def from_pair(values: Values, common: Common) -> Made:
    """A preference pair; what was asked as text, as an instruction with input, or as turns that end in the user's."""
    if "conversations" in values or isinstance(values.get("prompt"), list):
        messages = turns(values["conversations"] if "conversations" in values else values["prompt"])
    elif "prompt" in values:
        messages = asked(values, text_of(values, "prompt"))
    else:
        messages = asked(values, instruction(values))
    if not messages or messages[-1].role != "user":
        raise Misfit("incomplete", "the messages do not end in a user's turn")
    chosen, rejected = reply(values["chosen"]), reply(values["rejected"])
    fields = common.given("preferences", messages[-1].content + chosen, "chat")
    yield "preferences", Preference(**fields, messages=messages, chosen=chosen, rejected=rejected)


def reply(value: Any) -> str:
    """A reply as text, as a message, or as the last of a list of messages."""
    if isinstance(value, list) and value:
        value = value[-1]
    if isinstance(value, dict):
        return text_of(value, "content", "value")
    return text_of({"reply": value}, "reply")


def from_text(values: Values, common: Common) -> Made:
    text = text_of(values, "text")
    title, section = text_of(values, "title", required=False), text_of(values, "section", required=False)
    yield "documents", Document(**common.row(text), id=common.id("documents"), title=title, section=section, text=text)


TRIPLES = {"spo_list", "triple"}
"""Shapes whose facts name one value at a time: those of a file that share entity and relation are one fact (`together`)."""


def together(facts: list[Fact]) -> list[Fact]:
    """A fact for each entity and relation, with all their values, where the first of them stood."""
    grouped: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        first = grouped.setdefault((fact.entity, fact.relation), fact)
        grouped[fact.entity, fact.relation] = first.model_copy(update={"values": list(dict.fromkeys([*first.values, *fact.values]))})
    return list(grouped.values())


# The first whose fields are all there: what is more particular stands before what is less.
SHAPES = [
    Shape("sharegpt pair", (("conversations",), ("chosen",), ("rejected",)), from_pair),
    Shape("pair", (("prompt", "instruction"), ("chosen",), ("rejected",)), from_pair),
    Shape("openai", (("messages",),), from_messages),
    Shape("sharegpt", (("conversations",),), from_messages),
    Shape("exam", (("question", "问题"), ("options",), ("answer", "right")), from_exam),
    Shape("consultation", (("laws",), QUESTION, ANSWER), from_laws),
    Shape("alpaca", (("instruction",), ("output",)), from_instruction),
    Shape("question", (QUESTION, ANSWER), from_question),
    Shape("spo_list", (("spo_list",),), from_statements),
    Shape("fact", (("entity", "subject"), ("relation", "predicate"), ("values",)), from_fact),
    Shape("triple", (("entity", "head", "subject"), ("relation", "predicate"), ("value", "tail", "object")), from_fact),
    Shape("label", (("text",), ("label",)), from_label),
    Shape("text", (("text",),), from_text),
]
