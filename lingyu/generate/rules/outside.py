"""Questions on everyday things that the assistant is not for, each answered by saying so.

The questions are those that the refusal of professional mode is calibrated with. `leave` keeps those of one's own subject out.
"""

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, NonNegativeInt, field_validator

from lingyu.files import short_hash
from lingyu.generate.provenance import RULES, Left, exchange
from lingyu.generate.rules.taught import Taught
from lingyu.generate.stable_choice import pick, picks
from lingyu.generate.wordings import Phrases, Wordings, blanks
from lingyu.records import Dialogue, Language
from lingyu.retrieve.questions import EVERYDAY, everyday_by_language
from lingyu.stage import StageParams

METHOD = TASK = "outside"


class Forms(Phrases):
    refusal: Annotated[tuple[str, ...], blanks("x")]


WORDINGS = Wordings("outside", Forms)


class Params(StageParams):
    """Everyday questions, refused: what the model is not for."""

    questions: NonNegativeInt = Field(0, description="Of each language that the corpus has; 120 Chinese and 40 English ones are there.")
    subject: dict[Language, str] = Field({}, description="What the assistant is for, as the refusal says it: {zh: 法律, en: law}.")
    leave: str = Field("", description="Regular expression of questions that are of the own subject, and are left out.")

    @field_validator("leave")
    @classmethod
    def is_pattern(cls, leave: str) -> str:
        try:
            re.compile(leave)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return leave


def make(params: Params, taught: Taught, left: Left) -> Iterator[Dialogue]:
    if not params.questions:
        return
    rows = [*taught.documents, *taught.facts, *taught.dialogues]
    spoken = {row.language for row in rows if row.scope == "domain"}
    for language, asked in everyday_by_language().items():
        if language not in spoken or language not in params.subject:
            continue
        kept = [question for question in asked if not (params.leave and re.search(params.leave, question))]
        for place in sorted(picks(params.questions, len(kept), taught.seed, METHOD, language)):
            yield row_of(kept[place], language, params.subject[language], taught.seed)


def row_of(question: str, language: Language, subject: str, seed: int) -> Dialogue:
    answer = pick(WORDINGS[language].refusal, seed, METHOD, question).format(x=subject)
    return Dialogue(
        id=short_hash(METHOD, TASK, question),
        source=EVERYDAY,
        place=question,
        licence="CC-BY-4.0",
        scope="domain",
        language=language,
        task=TASK,
        references=[],
        method=METHOD,
        teacher=RULES,
        prompt_hash="",
        review="",
        messages=exchange(question, answer),
    )
