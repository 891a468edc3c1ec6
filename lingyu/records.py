"""The rows that travel between stages. Every row knows where it came from."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Language = Literal["zh", "en"]
Scope = Literal["domain", "general"]
# "approved by 李": who, where the reviewer gave a name.
Review = Annotated[str, Field(pattern=r"^(auto|((approved|edited)( by \S.*)?)|)$")]


class Row(BaseModel):
    """What all rows share.

    id: unique in its table and the same on every run; source: file under data/; place: where in that file
    ("page 3", "row 17", "第二章 / 第五条"); scope: the domain, or general text replayed against forgetting.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    source: str
    place: str
    licence: str
    scope: Scope
    language: Language


class Document(Row):
    """A section of a document: what stands under one heading, or one article of a statute."""

    title: str
    section: str  # the headings above the text, joined by " / "
    text: str


def headed(title: str, section: str, text: str) -> str:
    """A text under its title and headings: without them nobody knows whose fifth article it is, and nobody could cite it."""
    heading = " / ".join(filter(None, (title, section)))
    return f"{heading}\n{text}" if heading else text


class Fact(Row):
    """One relation of an entity, from a knowledge graph. `values` are all right answers."""

    entity: str
    kind: str  # what sort of thing the entity is
    relation: str
    values: list[str]


class Message(BaseModel):
    """One turn, in the OpenAI form; an assistant's reasoning stands apart and is rendered by the chat template."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str
    reasoning: str | None = None


class Made(Row):
    """A row for training or testing; the last fields tell who made it, from what."""

    task: str  # fact, reason, classify, recall, chat …: what is asked, whatever made the row
    references: list[str]  # ids of the rows that the answer rests on
    method: str  # "given" when it came with the corpus, else the generation method
    teacher: str  # "" when given, else "rules", the model asked, or the signal that gave a weak label
    prompt_hash: str  # of what the teacher was asked, "" when given or by rules
    review: Review


class Dialogue(Made):
    """Messages that end in an assistant's turn."""

    messages: list[Message]


class Preference(Made):
    """Messages that end in a user's turn, a better and a worse reply."""

    messages: list[Message]
    chosen: str
    rejected: str


class Question(Made):
    """A test item: messages that end in a user's turn, and what is right.

    known: "taught" when training asked for the same fact in other words, "documents" when the fact stands only in
    the documents, "" where the difference has no meaning. wrong: answers that must not appear beside the right one
    (the other values of the relation, the other labels).
    """

    messages: list[Message]
    answer: str
    wrong: list[str]
    known: Literal["", "taught", "documents"]


class Label(Row):
    """A text and its class. options: every class of the task."""

    text: str
    label: str
    task: str


class Exam(Row):
    """A question with options, of which one or more are right. right: indices into options."""

    question: str
    options: list[str]
    right: list[int]


TABLES: dict[str, type[Row]] = {
    "documents": Document,
    "facts": Fact,
    "dialogues": Dialogue,
    "labels": Label,
    "exams": Exam,
    "preferences": Preference,
}
"""The tables that ingest, clean and split write, by file name."""

REVIEWS = "reviews"
"""The folder of data/ with people's decisions: review reads it, ingest does not."""
