"""A table as flat columns for the expectations, with derived columns."""

import hashlib
import re
import tempfile
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from lingyu.clean.minhash import NearDuplicates, signatures
from lingyu.files import read_batches, read_table, short_hash
from lingyu.records import TABLES, Dialogue, Document, Exam, Fact, Label, Message, Preference, Row
from lingyu.text.language import CODE, same_language
from lingyu.text.normalise import key, language_of
from lingyu.text.questions import Stance, are_contrary, is_bare, question_of, stance_of

ENDED = re.compile(r"[。！？!?.…；;：:）)】\]」』”\"'’》>|}~`*％%\d]\s*$|\n\s*(?:[-*•]|\d+[.、])[^\n]*$")
LONG = 60  # minimum characters of an answer that should end with punctuation
NEAR = 0.9  # similarity of two dialogues from which one nearly repeats the other, as clean.near_duplicate has it for documents
MOST_ANSWERS = 50  # to one question, that are compared with each other
NEARLY_ALL, FEW = 0.9, 20  # a file has a usual language if at least this share of at least this many rows has it


def frames(path: Path, table: str, wanted: set[str], alone: list[list[str]], most: int) -> Iterator[Any]:
    """A table as data frames of at most `most` rows: the wanted columns, source, place, and `row`, a one-line summary.

    alone: sets of columns whose combined values should be unique; each adds a column named by `once`, true if they are.
    """
    import pandas

    wanted = wanted | {"source", "place", "row"}
    repeated = repeats(path, table, alone)
    listed: list[dict[str, Any]] = []
    for row in columns(path, table):
        kept = {name: value for name, value in row.items() if name in wanted}
        listed.append(kept | {once(names): hash_of(row, names) not in twice for names, twice in zip(alone, repeated, strict=True)})
        if len(listed) == most:
            yield pandas.DataFrame(listed)
            listed = []
    if listed:
        yield pandas.DataFrame(listed)


def once(names: list[str]) -> str:
    return f"{' + '.join(names)} is unique"


def repeats(path: Path, table: str, alone: list[list[str]]) -> list[set[int]]:
    """For each list of columns the hashes of combined values that occur in more than one row; memory is eight bytes per row."""
    import numpy

    hashes = [array("q") for _ in alone]
    for row in read_table(path, TABLES[table]) if alone else ():
        values = flat(row)
        for kept, names in zip(hashes, alone, strict=True):
            kept.append(hash_of(values, names))
    found = [numpy.unique(numpy.asarray(kept), return_counts=True) for kept in hashes]
    return [set(values[times > 1].tolist()) for values, times in found]


def hash_of(row: dict[str, Any], names: list[str]) -> int:
    return hash_of_text("\0".join(str(row[name]) for name in names))


def columns(path: Path, table: str) -> Iterator[dict[str, Any]]:
    """The rows of a table, each as its columns."""
    usual = usual_languages(path)
    classes = classes_of(path) if table == "labels" else {}
    compared = beside_others(path) if table == "dialogues" else Compared({}, {})
    seen: set[str] = set()
    for row in read_table(path, TABLES[table]):
        found = flat(row) | {"usual_language": usual.get(row.source, row.language) == language_of_row(row)} | derived(row, classes, seen)
        if isinstance(row, Dialogue):
            found |= {"agrees": row.id not in compared.contrary, "nearly_once": row.id not in compared.alike}
            if other := compared.contrary.get(row.id) or compared.alike.get(row.id):
                found["row"] += f" ({other})"
        yield found


@dataclass(frozen=True)
class Compared:
    """By the id of a dialogue, the location of another that contradicts its answer, or of which it is a near-duplicate."""

    contrary: dict[str, str]
    alike: dict[str, str]


def beside_others(path: Path) -> Compared:
    """The dialogues that contradict or nearly repeat another. Memory is some hundred bytes per dialogue; texts are on disk."""
    import numpy

    ids, questions, wholes = list[str](), array("q"), array("q")
    alike: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch, closing(NearDuplicates(NEAR, Path(scratch))) as near:
        for rows in read_batches(path):
            keys = [[key(message["content"]) for message in messages] for messages in rows["messages"].to_pylist()]
            questions.extend(hash_of_text("\0".join([task, *seen[:-1]])) for task, seen in zip(rows["task"].to_pylist(), keys, strict=True))
            whole = ["\0".join(seen) for seen in keys]
            wholes.extend(map(hash_of_text, whole))
            new = rows["id"].to_pylist()
            ids += new
            places = [f"{source}, {place}" for source, place in zip(rows["source"].to_pylist(), rows["place"].to_pylist(), strict=True)]
            found = near.repeated(places, whole, numpy.zeros(len(new), numpy.uint64), signatures(whole))
            alike |= {row_id: name for row_id, name in zip(new, found, strict=True) if name}
    values, times = numpy.unique(numpy.asarray(wholes), return_counts=True)
    same = set(values[times > 1].tolist())  # exact duplicates are reported by `once`
    alike = {row_id: alike[row_id] for row_id, whole in zip(ids, wholes, strict=True) if row_id in alike and whole not in same}

    values, times = numpy.unique(numpy.asarray(questions), return_counts=True)
    asked_again = set(values[times > 1].tolist())
    given: dict[int, list[tuple[str, str, Stance]]] = defaultdict(list)
    if asked_again:
        for question, row in zip(questions, read_table(path, Dialogue), strict=True):
            if question in asked_again:
                given[question].append((row.id, f"{row.source}, {row.place}", stance_of(row.messages[-1].content)))
    contrary: dict[str, str] = {}
    for answers in given.values():
        for row_id, _, stance in answers[:MOST_ANSWERS]:
            other = next((place for _, place, other in answers[:MOST_ANSWERS] if are_contrary(stance, other)), "")
            if other:
                contrary[row_id] = other
    return Compared(contrary, alike)


def hash_of_text(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), signed=True)


def flat(row: Row) -> dict[str, Any]:
    """The row's own fields as text, including those nested in lists."""
    fields: dict[str, Any] = {name: value for name in type(row).model_fields if isinstance(value := getattr(row, name), str)}
    match row:
        case Fact():
            return fields | {"values": "; ".join(row.values)}
        case Dialogue():
            spoken = {"question": question_of(row.messages), "answer": row.messages[-1].content}
            return fields | spoken | {"system": system_of(row.messages), "reasoning": row.messages[-1].reasoning or ""}
        case Preference():
            return fields | {"question": question_of(row.messages), "system": system_of(row.messages)}
        case Exam():
            return fields | {"options": " | ".join(row.options)}
    return fields


def derived(row: Row, classes: dict[str, Counter[str]], seen: set[str]) -> dict[str, Any]:
    """The derived columns of a row of each kind, and its one-line summary."""
    match row:
        case Document():
            return {"text_chars": len(key(row.text)), "row": short(row.text)}
        case Fact():
            values = "; ".join(row.values)
            return {
                "values_count": len(row.values),
                "longest_value": max(map(len, row.values), default=0),
                "about_another": key(row.entity) not in map(key, row.values),
                "row": short(f"{row.entity} → {row.relation} → {values}"),
            }
        case Dialogue():
            question, answer = question_of(row.messages), row.messages[-1].content
            return {
                "turns": sum(message.role == "user" for message in row.messages),
                "question_chars": len(key(question)),
                "answer_chars": len(key(answer)),
                "different": not key(answer) or key(question) != key(answer),
                "same_language": same_language(question, answer),
                "bare_answer": not row.messages[-1].reasoning and is_bare(answer),
                "finished": len(answer) < LONG or ENDED.search(answer) is not None,
                "row": short(question, 40) + " → " + short(answer, 40),
            }
        case Label():
            counts = classes[row.task]
            return {
                "text_chars": len(key(row.text)),
                "classes": len(counts),
                "class_rows": counts[row.label],
                "row": f"{short(row.text)} → {row.label}",
            }
        case Exam():
            return {
                "options_count": len(row.options),
                "right_count": len(row.right),
                "filled_options": all(option.strip() for option in row.options),
                "different_options": len({option.strip() for option in row.options}) == len(row.options),
                "some_wrong": len(row.right) < len(row.options),
                "row": short(row.question, 40) + " → " + short(" | ".join(row.options), 40),
            }
        case Preference():
            question, better, worse = question_of(row.messages), key(row.chosen), key(row.rejected)
            seen.add(short_hash(key(question), better, worse))
            return {
                "different": better != worse,
                "same_language": same_language(question, row.chosen) and same_language(question, row.rejected),
                "consistent": better == worse or short_hash(key(question), worse, better) not in seen,
                "row": f"{short(question, 30)} → {short(row.chosen, 30)} ≻ {short(row.rejected, 30)}",
            }
    raise TypeError(f"no such row: {type(row)}")


def language_of_row(row: Row) -> str:
    """The language of a row; for a dialogue or pair, of the question, because answers may be code."""
    return language_of(CODE.sub(" ", question_of(row.messages)), row.language) if isinstance(row, Dialogue | Preference) else row.language


def usual_languages(path: Path) -> dict[str, str]:
    """The language of nearly all rows, by file, for files that have one."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for group in (
        pq.read_table(path, columns=["source", "language"]).group_by(["source", "language"]).aggregate([([], "count_all")]).to_pylist()
    ):
        counts[group["source"]][group["language"]] += group["count_all"]
    usual = {source: (*count.most_common(1)[0], count.total()) for source, count in counts.items()}
    return {source: language for source, (language, rows, all_rows) in usual.items() if all_rows >= FEW and rows >= NEARLY_ALL * all_rows}


def classes_of(path: Path) -> dict[str, Counter[str]]:
    """The number of rows of each label, by task."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for group in pq.read_table(path, columns=["task", "label"]).group_by(["task", "label"]).aggregate([([], "count_all")]).to_pylist():
        counts[group["task"]][group["label"]] += group["count_all"]
    return counts


def system_of(messages: list[Message]) -> str:
    return "\n".join(message.content for message in messages if message.role == "system")


def short(text: str, most: int = 80) -> str:
    text = " ".join(text[: most * 4].split())
    return text if len(text) <= most else text[: most - 1] + "…"
