"""The chat template: a conversation as text and as token ids, the same in training, evaluation and service.

The template is rendered by transformers, so that the ids are those of `tokenizer.apply_chat_template`. One thing differs: a
control token in what somebody wrote (`<|im_end|>` in a question, a passage, a reply) stays text. In rendered text it
carries the mark ESCAPE behind its first character; `Chat.encode` encodes it as the characters it is made of.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from lingyu.files import read_json
from lingyu.records import Message

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
# A Unicode noncharacter: no text that anybody exchanges has it, and it is removed where one does.
ESCAPE = "\ufdd0"
PLACE = "\ufdd2"  # stands for a text whose place in rendered text is asked for
ANCHOR = "\ufdd1"  # a special token in front of a piece, so that no tokenizer takes it for the beginning of a text
# Marks of Llama 2 that are no tokens of their own: nothing but other characters tells a written one from the template's.
WRITTEN_MARKS = ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")
ZERO_WIDTH_SPACE = "\u200b"
SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class ToolTurn(Message):
    """A turn of a conversation with tools: calls of the assistant, their arguments as objects, or what a tool gave back."""

    role: Literal["system", "user", "assistant", "tool"]  # type: ignore[assignment]
    tool_calls: list[dict[str, Any]] = Field([])


class TemplateFault(ValueError):
    """What a chat template cannot express, or does so that training and service would differ."""


class Chat:
    """A chat template with its tokenizer.

    tokenizer: of the tokenizers library. names: the special tokens that templates refer to, such as bos_token.
    """

    def __init__(self, tokenizer: Any, template: str, names: dict[str, str]) -> None:
        self.tokenizer, self.template, self.names = tokenizer, template, names
        added = tokenizer.get_added_tokens_decoder()
        self._special = {token.content: number for number, token in added.items() if token.special}
        marks = {token.content for token in added.values() if not token.special and token.content in template}
        self._marks = {mark for mark in marks if len(mark) > 1}
        self._written = [mark for mark in WRITTEN_MARKS if mark in template and mark not in self._special]
        self._whole_shapes: set[tuple[tuple[str, bool], ...]] = set()

    @classmethod
    def of(cls, tokenizer: Any) -> Self:
        """That of a tokenizer of transformers."""
        return cls(
            tokenizer.backend_tokenizer,
            tokenizer.chat_template,
            {key: str(tokenizer.special_tokens_map[key]) for key in SPECIAL_NAMES if key in tokenizer.special_tokens_map},
        )

    @classmethod
    def read(cls, folder: Path) -> Self:
        """That of a model's folder."""
        from tokenizers import Tokenizer

        config = folder / "tokenizer_config.json"
        return cls(
            Tokenizer.from_file(str(folder / "tokenizer.json")),
            load_template(folder),
            special_names(read_json(config) if config.is_file() else {}),
        )

    # Text

    def render(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False, enable_thinking: bool = False, tools: Sequence[Any] = ()
    ) -> str:
        """The text of a conversation; what the template raises where it cannot write it."""
        from transformers.utils.chat_template_utils import render_jinja_template

        turns = [self._turn(message) for message in messages]
        more = {"tools": [self._escaped_in(tool) for tool in tools]} if tools else {}
        texts, _ = render_jinja_template(
            [turns],
            chat_template=self.template,
            add_generation_prompt=add_generation_prompt,
            enable_thinking=enable_thinking,
            **more,
            **self.names,
        )
        return str(texts[0])

    def prompt(self, messages: Sequence[Message], thinks: bool = False, tools: Sequence[Any] = ()) -> str:
        """The text that a reply follows. tools: as OpenAI's protocol has them."""
        return self.render(messages, add_generation_prompt=True, enable_thinking=thinks, tools=tools)

    def prompt_and_reply(self, messages: Sequence[Message], whole: str | None = None) -> tuple[str, str]:
        """The text up to the last assistant's turn, as the service would send it, and the reply to learn, up to its end mark.

        whole: the text of the conversation, where it is known.

        Raises TemplateFault where the last turn is not the assistant's, or where the template does not write a
        conversation as its prompt followed by the reply.
        """
        if not messages or messages[-1].role != "assistant":
            raise TemplateFault("a training dialogue must end in an assistant's turn")
        last = messages[-1]
        prompt = self.prompt(messages[:-1], bool(last.reasoning))
        whole = self.render(messages) if whole is None else whole
        opened = prompt.rstrip().removesuffix(THINK)
        if whole.startswith(prompt):
            reply = whole[len(prompt) :]
        elif opened != prompt.rstrip() and whole.startswith(opened):  # as R1's: only the prompt opens the reasoning
            reply = f"{self._escaped(last.reasoning or '', 'assistant')}\n{THINK_END}\n\n{whole[len(opened) :]}"
        else:
            raise TemplateFault("the chat template writes a reply differently from the prompt that the service would send")
        if last.reasoning and self._escaped(last.reasoning, "assistant").strip() not in reply:
            raise TemplateFault(
                "the chat template leaves out the reasoning of a reply (base.model.reasoning: inline puts it into the text)"
            )
        return prompt, self._to_its_end(reply)

    def places_of(self, messages: Sequence[Message], replies: Iterable[int], thinks: bool = False) -> list[tuple[int, int]]:
        """Where the replies at these places of a conversation stand in its prompt, with their reasoning and their end marks.

        Raises TemplateFault where the template writes a reply so that other messages are written otherwise, too.
        """
        prompt, found = self.prompt(messages, thinks), []
        for place in replies:
            known = {"content": PLACE, "reasoning": messages[place].reasoning and PLACE}
            marked = self.prompt([*messages[:place], messages[place].model_copy(update=known), *messages[place + 1 :]], thinks)
            before, after = marked.partition(PLACE)[0], marked.rpartition(PLACE)[2]
            if before == marked or len(before) + len(after) > len(prompt) or not (prompt.startswith(before) and prompt.endswith(after)):
                raise TemplateFault("the chat template rewrites a reply that is not to be learnt, so that it cannot be left out")
            mark = next((mark for mark in (self.end, self.end_token) if after.startswith(mark)), "")
            found.append((len(before), len(prompt) - len(after) + len(mark)))
        return found

    def check_reasoning(self, messages: Sequence[Message], prompt: str) -> None:
        """Raises TemplateFault where a prompt lacks the reasoning of an earlier reply."""
        thoughts = [self._escaped(one.reasoning or "", one.role).strip() for one in messages if one.learnt]
        if any(thought not in prompt for thought in thoughts):
            raise TemplateFault(
                "the chat template leaves out the reasoning of earlier replies, which loss_on: all would not teach; use loss_on: replies"
            )

    def whole(self, messages: Sequence[Message]) -> str:
        """The text of a conversation with nothing lost: of what the template renders and of prompt and reply, the longer.

        Some templates leave the last reply's reasoning out of a conversation (R1), or the mark that ends it (GLM-4). Others lose
        nothing: for those one conversation of each shape shows it.
        """
        rendered = self.render(messages)
        if messages[-1].role != "assistant":
            return rendered
        shape = tuple((message.role, bool(message.reasoning)) for message in messages)
        if shape in self._whole_shapes and not any(THINK_END in message.content for message in messages):
            return rendered
        learnt = "".join(self.prompt_and_reply(messages, rendered))
        if rendered.startswith(learnt):
            self._whole_shapes.add(shape)
        return max(rendered, learnt, key=len)

    def ended(self, prompt: str, reply: str) -> str:
        """A prompt, what a model replied to it, and the mark that ends a turn, once."""
        return prompt + reply.removesuffix(self.end) + self.end

    @cached_property
    def end(self) -> str:
        """The special token that ends a reply, with what the template puts before it.

        Where a template has none (GLM-4), it is the token that begins the next turn. Raises TemplateFault where there is none either.
        """
        tail = self.render([QUESTION, ANSWER]).rpartition(ANSWER.content)[2]
        found = self._first_special(tail)
        if found is None:
            tail = self.render([QUESTION, ANSWER, QUESTION]).rpartition(ANSWER.content)[2]
            found = self._first_special(tail)
        if found is None:
            raise TemplateFault("the chat template marks no end of a reply, so that a model could not learn to end one")
        return found

    @property
    def end_token(self) -> str:
        """The special token of `end` alone."""
        tokens: list[str] = [token for token in self._special if self.end.endswith(token)]
        return max(tokens, key=len)

    def _to_its_end(self, reply: str) -> str:
        body, mark, _ = reply.rpartition(self.end_token)
        return body + mark if mark else reply.rstrip() + self.end

    def _first_special(self, text: str) -> str | None:
        ends = [(at, at + len(token)) for token in self._special if (at := text.find(token)) >= 0]
        return text[: max(ends, key=lambda place: (-place[0], place[1]))[1]] if ends else None

    def _turn(self, message: Message) -> dict[str, Any]:
        turn = {"role": message.role, "content": self._escaped(message.content, message.role)}
        if message.reasoning is not None:
            turn["reasoning_content"] = self._escaped(message.reasoning, message.role)
        if isinstance(message, ToolTurn) and message.tool_calls:
            turn["tool_calls"] = self._escaped_in(message.tool_calls)
        return turn

    def _escaped_in(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._escaped_in(key): self._escaped_in(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._escaped_in(one) for one in value]
        return self._escaped(value, "user") if isinstance(value, str) else value

    def _escaped(self, text: str, role: str) -> str:
        """With every control token in it marked. Think marks in a reply are left to the template, which may part them from the answer."""
        text = text.replace(ESCAPE, "")
        for mark in self._written:
            text = text.replace(mark, mark[0] + ZERO_WIDTH_SPACE + mark[1:])
        if not any(token in text for token in self._controls):
            return text
        kept = {THINK, THINK_END} if role == "assistant" else set()
        return self._pattern.sub(lambda found: found[0] if found[0] in kept else found[0][0] + ESCAPE + found[0][1:], text)

    @cached_property
    def _controls(self) -> list[str]:
        """The longest first: one may begin with another."""
        return sorted(({token for token in self._special if len(token) > 1} | self._marks), key=lambda token: (-len(token), token))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self._controls)))

    @cached_property
    def _escaped_pattern(self) -> re.Pattern[str]:
        return re.compile("(" + "|".join(re.escape(token[0] + ESCAPE + token[1:]) for token in self._controls) + ")")

    def literal(self, text: str) -> str:
        """Text that is nobody's turn, such as a document, with the control tokens in it marked as text."""
        return self._escaped(text, "user")

    # Token ids

    def encode(self, text: str) -> list[int]:
        """The ids of rendered text, or of any other."""
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [self._pieces(text) if ESCAPE in text else list(one.ids) for text, one in zip(texts, encoded, strict=True)]

    def ids_of_span(self, text: str, ids: Sequence[int], start: int, stop: int) -> tuple[int, int]:
        """First and last (exclusive) of the ids of a text that hold characters from start to stop."""
        before, after = self.encode(text[:start]), self._continued(text[stop:])
        first = next((at for at, (one, other) in enumerate(zip(before, ids, strict=False)) if one != other), min(len(before), len(ids)))
        rest = zip(reversed(after), reversed(ids), strict=False)
        last = next((at for at, (one, other) in enumerate(rest) if one != other), min(len(after), len(ids)))
        return first, max(first, len(ids) - last)

    def encode_parts(self, rows: Sequence[Sequence[str]]) -> list[list[list[int]]]:
        """For each row, consecutive parts of one text, the ids of each part.

        Together they are the ids of the whole text, unless the tokenizer merges across the end of a part: then each is encoded by
        itself, for the first is a prompt, whose ids must be those that the service sends.
        """
        begun = [list(accumulate(parts)) for parts in rows]
        encoded = iter(self.encode_all([text for texts in begun for text in texts]))
        result = []
        for parts, texts in zip(rows, begun, strict=True):
            ids = [next(encoded) for _ in texts]
            whole = ids[-1] if ids else []
            if all(whole[: len(some)] == some for some in ids):
                result.append([whole[len(before) : len(some)] for before, some in zip([[], *ids], ids, strict=False)])
            else:
                result.append([self.encode(parts[0]), *map(self._continued, parts[1:])])
        return result

    def _pieces(self, text: str) -> list[int]:
        ids: list[int] = []
        for place, piece in enumerate(self._escaped_pattern.split(text)):
            if place % 2:
                ids += self._literal(piece.replace(ESCAPE, ""))
            elif piece:
                ids += self._continued(piece) if place else self.encode(piece)
        return ids

    def _continued(self, piece: str) -> list[int]:
        """The ids of a piece that is not the beginning of its text."""
        if not piece:
            return []
        if ESCAPE in piece:
            return self._pieces(piece)
        anchor = next(iter(self._special), "")
        ids = list(self.tokenizer.encode(anchor + piece, add_special_tokens=False).ids)
        return ids[1:] if anchor else ids

    def _literal(self, token: str) -> list[int]:
        """The ids of a control token's characters."""
        ids = list(self._plain.encode(ANCHOR + token, add_special_tokens=False).ids)[1:]
        if set(ids) & self._forbidden:  # a vocabulary may hold it as a word, too
            ids = [
                number for character in token for number in list(self._plain.encode(ANCHOR + character, add_special_tokens=False).ids)[1:]
            ]
        return ids

    @cached_property
    def _forbidden(self) -> set[int]:
        return {self.tokenizer.token_to_id(token) for token in self._controls}

    @cached_property
    def _plain(self) -> Any:
        """The tokenizer without control tokens."""
        import json

        from tokenizers import AddedToken, Tokenizer

        written = json.loads(self.tokenizer.to_str())
        written["added_tokens"] = [token for token in written["added_tokens"] if token["content"] not in set(self._controls)]
        written["post_processor"] = None  # which may name tokens that are gone
        plain = Tokenizer.from_str(json.dumps(written))
        plain.add_special_tokens([AddedToken(ANCHOR, normalized=False)])
        return plain


QUESTION, ANSWER = Message(role="user", content="q7w"), Message(role="assistant", content="a7w")


def load_template(model: Path) -> str:
    """The chat template that the model folder carries."""
    return (model / "chat_template.jinja").read_text(encoding="utf-8")


def special_names(config: dict[str, Any]) -> dict[str, str]:
    """The special tokens by name, from tokenizer_config.json."""
    found = {key: config.get(key) for key in SPECIAL_NAMES}
    return {key: str(value["content"] if isinstance(value, dict) else value) for key, value in found.items() if value}


def text_start(tokenizer: Any) -> list[int]:
    """What a model expects before a text: the ids that its tokenizer puts there, such as BOS; empty for Qwen's."""
    bare, whole = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    return list(whole[: next(place for place in range(len(whole) + 1) if whole[place : place + len(bare)] == bare)])


# By name: Qwen, GPT-2 and the tiny base; Llama 3; Gemma; Llama 2 and Mistral; DeepSeek.
ENDS_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "<eos>", "</s>", "<｜end▁of▁sentence｜>")


def end_of_text(tokenizer: Any) -> int:
    """The mark behind a document; not always the one that ends a reply."""
    special = {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return int(next((special[name] for name in ENDS_OF_TEXT if name in special), tokenizer.eos_token_id))


def unescaped(text: str) -> str:
    """Rendered text as a person reads it."""
    return text.replace(ESCAPE, "")


def split_reasoning(reply: str) -> tuple[str | None, str]:
    """The reasoning (None without think marks) and the answer of a generated reply."""
    head, mark, answer = reply.partition(THINK_END)
    if not mark:
        return None, reply.strip()
    return head.replace(THINK, "", 1).strip(), answer.strip()
