"""Who speaks: the names of roles, and conversations written down in one text with a mark before each turn."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Role = Literal["system", "user", "assistant"]
USERS = (
    "user", "human", "prompter", "customer", "client", "patient", "questioner", "asker", "caller", "question", "q",
    "用户", "患者", "病人", "客户", "顾客", "市民", "群众", "学生", "来电人", "咨询人", "咨询者", "提问者", "提问人",
    "提问", "问题", "问",
)  # fmt: skip
ASSISTANTS = (
    "assistant", "gpt", "bot", "model", "chatgpt", "gpt4", "ai", "moss", "agent", "doctor", "answerer", "answer", "a",
    "助手", "医生", "医师", "律师", "客服", "坐席", "话务员", "接线员", "工作人员", "专家", "老师", "教师", "机器人",
    "回答", "答复", "答案", "解答", "回复", "回答者", "答",
)  # fmt: skip
ROLES: dict[str, Role] = {
    **dict.fromkeys(USERS, "user"),
    **dict.fromkeys(ASSISTANTS, "assistant"),
    **dict.fromkeys(("system", "developer", "系统"), "system"),
}
# What a template writes around what was asked, where only that mark is there: "病人：女，35岁" may be a description.
WRAPPERS = {"user", "human", "用户", "问", "问题", "提问", "q", "question"}


def role_of(name: str) -> Role | None:
    """The role of a speaker's name, whatever brackets, colons and numbers stand around it."""
    return ROLES.get(bare_name(name))


def bare_name(name: str) -> str:
    return re.sub(r"^[\W_]+|[\W_]*\d*[\W_]*$", "", name.strip().lower())


@dataclass(frozen=True)
class Turn:
    role: Role
    said: str


# Marks of chat templates that begin or end a turn and say no more.
_BORDER = (
    r"</?s>|<\|(?:im_end|endoftext|end|eot_id|begin_of_text|end_header_id)\|>|<(?:bos|eos|end_of_turn)>|\[gMASK\]|\[Round \d+\]"
    r"|第\s*\d+\s*轮[:：]"
)
# What a text before the first mark may be followed by: the marks of templates.
FRAME = re.compile(r"<\||</?s>|\[/?INST\]|(?:#{2,}|\*\*|<|\[|【)\s*(?:" + "|".join(ROLES) + r")\b", re.IGNORECASE)
_TIME = r"(?:[\[(（]?(?:\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?[ T]+)?\d{1,2}:\d{2}(?::\d{2})?[\])）]?)"


@lru_cache(maxsize=64)
def marks(names: frozenset[str]) -> re.Pattern[str]:
    """What stands before a turn: strong where nothing else could be meant, else only at the start of a line or after a sentence."""
    listed = "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name)))
    name = rf"(?:{listed})(?:\s?\d+(?![\d:：]))?"
    return re.compile(
        rf"(?P<border>{_BORDER})\s*"
        rf"|(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>)\s*(?P<template>{name})(?:<\|end_header_id\|>)?\s*"
        rf"|(?P<inst>\[/?INST\])\s*"
        rf"|(?:<\|?|\[|【)\s*(?P<strong>{name})\s*(?:\|?>|\]|】)\s*[:：]?\s*"
        rf"|(?:#{{2,}}|\*\*)\s*(?P<head>{name})\s*(?:[:：]\s*\*\*|\*\*\s*[:：]|[:：]|(?=\n))\s*"
        rf"|(?:^|(?<=[\n。！？!?.…”])|(?<=\s)(?=(?-i:Human|Assistant|User|Bot|USER|ASSISTANT)\s*[:：]))"
        rf"[ \t]*(?:{_TIME}\s*)?(?P<weak>{name})(?:[ \t]*{_TIME})?\s*[:：]\s*",
        re.IGNORECASE,
    )


def turns_in(text: str, roles: dict[str, str] | None = None) -> tuple[Turn, ...]:
    """The turns of a conversation written down in one text; none where it is no such text.

    roles: the file's own names, as params.yaml has them. What stands before the first mark is what the system says, if the marks are
    those of a template.
    """
    if not any(sign in text for sign in ":：<[【#*"):
        return ()
    return split_turns(text, tuple(sorted((roles or {}).items())))


@lru_cache(maxsize=16)  # what a record asks is looked at more than once
def split_turns(text: str, own: tuple[tuple[str, str], ...]) -> tuple[Turn, ...]:
    roles = {name.lower(): role for name, role in own}
    text = with_breaks(text)
    names = frozenset({*ROLES, *roles})
    framed = any(sign in text for sign in "<[【#*") and FRAME.search(text)
    if not framed and not marks(names).match(text.lstrip()):
        return ()
    found = [mark for mark in marks(names).finditer(text) if not is_option(mark, text)]
    spoken = [mark for mark in found if mark["border"] is None]
    if not spoken:
        return ()
    before = text[: spoken[0].start()]
    for mark in found:
        if mark["border"] is not None and mark.start() < spoken[0].start():
            before = before.replace(mark[0], "")
    strong = all(mark["weak"] is None for mark in spoken)
    if before.strip() and not strong:
        return ()
    turns = [Turn("system", before.strip())] if before.strip() else []
    for mark in found:
        after = next((other.start() for other in found if other.start() >= mark.end()), len(text))
        role = "user" if mark["inst"] == "[INST]" else "assistant" if mark["inst"] else speaker(mark, roles)
        if role is None:
            if text[mark.end() : after].strip() and turns:  # after a border: an unmarked reply
                return ()
            continue
        said = text[mark.end() : after].strip()
        if turns and turns[-1].role == role and role != "system":
            turns[-1] = Turn(role, "\n".join(filter(None, (turns[-1].said, said))))
        else:
            turns.append(Turn(role, said))
    return tuple(turns) if is_conversation(turns, strong, bare_name(spoken[0][0])) else ()


def speaker(mark: re.Match[str], roles: dict[str, str]) -> Role | None:
    name = bare_name(mark["template"] or mark["strong"] or mark["head"] or mark["weak"] or "")
    return ROLES.get(roles.get(name, name))


def is_option(mark: re.Match[str], text: str) -> bool:
    """Whether "A: …" is the first of several options and no answer."""
    return bare_name(mark["weak"] or "") == "a" and re.search(r"(?:^|[\s;；。])B\s*[:：.．、]", text[mark.end() :]) is not None


def is_conversation(turns: list[Turn], strong: bool, first: str) -> bool:
    roles = {turn.role for turn in turns} - {"system"}
    if roles == {"user", "assistant"}:
        return True
    return len(roles) == 1 and (strong or first in WRAPPERS or roles == {"assistant"})


def with_breaks(text: str) -> str:
    r"""The text with line breaks where a program wrote \n as two characters; not where they may be code, a path or a formula."""
    if "\\n" not in text or "\n" in text or NO_BREAK.search(text):
        return text
    return re.sub(r"(?:\\r)?\\n", "\n", text)


# Beside a quotation mark, as in code; another command than \n, as in formulas; \nabla and C:\new.
NO_BREAK = re.compile(r"`|[\"']\\n|\\n[\"']|\\(?![nrt])[a-zA-Z]|(?<![.!?])(?<!\\n)\\n[a-z]")
