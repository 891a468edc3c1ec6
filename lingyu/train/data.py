"""Rows to token ids: packed blocks for pretraining, prompt and reply for fine-tuning; on disk, whatever the corpus' size."""

import time
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

from lingyu.launch import is_first
from lingyu.model.chat import Chat, end_of_text, text_start
from lingyu.records import Dialogue, Message
from lingyu.stage import StageError

T = TypeVar("T")

NOT_LEARNT = -100  # the label that torch's cross-entropy passes over
BATCH = 1000  # texts that are tokenised at a time
WINDOW = 8192  # examples among which partners for a block are sought


class Example(TypedDict):
    """position_ids: counted anew for each text of a block, which then sees itself alone. weights: of each token in the loss."""

    input_ids: list[int]
    labels: list[int]
    position_ids: NotRequired[list[int]]
    weights: NotRequired[list[float]]


def packed(texts: Iterable[str], tokenizer: Any, block: int, separate: bool = False) -> Iterator[Example]:
    """The texts one after another, each between the marks that the model expects around a text, cut into blocks of `block` tokens.

    texts: as Chat.literal or Chat.render give them. The last, shorter block is kept: no token of the corpus is left out.
    separate: no token sees another text of its block.
    """
    chat, start, end = Chat.of(tokenizer), text_start(tokenizer), end_of_text(tokenizer)
    ids: list[int] = []
    places: list[int] = []
    for some in batches(texts, BATCH):
        for encoded in chat.encode_all(some):
            ids += [*start, *encoded, end]
            places += range(len(start) + len(encoded) + 1)
            whole = len(ids) - len(ids) % block
            for first in range(0, whole, block):
                yield block_of(ids[first : first + block], places[first : first + block], separate)
            if whole:
                ids, places = ids[whole:], places[whole:]
    if ids:
        yield block_of(ids, places, separate)


def block_of(ids: list[int], places: list[int], separate: bool) -> Example:
    """A block of pretraining. places: of each token in its text, which may have begun in the block before."""
    if not separate:
        return Example(input_ids=ids, labels=ids)
    first = next((index for index, place in enumerate(places) if place == 0), len(places))
    positions = [*range(first), *places[first:]]
    labels = [token if place else NOT_LEARNT for token, place in zip(ids, positions, strict=True)]  # nobody knows how the next text begins
    return Example(input_ids=ids, labels=labels, position_ids=positions)


LossOn = Literal["last", "replies", "all"]


def dialogues(
    rows: Iterable[Dialogue], tokenizer: Any, longest: int, loss_on: LossOn = "replies", weights: Mapping[str, float] | None = None
) -> Iterator[Example]:
    """Prompts and replies. loss_on: the last reply of a row, every reply, or every token. weights: of tasks in the loss, else 1.

    Raises StageError at its end, naming the rows over `longest` tokens and those that the chat template cannot write.
    """
    chat = Chat.of(tokenizer)
    count, over, unwritten = 0, list[str](), list[str]()
    for some in batches(rows, BATCH):
        count += len(some)
        found: list[tuple[Dialogue, list[Part]]] = []
        for row in some:
            try:
                found += [(row, parts) for parts in conversations(row.messages, chat, loss_on)]
            except Exception as error:  # a template raises what it likes
                unwritten.append(f"{row.id} ({row.source}, {row.place}): {error}")
        encoded = chat.encode_parts([[part.text for part in parts] for _, parts in found])
        for (row, parts), ids_of_parts in zip(found, encoded, strict=True):
            example = Example(
                input_ids=[*chain.from_iterable(ids_of_parts)],
                labels=[*chain.from_iterable(labels_of(part, ids, chat) for part, ids in zip(parts, ids_of_parts, strict=True))],
            )
            if weights:
                example["weights"] = [weights.get(row.task, 1.0)] * len(example["input_ids"])
            if len(example["input_ids"]) <= longest:
                yield example
            elif row.id not in over[-1:]:
                over.append(row.id)
    faults = []
    if over:
        faults.append(
            f"{len(over)} of {count} rows are longer than {longest} tokens, first {', '.join(over[:5])}. "
            "Raise max_length, or lower mix.max_tokens so that mix refuses them by name."
        )
    if unwritten:
        faults += [f"{len(unwritten)} of {count} rows cannot be written by the model's chat template, first:", *unwritten[:5]]
    if faults:
        raise StageError("\n".join(faults))


class Part(NamedTuple):
    """A piece of a text to learn from. but: spans of it, in characters, that are not learnt."""

    text: str
    learnt: bool
    but: Sequence[tuple[int, int]] = ()


def labels_of(part: Part, ids: list[int], chat: Chat) -> list[int]:
    labels = list(ids) if part.learnt else [NOT_LEARNT] * len(ids)
    for start, stop in part.but:
        first, last = chat.ids_of_span(part.text, ids, start, stop)
        labels[first:last] = [NOT_LEARNT] * (last - first)
    return labels


def conversations(messages: Sequence[Message], chat: Chat, loss_on: LossOn) -> Iterator[list[Part]]:
    """Texts to learn from, each in parts.

    Where a template writes an earlier turn otherwise than the last one (Qwen3 leaves its reasoning out), each reply is in
    a text of its own, behind the prompt that service would send; else one text has them all. A turn that is not to be learnt is only in
    the prompts of those after it. Raises TemplateFault for what the template cannot express.
    """
    if loss_on == "all":
        yield whole(messages, chat)
        return
    ends = [len(messages)]
    if loss_on == "replies":
        ends = [end for end, message in enumerate(messages, 1) if message.role == "assistant" and message.learnt]
        if not messages or messages[-1].role != "assistant":
            ends.append(len(messages))  # for prompt_and_reply to refuse
    parts: list[Part] = []
    written = ""
    for end in ends:
        prompt, reply = chat.prompt_and_reply(messages[:end])
        learnt = messages[end - 1].learnt
        if parts and prompt.startswith(written):
            parts += [Part(prompt.removeprefix(written), False), Part(reply, learnt)]
        else:
            if parts:
                yield parts
            parts = [Part(prompt, False), Part(reply, learnt)]
        written = prompt + reply
    if parts:
        yield parts


def whole(messages: Sequence[Message], chat: Chat) -> list[Part]:
    """The prompt of the last reply, all of which is learnt but for the replies that are not to be, and that reply."""
    prompt, reply = chat.prompt_and_reply(messages)
    *before, last = messages
    chat.check_reasoning(before, prompt)
    but = [place for place, message in enumerate(before) if not message.learnt]
    return [Part(prompt, True, chat.places_of(before, but, bool(last.reasoning)) if but else ()), Part(reply, last.learnt)]


def grouped(examples: Iterable[Example], block: int) -> Iterator[Example]:
    """Short examples together in one of at most `block` tokens, none of which sees another: each goes where it fits most closely."""
    for some in batches(examples, WINDOW):
        groups: list[list[Example]] = []
        rooms: list[tuple[int, int]] = []  # free tokens and number of each group, in order
        for example in sorted(some, key=lambda example: -len(example["input_ids"])):
            length = len(example["input_ids"])
            place = bisect_left(rooms, (length, -1))
            free, number = rooms.pop(place) if place < len(rooms) else (block, len(groups))
            if number == len(groups):
                groups.append([])
            groups[number].append(example)
            insort(rooms, (free - length, number))
        yield from (joined(group) for group in groups)


def joined(group: Sequence[Example]) -> Example:
    """Examples in a row. The first token of each is not learnt: what stands before it does not tell it."""
    example = Example(
        input_ids=[*chain.from_iterable(one["input_ids"] for one in group)],
        labels=[*chain.from_iterable([NOT_LEARNT, *one["labels"][1:]] for one in group)],
        position_ids=[*chain.from_iterable(one.get("position_ids", range(len(one["input_ids"]))) for one in group)],
    )
    if "weights" in group[0]:
        example["weights"] = [*chain.from_iterable(one["weights"] for one in group)]
    return example


def stored(examples: Iterable[Example], path: Path) -> Any:
    """The examples as a table that is mapped into memory, not read: what an earlier run has written whole is taken as it is.

    Of several processes the first writes it.
    """
    import pyarrow as pa
    from datasets import Dataset

    ints, floats = pa.list_(pa.int32()), pa.list_(pa.float32())
    while not is_first() and not path.exists():
        time.sleep(0.1)
    if not path.exists():
        part = path.with_suffix(".part")
        rest = iter(examples)
        some = list(islice(rest, BATCH))
        names = {"input_ids": ints, "labels": ints, "position_ids": ints, "weights": floats}
        fields = {name: kind for name, kind in names.items() if not some or name in some[0]}
        schema = pa.schema({**fields, "length": pa.int32()})
        with pa.OSFile(str(part), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            while some:
                rows = [{**example, "length": len(example["input_ids"])} for example in some]
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema))
                some = list(islice(rest, BATCH))
        part.rename(path)
    return Dataset.from_file(str(path))


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


class Padding:
    """Collate examples to the longest of the batch.

    flat: in one row without padding, each text known by its positions, as FlashAttention's kernels for texts of any lengths take them.
    """

    def __init__(self, pad: int, flat: bool = False) -> None:
        self.pad = pad
        self.flat = flat

    def __call__(self, examples: list[Example]) -> dict[str, Any]:
        import torch

        if self.flat:
            examples = [joined(examples)]
        width = max(len(example["input_ids"]) for example in examples)

        def padded(key: Literal["input_ids", "labels", "weights"], filler: float) -> Any:
            return torch.tensor([example[key] + [filler] * (width - len(example[key])) for example in examples])

        batch = {"input_ids": padded("input_ids", self.pad), "labels": padded("labels", NOT_LEARNT)}
        if "weights" in examples[0]:
            batch["weights"] = padded("weights", 0.0)
        if "position_ids" in examples[0]:
            # Without a mask, attention stays within each run of positions; the padding is such a run.
            batch["position_ids"] = torch.tensor(
                [[*example["position_ids"], *range(width - len(example["position_ids"]))] for example in examples]
            )
        else:
            lengths = torch.tensor([len(example["input_ids"]) for example in examples])
            batch["attention_mask"] = (torch.arange(width)[None, :] < lengths[:, None]).long()
        return batch
