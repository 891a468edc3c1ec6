"""A post with its replies, as forums and question sites list them: a dialogue for each line of replies."""

from collections.abc import Iterator
from typing import Any

from lingyu.ingest.shapes.talk import content_of, message, to_learn
from lingyu.ingest.shapes.values import QUESTION, TITLE, Common, Made, Misfit, Values, named, text, text_of
from lingyu.records import Dialogue, Message

POST = ("post", "body", "content", "text", "selftext", "正文", "内容", "主帖", *QUESTION)
REPLIES = ("replies", "comments", "responses", "回复", "跟帖", "评论", "回帖", "回复列表", "answers", "回答")
AUTHOR = ("author", "user", "username", "user_name", "name", "作者", "楼主", "昵称", "用户")
NESTED = (*REPLIES, "children")


def from_thread(values: Values, common: Common) -> Made:
    """Who wrote the post asks; others answer. Where the asker replies among them, they are one conversation, in their order."""
    asker = author_of(values)
    parts = [text_of(values, *TITLE, required=False).strip(), text_of(values, *POST, required=False).strip()]
    if parts[1].startswith(parts[0]):
        parts = parts[1:]
    opening = message("user", content_of("\n".join(filter(None, parts)), common))
    replies = listed(values, REPLIES)
    if asker and any(author_of(one) == asker for one in replies):
        lines = [[opening, *(turn for one in replies for turn in in_order(one, asker, common))]]
    else:
        lines = [[opening, *line] for one in replies for line in lines_of(one, asker, common)]
    yield from rows_of_lines(lines, common)


def rows_of_lines(lines: list[list[Message]], common: Common) -> Made:
    """A dialogue for each line of messages that has an answer; of equal ones one."""
    found = [line for line in lines if any(one.role == "assistant" for one in line)]
    common.notes["lines of a thread without an answer left out"] += len(lines) - len(found)
    distinct: list[list[Message]] = []
    for line in found:
        messages = to_learn(line, common)
        if messages not in distinct:
            distinct.append(messages)
    for number, messages in enumerate(distinct, 1):
        fields = common.given("dialogues", " ".join(one.content for one in messages), "chat", number)
        yield "dialogues", Dialogue(**fields, messages=messages)


def listed(values: Values, names: tuple[str, ...]) -> list[Values]:
    """The replies as objects; one that is only a text has no author."""
    found = values.get(named(values, names)) or []
    if not isinstance(found, list) or not all(isinstance(one, dict | str) for one in found):
        raise Misfit("ill_typed", f"{named(values, names)} must be a list of replies")
    return [one if isinstance(one, dict) else {"text": one} for one in found]


def author_of(values: Values) -> str:
    found: Any = values.get(named(values, AUTHOR))
    if isinstance(found, dict):
        found = found.get("name") or found.get("id")
    return text(found, "author") if isinstance(found, str | int) else ""


def turn_of(reply: Values, asker: str, common: Common) -> Message:
    content = content_of(
        text_of(reply, "body", "content", "text", "reply", "comment", "answer", "value", "正文", "内容", "回复内容"), common
    )
    return message("user" if asker and author_of(reply) == asker else "assistant", content)


def in_order(reply: Values, asker: str, common: Common) -> Iterator[Message]:
    """A reply, and those to it."""
    yield turn_of(reply, asker, common)
    for one in listed(reply, NESTED):
        yield from in_order(one, asker, common)


def lines_of(reply: Values, asker: str, common: Common) -> Iterator[list[Message]]:
    """A reply with each line of replies to it."""
    turn = turn_of(reply, asker, common)
    further = [line for one in listed(reply, NESTED) for line in lines_of(one, asker, common)]
    yield from ([turn, *line] for line in further) if further else [[turn]]
