"""Exam items as instructions: the question with its options, and whether one option is right, with the reason.

The reason is what the item itself says: which options are right. Where the question has a blank, the option is put into it.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field, NonNegativeInt

from lingyu.generate.provenance import Left, exchange, provenance, unheard, user
from lingyu.generate.rules.taught import Taught
from lingyu.generate.stable_choice import number, picks
from lingyu.generate.wordings import Phrases, Wordings, blanks
from lingyu.records import Dialogue, Exam, Question
from lingyu.stage import StageParams
from lingyu.text.questions import has_question_word

METHOD = "exam"
CHOICE, JUDGE = "choice", "judge"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# A blank to fill in.
BLANK = re.compile(r"[（(][\s\u3000]*[）)]|_{2,}|＿{2,}")
# Options that speak of the others: right or wrong only among them, and in their order.
OF_OTHERS = re.compile(
    r"以上|上述|前述|[都均]不?(?:对|是|正确|错)|全部正确|[A-Z][、和与,，/][A-Z]|\b(?:all|none|both|neither|any)\b.*\b(?:above|these|them|[A-H])\b",
    re.IGNORECASE,
)


Listed = Annotated[tuple[str, ...], blanks("q", "l")]
Answer = Annotated[str, blanks("a")]


class Forms(Phrases):
    one: Listed
    several: Listed
    dev: Annotated[str, blanks("q", "l")]
    test: Annotated[str, blanks("q", "l")]
    judged: Annotated[tuple[str, ...], blanks("q", "o")]
    filled: Annotated[tuple[str, ...], blanks("s")]
    right: Answer
    right_among: Answer
    wrong: Answer
    filled_right: Answer
    filled_wrong: Answer
    between: str


WORDINGS = Wordings("exams", Forms)


class Params(StageParams):
    """Rows from exam items."""

    choices: NonNegativeInt = Field(2, description="Rows that ask the whole item, its options in another order the second time.")
    judgements: NonNegativeInt = Field(2, description="Rows that ask whether one option is right, with the reason.")


def make(params: Params, taught: Taught, left: Left) -> Iterator[Dialogue]:
    if params.choices or params.judgements:
        yield from instructions(taught.exams, params.choices, params.judgements, taught.seed, left)


def instructions(exams: Iterable[Exam], choices: int, judgements: int, seed: int, left: Left = unheard) -> Iterator[Dialogue]:
    """For each item `choices` times the whole item, the options in another order each time, and `judgements` of its options."""
    for exam in exams:
        if reason := unfit(exam):
            left(exam, reason)
            continue
        words = WORDINGS[exam.language]
        orders = orders_of(exam, choices, seed)
        if len(orders) < choices:
            left(exam, "its options cannot be reordered")
        for order, form in zip(orders, picks(len(words.one), len(words.one), seed, CHOICE, exam.id), strict=False):
            yield choice(exam, (words.one if len(exam.right) == 1 else words.several)[form], order)
        if any(OF_OTHERS.search(option) for option in exam.options):
            if judgements:
                left(exam, "an option speaks of the others, and cannot be judged alone")
            continue
        for turn, option in enumerate(judged_options(exam, judgements, seed)):
            yield judgement(exam, option, turn, seed)


def dev_instructions(exams: Iterable[Exam]) -> Iterator[Dialogue]:
    for exam in exams:
        if not unfit(exam):
            yield choice(exam, WORDINGS[exam.language].dev, range(len(exam.options)))


def questions(exams: Iterable[Exam], most: int, use: str = "") -> Iterator[Question]:
    """Test questions, in a wording and with the options in the order that the item has."""
    for exam in [exam for exam in exams if not unfit(exam)][:most]:
        whole = range(len(exam.options))
        asked, wrong = asked_of(exam, WORDINGS[exam.language].test, whole), [place for place in whole if place not in exam.right]
        yield Question(
            **provenance(exam, method=METHOD, task=CHOICE, asked=asked, use=use),
            messages=user(asked),
            answer=answer_of(exam, whole),
            wrong=[lettered(exam, whole, place) for place in wrong],
            known="",
        )


def unfit(exam: Exam) -> str | None:
    """Why nothing can be asked of an item; None where it can."""
    texts = [option.strip() for option in exam.options]
    if not 2 <= len(texts) <= len(LETTERS):
        return "too few or too many options"
    if len(set(texts)) < len(texts) or not all(texts):
        return "two options are the same, or one is blank"
    return None


def orders_of(exam: Exam, count: int, seed: int) -> list[list[int]]:
    """Orders of the options, their own first; only that where one speaks of the others."""
    own = list(range(len(exam.options)))
    if any(OF_OTHERS.search(option) for option in exam.options):
        return [own][:count]
    orders = [own, *(sorted(own, key=lambda place: number(seed, "order", exam.id, turn, place)) for turn in range(1, 8 * count))]
    return [list(order) for order in dict.fromkeys(map(tuple, orders))][:count]


def choice(exam: Exam, form: str, order: Iterable[int]) -> Dialogue:
    order = list(order)
    asked = asked_of(exam, form, order)
    return Dialogue(**provenance(exam, method=METHOD, task=CHOICE, asked=asked), messages=exchange(asked, answer_of(exam, order)))


def asked_of(exam: Exam, form: str, order: Iterable[int]) -> str:
    order = list(order)
    return form.format(q=exam.question.strip(), l="\n".join(lettered(exam, order, place) for place in order))


def lettered(exam: Exam, order: Iterable[int], place: int) -> str:
    return f"{LETTERS[list(order).index(place)]}. {exam.options[place].strip()}"


def answer_of(exam: Exam, order: Iterable[int]) -> str:
    """The right options with their letters, in the order in which they are listed."""
    order = list(order)
    return WORDINGS[exam.language].between.join(lettered(exam, order, place) for place in order if place in exam.right)


def judged_options(exam: Exam, count: int, seed: int) -> list[int]:
    """Which options are judged, a right and a wrong one by turns; which of the two begins belongs to the item."""
    ranked = sorted(range(len(exam.options)), key=lambda place: number(seed, "judged", exam.id, place))
    kinds = [[place for place in ranked if place in exam.right], [place for place in ranked if place not in exam.right]]
    first = number(seed, "first", exam.id) % 2
    turns = [(turn, kind != first, place) for kind in (0, 1) for turn, place in enumerate(kinds[kind])]
    return [place for _, _, place in sorted(turns)][:count]


def judgement(exam: Exam, place: int, turn: int, seed: int) -> Dialogue:
    words, option = WORDINGS[exam.language], exam.options[place].strip().rstrip("。.；;")
    right = words.between.join(f"“{exam.options[one].strip().rstrip('。.；;')}”" for one in exam.right)
    filled = filled_in(exam, option)
    forms = words.filled if filled else words.judged
    form = forms[(number(seed, JUDGE, exam.id) + turn) % len(forms)]
    asked = form.format(s=filled, q=exam.question.strip(), o=option)
    if place in exam.right:
        answer = words.filled_right if filled else words.right if len(exam.right) == 1 else words.right_among
    else:
        answer = words.filled_wrong if filled else words.wrong
    return Dialogue(**provenance(exam, method=METHOD, task=JUDGE, asked=asked), messages=exchange(asked, answer.format(a=right)))


def filled_in(exam: Exam, option: str) -> str:
    """The question with the option in its only blank; "" where it has none or more, or is more than a sentence with a blank."""
    question = exam.question.strip()
    if len(exam.right) > 1 or len(BLANK.findall(question)) != 1 or has_question_word(question):
        return ""
    before, after = BLANK.split(question)
    return f"{before}{option}{after}" if after.strip() else f"{before}{option}{'。' if exam.language == 'zh' else '.'}"
