"""Answer replacement: a question that a person really asked, and its answer written anew from what the old one says.

The old answer and the documents it names are the source: the new one may say it better, and nothing else.
"""

from functools import partial

from pydantic import Field, NonNegativeInt

from lingyu.generate.llm.checks import Candidate
from lingyu.generate.llm.client import Answer
from lingyu.generate.llm.method import Ask, Learn, Teaching, Tried, source_of
from lingyu.generate.llm.retold import single
from lingyu.generate.stable_choice import shuffled
from lingyu.records import Dialogue, Document
from lingyu.stage import StageParams

METHOD = "replaced"
PROMPTS = ("1-answer",)


class Asked(StageParams):
    """Given questions answered anew by the model."""

    records: NonNegativeInt = Field(0, description="Given dialogues; 0 switches the method off.")


class Reply(Answer):
    answer: str


async def make(learn: Learn, asked: Asked, teaching: Teaching) -> None:
    documents = {document.id: document for document in learn.documents}
    chosen = shuffled(single(learn.dialogues), learn.seed, METHOD)[: asked.records]
    works = ((given, partial(row, given, [documents[id_] for id_ in given.references if id_ in documents])) for given in chosen)
    await teaching.each(METHOD, works)


async def row(dialogue: Dialogue, documents: list[Document], ask: Ask) -> list[Tried]:
    question, answer = (message.content for message in dialogue.messages)
    sources = [answer, *map(source_of, documents)]
    like = Reply(answer="先说结论，再说明理由和做法，最后提醒需要注意的地方。" * 4)
    given = await ask("1-answer", like, question=question, sources="\n\n".join(sources))
    reply = ask.dialogue(given, [(question, given.said.answer)], task=dialogue.task or "chat", references=dialogue.references)
    return [Candidate(reply, [question, *sources])]
