"""Adapts the chat template of the base to the messages of our rows, once, when the base is loaded.

What the template lacks is added in front of it, in Jinja, so that training, the service and users of the released model share
one template. A system message is merged into the first question if the template has no system role. Consecutive turns of one
role are joined if roles must alternate. Reasoning is written between think tags if the template would drop it. The current date
is replaced by a fixed one, so that the same corpus gives the same bytes on any day.
"""

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Literal

from lingyu.model.chat import CHATML, THINK, THINK_END, Chat
from lingyu.records import Message
from lingyu.stage import StageError

Reasoning = Literal["template", "inline"]

# Of families whose pretrained models come without one. Gemma's: a turn is a role, a line break and its text between two marks.
GEMMA = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' }}
    {%- if message.role == 'system' or (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('a question and a reply in turn, and no system role') }}
    {%- endif %}
    {{- message.content | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<start_of_turn>model\\n' }}
{%- endif %}
"""
SHIPPED = {"chatml": CHATML, "gemma": GEMMA}

JOINED = """\
{%- set lingyu = namespace(turns=[], system='') %}
{%- for message in messages %}
    {%- if message.role == 'system' %}
        {%- set lingyu.system = lingyu.system + message.content + '\\n\\n' %}
    {%- elif lingyu.turns and lingyu.turns[-1].role == message.role %}
        {%- set both = lingyu.turns[-1].content + '\\n\\n' + message.content %}
        {%- set lingyu.turns = lingyu.turns[:-1] + [dict(lingyu.turns[-1], content=both)] %}
    {%- else %}
        {%- set lingyu.turns = lingyu.turns + [message] %}
    {%- endif %}
{%- endfor %}
"""
SYSTEM_FIRST = """\
{%- if lingyu.system and lingyu.turns %}
    {%- set lingyu.turns = [dict(lingyu.turns[0], content=lingyu.system + lingyu.turns[0].content)] + lingyu.turns[1:] %}
{%- endif %}
{%- set messages = lingyu.turns %}
"""
SYSTEM_KEPT = """\
{%- if lingyu.system %}
    {%- set lingyu.turns = [dict(role='system', content=lingyu.system | trim)] + lingyu.turns %}
{%- endif %}
{%- set messages = lingyu.turns %}
"""
INLINE = f"""\
{{%- set lingyu = namespace(turns=[]) %}}
{{%- for message in messages %}}
    {{%- if message.reasoning_content and loop.last %}}
        {{%- set inline = '{THINK}\\n' + message.reasoning_content + '\\n{THINK_END}\\n\\n' + message.content %}}
        {{%- set lingyu.turns = lingyu.turns + [dict(message, content=inline)] %}}
    {{%- else %}}
        {{%- set lingyu.turns = lingyu.turns + [message] %}}
    {{%- endif %}}
{{%- endfor %}}
{{%- set messages = lingyu.turns %}}
"""

SYSTEM = Message(role="system", content="s7w")
FIRST, SECOND = (Message(role="user", content=text) for text in ("q7w", "q8w"))
THOUGHT = Message(role="assistant", content="a7w", reasoning="r7w")


def adapted(chat: Chat, reasoning: Reasoning, day: date) -> str:
    """The template with the missing parts in front.

    reasoning: `inline` writes it into the last reply if the template does not support it. day: the value of `strftime_now`.
    """
    template = dated(chat.template, day)
    plain = Chat(chat.tokenizer, template, chat.names)
    systemless = not writes(plain, [SYSTEM, FIRST])
    alternating = not writes(plain, [FIRST, SECOND])
    front = JOINED + (SYSTEM_FIRST if systemless else SYSTEM_KEPT) if systemless or alternating else ""
    if reasoning == "inline" and not keeps_reasoning(plain):
        front += INLINE
    return front + template


def template_named(name: str) -> str:
    """A template that lingyu has, or that of a file. Raises StageError where there is neither."""
    if name in SHIPPED:
        return SHIPPED[name]
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise StageError(
            f"base.model.chat_template is {name!r}, which is neither {' nor '.join(SHIPPED)} nor a file that can be read "
            f"({error.strerror}). Correct it in params.yaml."
        ) from error


def writes(chat: Chat, messages: Sequence[Message]) -> bool:
    """Whether the template renders every message."""
    try:
        text = chat.prompt(messages)
    except Exception:  # templates can raise any exception
        return False
    return all(message.content in text for message in messages)


def keeps_reasoning(chat: Chat) -> bool:
    """Whether the template keeps the reasoning of the last reply."""
    try:
        chat.prompt_and_reply([FIRST, THOUGHT])
    except ValueError:
        return False
    return True


def dated(template: str, day: date) -> str:
    """The template with a fixed day instead of today."""
    return re.sub(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)", lambda call: repr(day.strftime(call[2])), template)
