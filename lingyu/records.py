"""The rows that stages exchange. Every row records its source."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Language = Literal["zh", "en"]
Scope = Literal["domain", "general"]
# "approved by 李": with the reviewer's name, if given.
Review = Annotated[str, Field(pattern=r"^(auto|((approved|edited)( by \S.*)?)|)$")]


class Row(BaseModel):
    """The common fields of all rows.

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
    """A section of a document: the text under one heading, or one article of a statute."""

    title: str
    section: str  # the headings above the text, joined by " / "
    text: str


def headed(title: str, section: str, text: str) -> str:
    """A text with its title and headings, which are needed to identify and cite an article."""
    heading = " / ".join(filter(None, (title, section)))
    return f"{heading}\n{text}" if heading else text


class Fact(Row):
    """One relation of an entity, from a knowledge graph. `values` are all correct answers."""

    entity: str
    kind: str  # what sort of thing the entity is
    relation: str
    values: list[str]


class Message(BaseModel):
    """One turn in OpenAI format; the reasoning of an assistant is a separate field and is rendered by the chat template.

    learnt: false for an assistant turn that only serves as context; no loss is computed on it.
    """

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str
    reasoning: str | None = None
    learnt: bool = True


class Made(Row):
    """A row for training or evaluation; the last fields are its provenance."""

    task: str  # fact, reason, classify, recall, chat …: what is asked, whatever made the row
    references: list[str]  # ids of the source rows of the answer
    method: str  # "given" if it is part of the corpus, else the generation method
    teacher: str  # "" when given, else "rules", the model asked, or the signal that gave a weak label
    prompt_hash: str  # of what the teacher was asked, "" when given or by rules
    review: Review


class Dialogue(Made):
    """Messages that end with an assistant turn, which is learnt."""

    messages: list[Message]

    @property
    def is_masked(self) -> bool:
        """Whether a reply is not to be learnt: text of the whole dialogue would teach it."""
        return not all(message.learnt for message in self.messages)


class Preference(Made):
    """Messages that end with a user turn, a chosen and a rejected reply."""

    messages: list[Message]
    chosen: str
    rejected: str


class Question(Made):
    """A test item: messages that end with a user turn, and the reference answer.

    known: "taught" if training covers the same fact with other phrasings, "documents" if the fact appears only in the
    documents, "" if the distinction does not apply. wrong: answers that must not appear next to the correct one (the
    other values of the relation, the other labels).
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


def is_task(task: str, named: str) -> bool:
    """Whether params.yaml means this task: by its whole name, or by the one that the file gave, without the language of its classes."""
    return task == named or task in {f"{named}-zh", f"{named}-en"}


RUBRIC = "rubric"
"""What the names of tasks begin with whose items have a rubric, by which a judge scores, where others have the right answer."""


def is_rubric(task: str) -> bool:
    return task == RUBRIC or task.startswith(f"{RUBRIC}_")


class Exam(Row):
    """A question with options, of which one or more are correct. right: indices into options."""

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
"""The folder of data/ with review decisions: read by review, not by ingest."""
