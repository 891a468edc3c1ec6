"""Exam items: a question, its options in any notation, and the correct ones."""

import re
import unicodedata
from typing import Any

from lingyu.ingest.shapes.values import Common, Made, Misfit, Values, named, text, text_of
from lingyu.records import Exam
from lingyu.text.normalise import normal

STEM = ("question", "stem", "statement", "问题", "题目", "题干")
OPTIONS = ("options", "option", "choices", "option_list", "选项")
RIGHT = ("right", "answer", "correct", "答案", "正确答案")
LETTERS = "abcdefghijklmnopqrstuvwxyz"  # option columns; field names are in lower case
LETTERED = re.compile(r"(?:^|(?<=[\s|;；]))[(（]?([A-ZＡ-Ｚ])[)）]?\s*[.．、:：)）\s]\s*")
# Within a question a letter needs its mark, and may follow any text but a word in Latin letters: 甲B.乙.
IN_STEM = re.compile(r"(?<![A-Za-zＡ-Ｚ])[(（]?([A-ZＡ-Ｚ])(?:[)）]\s*[.．、:：]?|\s*[.．、:：](?!\d))\s*")
# The foot of a page that a copied item took along.
FOOT = re.compile(
    r"(?:\n\s*(?:[-—–]\s*\d+\s*[-—–]|第\s*\d+\s*页(?:[\s,，/]*共\s*\d+\s*页)?|共\s*\d+\s*页\s*第\s*\d+\s*页|\d+\s*/\s*\d+"
    r"|Page\s+\d+(?:\s+of\s+\d+)?)\s*)+$",
    re.IGNORECASE,
)
BEFORE_RIGHT = re.compile(
    r"^\s*(?:(?:正确|参考|标准)?(?:答案|选项)(?:为|是)?|选择?|(?:the )?(?:correct |right )?answer(?: is)?)\s*[:：]?\s*", re.IGNORECASE
)
BETWEEN = r"[\s,，、;；|/.。&+和与及]|and"
# What says that a statement is right, and what that it is wrong; the pairs are offered as options.
RIGHT_WORDS = {"对", "正确", "√", "✓", "✔", "是", "对的", "true", "t", "right", "yes"}
WRONG_WORDS = {"错", "错误", "×", "✗", "✘", "否", "不对", "不正确", "错的", "false", "f", "wrong", "no"}
TRUE_FALSE = {"zh": ["正确", "错误"], "en": ["True", "False"]}
# Fields by which an item is one of an exam, and not a question that somebody asked.
OF_AN_EXAM = ("stem", "statement", "题目", "题干", "right", "correct", "正确答案")
KIND = ("type", "question_type", "题型", "类型", "category")


def from_exam(values: Values, common: Common) -> Made:
    """Options in one field: a list, an object by letter, or one text with lettered options."""
    options = values[named(values, OPTIONS)]
    if not options:
        question = text_of(values, *STEM)
        exam = as_exam(values, question, values[named(values, RIGHT)], common, True)
        if exam is None:
            raise Misfit("incomplete", "an exam item without options")
        yield "exams", exam
        return
    yield from item(values, lettered(options), common)


def from_columns(values: Values, common: Common) -> Made:
    """Options in columns A, B, C …; trailing blank ones are ignored."""
    listed = {letter.upper(): text(values[letter], letter) for letter in LETTERS[: columns_of(values)]}
    while listed and not listed[max(listed)].strip():
        del listed[max(listed)]
    yield from item(values, listed, common)


def columns_of(values: Values) -> int:
    """The number of option columns: A, B and those that follow without a gap."""
    return next(number for number in range(len(LETTERS) + 1) if LETTERS[number : number + 1] not in values or number == len(LETTERS))


def item(values: Values, listed: dict[str, str], common: Common) -> Made:
    if not listed:
        raise Misfit("incomplete", "exam item without options")
    name = named(values, RIGHT)
    yield "exams", exam_of(text_of(values, *STEM), listed, right_ones(values[name], listed, name), common)


def exam_of(question: str, listed: dict[str, str], letters: list[str], common: Common) -> Exam:
    letters = sorted({*letters})
    right = [list(listed).index(letter) for letter in letters]
    return Exam(**common.row(question), id=common.id("exams"), question=question, options=list(listed.values()), right=right)


def as_exam(values: Values, question: str, answer: Any, common: Common, is_exam: bool = False) -> Exam | None:
    """The exam item that a question with its answer is, where the options stand in the question or are true and false; else None.

    is_exam: known to be one, so that true and false need no other sign of it.
    """
    if found := stem_and_options(question):
        stem, listed = found
        try:
            letters = right_ones(answer, listed, "answer")
        except Misfit:
            return None
        return exam_of(stem, listed, letters, common) if letters else None
    holds = truth_of(answer)
    if holds is None or not (is_exam or isinstance(answer, bool) or is_true_false(values, question)):
        return None
    words = TRUE_FALSE[common.row(question)["language"]]
    return exam_of(question, dict(zip("AB", words, strict=True)), ["A" if holds else "B"], common)


def stem_and_options(question: str) -> tuple[str, dict[str, str]] | None:
    """A question split into its stem and its options A, B …; None if it has fewer than two."""
    if "B" not in question and "Ｂ" not in question:
        return None
    question = FOOT.sub("", question)
    marks = list(IN_STEM.finditer(question))
    letters = [unicodedata.normalize("NFKC", mark[1]) for mark in marks]
    best: list[re.Match[str]] = []
    for start, letter in enumerate(letters):
        if letter == "A":
            run = [marks[start]]
            for mark, name in zip(marks[start + 1 :], letters[start + 1 :], strict=True):
                if name == LETTERS[len(run)].upper():
                    run.append(mark)
            if len(run) >= len(best):
                best = run
    if len(best) < 2 or not question[: best[0].start()].strip():
        return None
    ends = [mark.start() for mark in best[1:]] + [len(question)]
    options = [question[mark.end() : end].strip(" \t\n|;；\u3000") for mark, end in zip(best, ends, strict=True)]
    if not all(options):
        return None
    return question[: best[0].start()].strip(), {LETTERS[place].upper(): option for place, option in enumerate(options)}


def is_true_false(values: Values, question: str) -> bool:
    kinds = " ".join(str(values[name]) for name in KIND if name in values)
    return (
        any(name in values for name in OF_AN_EXAM)
        or re.search(r"判断|true.{0,4}false|judg", kinds, re.IGNORECASE) is not None
        or re.search(r"[（(]\s*[）)]\s*[。.]?\s*$", question) is not None
    )


def truth_of(answer: Any) -> bool | None:
    """Whether an answer says that a statement is right; None where it says something else."""
    if isinstance(answer, bool):
        return answer
    if isinstance(answer, list) and len(answer) == 1:
        return truth_of(answer[0])
    word = answer.strip().strip("。.").lower() if isinstance(answer, str) else None
    return True if word in RIGHT_WORDS else False if word in WRONG_WORDS else None


def lettered(options: Any) -> dict[str, str]:
    """The options by letter."""
    if isinstance(options, dict):
        return {str(letter).strip().upper(): text(option, "an option") for letter, option in options.items()}
    if isinstance(options, str):
        options = FOOT.sub("", options)
        marks = list(LETTERED.finditer(options))
        letters = [unicodedata.normalize("NFKC", mark[1]) for mark in marks]
        if not letters or letters != [LETTERS[number].upper() for number in range(len(letters))] or options[: marks[0].start()].strip():
            raise Misfit("ill_typed", f"no lettered options in {options[:80]!r}; write them as A. … B. …, as a list, or in columns A, B …")
        ends = [mark.start() for mark in marks[1:]] + [len(options)]
        bodies = (options[mark.end() : end].strip(" \t\n|;；") for mark, end in zip(marks, ends, strict=True))
        return dict(zip(letters, bodies, strict=True))
    if isinstance(options, list) and len(options) <= len(LETTERS):
        listed = {LETTERS[number].upper(): text(option, "an option") for number, option in enumerate(options)}
        heads = [re.match(rf"{letter}\s*[.．、:：)）]\s*", option) for letter, option in listed.items()]
        if all(heads):
            return {letter: option[head.end() :] for head, (letter, option) in zip(heads, listed.items(), strict=True) if head}
        return listed
    raise Misfit("ill_typed", f"options must be a list of at most {len(LETTERS)}, an object or text; found {type(options).__name__}")


def right_ones(given: Any, listed: dict[str, str], name: str) -> list[str]:
    """The letters of the correct options, given as letters (AC; A, C), numbers from 0, in full, with the letter (A. …), true or false."""
    found: list[str] = []
    for one in given if isinstance(given, list) else [given]:
        if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < len(listed):
            found.append(list(listed)[one])
            continue
        if isinstance(one, str) and not one.strip():  # clean drops an item without a right option, by name
            continue
        letters = by_word(one, listed) if isinstance(one, bool) or truth_of(one) is not None else []
        if isinstance(one, str):
            letters = letters_of(one, listed) or letters
        if not letters:
            raise Misfit(
                "ill_typed",
                f"{name} {given!r} is not one of the options {', '.join(listed)}; use letters, numbers from 0, or the full option",
            )
        found += letters
    return found


def by_word(given: Any, listed: dict[str, str]) -> list[str]:
    """Of two options that say right and wrong the one that an answer in other words means."""
    truths = [truth_of(option) for option in listed.values()]
    return [letter for letter, truth in zip(listed, truths, strict=True) if truth == truth_of(given)] if {*truths} == {True, False} else []


def letters_of(given: str, listed: dict[str, str]) -> list[str]:
    """The letters of the options that a text names; none where it names something else."""
    by_text = {folded(option): letter for letter, option in reversed(listed.items())}
    whole = folded(given)
    if whole in by_text:
        return [by_text[whole]]
    if not whole:
        return []
    bare = BEFORE_RIGHT.sub("", unicodedata.normalize("NFKC", given)).strip()
    letters = re.sub(BETWEEN, "", bare, flags=re.IGNORECASE).strip("()[]【】").upper()
    if letters and {*letters} <= {*listed} and (len(listed) > 1 or letters == bare.upper()):
        return list(letters)
    pieces = [piece for piece in re.split(r"[\n;；|]", bare) if piece.strip()]
    if len(pieces) == 1:
        marks = list(IN_STEM.finditer(bare))
        starts = [mark.start() for mark in marks if mark[1] in listed]
        pieces = [bare[start:end] for start, end in zip(starts, [*starts[1:], len(bare)], strict=True)] if starts[:1] == [0] else pieces
    if all(named_by(piece, listed, by_text) for piece in pieces):
        return [named_by(piece, listed, by_text) for piece in pieces]
    parts = [folded(part) for part in re.split(r"[、,，]", given) if part.strip()]
    return [by_text[part] for part in parts] if len(parts) > 1 and all(part in by_text for part in parts) else []


def named_by(piece: str, listed: dict[str, str], by_text: dict[str, str]) -> str:
    """The letter of an option given in full, alone or after its letter: 甲, A. 甲; "" if it is not an option."""
    head = IN_STEM.match(piece.strip())
    rest = folded(piece.strip()[head.end() :]) if head else folded(piece)
    if head and head[1] in listed:
        return head[1] if not rest or folded(listed[head[1]]) == rest else ""
    return by_text.get(rest, "")


def folded(option: str) -> str:
    return normal(option).strip().strip("。.;；,，、").strip()
