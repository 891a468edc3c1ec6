"""Exam items: a question, its options in any notation, and the correct ones."""

import re
from typing import Any

from lingyu.ingest.shapes.values import Common, Made, Misfit, Values, named, text, text_of
from lingyu.records import Exam

STEM = ("question", "stem", "statement", "问题", "题目", "题干")
OPTIONS = ("options", "option", "choices", "option_list", "选项")
RIGHT = ("right", "answer", "correct", "答案", "正确答案")
LETTERS = "abcdefghijklmnopqrstuvwxyz"  # option columns; field names are in lower case
LETTERED = re.compile(r"(?:^|(?<=[\s|;；]))[(（]?([A-Z])[)）]?\s*[.．、:：)）\s]\s*")


def from_exam(values: Values, common: Common) -> Made:
    """Options in one field: a list, an object by letter, or one text with lettered options."""
    yield from item(values, lettered(values[named(values, OPTIONS)]), common)


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
    question = text_of(values, *STEM)
    right = sorted({list(listed).index(letter) for letter in right_ones(values[name], listed, name)})
    yield "exams", Exam(**common.row(question), id=common.id("exams"), question=question, options=list(listed.values()), right=right)


def lettered(options: Any) -> dict[str, str]:
    """The options by letter."""
    if isinstance(options, dict):
        return {str(letter).strip().upper(): text(option, "an option") for letter, option in options.items()}
    if isinstance(options, str):
        marks = list(LETTERED.finditer(options))
        letters = [mark[1] for mark in marks]
        if not letters or letters != [LETTERS[number].upper() for number in range(len(letters))] or options[: marks[0].start()].strip():
            raise Misfit("ill_typed", f"no lettered options in {options[:80]!r}; write them as A. … B. …, as a list, or in columns A, B …")
        ends = [mark.start() for mark in marks[1:]] + [len(options)]
        return {mark[1]: options[mark.end() : end].strip(" \t\n|;；") for mark, end in zip(marks, ends, strict=True)}
    if isinstance(options, list) and len(options) <= len(LETTERS):
        listed = {LETTERS[number].upper(): text(option, "an option") for number, option in enumerate(options)}
        heads = [re.match(rf"{letter}\s*[.．、:：)）]\s*", option) for letter, option in listed.items()]
        if all(heads):
            return {letter: option[head.end() :] for head, (letter, option) in zip(heads, listed.items(), strict=True) if head}
        return listed
    raise Misfit("ill_typed", f"options must be a list of at most {len(LETTERS)}, an object or text; found {type(options).__name__}")


def right_ones(given: Any, listed: dict[str, str], name: str) -> list[str]:
    """The letters of the correct options, given as letters (AC; A, C), as numbers from 0, or in full."""
    by_text = {option.strip(): letter for letter, option in reversed(listed.items())}
    found: list[str] = []
    for one in given if isinstance(given, list) else [given]:
        if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < len(listed):
            found.append(list(listed)[one])
        elif isinstance(one, str) and one.strip() in by_text:
            found.append(by_text[one.strip()])
        elif isinstance(one, str) and one.strip() in listed:
            found.append(one.strip())
        elif isinstance(one, str) and set(letters := re.sub(r"[\s,，、;；|/.。]", "", one).upper()) <= {*listed}:
            found += letters
        else:
            raise Misfit(
                "ill_typed",
                f"{name} {given!r} is not one of the options {', '.join(listed)}; use letters, numbers from 0, or the full option",
            )
    return found
