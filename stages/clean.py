"""clean: normalise, mask personal data, drop low-quality and duplicate rows, and record why each was dropped.

Reads   out/ingest/tables           the rows as they were read
        lingyu/text/word_lists.yaml    word lists of the quality rules, for people to read and extend
        out/validate/metrics.json   only so that nothing is cleaned before validation passes
Writes  out/clean/tables            the rows kept, in their order
        out/clean/dropped.jsonl     the others, each with its table, the reason and the row that caused it
        out/clean/rules.json        what is masked: the service does the same with documents that are uploaded
        out/clean/ledger.json       rows by table, file and reason; how many were normalised and what was masked in them
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Self, TextIO

import pyarrow as pa
from pydantic import Field, NonNegativeInt, field_validator, model_validator

from lingyu.clean import ner, pii
from lingyu.clean.duplicates import KEPT, Answers, Duplicates, Facts, Labels, Verdict
from lingyu.clean.minhash import NearDuplicates
from lingyu.clean.quality import LISTS, Limits
from lingyu.clean.rows import Rules, Worked, work
from lingyu.files import read_batches, schema_of, write_batches, write_json
from lingyu.ledger import Ledger
from lingyu.records import TABLES
from lingyu.stage import StageError, StageParams, start
from lingyu.text.word_lists import Words, lists_of
from lingyu.workers import Engine, Workers

# Tables whose rows can contradict each other.
ABOUT: dict[str, type[Labels | Facts | Answers]] = {"labels": Labels, "facts": Facts}


class Params(StageParams):
    engine: Engine = Field(
        "local",
        description="local: a process on each core of this machine. ray: the cluster that RAY_ADDRESS names (pip install 'lingyu[ray]'), "
        "worth it from some million rows. The tables are the same bytes.",
    )
    simplified: bool = Field(
        False, description="Convert traditional characters of Chinese rows to simplified ones. Names and quotations may be meant so."
    )
    languages: list[Literal["zh", "en"]] = Field(
        ["zh", "en"], min_length=1, description="Rows that are certainly in another language are dropped."
    )
    min_chars: NonNegativeInt = Field(
        5, description="Characters without punctuation. Whole articles have as few as seven; below five it is a heading."
    )
    max_repeated: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of a text that repeats earlier sentences. Tables and code are under 0.2; replies that run in circles reach 0.5.",
    )
    near_duplicate: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Similarity of the character trigrams of two documents from which only the first is kept. At 0.9 about one character "
        "in thirty differs: a reprint.",
    )
    near_duplicate_dialogues: float | None = Field(
        None,
        gt=0,
        le=1,
        description="The same of dialogues, all that was said. null: only reported by validate; forms that differ in one value are alike.",
    )
    drop: list[Literal["conflicting_answer", "bare_answer", "other_language", "template_remnant"]] = Field(
        [],
        description="What validate only reports, as it may be meant so: contrary answers to one question, answers of one word, answers in "
        "another language than the question, what is left of a template.",
    )
    drop_matching: dict[str, str] = Field(
        {},
        description="Reasons of your own, each with a regular expression; a row whose text matches is dropped, counted under the reason: "
        "{safety: 割腕|遗书}. Personal data is masked before.",
    )
    mask: list[str] = Field(
        ["resident_id", "passport", "mobile", "email", "bank_card", "landline", "foreign_phone", "plate", "ip", "credit_code"],
        description="Kinds of personal data to mask. Also name and address, for hotline records, case files and forms: rules find few "
        "names in free text, and cannot tell an office or a writer from a person at home. 110, 12345 and 400-… are never masked.",
    )
    ner: str = Field(
        "",
        description="Folder with a token classification model that finds names and addresses in free text (docs/data.md). DVC does not "
        "track its contents: give another version another name.",
    )

    @field_validator("mask")
    @classmethod
    def known(cls, kinds: list[str]) -> list[str]:
        if unknown := [kind for kind in kinds if kind not in pii.RULES]:
            raise ValueError(f"no rule for {', '.join(unknown)}; must be one of {', '.join(pii.RULES)}")
        return kinds

    @field_validator("drop_matching")
    @classmethod
    def are_patterns(cls, reasons: dict[str, str]) -> dict[str, str]:
        for reason, pattern in reasons.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{reason}: {pattern!r} is no regular expression ({error})") from None
        return reasons

    @model_validator(mode="after")
    def has_use_for_the_model(self) -> Self:
        if self.ner and not set(self.mask) & set(pii.BY_MODEL):
            raise ValueError(f"ner finds {' and '.join(pii.BY_MODEL)}, but mask lists neither")
        return self


def run(params: Params, tables: Path, words: Path, validated: Path, out: Path) -> None:
    limits = Limits(
        params.min_chars,
        params.max_repeated,
        tuple(params.languages),
        lists_for_clean(words),
        frozenset(params.drop),
        params.drop_matching,
    )
    about = ABOUT | ({"dialogues": Answers} if "conflicting_answer" in params.drop else {})
    near_dialogues = params.near_duplicate_dialogues is not None
    rules = Rules(limits, tuple(params.mask), params.simplified, params.ner, near_dialogues, frozenset(about))
    if params.ner:
        ner.check_folder(Path(params.ner))
    out.mkdir(parents=True, exist_ok=True)
    kept = 0
    with (
        (out / "dropped.jsonl").open("w", encoding="utf-8") as dropped,
        TemporaryDirectory(dir=out) as scratch,
        Workers(params.engine) as workers,
    ):
        judged = Judged(dropped)
        for table, row_type in TABLES.items():
            worked = workers.mapped(partial(work, rules, table), read_batches(tables / f"{table}.parquet"))
            alike = params.near_duplicate_dialogues if table == "dialogues" else params.near_duplicate
            rows = distinct(judged, table, worked, alike or 1, Path(scratch), table in about)
            if table in about:
                rows = without_contradictions(judged, table, about[table](), rows, Path(scratch) / "distinct.parquet")
            kept += write_batches(out / "tables" / f"{table}.parquet", judged.count_kept(table, rows), schema_of(row_type))
    if not kept:
        raise StageError(
            f"no row of {tables} was kept; dropped by reason: {dict(judged.reasons)}. "
            "Loosen the rules in params.yaml, section clean, or add more documents."
        )
    judged.ledger.write(out / "ledger.json")
    write_json(out / "rules.json", {"mask": params.mask, "simplified": params.simplified})


def lists_for_clean(path: Path) -> dict[str, Words]:
    lists = lists_of(path)
    if missing := [name for name in LISTS if name not in lists]:
        raise StageError(
            f"{path} has no list {', '.join(missing)}, which clean requires. Restore the list; to disable it, leave it empty: "
            f"{missing[0]}: {{}}."
        )
    return {name: lists[name] for name in LISTS}


class Judged:
    """Splits rows by their verdicts: dropped rows are written to a file, and all rows are counted."""

    def __init__(self, dropped: TextIO) -> None:
        self.ledger = Ledger()
        self.reasons: Counter[str] = Counter()
        self._dropped = dropped

    def count_read(self, table: str, worked: Worked) -> None:
        for source, rows in Counter(worked.rows["source"].to_pylist()).items():
            self.ledger.read(table, source, rows)
        for (source, change), count in worked.changes.items():
            self.ledger.changed(table, source, change, count)

    def keep(self, table: str, rows: pa.RecordBatch, verdicts: list[Verdict]) -> pa.RecordBatch:
        stays = [not verdict.reason for verdict in verdicts]
        going = rows.filter(pa.array([not one for one in stays], pa.bool_())).to_pylist()
        for row, verdict in zip(going, (verdict for verdict in verdicts if verdict.reason), strict=True):
            entry = {"table": table, "reason": verdict.reason, "because": verdict.because, **row}
            self._dropped.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self.ledger.dropped(table, row["source"], verdict.reason)
            self.reasons[verdict.reason] += 1
        return rows.filter(pa.array(stays, pa.bool_()))

    def count_kept(self, table: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in batches:
            for source, count in Counter(rows["source"].to_pylist()).items():
                self.ledger.kept(table, source, count)
            yield rows


def distinct(
    judged: Judged, table: str, worked: Iterable[Worked], threshold: float, scratch: Path, with_subjects: bool
) -> Iterator[pa.RecordBatch]:
    """The rows without low-quality rows and duplicates; optionally with their subject as the last column."""
    same = Duplicates()
    with closing(NearDuplicates(threshold, scratch)) as near:
        for batch in worked:
            judged.count_read(table, batch)
            found = repeated(batch, same, near)
            rest = iter(found)
            rows = judged.keep(table, batch.rows, [Verdict(reason, "") if reason else next(rest) for reason in batch.reasons])
            if with_subjects:
                subjects = [subject for subject, verdict in zip(batch.subjects, found, strict=True) if verdict is KEPT]
                rows = rows.append_column("subject", pa.array(subjects, pa.binary()))
            yield rows


def repeated(batch: Worked, same: Duplicates, near: NearDuplicates) -> list[Verdict]:
    """For each row that passes the quality rules, whether it is a duplicate of an earlier row."""
    ids = [id_ for id_, reason in zip(batch.rows["id"].to_pylist(), batch.reasons, strict=True) if not reason]
    firsts = [same.first(digest, id_) for digest, id_ in zip(batch.same, ids, strict=True)]
    verdicts = [Verdict("duplicate", first) if first != id_ else KEPT for first, id_ in zip(firsts, ids, strict=True)]
    if batch.keys:
        new = [place for place, verdict in enumerate(verdicts) if verdict is KEPT]
        found = near.repeated([ids[place] for place in new], [batch.keys[place] for place in new], batch.groups[new], batch.signs[new])
        for place, name in zip(new, found, strict=True):
            verdicts[place] = Verdict("near_duplicate", name) if name else KEPT
    return verdicts


def without_contradictions(
    judged: Judged, table: str, about: Labels | Facts | Answers, distinct: Iterable[pa.RecordBatch], scratch: Path
) -> Iterator[pa.RecordBatch]:
    """The rows without those that contradict each other. All rows must be read before any can be judged."""
    schema = schema_of(TABLES[table])

    def registered() -> Iterator[pa.RecordBatch]:
        for rows in distinct:
            for row in rows.to_pylist():
                about.add(row.pop("subject"), row)
            yield rows

    write_batches(scratch, registered(), schema.append(pa.field("subject", pa.binary())))
    for rows in read_batches(scratch):
        verdicts = [about.verdict(row.pop("subject"), row) for row in rows.to_pylist()]
        stays = judged.keep(table, rows.drop_columns("subject"), verdicts)
        changes = [verdict.changed for verdict in verdicts if not verdict.reason]
        if any(changes):
            changed = [row | change for row, change in zip(stays.to_pylist(), changes, strict=True)]
            stays = pa.RecordBatch.from_pylist(changed, schema)
        yield stays


if __name__ == "__main__":
    start(
        run,
        Params,
        tables=Path("out/ingest/tables"),
        words=Path("lingyu/text/word_lists.yaml"),
        validated=Path("out/validate/metrics.json"),
        out=Path("out/clean"),
    )
