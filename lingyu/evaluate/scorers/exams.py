"""Exam items with one or several right options: the options that a reply chooses, and those that the model finds likeliest."""

import re
import unicodedata

from lingyu.evaluate.rules import bare
from lingyu.evaluate.scorer import Metric, Scorer, Values, share
from lingyu.records import Question

TASK = "choice"
LISTED = re.compile(r"^\s*([A-Z])\s*[.、:)]\s*(.+?)\s*$", re.MULTILINE)
# Nothing but letters: "A", "ABD", "A、C", "答案：B".
LETTERS = re.compile(r"\W*(?:答案|选择|选|the answer is|answer)?(?:是|为)?\W*((?:[A-Z][\s,、和与及]*)+)\W*", re.IGNORECASE)
LETTER = re.compile(r"(?<![A-Za-z])([A-Z])(?=[.、:)])")


def folded(text: str) -> str:
    """Full-width letters and dots, no-break and ideographic spaces in one form."""
    return re.sub(r"[^\S\n]+", " ", unicodedata.normalize("NFKC", text)).strip()


def options_of(question: Question) -> dict[str, str]:
    """The options that the question lists, by letter."""
    return dict(LISTED.findall(folded(question.messages[-1].content)))


def right_options(question: Question) -> frozenset[str]:
    """The letters of the right options; none where the answer names no option."""
    options, answer = options_of(question), folded(question.answer)
    if only := LETTERS.fullmatch(answer):
        found = frozenset(re.findall("[A-Z]", only[1].upper()))
        return found if found <= options.keys() else frozenset()
    named = [letter for letter, text in options.items() if f"{letter}. {text}" in answer]
    return frozenset(named or [letter for letter, text in options.items() if bare(text) == bare(answer)])


def chosen_options(reply: str, options: dict[str, str]) -> frozenset[str]:
    """The letters that a reply chooses: it is nothing but letters, or names them before a dot; else the options that it repeats."""
    said = folded(reply)
    if only := LETTERS.fullmatch(said):
        return frozenset(re.findall("[A-Z]", only[1].upper())) & options.keys()
    named = frozenset(LETTER.findall(said)) & options.keys()
    return named or frozenset(letter for letter, text in options.items() if bare(text) and bare(text) in bare(said))


def score(question: Question, reply: str) -> Values:
    right = right_options(question)
    if not right:
        return {}
    chosen = chosen_options(reply, options_of(question))
    return {"exact": float(chosen == right), "partial": len(chosen) / len(right) if chosen <= right else 0.0}


SCORER = Scorer(
    tasks=(TASK,),
    metrics=(
        share("choice_exact", TASK, guarded=True),
        Metric("choice_partial", "partial", TASK),
        share("choice_likelihood", TASK, value="likeliest"),
    ),
    score=score,
    whole=True,
)
