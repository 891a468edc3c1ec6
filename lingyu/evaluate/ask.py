"""Asking a checkpoint: its replies, how likely it finds a text, what a reward model thinks of a reply. In batches, by length."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lingyu.model.chat import Chat, end_of_text, text_start
from lingyu.model.head import hidden_states, scores
from lingyu.model.load import device, load_model, load_tokenizer

LONG = 512  # tokens: what decides which attention is faster


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to be asked. ends: the token ids that end a reply; batch_tokens: so many are computed at once."""

    model: Any
    tokenizer: Any
    context: int
    ends: frozenset[int]
    batch_tokens: int
    precision: str

    @cached_property
    def chat(self) -> Chat:
        return Chat.of(self.tokenizer)

    def encode(self, text: str) -> list[int]:
        """The ids of a prompt, or of another text."""
        return self.chat.encode(text)

    def computing(self) -> Any:
        """The context that a model is called in."""
        import torch

        kind = self.model.device.type
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=kind == "cpu" and self.precision == "bf16")


def load(folder: Path, batch_tokens: int, precision: str) -> Checkpoint:
    """The model of a folder, on an accelerator where there is one."""
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, longest=LONG).to(device()).eval()
    named = model.generation_config.eos_token_id
    ends = frozenset([*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id, tokenizer.pad_token_id]) - {None}
    return Checkpoint(model, tokenizer, model.config.max_position_embeddings, ends, batch_tokens, precision)


def replies(checkpoint: Checkpoint, prompts: Sequence[str], new_tokens: Sequence[int]) -> list[str | None]:
    """The most likely reply to each prompt, of so many new tokens at most; None to a prompt that leaves no room in the context."""
    encoded = [checkpoint.encode(prompt) for prompt in prompts]
    found: list[str | None] = [None] * len(prompts)
    asked = [place for place, ids in enumerate(encoded) if len(ids) < checkpoint.context]
    room = [min(most, checkpoint.context - len(ids)) for most, ids in zip(new_tokens, encoded, strict=True)]
    # Replies of one allowed length together, so that a task of short replies is not held up by one of long ones.
    for batch in batches(
        asked, lambda place: (new_tokens[place], len(encoded[place])), lambda place: len(encoded[place]) + room[place], checkpoint
    ):
        made = greedy(checkpoint, [encoded[place] for place in batch], [room[place] for place in batch])
        for place, ids in zip(batch, made, strict=True):
            found[place] = checkpoint.tokenizer.decode(ids, skip_special_tokens=False)
    return found


def greedy(checkpoint: Checkpoint, prompts: Sequence[list[int]], room: Sequence[int]) -> list[list[int]]:
    """The most likely next token, again and again, until each reply ended or its room is used up.

    Rows that are done leave the batch once they are half of it. `generate` of transformers keeps all of them.
    """
    import torch

    model, device = checkpoint.model, checkpoint.model.device
    ids, mask = padded(checkpoint, prompts, side="left")
    made: list[list[int]] = [[] for _ in prompts]
    live, open_rows, cache = list(range(len(prompts))), set(range(len(prompts))), None
    with torch.inference_mode(), checkpoint.computing():
        while open_rows:
            if cache is not None and 2 * len(open_rows) <= len(live):
                kept = [place for place, row in enumerate(live) if row in open_rows]
                cache.batch_select_indices(torch.tensor(kept, device=device))
                ids, mask, live = ids[kept], mask[kept], [live[place] for place in kept]
            positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            output = model(
                input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
            )
            cache, chosen = output.past_key_values, output.logits[:, -1].argmax(dim=-1)
            for row, token in zip(live, chosen.tolist(), strict=True):
                if row not in open_rows:
                    continue
                if token in checkpoint.ends:
                    open_rows.discard(row)
                    continue
                made[row].append(token)
                if len(made[row]) == room[row]:
                    open_rows.discard(row)
            ids, mask = chosen[:, None], torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
    return made


def nats_of_texts(checkpoint: Checkpoint, texts: Sequence[str], stride: int) -> list[float]:
    """Negative log-likelihood of each text, every token counted once, with at least `stride` tokens before it where the text has them.

    What the model expects before a text, or the mark that ends the one before, is put first, so that the first token counts, too.
    """
    start = text_start(checkpoint.tokenizer) or [end_of_text(checkpoint.tokenizer)]
    sequences, owners = [], []
    for owner, text in enumerate(texts):
        ids = [*start, *checkpoint.encode(checkpoint.chat.literal(text))]
        for begin, end, first in windows(len(ids), checkpoint.context, stride):
            sequences.append((ids[begin:end], max(first, len(start)) - begin))
            owners.append(owner)
    totals = [0.0] * len(texts)
    for owner, likelihood in zip(owners, log_likelihoods(checkpoint, sequences), strict=True):
        totals[owner] -= likelihood
    return totals


def windows(length: int, size: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """(start, end, first scored) of windows over a text; the first token of all is given, not scored."""
    end = min(length, size)
    yield 0, end, 1
    while end < length:
        scored = end
        end = min(length, end + max(size - stride, 1))
        yield max(0, end - size), end, scored


def token_margins(checkpoint: Checkpoint, better: Sequence[tuple[str, str]], worse: Sequence[tuple[str, str]]) -> list[float]:
    """For each pair of (prompt, reply), how much likelier a token of the better reply is than one of the worse, in nats."""
    means = token_means(checkpoint, [side for pair in zip(better, worse, strict=True) for side in pair])
    return [one - other for one, other in zip(means[::2], means[1::2], strict=True)]


def token_means(checkpoint: Checkpoint, replies: Sequence[tuple[str, str]]) -> list[float]:
    """For each (prompt, reply) the mean log-likelihood of a token of the reply, in nats."""
    sequences = []
    for prompt, reply in replies:
        begin, end = checkpoint.chat.encode_parts([[prompt, reply]])[0]
        ids = [*begin, *end][-checkpoint.context :]
        sequences.append((ids, max(1, len(ids) - len(end))))
    return [total / (len(ids) - first) for total, (ids, first) in zip(log_likelihoods(checkpoint, sequences), sequences, strict=True)]


def log_likelihoods(checkpoint: Checkpoint, sequences: Sequence[tuple[list[int], int]]) -> list[float]:
    """For each (ids, first): the log-likelihood of ids[first:] given the ids before them."""
    import torch

    found = [0.0] * len(sequences)
    with torch.inference_mode(), checkpoint.computing():
        for batch in batches(
            range(len(sequences)), lambda place: (len(sequences[place][0]),), lambda place: len(sequences[place][0]), checkpoint
        ):
            ids, mask = padded(checkpoint, [sequences[place][0] for place in batch], side="right")
            hidden, labels = hidden_states(checkpoint.model, input_ids=ids, attention_mask=mask)[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
            nats = torch.empty(len(labels), device=labels.device)
            for piece, logits in scores(checkpoint.model, hidden):
                nats[piece] = torch.nn.functional.cross_entropy(logits.float(), labels[piece], reduction="none")
            nats = nats.view(len(ids), -1)
            for row, place in enumerate(batch):
                tokens, first = sequences[place]
                found[place] = -float(nats[row, first - 1 : len(tokens) - 1].double().sum())
    return found


def padded(checkpoint: Checkpoint, sequences: Sequence[list[int]], side: str) -> tuple[Any, Any]:
    """Token ids padded to the longest, and their mask."""
    encoded = checkpoint.tokenizer.pad({"input_ids": list(sequences)}, padding_side=side, return_tensors="pt").to(checkpoint.model.device)
    return encoded["input_ids"], encoded["attention_mask"]


def batches(
    places: Sequence[int], key: Callable[[int], tuple[int, ...]], size: Callable[[int], int], checkpoint: Checkpoint
) -> Iterator[list[int]]:
    """Places in the order of their key, as many together as batch_tokens allows (rows times the longest), one at least."""
    batch: list[int] = []
    longest = 0
    for place in sorted(places, key=lambda place: (*key(place), place)):
        longest = max(longest, size(place))
        if batch and longest * (len(batch) + 1) > checkpoint.batch_tokens:
            yield batch
            batch, longest = [], size(place)
        batch.append(place)
    if batch:
        yield batch
