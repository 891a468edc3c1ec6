"""Whether a reply states the answer, and how much of it: what tasks without a scorer of their own are measured by."""

from lingyu.evaluate import rules
from lingyu.evaluate.scorer import Values
from lingyu.records import Question


def stated(question: Question, reply: str) -> Values:
    right = rules.states_answer(reply, question.answer, question.wrong, question.messages[-1].content)
    return {"exact": float(right), **overlap(question, reply)}


def overlap(question: Question, reply: str) -> Values:
    return {"char_f1": rules.character_f1(reply, question.answer), "chrf": rules.chrf(reply, question.answer)}
