"""The test items as the report shows them: each with its outcome, what is known of it, and how much a wrong answer hurts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lingyu.evaluate import rules
from lingyu.evaluate.judged import PREFIX
from lingyu.evaluate.metrics import Prediction
from lingyu.evaluate.scorers.replies import refuses
from lingyu.files import read_table
from lingyu.records import RUBRIC, TABLES, Dialogue, Document, Exam, Fact, Label, Preference, Question, Row, headed, is_rubric

Outcome = Literal["right", "wrong", "broken", "fixed", "scored"]
LONGEST = 400  # characters of a passage
SCORED = f"{PREFIX}{RUBRIC}"
SHARE = 0.4  # of the worst answers, that may be of one task


@dataclass(frozen=True)
class Item:
    """asked: the question itself, whole: with what stands before it. lost_to: who answers rightly what the winner does not. hurts: why a
    wrong answer is a bad one, the names of headings; passage: what the right answer rests on, "" where it is not known."""

    number: int
    question: Question
    asked: str
    whole: str
    outcome: Outcome
    replies: Mapping[str, Prediction]
    lost_to: Sequence[str]
    hurts: Sequence[str]
    passage: str

    def points(self, name: str) -> float | None:
        """What a judge gave this reply by the item's own rubric; None where it gave nothing."""
        return self.replies[name].values.get(SCORED)


def items(questions: Sequence[Question], asked: Mapping[str, Sequence[Prediction]], winner: str, passages: Mapping[str, str]) -> list[Item]:
    """All questions of the test that are right or wrong, or have a rubric. asked: the predictions of all that were asked, by name."""
    found = []
    for place, question in enumerate(questions):
        replies = {name: rows[place] for name, rows in asked.items()}
        mine = replies[winner]
        own = is_rubric(question.task)
        if "exact" not in mine.values and not own:
            continue
        better = [name for name, row in replies.items() if row.correct and not mine.correct]
        others = [row for name, row in replies.items() if name != winner]
        outcome: Outcome = "scored" if own else "broken" if better else "wrong"
        if mine.correct and not own:
            outcome = "right" if not others or any(row.correct for row in others) else "fixed"
        text = question.messages[-1].content.strip()
        passage = next((passages[id_] for id_ in question.references if id_ in passages), "")
        last = text.rpartition("\n\n")[2] or text
        hurts = [] if mine.correct or own else harm(question, mine, better)
        found.append(Item(place, question, last, text if last != text else "", outcome, replies, better, hurts, passage))
    return found


def harm(question: Question, mine: Prediction, better: Sequence[str]) -> list[str]:
    """Why this wrong answer is a bad one, worst first."""
    said = rules.normalised(mine.reply)
    another = any(rules.stands_in(value, said) for value in map(rules.bare, question.wrong) if value)
    signs = {
        "harm invented": bool(mine.values.get("invented")),
        "harm another": another,
        "harm broken": bool(better),
        "harm taught": question.known == "taught",
        "harm refused": refuses(mine.reply),
    }
    return [name for name, there in signs.items() if there]


def worst(found: Sequence[Item], count: int) -> list[Item]:
    """The wrong answers that hurt most: those with the most to be said against them; not all of one task."""
    weights = {"harm invented": 4, "harm another": 3, "harm broken": 2, "harm taught": 2, "harm refused": 1}
    wrong = [item for item in found if item.outcome in {"wrong", "broken"}]
    wrong.sort(key=lambda item: (-sum(weights[name] for name in item.hurts), item.number))
    most, taken, kept = max(1, round(SHARE * count)), Counter[str](), []
    for item in wrong:
        if taken[item.question.task] < most:
            taken[item.question.task] += 1
            kept.append(item)
    return kept[:count]


def passages(tables: Path, questions: Sequence[Question]) -> dict[str, str]:
    """The text of the records that the questions rest on, by id."""
    wanted = {id_ for question in questions for id_ in question.references}
    found: dict[str, str] = {}
    for name, row_type in TABLES.items():
        path = tables / f"{name}.parquet"
        if wanted and path.exists():
            found |= {row.id: text for row in read_table(path, row_type) if row.id in wanted and (text := text_of(row))}
    return found


def text_of(row: Row) -> str:
    match row:
        case Document():
            text = headed(row.title, row.section, row.text)
        case Fact():
            text = f"{row.entity} · {row.relation}: {'、'.join(row.values) if row.language == 'zh' else ', '.join(row.values)}"
        case Label():
            text = f"{row.text} → {row.label}"
        case Dialogue():
            last = row.messages[-1]
            text = "\n".join(filter(None, (last.reasoning, last.content)))
        case Preference():
            text = row.chosen
        case Exam():
            text = " / ".join(row.options[place] for place in row.right)
        case _:
            return ""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
