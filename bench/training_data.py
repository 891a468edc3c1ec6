"""What the benchmarks of training train on: invented Chinese with something in it to learn, and an untrained model that reads it."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingyu.base.tiny import Shape

WORDS = 1500
SUCCESSORS = 5
# A conversation that both sides tokenise alike: its reply ends in the mark of the end, with nothing behind.
TEMPLATE = """\
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {{- 'User: ' + message.content + '\\n\\nAssistant:' }}
    {%- else %}
        {{- message.content + '<|im_end|>' }}
    {%- endif %}
{%- endfor %}
"""


class Writer:
    """Texts in which every word is followed by one of a few others: the loss falls from ln(vocabulary) to some 1.5 a token."""

    def __init__(self, seed: int) -> None:
        language = random.Random(7)  # the same language for every seed
        letters = [chr(0x4E00 + number) for number in language.sample(range(6000), 1200)]
        self.words = ["".join(language.choices(letters, k=language.randint(1, 3))) for _ in range(WORDS)]
        self.next = [language.sample(range(WORDS), SUCCESSORS) for _ in range(WORDS)]
        self.draw = random.Random(seed)

    def walk(self, length: int, word: int) -> tuple[str, int]:
        """Some `length` characters from this word on, and the last word."""
        text = ""
        while len(text) < length:
            text += self.words[word] + ("，" if self.draw.random() < 0.1 else "")
            word = self.draw.choice(self.next[word])
        return text, word

    def documents(self, count: int, length: int = 1000) -> list[str]:
        return [self.walk(length, self.draw.randrange(WORDS))[0] + "。" for _ in range(count)]

    def dialogues(self, count: int) -> Iterator[tuple[str, str]]:
        """Question and reply, 10 to 100 characters each, the short ones more often: 40 on average."""
        for _ in range(count):
            asked, word = self.walk(self.length(), self.draw.randrange(WORDS))
            replied, _ = self.walk(self.length(), word)
            yield asked + "？", replied + "。"

    def length(self) -> int:
        return min(100, round(10 + self.draw.expovariate(1 / 35)))


def bench_tokenizer(vocabulary: int, context: int) -> Any:
    """A tokenizer that knows this language's characters, with a template that both sides render alike."""
    from lingyu.base.tiny import build_tokenizer

    unused = {
        "hidden_size": 1,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": 1,
        "intermediate_size": 1,
    }
    tokenizer = build_tokenizer(Writer(17).documents(200), Shape(vocab_size=vocabulary, max_position_embeddings=context, **unused))
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def build_base(folder: Path, shape: Shape, seed: int) -> None:
    """An untrained base that knows this language's characters."""
    from lingyu.base.tiny import build_model
    from lingyu.model.load import save

    tokenizer = bench_tokenizer(shape.vocab_size, shape.max_position_embeddings)
    save(build_model(tokenizer, shape, seed), tokenizer, folder)
