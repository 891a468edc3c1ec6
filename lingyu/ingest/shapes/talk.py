"""Questions and answers, conversations and preference pairs."""

import ast
import json
import re
from collections.abc import Iterable
from typing import Any

from lingyu.files import short_hash
from lingyu.ingest.shapes.exams import RIGHT, STEM, as_exam
from lingyu.ingest.shapes.speakers import Role, role_of, turns_in, with_breaks
from lingyu.ingest.shapes.values import (
    ANSWER,
    INPUT,
    QUESTION,
    REASONING,
    RUBRICS,
    Common,
    Made,
    Misfit,
    Values,
    distinct,
    named,
    text,
    text_of,
    texts,
)
from lingyu.records import RUBRIC, Dialogue, Document, Message, Preference, is_rubric
from lingyu.text.legal import LAW
from lingyu.text.normalise import language_of

TALK = (
    "messages", "conversations", "conversation", "dialogue", "dialog", "dialogues", "dialogs", "chat", "turns", "utterances",
    "transcript", "对话", "会话", "对话内容", "聊天记录", "data", "items",
)  # fmt: skip
SYSTEM = ("system", "system_prompt", "系统")
# Who speaks, and what, in a message.
SPEAKER = ("role", "from", "speaker", "sender", "author", "说话人", "角色")
SAID = ("content", "value", "text", "message", "utterance", "body", "sentence", "内容")
# A turn that is not to be learnt, as axolotl, ms-swift, OpenAI and Together write it.
LEARNT = ("loss", "weight", "train", "trainable", "learnt")
OFF = {"0", "0.0", "false", "no"}


def assistant(content: str, reasoning: str = "", learnt: bool = True) -> Message:
    """An assistant turn; reasoning between <think> tags is moved out of the text."""
    match = re.match(r"\s*<think>(.*?)</think>\s*(.*)", content, re.DOTALL)
    if match and not reasoning:
        reasoning, content = match[1].strip(), match[2]
    return Message(role="assistant", content=content, reasoning=reasoning or None, learnt=learnt)


def message(role: Role, content: str) -> Message:
    return assistant(content) if role == "assistant" else Message(role=role, content=content)


def turns(value: Any, common: Common) -> list[Message]:
    """The messages of a conversation in any of the forms it is written in: a list of messages (role, content; from, value), of
    questions with their answers, of pairs, of texts by turns; an object with such items; one text with a mark before each turn."""
    if isinstance(value, str):
        inner = parsed(value)
        if inner is not None:
            return turns(inner, common)
        if found := spoken(value, common):
            return found
        raise Misfit("ill_typed", "messages must be a list of objects, or a text with the speaker before each turn (用户：… 客服：…)")
    if isinstance(value, dict):
        value = [item for item in value.values() if item is not None]
    if not isinstance(value, list):
        raise Misfit("ill_typed", "messages must be a list of objects")
    if value and all(isinstance(item, str) for item in value):
        return by_turns(value, common)
    return [message for item in value for message in messages_of(item, common)]


def by_turns(listed: list[str], common: Common) -> list[Message]:
    """Texts one after the other: each with a mark that says who speaks, or the person's and the assistant's by turns."""
    marked = [turns_in(one, common.roles) for one in listed]
    if all(len(found) == 1 for found in marked):
        common.notes["marks of speakers taken off"] += 1
        return [message(turn.role, turn.said) for found in marked for turn in found]
    return [message("assistant" if place % 2 else "user", content_of(one, common)) for place, one in enumerate(listed)]


def parsed(value: str) -> Any:
    """A list that was written into a text, as JSON or as Python or numpy print it; None where there is none."""
    value = value.strip()
    if not value.startswith("[") or not value.endswith("]") or not re.match(r"\[\s*[\[{]", value):
        return None
    for reads, written in ((json.loads, value), (ast.literal_eval, value), (ast.literal_eval, re.sub(r"\}\s*\n\s*\{", "}, {", value))):
        try:
            found = reads(written)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, list) else None
    return None


def messages_of(item: Any, common: Common) -> list[Message]:
    """What an item of a conversation says: one message, or a question and its answer."""
    if isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item):
        first, second = map(str, item)
        role = role_of(common.roles.get(first, first))
        if role and len(first.strip()) > 1:  # q and a may be what was said
            return [message(role, content_of(second, common))]
        return [message("user", content_of(first, common)), message("assistant", content_of(second, common))]
    if not isinstance(item, dict):
        raise Misfit("ill_typed", "messages must be a list of objects")
    if not named(item, SPEAKER) or not named(item, SAID):
        if pair := question_and_answers(item):
            question, answers = pair
            reply = [assistant(content_of(answers[0], common))] if answers else []
            return [message("user", content_of(question, common)), *reply]
        named_by_role = [
            (role, value) for name, value in item.items() if (role := role_of(common.roles.get(str(name), str(name)))) and value
        ]
        if named_by_role and len({role for role, _ in named_by_role}) == len(named_by_role):
            order: list[Role] = ["system", "user", "assistant"]
            return [
                message(role, content_of(text(value, role), common))
                for role, value in sorted(named_by_role, key=lambda one: order.index(one[0]))
            ]
    name = named(item, SPEAKER)
    who = text(item[name], name) if name else ""
    role = role_of(common.roles.get(who, who))
    if role is None:
        raise Misfit(
            "unknown_role",
            f"unknown role {who!r}; known: user, assistant, 客户, 客服 and others. Map it in params.yaml, ingest.sources, values.role",
        )
    content = content_of(text_of(item, *SAID), common)
    if role != "assistant":
        return [Message(role=role, content=content)]
    return [assistant(content, text_of(item, *REASONING, required=False), is_learnt(item))]


def is_learnt(item: Values) -> bool:
    return not any(str(item[name]).strip().lower() in OFF for name in LEARNT if item.get(name) is not None)


def question_and_answers(item: Values) -> tuple[str, list[str]] | None:
    """A question with its answers, as passages and conversations list them; None where the object is something else."""
    question, answer = named(item, (*QUESTION, "q", "input_text", "问")), named(item, (*ANSWER, "a", "答"))
    if not question or not answer or isinstance(item[question], list | dict):
        return None
    found = [one for one in distinct(texts(answers_of(item[answer]), answer)) if one.strip()]
    return text(item[question], question), found


def spoken(value: str, common: Common) -> list[Message]:
    """The turns of a conversation that is written in one text; none where it is not."""
    found = turns_in(value, common.roles)
    if found:
        common.notes["marks of speakers taken off"] += 1
    return [message(turn.role, turn.said) for turn in found]


def content_of(value: str, common: Common) -> str:
    whole = with_breaks(value)
    if whole != value:
        common.notes["\\n read as line breaks"] += 1
    return whole


def in_turn(messages: list[Message]) -> list[Message]:
    """Merges consecutive messages of one speaker into one turn, as chat logs split them at every Enter."""
    kept: list[Message] = []
    for one in messages:
        if kept and kept[-1].role == one.role:
            before = kept.pop()
            reasoning = "\n".join(filter(None, [before.reasoning, one.reasoning])) or None
            learnt = before.learnt and one.learnt
            one = Message(role=one.role, content=f"{before.content}\n{one.content}", reasoning=reasoning, learnt=learnt)
        kept.append(one)
    return kept


def to_learn(messages: list[Message], common: Common) -> list[Message]:
    """The messages up to the last reply that is learnt, from the first that the person says. Raises Misfit where nothing is left.

    A greeting before the first question answers nothing, and what comes after the last reply teaches nothing.
    """
    messages = in_turn(messages)
    roles = [one.role for one in messages]
    if roles == ["user", "assistant"] and messages[1].learnt:
        return messages
    first = roles.index("user") if "user" in roles else len(roles)
    replies = [place for place, one in enumerate(messages) if one.role == "assistant" and place > first]
    if not replies:
        raise Misfit(
            "incomplete", f"turns must alternate between user and assistant and end with assistant; found {', '.join(roles) or 'none'}"
        )
    learnt = [place for place in replies if messages[place].learnt]
    if not learnt:
        raise Misfit("nothing_learnt", "every reply is marked as not to be learnt (loss: false, weight: 0)")
    opening = [one for one in messages[:first] if one.role != "system"]
    cut = messages[learnt[-1] + 1 :]
    kept = [one for one in messages[: learnt[-1] + 1] if not any(one is other for other in opening)]
    spoken_roles = [one.role for one in kept if one.role != "system"]
    if spoken_roles != ["user", "assistant"] * (len(spoken_roles) // 2):
        raise Misfit(
            "incomplete", f"turns must alternate between user and assistant and end with assistant; found {', '.join(spoken_roles)}"
        )
    common.notes["opening turns of the assistant left out"] += len(opening)
    common.notes["turns after the last reply left out"] += len(cut)
    common.notes["turns not learnt"] += sum(not one.learnt for one in [*kept, *cut] if one.role == "assistant")
    return kept


def with_system(values: Values, messages: list[Message]) -> list[Message]:
    system = text_of(values, *SYSTEM, required=False)
    return [Message(role="system", content=system), *messages] if system else messages


def prompt_messages(values: Values, question: str, common: Common) -> list[Message]:
    """What comes before the answer: the system's turn, earlier turns, the question, which may be a conversation in itself."""
    before: list[Message] = []
    history = values.get("history") or []
    if isinstance(history, str):
        history = parsed(history) or history
    if isinstance(history, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        for question_before, answer_before in history:
            before += [Message(role="user", content=text(question_before, "history")), assistant(text(answer_before, "history"))]
    elif isinstance(history, list) or (isinstance(history, str) and turns_in(history, common.roles)):
        before = turns(history, common)
    else:
        raise Misfit("ill_typed", "history must be a list of [question, answer] pairs or of messages")
    return with_system(values, [*before, *question_turns(question, common)])


def question_turns(question: str, common: Common) -> list[Message]:
    """The question; where it is written as a conversation that waits for a reply, its turns."""
    found = turns_in(question, common.roles)
    if found and found[-1].role == "assistant" and not found[-1].said:
        found = found[:-1]
    if not found or found[-1].role != "user":
        return [Message(role="user", content=content_of(question, common))]
    common.notes["marks of speakers taken off"] += 1
    return [message(turn.role, turn.said) for turn in found]


def unwrapped(question: str, common: Common) -> str:
    """A question without the mark of a speaker, where it has but one: Q: …"""
    found = turns_in(question, common.roles)
    return found[0].said if [turn.role for turn in found] == ["user"] else question


def reply_turns(answer: str, reasoning: str, common: Common) -> list[Message]:
    """The answer; without the mark that says who speaks, and with the turns after it where it has any."""
    found = turns_in(answer, common.roles)
    if not found or found[0].role != "assistant":
        return [assistant(content_of(answer, common), reasoning)]
    common.notes["marks of speakers taken off"] += 1
    first, *rest = found
    return [assistant(first.said, reasoning), *(message(turn.role, turn.said) for turn in rest)]


def instruction(values: Values) -> str:
    parts = [text_of(values, "instruction", "指令"), text_of(values, *INPUT, required=False)]
    return "\n".join(part for part in parts if part.strip())


def from_messages(values: Values, common: Common) -> Made:
    messages = to_learn(with_system(values, turns(values[named(values, TALK)], common)), common)
    whole = " ".join(one.content for one in messages)
    yield "dialogues", Dialogue(**common.given("dialogues", whole, "chat"), messages=messages)


def from_instruction(values: Values, common: Common) -> Made:
    question, answer = instruction(values), text_of(values, "output", "输出")
    if exam := as_exam(values, unwrapped(question, common), answer, common):
        yield "exams", exam
        return
    reply = reply_turns(answer, text_of(values, *REASONING, required=False), common)
    messages = to_learn([*prompt_messages(values, question, common), *reply], common)
    yield "dialogues", Dialogue(**common.given("dialogues", question + answer, "chat"), messages=messages)


def from_question(values: Values, common: Common) -> Made:
    """A dialogue for each phrasing of the question and each answer; with reasoning its task is reason."""
    given = values[named(values, ANSWER)]
    name = named(values, QUESTION)
    questions = distinct(texts(values[name], name))
    if name == "instruction" and (further := text_of(values, *INPUT, required=False)).strip():
        questions = [f"{question}\n{further}" for question in questions]
    if len(questions) == 1 and (exam := as_exam(values, unwrapped(questions[0], common), given, common)):
        yield "exams", exam
        return
    answers = distinct(texts(answers_of(given), named(values, ANSWER)))
    yield from question_rows(values, questions, answers, common)


def from_rubric(values: Values, common: Common) -> Made:
    """A question with a rubric in place of the right answer, of which it may be a part. It is only asked, and never learnt."""
    name, question = named(values, RUBRICS), text_of(values, *QUESTION, *STEM)
    rubric = "\n".join(texts(values[name], name)).strip()
    if answer := text_of(values, *ANSWER, required=False).strip():
        rubric = f"{rubric}\n{'参考答案：' if language_of(rubric) == 'zh' else 'Right answer: '}{answer}"
    fields = common.given("dialogues", question, "")
    task = fields["task"] if is_rubric(fields["task"]) else f"{RUBRIC}_{fields['task']}".rstrip("_")
    yield "dialogues", Dialogue(**fields | {"task": task}, messages=[*prompt_messages(values, question, common), assistant(rubric)])


def from_item(values: Values, common: Common) -> Made:
    """An item of an exam whose options stand in its question; one without any is a question with its answer."""
    asks, answers = named(values, STEM), named(values, RIGHT)
    question = text(values[asks], asks)
    if exam := as_exam(values, question, values[answers], common):
        yield "exams", exam
    else:
        yield from question_rows(values, [question], distinct(texts(answers_of(values[answers]), answers)), common)


def question_rows(values: Values, questions: list[str], answers: list[str], common: Common, references: Iterable[str] = ()) -> Made:
    reasoning = text_of(values, *REASONING, required=False)
    for number, (question, answer) in enumerate(((question, answer) for question in questions for answer in answers), 1):
        messages = to_learn([*prompt_messages(values, question, common), *reply_turns(answer, reasoning, common)], common)
        last = messages[-1]
        fields = common.given("dialogues", question + last.content, "reason" if last.reasoning else "chat", number)
        yield "dialogues", Dialogue(**fields | {"references": [*references]}, messages=messages)


def answers_of(value: Any) -> Any:
    """The text of answers that are objects; their other fields are ignored."""
    if isinstance(value, dict):
        name = named(value, ("text", "input_text", "content", "answer", "value"))
        return value[name] if name else value
    if not isinstance(value, list):
        return value
    return [text_of(item, "text", "input_text", "content", "answer", "value", "body") if isinstance(item, dict) else item for item in value]


def from_laws(values: Values, common: Common) -> Made:
    """A consultation that cites articles; each article is a document."""
    if not isinstance(values["laws"], list):
        raise Misfit("ill_typed", "laws must be a list")
    references = []
    for law in map(str, values["laws"]):
        parts = LAW.match(law)
        title, section, body = parts.groups() if parts else ("", "", law)
        # The id depends on the text: the same article cited by many questions is one row.
        references.append(short_hash("documents", common.origin.source, law))
        yield "documents", Document(**common.row(law), id=references[-1], title=title, section=section, text=body)
    question, answer = text_of(values, *QUESTION), text_of(values, *ANSWER)
    fields = common.given("dialogues", question + answer, "consult") | {"references": references}
    yield (
        "dialogues",
        Dialogue(**fields, messages=to_learn([*prompt_messages(values, question, common), *reply_turns(answer, "", common)], common)),
    )


def from_pair(values: Values, common: Common) -> Made:
    """A preference pair; the prompt is a text, an instruction with input, or turns that end with the user's."""
    chosen, rejected = values["chosen"], values["rejected"]
    before = named(values, ("conversations", "messages")) or ("prompt" if isinstance(values.get("prompt"), list) else "")
    if before:
        messages = with_system(values, turns(values[before], common))
    elif "prompt" in values or "question" in values:
        messages = prompt_messages(values, text_of(values, "prompt", "question"), common)
    elif "instruction" in values:
        messages = prompt_messages(values, instruction(values), common)
    else:
        chosen, rejected = (whole(side, common) for side in (chosen, rejected))
        if not isinstance(chosen, list) or not isinstance(rejected, list) or chosen[:-1] != rejected[:-1]:
            raise Misfit("incomplete", "preference pair without a prompt: none of conversations, messages, prompt, question, instruction")
        messages = with_system(values, turns(chosen[:-1], common))  # both replies include the whole conversation
    messages = in_turn(messages)
    if not messages or messages[-1].role != "user":
        raise Misfit("incomplete", "the messages must end with a user turn")
    better, worse = reply(chosen, "chosen"), reply(rejected, "rejected")
    fields = common.given("preferences", messages[-1].content + better, "chat")
    yield "preferences", Preference(**fields, messages=messages, chosen=better, rejected=worse)


def whole(side: Any, common: Common) -> Any:
    """A conversation with its reply, also where both are written in one text, as a list of messages."""
    if not isinstance(side, str):
        return side
    found = turns_in(side, common.roles)
    return parsed(side) or [{"role": turn.role, "content": turn.said} for turn in found] or side


def reply(value: Any, name: str) -> str:
    """A reply given as text, as a message, or as the last of a list of messages."""
    if isinstance(value, list) and value:
        value = value[-1]
    return text_of(value, *SAID) if isinstance(value, dict) else text(value, name)
