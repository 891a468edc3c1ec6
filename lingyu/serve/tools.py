"""Tools, where the chat template writes them as Qwen's does: each call is JSON between <tool_call> and </tool_call>.

The template writes the tools into the prompt. A reply may call none or several of them, or must call one (`tool_choice`); a call that was
begun follows the schema of its tool. Calls leave the text of the reply and become its `tool_calls`.
"""

import json
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from lingyu.serve.constrained import WRITTEN, json_grammar
from lingyu.serve.protocol import FunctionTool
from lingyu.serve.reply import Piece
from lingyu.serve.text import held_back

BEGIN, END = "<tool_call>", "</tool_call>"


def template_knows_tools(template: str) -> bool:
    """Whether it writes tools, and calls as JSON: that of Qwen3-Coder writes them as tags of XML."""
    from jinja2 import meta
    from transformers.utils.chat_template_utils import _compile_jinja_template

    if BEGIN not in template or '"arguments"' not in template:
        return False
    environment = _compile_jinja_template(template).environment
    return "tools" in meta.find_undeclared_variables(environment.parse(template))


def calls_grammar(tools: list[FunctionTool], choice: str, several: bool) -> str:
    """What a reply may be. choice: auto, required, or the name of one tool. Raises NoForm for a schema that cannot be followed."""
    named = [tool for tool in tools if choice in {"auto", "required", tool.function.name}]
    rules = [f"call: {' | '.join(f'call_{number}' for number in range(len(named)))}"]
    for number, tool in enumerate(named):
        schema = tool.function.parameters or {"type": "object"}
        json_grammar(schema)
        head = json.dumps(f'\n{{"name": {json.dumps(tool.function.name)}, "arguments": ')
        rules.append(f"call_{number}: {head} %json {json.dumps({**schema, 'x-guidance': WRITTEN})} {json.dumps('}' + chr(10) + END)}")
    more = f'("\\n{BEGIN}" call)*' if several else ""
    if choice == "auto":
        # The text goes on until a call begins; behind the first only further calls may stand.
        start = f"start: TEXT | before call {more}\nbefore[lazy]: /(.|\\n)*{BEGIN}/\nTEXT: /(.|\\n)*/ & ~/(.|\\n)*{BEGIN}(.|\\n)*/"
    else:
        start = f'start: "{BEGIN}" call {more}'
    return "\n".join(["%llguidance {}", start, *rules])


async def with_calls(reply: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """The same reply, its calls taken out of the text. What is no whole call stays text."""
    held, made = "", 0
    async with aclosing(reply) as pieces:
        async for piece in pieces:
            if piece.kind == "content":
                held += piece.text
                text, calls, held = split_calls(held)
                if text or piece.logprobs:
                    yield replace(piece, text=text)
                for call in calls:
                    yield Piece(kind="call", call={"index": made, **call})
                    made += 1
                continue
            if piece.finish is not None:
                if held.strip():
                    yield Piece("content", held)
                if made and piece.finish == "stop":
                    piece = replace(piece, finish="tool_calls")
            yield piece


def split_calls(held: str) -> tuple[str, list[dict[str, Any]], str]:
    """The text that may be told, the calls that are whole, and what is to be held back."""
    text, calls = "", list[dict[str, Any]]()
    while (at := held.find(BEGIN)) >= 0:
        body, mark, rest = held[at + len(BEGIN) :].partition(END)
        if not mark:
            return text + held[:at].rstrip(), calls, held[at:]
        call = call_of(body)
        if call is None:
            text += held[: len(held) - len(rest)]
        else:
            text += held[:at].rstrip()
            calls.append(call)
        held = rest.lstrip("\n") if call else rest
    cut = len(held) - held_back(held, [BEGIN])
    return text + held[:cut], calls, held[cut:]


def call_of(body: str) -> dict[str, Any] | None:
    try:
        said = json.loads(body)
        name, arguments = said["name"], said.get("arguments", {})
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": {"name": str(name), "arguments": written}}
