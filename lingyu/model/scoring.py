"""What a reward model says of a reply: the same text, marks and truncation wherever a reply is scored."""

from collections.abc import Sequence
from typing import Any

from lingyu.model.chat import render
from lingyu.records import Message


def scored_text(messages: Sequence[Message], reply: str, tokenizer: Any) -> str:
    """The conversation as the reward model reads it, to the end of the reply's turn."""
    prompt = render(messages, tokenizer.chat_template, add_generation_prompt=True)
    return ended(prompt, reply, tokenizer)


def ended(prompt: str, reply: str, tokenizer: Any) -> str:
    """A rendered prompt, the reply and the mark that ends a turn, once."""
    return prompt + reply.removesuffix(tokenizer.eos_token) + str(tokenizer.eos_token)


def scores(model: Any, tokenizer: Any, texts: Sequence[str], batch: int) -> list[float]:
    """One score a text, in order; texts of like length are scored together. Higher is better; the scale is the model's own."""
    import torch

    encoded = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
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
