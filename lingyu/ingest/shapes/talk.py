"""Questions and answers, conversations and preference pairs."""

import re
from typing import Any, Literal

from lingyu.files import short_hash
from lingyu.ingest.shapes.values import ANSWER, QUESTION, REASONING, Common, Made, Misfit, Values, distinct, named, text, text_of, texts
from lingyu.records import Dialogue, Document, Message, Preference
from lingyu.text.legal import LAW

Role = Literal["system", "user", "assistant"]
ROLES: dict[str, Role] = {
    **dict.fromkeys(("user", "human", "prompter", "问", "用户", "患者", "病人", "客户"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "model", "chatgpt", "答", "助手", "医生", "律师", "客服"), "assistant"),
    **dict.fromkeys(("system", "系统"), "system"),
}


def assistant(content: str, reasoning: str = "") -> Message:
    """An assistant turn; reasoning between <think> tags is moved out of the text."""
    match = re.match(r"\s*<think>(.*?)</think>\s*(.*)", content, re.DOTALL)
    if match and not reasoning:
        reasoning, content = match[1].strip(), match[2]
    return Message(role="assistant", content=content, reasoning=reasoning or None)


def turns(items: Any, common: Common) -> list[Message]:
    """Messages in the OpenAI form or in sharegpt's (from, value)."""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Misfit("ill_typed", "messages must be a list of objects")
    messages = []
    for item in items:
        speaker = str(item.get("role", item.get("from", "")))
        role = ROLES.get(common.roles.get(speaker, speaker).lower())
        if role is None:
            raise Misfit(
                "unknown_role",
                f"unknown role {speaker!r}; known: {', '.join(ROLES)}. Map others in params.yaml, ingest.sources, values.role",
            )
        content = text_of(item, "content", "value")
        if role == "assistant":
            messages.append(assistant(content, text_of(item, *REASONING, required=False)))
        else:
            messages.append(Message(role=role, content=content))
    return messages


def in_turn(messages: list[Message]) -> list[Message]:
    """Merges consecutive messages of one speaker into one turn, as chat logs split them at every Enter."""
    kept: list[Message] = []
    for message in messages:
        if kept and kept[-1].role == message.role:
            before = kept.pop()
            reasoning = "\n".join(filter(None, [before.reasoning, message.reasoning])) or None
            message = Message(role=message.role, content=f"{before.content}\n{message.content}", reasoning=reasoning)
        kept.append(message)
    return kept


def with_system(values: Values, messages: list[Message]) -> list[Message]:
    system = text_of(values, "system", required=False)
    return [Message(role="system", content=system), *messages] if system else messages


def prompt_messages(values: Values, question: str, common: Common) -> list[Message]:
    """The messages before the answer: system message, earlier turns, question."""
    before: list[Message] = []
    history = values.get("history") or []
    if isinstance(history, list) and all(isinstance(turn, dict) for turn in history):
        before = turns(history, common)
    elif isinstance(history, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        for question_before, answer_before in history:
            before += [Message(role="user", content=text(question_before, "history")), assistant(text(answer_before, "history"))]
    else:
        raise Misfit("ill_typed", "history must be a list of [question, answer] pairs or of messages")
    return with_system(values, [*before, Message(role="user", content=question)])


def instruction(values: Values) -> str:
    parts = [text_of(values, "instruction", "指令"), text_of(values, "input", "输入", required=False)]
    return "\n".join(part for part in parts if part.strip())


def from_messages(values: Values, common: Common) -> Made:
    messages = in_turn(with_system(values, turns(values[named(values, ("messages", "conversations", "conversation"))], common)))
    roles = [message.role for message in messages if message.role != "system"]
    if not roles or roles[-1] != "assistant" or roles != ["user", "assistant"] * (len(roles) // 2):
        raise Misfit(
            "incomplete", f"turns must alternate between user and assistant and end with assistant; found {', '.join(roles) or 'none'}"
        )
    whole = " ".join(message.content for message in messages)
    yield "dialogues", Dialogue(**common.given("dialogues", whole, "chat"), messages=messages)


def from_instruction(values: Values, common: Common) -> Made:
    question, answer = instruction(values), text_of(values, "output", "输出")
    reply = assistant(answer, text_of(values, *REASONING, required=False))
    yield (
        "dialogues",
        Dialogue(**common.given("dialogues", question + answer, "chat"), messages=[*prompt_messages(values, question, common), reply]),
    )


def from_question(values: Values, common: Common) -> Made:
    """A dialogue for each phrasing of the question and each answer; with reasoning its task is reason."""
    questions = distinct(texts(values[named(values, QUESTION)], named(values, QUESTION)))
    answers = distinct(texts(answers_of(values[named(values, ANSWER)]), named(values, ANSWER)))
    reasoning = text_of(values, *REASONING, required=False)
    for number, (question, answer) in enumerate(((question, answer) for question in questions for answer in answers), 1):
        reply = assistant(answer, reasoning)
        fields = common.given("dialogues", question + reply.content, "reason" if reply.reasoning else "chat", number)
        yield "dialogues", Dialogue(**fields, messages=[*prompt_messages(values, question, common), reply])


def answers_of(value: Any) -> Any:
    """The text of answers that are objects; their other fields are ignored."""
    if not isinstance(value, list):
        return value
    return [text_of(item, "text", "content", "answer", "value") if isinstance(item, dict) else item for item in value]


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
    yield "dialogues", Dialogue(**fields, messages=[*prompt_messages(values, question, common), assistant(answer)])


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
    elif isinstance(chosen, list) and isinstance(rejected, list) and chosen[:-1] == rejected[:-1]:
        messages = with_system(values, turns(chosen[:-1], common))  # both replies include the whole conversation
    else:
        raise Misfit("incomplete", "preference pair without a prompt: none of conversations, messages, prompt, question, instruction")
    messages = in_turn(messages)
    if not messages or messages[-1].role != "user":
        raise Misfit("incomplete", "the messages must end with a user turn")
    better, worse = reply(chosen, "chosen"), reply(rejected, "rejected")
    fields = common.given("preferences", messages[-1].content + better, "chat")
    yield "preferences", Preference(**fields, messages=messages, chosen=better, rejected=worse)


def reply(value: Any, name: str) -> str:
    """A reply given as text, as a message, or as the last of a list of messages."""
    if isinstance(value, list) and value:
        value = value[-1]
    return text_of(value, "content", "value") if isinstance(value, dict) else text(value, name)
