"""Rows to token ids: packed blocks for pretraining, prompt and reply for fine-tuning."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypedDict

from lingyu.model.chat import prompt_and_reply
from lingyu.records import Dialogue
from lingyu.stage import StageError

NOT_LEARNT = -100  # the label that torch's cross-entropy passes over


class Example(TypedDict):
    input_ids: list[int]
    labels: list[int]


def packed(texts: Iterable[str], tokenizer: Any, block: int) -> list[Example]:
    """The texts one after another, an end-of-text mark behind each, cut into blocks of `block` tokens.

    The last, shorter block is kept: no token of the corpus is left out.
    """
    end = tokenizer.pad_token_id
    ids: list[int] = []
    for encoded in tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []:
        ids += [*encoded, end]
    return [Example(input_ids=ids[i : i + block], labels=ids[i : i + block]) for i in range(0, len(ids), block)]


def dialogues(rows: Sequence[Dialogue], tokenizer: Any, longest: int) -> list[Example]:
    """Prompt and reply of each row; only the reply is learnt. Raises StageError naming the rows over `longest` tokens."""
    pairs = [prompt_and_reply(row.messages, tokenizer.chat_template) for row in rows]
    if not pairs:
        return []
    prompts = tokenizer([prompt for prompt, _ in pairs], add_special_tokens=False)["input_ids"]
    replies = tokenizer([reply for _, reply in pairs], add_special_tokens=False)["input_ids"]
    over = [row.id for row, prompt, reply in zip(rows, prompts, replies, strict=True) if len(prompt) + len(reply) > longest]
    if over:
        raise StageError(
            f"{len(over)} of {len(rows)} rows are longer than {longest} tokens, first {', '.join(over[:5])}. "
            "Raise max_length, or lower mix.max_tokens so that mix refuses them by name."
        )
    return [
        Example(input_ids=prompt + reply, labels=[NOT_LEARNT] * len(prompt) + reply) for prompt, reply in zip(prompts, replies, strict=True)
    ]


class Padding:
    """Collate examples to the longest of the batch."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, examples: list[Example]) -> dict[str, Any]:
        import torch

        width = max(len(example["input_ids"]) for example in examples)

        def padded(key: Literal["input_ids", "labels"], filler: int) -> Any:
            return torch.tensor([example[key] + [filler] * (width - len(example[key])) for example in examples])

        lengths = torch.tensor([len(example["input_ids"]) for example in examples])
        mask = (torch.arange(width)[None, :] < lengths[:, None]).long()
        return {"input_ids": padded("input_ids", self.pad), "labels": padded("labels", NOT_LEARNT), "attention_mask": mask}
