"""What is wrong with a citation: an article that is not there, a wrong number, a wrong title, or none at all."""

from lingyu.evaluate import rules
from lingyu.evaluate.scorer import Scorer, Values, share
from lingyu.records import Question
from lingyu.text.legal import cited


def score(question: Question, reply: str) -> Values:
    """wrong of a question about an article lists the other numbers of the statute; what is in none of both does not exist."""
    right = frozenset(cited(question.answer))
    if not right:
        return {}
    there = right.union(*(cited(number) for number in question.wrong))
    titles, articles = rules.citations(reply)
    asked, _ = rules.citations(question.messages[-1].content)
    return {
        "uncited": float(not articles),
        "invented": float(bool(articles - there)),
        "wrong_number": float(bool(articles & (there - right))),
        "wrong_title": float(bool(titles - asked)),
    }


SCORER = Scorer(
    tasks=("cite",),
    metrics=(
        share("cite_invented", "cite", value="invented", better="lower", guarded=True),
        share("cite_wrong_number", "cite", value="wrong_number", better="lower", detail=True),
        share("cite_wrong_title", "cite", value="wrong_title", better="lower", detail=True),
        share("cite_uncited", "cite", value="uncited", better="lower", detail=True),
    ),
    score=score,
    whole=True,
)
