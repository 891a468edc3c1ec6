"""Facts to opinion: the case that a person brought, the articles that belong to it, and what follows from both.

Asks about given dialogues that name the documents they rest on, as consultations with their articles do.
"""

from functools import partial

from pydantic import Field, NonNegativeInt

from lingyu.generate.llm.checks import Candidate
from lingyu.generate.llm.client import Answer
from lingyu.generate.llm.method import Ask, Learn, Teaching, Tried, source_of
from lingyu.generate.stable_choice import shuffled
from lingyu.records import Dialogue, Document
from lingyu.stage import StageParams

METHOD, TASK = "opinion", "opinion"
PROMPTS = ("1-opinion",)


class Asked(StageParams):
    """Legal opinions on given questions."""

    records: NonNegativeInt = Field(0, description="Given dialogues that name the articles they rest on; 0 switches the method off.")


class Opinion(Answer):
    applies: bool
    opinion: str


async def make(learn: Learn, asked: Asked, teaching: Teaching) -> None:
    documents = {document.id: document for document in learn.documents}
    cases = [row for row in learn.dialogues if row.references and all(id_ in documents for id_ in row.references)]
    chosen = shuffled(cases, learn.seed, METHOD)[: asked.records]
    works = ((case, partial(row, case, [documents[id_] for id_ in case.references])) for case in chosen)
    await teaching.each(METHOD, works)


async def row(case: Dialogue, articles: list[Document], ask: Ask) -> list[Tried]:
    facts, sources = case.messages[-2].content, [source_of(article) for article in articles]
    like = Opinion(applies=True, opinion="根据所给条文，本案的情形应当这样认定，因此可以采取如下处理。" * 5)
    given = await ask("1-opinion", like, facts=facts, articles="\n\n".join(sources))
    if not given.said.applies:
        return [ask.drop("not_answerable", facts[:40], given.prompt_hash)]
    opinion = ask.dialogue(given, [(facts, given.said.opinion)], task=TASK, references=case.references)
    return [Candidate(opinion, [facts, *sources], source_words=False)]  # what follows from articles is in other words than theirs
