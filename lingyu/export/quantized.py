"""What fewer bits a weight do to the answers: dev questions are asked twice, of the model and of the same with rounded weights."""

import threading
from itertools import islice
from pathlib import Path
from typing import Any

from lingyu.errors import StageError
from lingyu.export.gguf import Quantize, encoded, type_of
from lingyu.files import read_json, read_table
from lingyu.records import Question

ASKED = 200  # the first dev questions


def check(model: Path, questions: Path, quantize: Quantize, tokens: int, most: float, limit: int = ASKED) -> dict[str, Any]:
    """How many answers change. Raises StageError if more than a share `most` do."""
    if quantize == "none":
        return {}
    from lingyu.serve.engine import load

    asked = list(islice(read_table(questions, Question), limit))
    if not asked:
        raise StageError(f"package.quantize is {quantize}, but {questions} has no question to judge it by. Set package.quantize: none.")
    loaded = load(model)
    before = answers(loaded, model, asked, tokens)
    round_weights(loaded, read_json(model / "config.json"), quantize)
    after = answers(loaded, model, asked, tokens)
    changed = [question for question, one, other in zip(asked, before, after, strict=True) if one != other]
    if len(changed) > most * len(asked):
        raise StageError(
            f"{quantize} changes the answer to {len(changed)} of {len(asked)} dev questions, more than package.most_changed ({most}), "
            f"first to {changed[0].messages[-1].content[:80]!r}. Take more bits (package.quantize: q8_0 or none), or raise that limit."
        )
    return {"questions": len(asked), "changed": len(changed)}


def answers(loaded: Any, folder: Path, questions: list[Question], tokens: int) -> list[list[int]]:
    """Greedy, as the service gives them."""
    from lingyu.model.chat import Chat
    from lingyu.serve.choosing import Sampling, Token
    from lingyu.serve.engine import generate

    chat, replies = Chat.read(folder), list[list[int]]()
    for question in questions:
        got = list[Token]()
        prompt = chat.encode(chat.prompt(question.messages))
        most = min(tokens, int(loaded.config.max_position_embeddings) - len(prompt))
        if most > 0:
            generate(loaded, prompt, Sampling(most, 0.0, 1.0, None), got.append, threading.Event())
        replies.append([token.id for token in got])
    return replies


def round_weights(loaded: Any, config: dict[str, Any], quantize: Quantize) -> None:
    import torch
    from gguf.quants import dequantize

    with torch.no_grad():
        for weight in loaded.parameters():
            value = weight.numpy()
            kind = type_of(value, config, quantize)
            weight.copy_(torch.from_numpy(dequantize(encoded(value, kind), kind).copy()))
