"""Asking a checkpoint: its replies, how likely it finds a text, what a reward model thinks of a reply. In batches, by length."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lingyu.evaluate import kept as keeping
from lingyu.evaluate.kept import Kept, through
from lingyu.model.chat import Chat, end_of_text, text_start
from lingyu.model.head import hidden_states, scores
from lingyu.model.load import device, load_config, load_model, load_tokenizer

LONG = 512  # tokens: what decides which attention is faster
SHARED = 8  # tokens that several texts must begin with for a pass of their own

Scored = tuple[list[int], int]
"""Token ids, and the place of the first whose likelihood counts."""


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to be asked. read: gives the model, once it is needed: where all answers are kept it is not. ends: the token ids that
    end a reply; batch_tokens: so many are computed at once."""

    read: Callable[[], Any]
    tokenizer: Any
    context: int
    ends: frozenset[int]
    batch_tokens: int
    precision: str
    kept: Kept | None = None

    @cached_property
    def model(self) -> Any:
        return self.read()

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


def load(folder: Path, batch_tokens: int, precision: str, kept: Path | None = None, keep_mb: int = 0) -> Checkpoint:
    """The model of a folder, on an accelerator where there is one. kept: where answers are kept (lingyu/evaluate/kept.py)."""
    tokenizer, config = load_tokenizer(folder), load_config(folder).get_text_config()
    named = generation_config(folder, config).eos_token_id
    ends = frozenset([*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id, tokenizer.pad_token_id]) - {None}
    return Checkpoint(
        lambda: load_model(folder, longest=LONG).to(device()).eval(),
        tokenizer,
        config.max_position_embeddings,
        ends,
        batch_tokens,
        precision,
        keeping.of(folder, kept, keep_mb, batch_tokens=batch_tokens, precision=precision),
    )


def generation_config(folder: Path, config: Any) -> Any:
    """As the model would have it, once it is loaded."""
    from transformers import GenerationConfig

    if (folder / "generation_config.json").exists():
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    return GenerationConfig.from_model_config(config)


def replies(checkpoint: Checkpoint, prompts: Sequence[str], new_tokens: Sequence[int]) -> list[str | None]:
    """The most likely reply to each prompt, of so many new tokens at most; None to a prompt that leaves no room in the context."""
    encoded = [checkpoint.encode(prompt) for prompt in prompts]
    found: list[str | None] = [None] * len(prompts)
    asked = [place for place, ids in enumerate(encoded) if len(ids) < checkpoint.context]
    room = [min(most, checkpoint.context - len(ids)) for most, ids in zip(new_tokens, encoded, strict=True)]

    def made(places: list[int]) -> Iterator[tuple[list[int], list[str]]]:
        missing = [asked[place] for place in places]
        back = dict(zip(missing, places, strict=True))
        # Replies of one allowed length together, so that a task of short replies is not held up by one of long ones.
        for batch in batches(
            missing, lambda place: (new_tokens[place], len(encoded[place])), lambda place: len(encoded[place]) + room[place], checkpoint
        ):
            rows = greedy(checkpoint, [encoded[place] for place in batch], [room[place] for place in batch])
            yield [back[place] for place in batch], [checkpoint.tokenizer.decode(ids, skip_special_tokens=False) for ids in rows]

    for place, reply in zip(asked, through(checkpoint.kept, "reply", [(encoded[one], room[one]) for one in asked], made), strict=True):
        found[place] = reply
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


def log_likelihoods(checkpoint: Checkpoint, sequences: Sequence[Scored]) -> list[float]:
    """For each (ids, first): the log-likelihood of ids[first:] given the ids before them. What several begin with is computed once."""

    def made(places: list[int]) -> Iterator[tuple[list[int], list[float]]]:
        groups = beginning_alike(sequences, places, checkpoint.batch_tokens)
        alone = [group[0] for group in groups if len(group) == 1]
        for batch in batches(alone, lambda place: (len(sequences[place][0]),), lambda place: len(sequences[place][0]), checkpoint):
            yield batch, likelihoods_of(checkpoint, [sequences[place] for place in batch])
        several = [group for group in groups if len(group) > 1]
        longest = [max(len(sequences[place][0]) for place in group) for group in several]
        for chosen in batches(
            range(len(several)), lambda one: (longest[one],), lambda one: longest[one], checkpoint, lambda one: len(several[one])
        ):
            together = [several[one] for one in chosen]
            yield (
                [place for group in together for place in group],
                shared_likelihoods(checkpoint, [[sequences[place] for place in group] for group in together]),
            )

    return through(checkpoint.kept, "likelihood", sequences, made)


def beginning_alike(sequences: Sequence[Scored], places: Sequence[int], most: int) -> list[list[int]]:
    """Places of sequences that are scored from the same place on, after the same ids, as the options of a question; rows times length of a
    group is `most` at most."""
    found: dict[tuple[int, ...], list[int]] = {}
    for place in places:
        ids, first = sequences[place]
        # A beginning of a few tokens is not worth a pass of its own.
        found.setdefault(tuple(ids[:first]) if first > SHARED else (-1, place), []).append(place)
    groups = []
    for group in found.values():
        rows = max(1, most // max(len(sequences[place][0]) for place in group))
        groups += [group[start : start + rows] for start in range(0, len(group), rows)]
    return groups


def likelihoods_of(checkpoint: Checkpoint, sequences: Sequence[Scored]) -> list[float]:
    """The log-likelihoods of one batch."""
    import torch

    with torch.inference_mode(), checkpoint.computing():
        ids, mask = padded(checkpoint, [tokens for tokens, _ in sequences], side="right")
        hidden = hidden_states(checkpoint.model, input_ids=ids, attention_mask=mask)
        spans = [slice(first - 1, len(tokens) - 1) for tokens, first in sequences]
        return summed(checkpoint, hidden, ids[:, 1:], spans)


def shared_likelihoods(checkpoint: Checkpoint, groups: Sequence[Sequence[Scored]]) -> list[float]:
    """Those of sequences that begin alike within a group: the beginning is computed once, its keys and values are what the rest reads."""
    import torch

    body, device = checkpoint.model.base_model, checkpoint.model.device
    rows = torch.tensor([place for place, group in enumerate(groups) for _ in group], device=device)
    with torch.inference_mode(), checkpoint.computing():
        # Without the last token of the beginning, which foretells the first that is scored.
        ids, mask = padded(checkpoint, [group[0][0][: group[0][1] - 1] for group in groups], side="left")
        places = (mask.cumsum(dim=1) - 1).clamp(min=0)
        cache = body(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=True).past_key_values
        cache.batch_select_indices(rows)
        rest = [tokens[first - 1 :] for group in groups for tokens, first in group]
        ids, more = padded(checkpoint, rest, side="right")
        mask = torch.cat([mask[rows], more], dim=1)
        places = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        found = body(input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True)
        return summed(checkpoint, found.last_hidden_state, ids[:, 1:], [slice(0, len(tokens) - 1) for tokens in rest])


def summed(checkpoint: Checkpoint, hidden: Any, labels: Any, spans: Sequence[slice]) -> list[float]:
    """The log-likelihood of the labels in the span of each row. Only there is the head asked: it is half of a small model."""
    import torch

    states = torch.cat([hidden[row, span] for row, span in enumerate(spans)])
    wanted = torch.cat([labels[row, span] for row, span in enumerate(spans)])
    nats = torch.empty(len(wanted), device=wanted.device)
    for piece, logits in scores(checkpoint.model, states):
        nats[piece] = torch.nn.functional.cross_entropy(logits.float(), wanted[piece], reduction="none")
    return [-float(part.double().sum()) for part in nats.split([span.stop - span.start for span in spans])]


def padded(checkpoint: Checkpoint, sequences: Sequence[list[int]], side: str) -> tuple[Any, Any]:
    """Token ids padded to the longest, and their mask."""
    encoded = checkpoint.tokenizer.pad({"input_ids": list(sequences)}, padding_side=side, return_tensors="pt").to(checkpoint.model.device)
    return encoded["input_ids"], encoded["attention_mask"]


def batches(
    places: Sequence[int],
    key: Callable[[int], tuple[int, ...]],
    size: Callable[[int], int],
    checkpoint: Checkpoint,
    rows: Callable[[int], int] = lambda _: 1,
) -> Iterator[list[int]]:
    """Places in the order of their key, as many together as batch_tokens allows (rows times the longest), one at least."""
    batch: list[int] = []
    longest = held = 0
    for place in sorted(places, key=lambda place: (*key(place), place)):
        longest = max(longest, size(place))
        if batch and longest * (held + rows(place)) > checkpoint.batch_tokens:
            yield batch
            batch, longest, held = [], size(place), 0
        batch.append(place)
        held += rows(place)
    if batch:
        yield batch
