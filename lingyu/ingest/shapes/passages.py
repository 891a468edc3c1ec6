"""A passage with the questions asked about it: the passage is a document, and what is asked refers to it."""

from lingyu.files import short_hash
from lingyu.ingest.shapes.talk import answers_of, content_of, from_messages, message, question_and_answers, question_rows, to_learn
from lingyu.ingest.shapes.values import ANSWER, QUESTION, TEXT, TITLE, Common, Made, Misfit, Values, distinct, named, text_of, texts
from lingyu.records import Dialogue, Document, Message

PASSAGE = ("context", "passage", "paragraph", "story", "article", "document", "段落", "文章", "材料", "原文", "篇章")
PAIRS = (
    "qas",
    "qa",
    "qa_pairs",
    "qa_list",
    "question_answer_pairs",
    "questions_and_answers",
    "pairs",
    "questions",
    "问答",
    "问答对",
    "问题列表",
)


def from_passages(values: Values, common: Common) -> Made:
    """SQuAD's form: a title, and paragraphs with their questions."""
    paragraphs = values["paragraphs"]
    if not isinstance(paragraphs, list) or not all(isinstance(one, dict) for one in paragraphs):
        raise Misfit("ill_typed", "paragraphs must be a list of objects")
    title = text_of(values, *TITLE, required=False)
    number = 0
    for one in paragraphs:
        for table, row in from_passage({"title": title, **one}, common):
            number += 1
            yield table, row if isinstance(row, Document) else row.model_copy(update={"id": common.id(table, number)})


def from_passage(values: Values, common: Common) -> Made:
    """A passage and a list of questions, each with its answers: a dialogue each, for they were asked apart."""
    name = named(values, PAIRS)
    if not turns_of(values, name, common) and not all(isinstance(item, dict) for item in values[name]):
        yield from from_question_about(values, common)
        return
    about = passage_of(values, common)
    if about:
        yield "documents", about
    references = [about.id] if about else []
    if told := turns_of(values, name, common):
        messages = to_learn(told, common)
        fields = common.given("dialogues", " ".join(one.content for one in messages), "chat") | {"references": references}
        yield "dialogues", Dialogue(**fields, messages=messages)
        return
    number = 0
    for item in values[name]:
        pair = question_and_answers(item)
        if pair is None or not pair[1]:
            common.notes["questions without an answer left out"] += 1
            continue
        for table, row in question_rows({}, [pair[0]], pair[1], common, references):
            number += 1
            yield table, row.model_copy(update={"id": common.id(table, number)})


def from_question_about(values: Values, common: Common) -> Made:
    """A passage, a question and its answers, as the rows of a table list them."""
    about = passage_of(values, common)
    if about:
        yield "documents", about
    asked, answered = named(values, QUESTION), named(values, ANSWER)
    questions = distinct(texts(values[asked], asked))
    answers = [one for one in distinct(texts(answers_of(values[answered]), answered)) if one.strip()]
    if not answers:
        common.notes["questions without an answer left out"] += 1
    yield from question_rows(values, questions, answers, common, [about.id] if about else [])


def from_talk_about(values: Values, common: Common) -> Made:
    """A passage and the conversation about it."""
    about = passage_of(values, common)
    if about:
        yield "documents", about
    for table, row in from_messages(values, common):
        yield table, row.model_copy(update={"references": [about.id]}) if about else row


def passage_of(values: Values, common: Common) -> Document | None:
    """Named by what it says: a passage under many questions is one row."""
    body = text_of(values, *PASSAGE, *TEXT, required=False).strip()
    if not body:
        return None
    title = text_of(values, *TITLE, required=False)
    return Document(**common.row(body), id=short_hash("documents", common.origin.source, title, body), title=title, section="", text=body)


def turns_of(values: Values, name: str, common: Common) -> list[Message]:
    """The turns of a conversation about the passage, as CoQA lists them: its questions and its answers apart, in one order."""
    answered = named(values, ("answers", "答案"))
    if not answered or name != "questions":
        return []
    questions = [text_of(one, "input_text", "question", "text") if isinstance(one, dict) else one for one in values[name]]
    answers = answers_of(values[answered])
    if not isinstance(answers, list) or len(answers) != len(questions) or not all(isinstance(one, str) for one in [*questions, *answers]):
        return []
    both = zip(questions, answers, strict=True)
    return [
        one
        for question, answer in both
        for one in (message("user", content_of(question, common)), message("assistant", content_of(answer, common)))
    ]
