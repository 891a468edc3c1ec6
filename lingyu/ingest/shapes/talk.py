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
    """An assistant's turn; reasoning that stands in the text between <think> marks is taken out of it."""
    match = re.match(r"\s*<think>(.*?)</think>\s*(.*)", content, re.DOTALL)
    if match and not reasoning:
        reasoning, content = match[1].strip(), match[2]
    return Message(role="assistant", content=content, reasoning=reasoning or None)


def turns(items: Any, common: Common) -> list[Message]:
    """Messages in the OpenAI form or in sharegpt's (from, value)."""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise Misfit("ill_typed", "the messages are not a list of objects")
    messages = []
    for item in items:
        said = str(item.get("role", item.get("from", "")))
        role = ROLES.get(common.roles.get(said, said).lower())
        if role is None:
            raise Misfit(
                "unknown_role", f"no role named {said!r}; known: {', '.join(ROLES)}. Others: params.yaml, ingest.sources, values.role"
            )
        content = text_of(item, "content", "value")
        if role == "assistant":
            messages.append(assistant(content, text_of(item, *REASONING, required=False)))
        else:
            messages.append(Message(role=role, content=content))
    return messages


def in_turn(messages: list[Message]) -> list[Message]:
    """What one speaker says in several messages is one turn: chat logs are cut where somebody pressed the key."""
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


def asked(values: Values, question: str, common: Common) -> list[Message]:
    """What comes before the answer: the system's turn, earlier turns, the question."""
    before: list[Message] = []
    history = values.get("history") or []
    if isinstance(history, list) and all(isinstance(turn, dict) for turn in history):
        before = turns(history, common)
    elif isinstance(history, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        for question_before, answer_before in history:
            before += [Message(role="user", content=text(question_before, "history")), assistant(text(answer_before, "history"))]
    else:
        raise Misfit("ill_typed", "history is neither a list of [question, answer] nor one of messages")
    return with_system(values, [*before, Message(role="user", content=question)])


def instruction(values: Values) -> str:
    parts = [text_of(values, "instruction", "指令"), text_of(values, "input", "输入", required=False)]
    return "\n".join(part for part in parts if part.strip())


def from_messages(values: Values, common: Common) -> Made:
    messages = in_turn(with_system(values, turns(values[named(values, ("messages", "conversations", "conversation"))], common)))
    roles = [message.role for message in messages if message.role != "system"]
    if not roles or roles[-1] != "assistant" or roles != ["user", "assistant"] * (len(roles) // 2):
        raise Misfit("incomplete", f"turns are not user, assistant, … to an assistant's end but {', '.join(roles) or 'none'}")
    whole = " ".join(message.content for message in messages)
    yield "dialogues", Dialogue(**common.given("dialogues", whole, "chat"), messages=messages)


def from_instruction(values: Values, common: Common) -> Made:
    question, answer = instruction(values), text_of(values, "output", "输出")
    reply = assistant(answer, text_of(values, *REASONING, required=False))
    yield "dialogues", Dialogue(**common.given("dialogues", question + answer, "chat"), messages=[*asked(values, question, common), reply])


def from_question(values: Values, common: Common) -> Made:
    """A dialogue for each wording of the question and each answer; one with reasoning has the task reason."""
    questions = distinct(texts(values[named(values, QUESTION)], named(values, QUESTION)))
    answers = distinct(texts(answers_of(values[named(values, ANSWER)]), named(values, ANSWER)))
    reasoning = text_of(values, *REASONING, required=False)
    for number, (question, answer) in enumerate(((question, answer) for question in questions for answer in answers), 1):
        reply = assistant(answer, reasoning)
        fields = common.given("dialogues", question + reply.content, "reason" if reply.reasoning else "chat", number)
        yield "dialogues", Dialogue(**fields, messages=[*asked(values, question, common), reply])


def answers_of(value: Any) -> Any:
    """Answers that are objects by their text; what else such an object has is not an answer."""
    if not isinstance(value, list):
        return value
    return [text_of(item, "text", "content", "answer", "value") if isinstance(item, dict) else item for item in value]


def from_laws(values: Values, common: Common) -> Made:
    """A consultation that refers to the articles it rests on; each article is a document."""
    if not isinstance(values["laws"], list):
        raise Misfit("ill_typed", "laws is not a list")
    references = []
    for law in map(str, values["laws"]):
        parts = LAW.match(law)
        title, section, body = parts.groups() if parts else ("", "", law)
        # Named by what it says: the same article under many questions is one row.
        references.append(short_hash("documents", common.origin.source, law))
        yield "documents", Document(**common.row(law), id=references[-1], title=title, section=section, text=body)
    question, answer = text_of(values, *QUESTION), text_of(values, *ANSWER)
    fields = common.given("dialogues", question + answer, "consult") | {"references": references}
    yield "dialogues", Dialogue(**fields, messages=[*asked(values, question, common), assistant(answer)])


def from_pair(values: Values, common: Common) -> Made:
    """A preference pair; what was asked as text, as an instruction with input, or as turns that end in the user's."""
    chosen, rejected = values["chosen"], values["rejected"]
    before = named(values, ("conversations", "messages")) or ("prompt" if isinstance(values.get("prompt"), list) else "")
    if before:
        messages = with_system(values, turns(values[before], common))
    elif "prompt" in values or "question" in values:
        messages = asked(values, text_of(values, "prompt", "question"), common)
    elif "instruction" in values:
        messages = asked(values, instruction(values), common)
    elif isinstance(chosen, list) and isinstance(rejected, list) and chosen[:-1] == rejected[:-1]:
        messages = with_system(values, turns(chosen[:-1], common))  # both replies with the whole conversation before them
    else:
        raise Misfit("incomplete", "a pair without what was asked: none of conversations, messages, prompt, question, instruction")
    messages = in_turn(messages)
    if not messages or messages[-1].role != "user":
        raise Misfit("incomplete", "the messages do not end in a user's turn")
    better, worse = reply(chosen, "chosen"), reply(rejected, "rejected")
    fields = common.given("preferences", messages[-1].content + better, "chat")
    yield "preferences", Preference(**fields, messages=messages, chosen=better, rejected=worse)


def reply(value: Any, name: str) -> str:
    """A reply as text, as a message, or as the last of a list of messages."""
    if isinstance(value, list) and value:
        value = value[-1]
    return text_of(value, "content", "value") if isinstance(value, dict) else text(value, name)
