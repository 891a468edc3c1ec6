"""Articles of statutes: whether the right one is cited, and how much of a recalled one is there."""

from lingyu.evaluate import rules
from lingyu.evaluate.scorer import Metric, Scorer, Values, share
from lingyu.evaluate.scorers.stated import overlap
from lingyu.records import Question


def score(question: Question, reply: str) -> Values:
    asked = question.messages[-1].content
    if question.task == "cite":
        return {"exact": float(bool(rules.cites(reply, asked, question.answer))), **overlap(question, reply)}
    cited, body = rules.cites(reply, asked), rules.body_of(reply)
    values = {"exact": float(rules.bare(body) == rules.bare(question.answer)), **overlap(question, body)}
    return values if cited is None else {**values, "cited": float(cited)}


SCORER = Scorer(
    tasks=("cite", "recall"),
    metrics=(
        share("cite_exact", "cite", guarded=True),
        share("cite_exact_taught", "cite", "taught"),
        share("cite_exact_documents", "cite", "documents"),
        share("recall_citation", "recall", value="cited"),
        Metric("recall_char_f1", "char_f1", "recall", guarded=True),
        Metric("recall_chrf", "chrf", "recall"),
    ),
    score=score,
    whole=True,
)
