"""One chat template from training to service: text for the model, and which part of it is learnt.

A prompt is rendered, and encoded, by itself and the reply after it, in training as in service: hence the token ids
of a prompt are the same in both, whatever the tokenizer would have merged across the border.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lingyu.records import Message

END_OF_TEXT = "<|endoftext|>"
# ChatML as Qwen3 speaks it: the last reply opens with its reasoning between think marks, or with an empty pair when
# it has none; reasoning of earlier turns is left out. enable_thinking=false puts the empty pair into the prompt.
CHATML = """\
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' and loop.last %}
        {{- '<think>\\n' + (message.reasoning_content or '') + '\\n</think>\\n\\n' }}
    {%- endif %}
    {{- message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and not enable_thinking %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
THINK, THINK_END = "<think>", "</think>"


def load_template(model: Path) -> str:
    """The chat template that the model folder carries."""
    return (model / "chat_template.jinja").read_text(encoding="utf-8")


def render(
    messages: Sequence[Message], template: str = CHATML, *, add_generation_prompt: bool = False, enable_thinking: bool = False, **names: Any
) -> str:
    """The text of a conversation. `names`: other values that a template may use, such as bos_token."""
    turns = [message_for_template(message) for message in messages]
    text = compiled(template).render(messages=turns, add_generation_prompt=add_generation_prompt, enable_thinking=enable_thinking, **names)
    return str(text)


def prompt_and_reply(messages: Sequence[Message], template: str = CHATML) -> tuple[str, str]:
    """The text up to the last assistant's turn, as service would send it, and the rest, which the model has to learn.

    Raises ValueError where the last turn is not the assistant's, or where the template does not render a
    conversation as its prompt followed by the reply.
    """
    if not messages or messages[-1].role != "assistant":
        raise ValueError("a training dialogue must end in an assistant's turn")
    prompt = render(messages[:-1], template, add_generation_prompt=True, enable_thinking=bool(messages[-1].reasoning))
    whole = render(messages, template)
    if not whole.startswith(prompt):
        raise ValueError("the chat template renders a reply differently from the prompt that service would send")
    return prompt, whole[len(prompt) :].removesuffix("\n")


def split_reasoning(reply: str) -> tuple[str | None, str]:
    """The reasoning (None without think marks) and the answer of a generated reply."""
    head, mark, answer = reply.partition(THINK_END)
    if not mark:
        return None, reply.strip()
    return head.replace(THINK, "", 1).strip(), answer.strip()


def message_for_template(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": message.content, "reasoning_content": message.reasoning}


@cache
def compiled(template: str) -> Any:
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # The same environment as transformers gives to templates: sandboxed, trimmed blocks, loop controls.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = template_error
    return environment.from_string(template)


def template_error(message: str) -> None:
    from jinja2.exceptions import TemplateError

    raise TemplateError(message)
