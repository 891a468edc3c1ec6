"""What a rule method works with: the records of the training part, and what its parameters are made of."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from lingyu.generate.rules.articles import Article
from lingyu.records import Dialogue, Document, Exam, Fact, Label

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Taught:
    """The records of the training part that may be asked about: without what is kept for the test.

    shots, max_example_chars: as generate.classify has them, for methods that make prompts with solved examples.
    """

    documents: list[Document]
    facts: list[Fact]
    dialogues: list[Dialogue]
    labels: list[Label]
    exams: list[Exam]
    articles: list[Article]
    seed: int
    shots: tuple[int, ...] = (0,)
    max_example_chars: int = 90
