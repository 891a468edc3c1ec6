"""mix: assemble the training, dev and test tables, weight their sources, and keep test content out of training.

Reads   out/base/model          tokenizer and chat template, to count tokens
        out/split/train         documents to pretrain on, of the domain and general
        out/split/dev           documents for validation
        out/split/test          documents for the test set
        out/review/approved     the generated tables
Writes  out/mix/train           pretrain, sft, preference, prompts (.parquet)
        out/mix/dev             pretrain, sft, preference for training; questions, domain, general to select the winner by (.parquet)
        out/mix/test            questions, domain, general, preference (.parquet)
        out/mix/leaks.jsonl     the training rows that leak a test item, with that item
        out/mix/dropped.jsonl   every dropped row, with the reason
        out/mix/ledger.json     rows by table and source
        out/mix/metrics.json    rows and tokens by table, source, method and task

The leak gate drops a training row that asks what a test item asks. If training refers to a fact or text reserved for the
test set, an earlier stage is at fault and the pipeline stops.
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
from lingyu.mix.shares import Portions, amounts, check_portions
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
        "dev/questions": made["dev_questions"],
        "dev/domain": [*(row for row in texts["dev"] if row.scope == "domain"), *made["dev_statements"]],
        "dev/general": [row for row in texts["dev"] if row.scope == "general"],
        "test/questions": made["questions"],
        "test/domain": [*(row for row in texts["test"] if row.scope == "domain"), *made["test_statements"]],
        "test/general": [row for row in texts["test"] if row.scope == "general"],
        "test/preference": made["test_preferences"],
    }
    statements = {row.id for name in made if name.endswith("statements") for row in made[name]}
    log, tokens, metrics = Log(), Tokens(base), {}
    for table, found in rows.items():
        for row in found:
            log.ledger.read(table, row.source)
    check_portions(rows, params)
    check_references(rows)
    # The gate compares with what evaluation will ask: a test item that fits no model cannot leak.
    fitted = {table: list(fitting(table, rows[table], tokens, params, log)) for table in rows if table.startswith("test/")}
    asked = {row.id for table in ("test/questions", "test/preference") for row, _ in fitted[table]}
    tested = {table: [row for row in rows[table] if row.id in asked] for table in ("test/questions", "test/preference")}
    leaked = list(leaking(rows | tested, params.leaks))
    given_away = {(leak["table"], leak["id"]) for leak in leaked}

    for table, found in rows.items():
        if table not in fitted:
            log.drop(table, (row for row in found if (table, row.id) in given_away), "leaks a test item")
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
            f"no rows left to train on; dropped by reason: {log.reasons()}. Add documents or facts, "
            "or loosen the limits in params.yaml, section mix."
        )
    if long := {table: count for table in rows if (count := log.too_long().get(table))}:
        counted = ", ".join(f"{table} {count}/{len(rows[table])}" for table, count in long.items())
        print(TOO_LONG.format(counts=counted, most=params.max_tokens, prompt=params.max_prompt_tokens), flush=True)
    if bare := [name for name, share in params.general_share if share and "general" not in metrics[f"train/{name}"]["by_scope"]]:
        print(NO_REPLAY.format(tables=", ".join(bare)), flush=True)
    write_jsonl(out / "leaks.jsonl", leaked)
    write_jsonl(out / "dropped.jsonl", log.dropped)
    log.ledger.write(out / "ledger.json")
    write_json(out / "metrics.json", metrics)


NO_REPLAY = (
    "no general data is replayed to reduce forgetting in {tables}: the corpus has no such rows with scope general (mix.general_share).\n"
    "{tables} 未混入通用数据来缓解遗忘：语料中没有 scope 为 general 的相应数据（mix.general_share）。"
)
TOO_LONG = (
    "rows that are too long for the model are dropped: {counts}. Raise mix.max_tokens ({most}), or max_prompt_tokens ({prompt}) for "
    "prompts, together with max_length in sft, reward and align, and base.shape.max_position_embeddings of the tiny base; see "
    "out/mix/dropped.jsonl.\n"
    "以下表中有行因过长被丢弃：{counts}。可调大 mix.max_tokens（{most}）和 max_prompt_tokens（{prompt}），"
    "并相应调大 sft、reward、align 的 max_length 和微型基座的 base.shape.max_position_embeddings。"
)
NO_REASONING = "the chat template has no place for its reasoning (base.model.reasoning: inline writes it into the text)"
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
    """The ledger and the dropped rows."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.dropped: list[dict[str, Any]] = []

    def drop(self, table: str, rows: Iterable[Row], reason: str) -> None:
        for row in rows:
            self.ledger.dropped(table, row.source, reason)
            self.dropped.append({"table": table, "reason": reason, **row.model_dump()})

    def times(self, table: str, entry: Entry, times: int, why: str) -> list[Entry]:
        """The entry repeated `times` times; why: the reason for dropping it if that is zero."""
        if times == 0:
            self.drop(table, [entry.row], why)
        elif times > 1:
            self.ledger.made(table, entry.row.source, "repeat", times - 1)
        self.ledger.kept(table, entry.row.source, times)
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
        """The token count of each row as the model sees it; for a preference, of the longer side; None if the template cannot render it."""
        sides = [self._sides_or_none(row) for row in rows]
        lengths = map(len, self._chat.encode_all([text for texts in sides for text in texts or []]))
        return [max(next(lengths) for _ in texts) if texts else None for texts in sides]

    def lacks_reasoning(self, row: Row) -> bool:
        """Whether the row could be rendered but for its reasoning."""
        if not isinstance(row, Dialogue) or not any(message.reasoning for message in row.messages):
            return False
        bare = [message.model_copy(update={"reasoning": None}) for message in row.messages]
        return self._sides_or_none(row.model_copy(update={"messages": bare})) is not None

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
                return [self._chat.whole(row.messages)]
            case Preference():
                replies = (Message(role="assistant", content=reply) for reply in (row.chosen, row.rejected))
                return [self._chat.whole([*row.messages, reply]) for reply in replies]
            case Question():
                return [self._chat.prompt(row.messages)]
        raise TypeError(f"{type(row).__name__} belongs to no table")


def check_references(rows: dict[str, list[Row]]) -> None:
    """Raises StageError if training items are based on a record reserved for the test set. Pretraining text may state it."""
    kept = {row.references[0] for row in rows["test/questions"] if isinstance(row, Question) and row.known != "taught"}
    trained = (row for table in ("train/sft", "train/preference", "train/prompts") for row in rows[table] if isinstance(row, Made))
    faults = [f"  {row.id} ({row.source}, {row.place}, method {row.method})" for row in trained if kept & {row.id, *row.references}]
    if faults:
        head = f"{len(faults)} training rows are based on records reserved for the test set; out/split or out/generate is wrong:"
        raise StageError("\n".join([head, *faults[:20]]))


def fitting(table: str, rows: Sequence[Row], tokens: Tokens, params: Params, log: Log) -> Iterator[tuple[Row, int]]:
    """The rows that fit the model, with their token counts: longer documents are split, other rows dropped, nothing is truncated.

    Texts to evaluate with stay whole because they are scored in windows anyway.
    """
    rows = [named(row) if isinstance(row, Document) and row.scope == "domain" else row for row in rows]
    most = params.max_prompt_tokens if ROW_TYPES[table.split("/")[1]] is Question else params.max_tokens
    for row, count in zip(rows, tokens.of_rows(rows), strict=True):
        if count is None:
            log.drop(table, [row], NO_REASONING if tokens.lacks_reasoning(row) else "not in the chat template")
        elif count <= most or table.endswith(("/domain", "/general")):
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
    """The dialogue split between turns, each part with its token count; empty if a single exchange is too long."""

    def part(messages: list[Message], index: int = 0) -> Dialogue:
        return row.model_copy(update={"id": f"{row.id}/{index}", "place": f"{row.place}, part {index}", "messages": messages})

    def fits(messages: list[Message]) -> bool:
        count = tokens.of_rows([part(messages)])[0]
        return count is not None and count <= most

    learnt = [messages for messages in turns(row.messages, fits) if any(one.role == "assistant" and one.learnt for one in messages)]
    parts = [part(messages, index) for index, messages in enumerate(learnt, 1)]
    return [(one, count) for one, count in zip(parts, tokens.of_rows(parts), strict=True) if count is not None]


def named(row: Document) -> Document:
    """A domain text with its headings; general text is unchanged."""
    return row.model_copy(update={"text": headed(row.title, row.section, row.text)})


def kind_of(row: Row, statements: set[str]) -> str:
    """The row's kind in the weights; a part of a document has the kind of the whole."""
    if isinstance(row, Made):
        return row.method
    return "statement" if row.id.partition("/")[0] in statements else "document"


def counts(entries: Sequence[Entry]) -> dict[str, Any]:
    """Rows and tokens, in total and by group."""
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
