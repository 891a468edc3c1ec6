"""mix: put the training, dev and test tables together, weigh their sources, and let nothing of the test into training.

Reads   out/base/model          tokenizer and chat template, to count tokens by
        out/split/train         documents to pretrain on, of the domain and general
        out/split/dev           documents to choose checkpoints by
        out/split/test          documents to test with
        out/review/approved     the made tables
Writes  out/mix/train           pretrain, sft, preference, prompts (.parquet)
        out/mix/dev             pretrain, sft, preference (.parquet)
        out/mix/test            questions, domain, general, preference (.parquet)
        out/mix/leaks.jsonl     the training rows that gave a test item away, with that item
        out/mix/dropped.jsonl   every row left out, with the reason
        out/mix/ledger.json     rows by table and source
        out/mix/metrics.json    rows and tokens by table, source, method and task

The gate: a training row that asks what a test item asks is left out. A fact or text kept for the test that training
nevertheless refers to is a fault of the stages before, and stops the DAG.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from jinja2.exceptions import TemplateError
from pydantic import Field, PositiveInt

from lingyu.files import read_table, write_json, write_jsonl, write_table
from lingyu.generate.stable_choice import number
from lingyu.generate.tables import MADE
from lingyu.ledger import Ledger
from lingyu.mix.balance import Entry, copies, pieces, turns
from lingyu.mix.leaks import leaking
from lingyu.mix.shares import Portions, amounts, stop_at_portions
from lingyu.model.chat import Chat
from lingyu.records import Dialogue, Document, Made, Message, Preference, Question, Row, headed
from lingyu.split.leak import Bounds
from lingyu.stage import StageError, start


class Params(Portions):
    max_tokens: PositiveInt = Field(
        description="Tokens of a row, by the base's tokenizer. A longer document is split, a longer pair is left out and counted; nothing "
        "is truncated. At most max_length of sft, reward and align."
    )
    max_prompt_tokens: PositiveInt = Field(
        description="Tokens of a prompt for methods that sample: leaves room for max_completion_length within their max_length."
    )
    long_dialogues: Literal["refuse", "split"] = Field(
        "refuse",
        description="A longer dialogue is left out and counted, or split at its turns; later parts then lack what was said before. One "
        "with a single exchange that is too long is left out either way.",
    )
    leaks: Bounds = Field(Bounds(), description="When a training row gives a test item away; as in split.")


def run(params: Params, base: Path, train: Path, dev: Path, test: Path, approved: Path, out: Path) -> None:
    made = {name: list(read_table(approved / f"{name}.parquet", row_type)) for name, row_type in MADE.items()}
    texts = {
        part: list(read_table(folder / "documents.parquet", Document))
        for part, folder in {"train": train, "dev": dev, "test": test}.items()
    }
    rows: dict[str, list[Row]] = {
        "train/pretrain": [*texts["train"], *made["statements"]],
        "train/sft": made["instructions"],
        "train/preference": made["preferences"],
        "train/prompts": made["prompts"],
        "dev/pretrain": [*texts["dev"], *made["dev_statements"]],
        "dev/sft": made["dev_instructions"],
        "dev/preference": made["dev_preferences"],
        "test/questions": made["questions"],
        "test/domain": [*(row for row in texts["test"] if row.scope == "domain"), *made["test_statements"]],
        "test/general": [row for row in texts["test"] if row.scope == "general"],
        "test/preference": made["test_preferences"],
    }
    statements = {row.id for name in made if name.endswith("statements") for row in made[name]}
    log, tokens, metrics = Log(), Tokens(base), {}
    for table, found in rows.items():
        for row in found:
            log.ledger.came(table, row.source)
    stop_at_portions(rows, params)
    stop_at_references(rows)
    # The gate tests against what evaluation will ask: a test item that no model can take in gives nothing away.
    fitted = {table: list(fitting(table, rows[table], tokens, params, log)) for table in rows if table.startswith("test/")}
    asked = {row.id for table in ("test/questions", "test/preference") for row, _ in fitted[table]}
    tested = {table: [row for row in rows[table] if row.id in asked] for table in ("test/questions", "test/preference")}
    leaked = list(leaking(rows | tested, params.leaks))
    given_away = {(leak["table"], leak["id"]) for leak in leaked}

    for table, found in rows.items():
        if table not in fitted:
            log.drop(table, (row for row in found if (table, row.id) in given_away), "gives a test item away")
            safe = [row for row in found if (table, row.id) not in given_away]
            fitted[table] = list(fitting(table, safe, tokens, params, log))
        entries = [Entry(row, kind_of(row, statements), count) for row, count in fitted[table]]
        mixed = [copy for entry, times, why in amounts(table, entries, params) for copy in log.times(table, entry, times, why)]
        if table.startswith("train/"):
            mixed.sort(key=lambda entry: (number(params.seed, "order", entry.row.id), entry.row.id))
        write_table(out / f"{table}.parquet", (entry.row for entry in mixed), ROW_TYPES[table.split("/")[1]])
        metrics[table] = counts(mixed)

    if not metrics["train/pretrain"]["rows"] and not metrics["train/sft"]["rows"]:
        raise StageError(
            f"no row is left to train on; left out by reason: {log.reasons()}. Add documents or facts, "
            "or loosen the bounds in params.yaml, section mix."
        )
    if long := {table: count for table in rows if (count := log.too_long().get(table))}:
        told = ", ".join(f"{table} {count}/{len(rows[table])}" for table, count in long.items())
        print(TOO_LONG.format(told=told, most=params.max_tokens, prompt=params.max_prompt_tokens), flush=True)
    if bare := [name for name, share in params.general_share if share and "general" not in metrics[f"train/{name}"]["by_scope"]]:
        print(NO_REPLAY.format(tables=", ".join(bare)), flush=True)
    write_jsonl(out / "leaks.jsonl", leaked)
    write_jsonl(out / "dropped.jsonl", log.dropped)
    log.ledger.write(out / "ledger.json")
    write_json(out / "metrics.json", metrics)


NO_REPLAY = (
    "nothing general is replayed against forgetting in {tables}: the corpus has no such rows of scope general (mix.general_share).\n"
    "{tables} 中没有重放通用文本以防遗忘：语料里没有这类 scope 为 general 的行（mix.general_share）。"
)
TOO_LONG = (
    "rows too long for the model are left out: {told}. Raise mix.max_tokens ({most}), or max_prompt_tokens ({prompt}) for prompts, with "
    "max_length in sft, reward and align, and base.shape.max_position_embeddings of the tiny base; out/mix/dropped.jsonl has the rows.\n"
    "过长而未用的行：{told}。可提高 mix.max_tokens（{most}）和 max_prompt_tokens（{prompt}），"
    "同时提高 sft、reward、align 的 max_length 与微型基座的 base.shape.max_position_embeddings。"
)
ROW_TYPES: dict[str, type[Row]] = {
    "pretrain": Document,
    "domain": Document,
    "general": Document,
    "sft": Dialogue,
    "preference": Preference,
    "prompts": Question,
    "questions": Question,
}


class Log:
    """The ledger, and the rows that it counts as dropped."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.dropped: list[dict[str, Any]] = []

    def drop(self, table: str, rows: Iterable[Row], reason: str) -> None:
        for row in rows:
            self.ledger.dropped(table, row.source, reason)
            self.dropped.append({"table": table, "reason": reason, **row.model_dump()})

    def times(self, table: str, entry: Entry, times: int, why: str) -> list[Entry]:
        """The entry as often as it goes in; why: the reason where it does not."""
        if times == 0:
            self.drop(table, [entry.row], why)
        elif times > 1:
            self.ledger.made(table, entry.row.source, "repeat", times - 1)
        self.ledger.left(table, entry.row.source, times)
        return list(copies(entry, times))

    def too_long(self) -> dict[str, int]:
        """By table, in their order."""
        return dict(Counter(row["table"] for row in self.dropped if row["reason"] == "too long"))

    def reasons(self) -> dict[str, int]:
        return dict(sorted(Counter(row["reason"] for row in self.dropped).items()))


class Tokens:
    """Counts tokens as the base model does."""

    def __init__(self, base: Path) -> None:
        self._chat = Chat.read(base)

    def of_texts(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self._chat.encode_all([self._chat.literal(text) for text in texts])]

    def of_rows(self, rows: Sequence[Row]) -> list[int | None]:
        """For each row its tokens as a model meets it; of a preference, the longer side; None where the chat template cannot write it."""
        sides = [self._sides_or_none(row) for row in rows]
        lengths = map(len, self._chat.encode_all([text for texts in sides for text in texts or []]))
        return [max(next(lengths) for _ in texts) if texts else None for texts in sides]

    def _sides_or_none(self, row: Row) -> list[str] | None:
        try:
            return self._sides(row)
        except (ValueError, TemplateError):
            return None

    def _sides(self, row: Row) -> list[str]:
        match row:
            case Document():
                return [self._chat.literal(row.text)]
            case Dialogue():
                return [self._whole(row.messages)]
            case Preference():
                replies = (Message(role="assistant", content=reply) for reply in (row.chosen, row.rejected))
                return [self._whole([*row.messages, reply]) for reply in replies]
            case Question():
                return [self._chat.prompt(row.messages)]
        raise TypeError(f"{type(row).__name__} goes into no table")

    def _whole(self, messages: Sequence[Message]) -> str:
        """The longer of what the template writes and what is learnt: some templates leave out the reasoning, or the end mark."""
        whole = self._chat.render(messages)
        return max(whole, "".join(self._chat.prompt_and_reply(messages)), key=len) if messages[-1].role == "assistant" else whole


def stop_at_references(rows: dict[str, list[Row]]) -> None:
    """Raise where training asks what rests on a record that only the test may ask. Text to pretrain on may state it."""
    kept = {row.references[0] for row in rows["test/questions"] if isinstance(row, Question) and row.known != "taught"}
    trained = (row for table in ("train/sft", "train/preference", "train/prompts") for row in rows[table] if isinstance(row, Made))
    faults = [f"  {row.id} ({row.source}, {row.place}, method {row.method})" for row in trained if kept & {row.id, *row.references}]
    if faults:
        head = f"{len(faults)} training rows rest on records that are kept for the test; out/split or out/generate is at fault:"
        raise StageError("\n".join([head, *faults[:20]]))


def fitting(table: str, rows: Sequence[Row], tokens: Tokens, params: Params, log: Log) -> Iterator[tuple[Row, int]]:
    """The rows that a model can take in, with their tokens: longer documents in parts, other rows left out, nothing cut.

    A test text stays whole, for it is measured piece by piece anyway.
    """
    rows = [named(row) if isinstance(row, Document) and row.scope == "domain" else row for row in rows]
    most = params.max_prompt_tokens if ROW_TYPES[table.split("/")[1]] is Question else params.max_tokens
    for row, count in zip(rows, tokens.of_rows(rows), strict=True):
        if count is None:
            log.drop(table, [row], "not in the chat template")
        elif count <= most or table in {"test/domain", "test/general"}:
            yield row, count
        elif isinstance(row, Document):
            parts = pieces(row.text, lambda text: tokens.of_texts([text])[0] <= most)
            log.ledger.made(table, row.source, "split", len(parts) - 1)
            for index, (part, length) in enumerate(zip(parts, tokens.of_texts(parts), strict=True), start=1):
                yield row.model_copy(update={"id": f"{row.id}/{index}", "place": f"{row.place}, part {index}", "text": part}), length
        elif isinstance(row, Dialogue) and params.long_dialogues == "split" and (parts_of := dialogue_parts(row, tokens, most)):
            log.ledger.made(table, row.source, "split", len(parts_of) - 1)
            yield from parts_of
        else:
            log.drop(table, [row], "too long")


def dialogue_parts(row: Dialogue, tokens: Tokens, most: int) -> list[tuple[Row, int]]:
    """The dialogue split at its turns, each part with its tokens; nothing where one exchange alone is too long."""

    def part(messages: list[Message], index: int = 0) -> Dialogue:
        return row.model_copy(update={"id": f"{row.id}/{index}", "place": f"{row.place}, part {index}", "messages": messages})

    def fits(messages: list[Message]) -> bool:
        count = tokens.of_rows([part(messages)])[0]
        return count is not None and count <= most

    parts = [part(messages, index) for index, messages in enumerate(turns(row.messages, fits), 1)]
    return [(one, count) for one, count in zip(parts, tokens.of_rows(parts), strict=True) if count is not None]


def named(row: Document) -> Document:
    """A text of the domain under its headings; general text is to stay as it is."""
    return row.model_copy(update={"text": headed(row.title, row.section, row.text)})


def kind_of(row: Row, statements: set[str]) -> str:
    """What the weights call it; a part of a document is what the whole was."""
    if isinstance(row, Made):
        return row.method
    return "statement" if row.id.partition("/")[0] in statements else "document"


def counts(entries: Sequence[Entry]) -> dict[str, Any]:
    """Rows and tokens, in all and by what tells them apart."""
    views: dict[str, Callable[[Entry], str]] = {
        "by_method": lambda entry: entry.kind,
        "by_task": lambda entry: entry.row.task if isinstance(entry.row, Made) else "text",
        "by_source": lambda entry: entry.row.source,
        "by_scope": lambda entry: entry.row.scope,
    }
    total: dict[str, Any] = {"rows": len(entries), "tokens": sum(entry.tokens for entry in entries)}
    for view, name_of in views.items():
        groups: dict[str, list[int]] = defaultdict(list)
        for entry in entries:
            groups[name_of(entry)].append(entry.tokens)
        total[view] = {name: {"rows": len(groups[name]), "tokens": sum(groups[name])} for name in sorted(groups)}
    return total


if __name__ == "__main__":
    start(
        run,
        Params,
        base=Path("out/base/model"),
        train=Path("out/split/train"),
        dev=Path("out/split/dev"),
        test=Path("out/split/test"),
        approved=Path("out/review/approved"),
        out=Path("out/mix"),
    )
