"""The trainings of pretrain, sft and reward as the forecast counts them; and how many rows there are, and how long, from a sample."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from lingyu.model.chat import Chat
from lingyu.model.methods import Full, Ia3, LowRank, Method, Oft
from lingyu.records import Dialogue, Document, Preference, Question
from lingyu.train.forecast import PEFT, TRL, Job, Rows
from lingyu.train.settings import Training

LONGEST, SPREAD = 32, 96  # rows that are encoded: the longest by their characters, and some at even distances

TEXTS: dict[str, tuple[type[Any], Callable[[Any, Chat], str]]] = {
    "pretrain": (Document, lambda row, chat: chat.literal(row.text)),
    "sft": (Dialogue, lambda row, chat: chat.render(row.messages)),
    "preference": (Preference, lambda row, chat: chat.prompt(row.messages) + max(row.chosen, row.rejected, key=len)),
    "prompts": (Question, lambda row, chat: chat.prompt(row.messages)),
}


def sampled_rows(table: str, train: Path, dev: Path, tokenizer: Any, longest: int) -> Rows:
    """The rows of a table of mix. Where it or the tokenizer is not there yet, none, of the `longest` tokens allowed."""
    path, held = (folder / f"{table}.parquet" for folder in (train, dev))
    if tokenizer is None or not path.is_file():
        return Rows(0, longest, 0, 0, exact=False)
    lengths = lengths_of(table, path, tokenizer)
    if not lengths:
        return Rows(0, longest, 0, 0, exact=False)
    most, mean, count = lengths
    return Rows(count, min(longest, most), count * mean, count_of(held), exact=False)


def lengths_of(table: str, path: Path, tokenizer: Any) -> tuple[int, float, int] | None:
    """Tokens of the longest row and of one on average, and the number of rows."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    kind, text_of = TEXTS[table]
    columns = [name for name in ("messages", "text", "chosen", "rejected") if name in kind.model_fields]
    read = pq.read_table(path, columns=columns)
    if not read.num_rows:
        return None
    sizes = [characters(read.column(name).combine_chunks(), pa, pc) for name in columns]
    order = sorted(range(read.num_rows), key=lambda row: -sum(of[row] for of in sizes))
    spread = range(0, read.num_rows, max(1, read.num_rows // SPREAD))
    chat = Chat.of(tokenizer)
    first = order[:LONGEST]
    chosen = [*first, *spread]
    rows = pq.read_table(path).take(chosen).to_pylist(maps_as_pydicts="strict")
    texts = [text_of(kind.model_validate(row), chat) for row in rows]
    counts = [len(ids) for ids in chat.encode_all(texts)]
    even = counts[len(first) :]
    return max(counts), sum(even) / len(even), read.num_rows


def characters(column: Any, pa: Any, pc: Any) -> list[int]:
    """Of a text, or of all messages, in each row."""
    if pa.types.is_string(column.type):
        return [int(size or 0) for size in pc.utf8_length(column).to_pylist()]
    inner = pc.utf8_length(pc.struct_field(column.flatten(), "content")).to_pylist()
    ends = column.offsets.to_pylist()
    return [sum(inner[first - ends[0] : last - ends[0]]) for first, last in pairwise(ends)]


def count_of(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows) if path.is_file() else 0


def blocks(rows: Rows, more: Rows, block: int) -> Rows:
    """Packed for pretraining: texts, and the dialogues that are read beside them."""
    tokens = rows.tokens + rows.count + more.tokens
    return Rows(-int(-tokens // block), block, tokens, max(1, int(rows.held * rows.tokens / max(1, rows.count) // block)), exact=False)


def counted(lengths: Sequence[int], held: int) -> Rows:
    """Of examples that are tokens already."""
    return Rows(len(lengths), max(lengths, default=1), float(sum(lengths)), held)


def tokens_job(label: str, config: Any, params: Training, method: Method, rows: Rows, tokenizer: Any) -> Job:
    """pretrain and sft."""
    libraries = PEFT if isinstance(method, LowRank | Ia3 | Oft) else 0.0
    return Job(label, config, params, method, "tokens", rows, tokenizer, libraries=libraries)


def score_job(config: Any, params: Training, rows: Rows, tokenizer: Any) -> Job:
    """reward: both conversations of a pair."""
    return Job("reward", config, params, Full(), "score", rows, tokenizer, rows_a_row=2, libraries=TRL)
