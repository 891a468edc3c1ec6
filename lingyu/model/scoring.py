"""What a reward model says of a reply: the same text, marks and truncation wherever a reply is scored."""

from collections.abc import Sequence
from typing import Any

from lingyu.model.chat import Chat
from lingyu.records import Message


def scored_text(messages: Sequence[Message], reply: str, chat: Chat) -> str:
    """The conversation as the reward model reads it, to the end of the reply's turn."""
    return chat.ended(chat.prompt(messages), reply)


def scores(model: Any, tokenizer: Any, texts: Sequence[str], batch: int) -> list[float]:
    """One score a text, in order; texts of like length are scored together. Higher is better; the scale is the model's own."""
    import torch

    encoded = Chat.of(tokenizer).encode_all(texts)
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    result = [0.0] * len(encoded)
    model.eval()
    for first in range(0, len(order), batch):
        some = order[first : first + batch]
        inputs = tokenizer.pad({"input_ids": [encoded[i] for i in some]}, padding_side="right", return_tensors="pt").to(model.device)
        with torch.inference_mode():
            logits = model(**inputs).logits[:, 0]
        for i, value in zip(some, logits.float().tolist(), strict=True):
            result[i] = value
    return result
