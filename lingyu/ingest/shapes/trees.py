"""Conversations of which a message may have several replies: as a tree, or one message a record.

Of ranked replies the best is read, with what follows it; of others each, in a dialogue of its own.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import inf
from typing import Any

from lingyu.ingest.readers import Fault, Record
from lingyu.ingest.shapes.mapping import ROLE, Mapping, mapped, plain
from lingyu.ingest.shapes.speakers import role_of
from lingyu.ingest.shapes.talk import SAID, SPEAKER, TALK, from_messages, messages_of
from lingyu.ingest.shapes.threads import AUTHOR, NESTED, rows_of_lines
from lingyu.ingest.shapes.values import Common, Made, Misfit, Values, named
from lingyu.records import Message

ID = ("message_id", "msg_id", "post_id", "comment_id", "reply_id", "id", "消息id", "编号")
PARENT = (
    "parent_id", "parent_message_id", "parent_comment_id", "parent", "reply_to", "reply_to_id", "in_reply_to", "回复id", "父消息id",
    "上级编号",
)  # fmt: skip
# What the messages of one conversation have in common, where each is a record.
GROUP = (
    "conversation_id", "session_id", "dialogue_id", "dialog_id", "chat_id", "call_id", "会话id", "会话编号", "对话id", "对话编号",
    "通话编号",
)  # fmt: skip
NUMBER = ("turn", "turn_id", "turn_number", "turn_index", "message_index", "sequence", "seq", "序号", "轮次")
ROOT = ("prompt", "root", "tree")
NONE = {"", "none", "null", "nan", "<na>", "0", "-1"}  # as tables write that a message replies to none
DEEPEST = 300  # replies to replies; beyond, a file has lost its ids


def gathered(records: Iterable[Record | Fault], mapping: Mapping) -> Iterator[tuple[Record | Fault, Mapping]]:
    """The records of a file; those that are one message each together as conversations, after the others. With what else maps them."""
    linked: dict[str, tuple[Record, Values]] = {}
    grouped: dict[str, list[tuple[Record, Values]]] = defaultdict(list)
    for record in records:
        values = message_values(record, mapping) if isinstance(record, Record) else None
        if values is None or isinstance(record, Fault):
            yield record, mapping
        elif named(values, PARENT):
            own = as_id(values[named(values, ID)])
            if own in linked:
                yield Fault(record.place, "no_parent", f"a second message with the id {own}", record.values), mapping
            else:
                linked[own] = record, values
        else:
            grouped[as_id(values[named(values, GROUP)])].append((record, values))
    rest = Mapping(values={ROLE: mapping.values[ROLE]} if ROLE in mapping.values else {})
    yield from ((one, rest) for one in trees(linked, rest))
    for messages in grouped.values():
        inner = [values for _, values in sorted(messages, key=lambda one: number_of(one[1]))]
        yield Record({"messages": inner}, messages[0][0].place), rest


def message_values(record: Record, mapping: Mapping) -> Values | None:
    """The values of a record that is one message of a conversation; None of one that is something else."""
    if not may_be_message(tuple(record.values), tuple(mapping.columns)) or mapping.shape:
        return None
    try:
        values = mapped(record.values, mapping)
    except Misfit:
        return None
    if not named(values, SAID) or named(values, TALK) or not named(values, (*SPEAKER, *AUTHOR)):
        return None
    if named(values, PARENT) and named(values, ID) and as_id(values[named(values, ID)]) not in NONE:
        return values
    if named(values, GROUP) and role_in(values, mapping):
        return values
    return None


@lru_cache(maxsize=256)
def may_be_message(names: tuple[str, ...], ours: tuple[str, ...]) -> bool:
    """By the names of the fields; those of one file have the same, most of them."""
    known = {*plain(dict.fromkeys(names)), *ours}
    return not known.isdisjoint({*PARENT, *GROUP}) and not known.isdisjoint(SAID)


def role_in(values: Values, mapping: Mapping) -> bool:
    name = named(values, SPEAKER)
    who = str(values[name]) if name else ""
    return role_of(mapping.values.get(ROLE, {}).get(who, who)) is not None


def as_id(value: Any) -> str:
    """An id as text; a table with gaps has numbers with a fraction: 12.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().lower() if value is not None else ""


def number_of(values: Values) -> float:
    try:
        return float(values[named(values, NUMBER)])
    except (KeyError, TypeError, ValueError):
        return 0.0


def trees(linked: dict[str, tuple[Record, Values]], mapping: Mapping) -> Iterator[Record | Fault]:
    """A record for each message that replies to none, with the replies to it; a Fault for each message that no such one leads to."""
    replies: dict[str, list[str]] = defaultdict(list)
    roots = []
    for own, (_, values) in linked.items():
        parent = as_id(values[named(values, PARENT)])
        if parent in NONE or parent == own:
            roots.append(own)
        else:
            replies[parent].append(own)
    reached: set[str] = set()
    for root in roots:
        record = linked[root][0]
        below, by_role = list[str](), False
        waiting = [(root, 0)]
        nodes: dict[str, Values] = {}
        while waiting:
            own, depth = waiting.pop()
            below.append(own)
            reached.add(own)
            by_role = by_role or role_in(linked[own][1], mapping)
            nodes[own] = {name: value for name, value in linked[own][1].items() if name not in NESTED}
            waiting += [(one, depth + 1) for one in replies[own] if one not in reached] if depth < DEEPEST else []
        for own in below:
            nodes[own]["replies"] = [nodes[one] for one in replies[own] if one in nodes]
        if not by_role and len(below) == 1:
            yield Fault(record.place, "incomplete", "a post to which nobody replies", record.values)
            continue
        yield Record({"tree": nodes[root]} if by_role else nodes[root], record.place)
    for own, (record, values) in linked.items():
        if own not in reached:
            parent = as_id(values[named(values, PARENT)])
            yield Fault(record.place, "no_parent", f"the message {parent}, to which it replies, is not in the file", record.values)


def has_tree(values: Values) -> bool:
    return isinstance(root := values[named(values, ROOT)], dict) and bool(named(root, SPEAKER)) and bool(named(root, SAID))


def has_replies(values: Values) -> bool:
    """Whether a record is a message with a role and a list of replies."""
    return isinstance(values[named(values, NESTED)], list) and role_of(str(values[named(values, SPEAKER)])) is not None


def from_tree(values: Values, common: Common) -> Made:
    """A dialogue for each line of messages, from the first to one without replies."""
    root = values[named(values, ROOT)] if named(values, ROOT) and has_tree(values) else values
    yield from rows_of_lines([*lines_of(root, common)], common)


def lines_of(root: Values, common: Common) -> Iterator[list[Message]]:
    waiting: list[tuple[Values, list[Message]]] = [(root, [])]
    while waiting:
        node, before = waiting.pop()
        line = [*before, *messages_of({name: value for name, value in node.items() if name not in NESTED}, common)]
        below = best(node, common)
        if len(line) > DEEPEST:
            raise Misfit("too_long", f"more than {DEEPEST} replies to replies")
        if below:
            waiting += [(one, line) for one in reversed(below)]
        else:
            yield line


def best(node: Values, common: Common) -> list[Values]:
    """The replies that are read: without deleted and rejected ones, and of ranked ones the best."""
    replies = node.get(named(node, NESTED)) or []
    if not isinstance(replies, list) or not all(isinstance(one, dict) for one in replies):
        raise Misfit("ill_typed", f"{named(node, NESTED)} must be a list of messages")
    kept = [one for one in replies if not is_true(one.get("deleted")) and one.get("review_result") is not False]
    common.notes["deleted or rejected replies left out"] += len(replies) - len(kept)
    ranked = [one for one in kept if isinstance(one.get("rank"), int | float) and one["rank"] == one["rank"]]
    if ranked:
        common.notes["replies of a lower rank left out"] += len(kept) - 1
        return [min(ranked, key=lambda one: float(one["rank"]))]
    return kept


def is_true(value: Any) -> bool:
    return str(value).strip().lower() in {"true", "1", "1.0"}


def has_mapping(values: Values) -> bool:
    found = values["mapping"]
    return isinstance(found, dict) and bool(found) and all(isinstance(one, dict) and "message" in one for one in found.values())


def from_mapping(values: Values, common: Common) -> Made:
    """A conversation as ChatGPT exports it: messages by id. Read to the message that was shown last; else to the last that was written."""
    nodes: dict[str, Values] = values["mapping"]
    times = {own: (node.get("message") or {}).get("create_time") or -inf for own, node in nodes.items()}
    at: Any = values.get("current_node")
    if at not in nodes:
        at = max((own for own, node in nodes.items() if not node.get("children")), key=lambda own: times[own], default=None)
    line: list[Values] = []
    while at in nodes and len(line) <= len(nodes):
        said = nodes[at].get("message")
        if isinstance(said, dict):
            line.append(said)
        at = nodes[at].get("parent")
    messages = [one for said in reversed(line) if (one := of_export(said))]
    common.notes["messages of other branches left out"] += sum(bool(node.get("message")) for node in nodes.values()) - len(line)
    yield from from_messages({"messages": messages}, common)


def of_export(said: Values) -> Values | None:
    """A message of the export as role and content; None of an empty one."""
    author, content = said.get("author"), said.get("content")
    if not isinstance(author, dict) or not isinstance(content, dict):
        raise Misfit("ill_typed", "a message of mapping must have author.role and content.parts")
    parts = content.get("parts") or []
    if not all(isinstance(part, str) for part in parts) or content.get("content_type") not in ("text", None):
        raise Misfit("ill_typed", f"a message is {content.get('content_type')}, and not text")
    text = "\n".join(parts).strip()
    return {"role": author.get("role"), "content": text, "weight": said.get("weight")} if text else None
