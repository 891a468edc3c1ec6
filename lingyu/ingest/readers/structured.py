"""JSON and JSON lines, with any extension: one record per object, in any nesting of lists. One record is in memory at a time."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingyu.ingest.readers import Fault, Reading, Record, megabytes
from lingyu.ingest.readers.encoding import lines

PIECE = 1 << 16
SAID = re.compile(r"[^\s,\ufeff]")
# Accepts unescaped line breaks and tabs in strings, which are unambiguous.
DECODER = json.JSONDecoder(strict=False)
# The start of an object that contains a list of objects after only scalar values: {"version": 1, "data": [{…
HOLDER = re.compile(r'\{\s*(?:"[^"\\]*"\s*:\s*(?:"[^"\\]*"|[-+.\deE]+|true|false|null)\s*,\s*)*"([^"\\]*)"\s*:\s*\[\s*(?=\{)')
LINES = {".jsonl", ".ndjson"}
# Lists of objects that are a part of one record, and no list of records.
OF_A_RECORD = {
    "messages", "conversations", "conversation", "dialogue", "dialog", "dialogues", "dialogs", "chat", "turns", "utterances", "history",
    "options", "choices", "spo_list", "laws", "qas", "qa", "qa_pairs", "questions", "answers", "paragraphs", "replies", "comments",
}  # fmt: skip
SPEAKER = ("role", "from", "speaker")
BELOW = ("replies", "children")
LINKS = ("parent_id", "conversation_id", "session_id")
# The start of a list whose objects are the messages of one conversation.
TALK = re.compile(r'\[\s*\{\s*"(?:role|from|speaker)"\s*:')
# Names under which a file holds its records, beside what it says of itself: {"version": …, "data": […]}.
HELD = {"data", "rows", "records", "items", "examples", "train", "validation", "dev", "test", "questions"}


def records(path: Path, how: Reading) -> Iterator[Record | Fault]:
    with path.open("rb") as file:
        looked_at = file.read(PIECE * 4)
    start = looked_at.decode(how.encoding, "ignore")
    continues = len(looked_at) == PIECE * 4 and path.suffix.lower() in LINES
    if looks_like_lines(start.encode()) or (continues and begins_with_a_long_line(start)):
        yield from from_lines(path, how)
    else:
        yield from from_values(path, how)


def looks_like_lines(start: bytes) -> bool:
    """Whether a file starts with lines that are each an object or a list; some may be damaged."""
    some = [line.strip() for line in start.split(b"\n")[:20]]
    some = [line for line in some if line]
    if not some or some[0][:1] not in (b"{", b"["):
        return False
    whole = [parses(line) for line in some[: max(1, len(some) - 1)]]  # the last may be truncated by the sample
    return len(some) > 1 and sum(whole) >= len(whole) / 2


def begins_with_a_long_line(start: str) -> bool:
    """Whether the first object is longer than the sample, and does not contain a list of records."""
    start = start.lstrip("\ufeff \r\n")
    holder = HOLDER.match(start)
    if not start.startswith("{") or "\n" in start or (holder and holder[1] not in OF_A_RECORD):
        return False
    try:
        DECODER.raw_decode(start)
    except (ValueError, RecursionError):
        return True
    return False


def parses(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def from_lines(path: Path, how: Reading) -> Iterator[Record | Fault]:
    for line in lines(path, how):
        if isinstance(line, Fault):
            yield line
            continue
        if not line.text.strip():
            continue
        place = f"line {line.number}"
        try:
            value = DECODER.decode(line.text.strip())
        except (ValueError, RecursionError) as error:
            yield Fault(place, "not_json", why_not(error), line.text[:1000])
            continue
        for item in flat(value):
            yield record(item, place, how.names)


def from_values(path: Path, how: Reading) -> Iterator[Record | Fault]:
    """The objects of a list, of nested lists, of an object that contains a list, or concatenated."""
    number = 0
    try:
        for value in Values(path, how):
            for item in flat(value):
                number += 1
                yield record(item, f"row {number}", how.names)
    except Broken as broken:
        fault = broken.fault
        yield Fault(f"row {number + 1}, {fault.place}", fault.reason, f"{fault.detail}; the rest of the file was not read", fault.row)


def why_not(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def record(item: Any, place: str, names: tuple[str, ...] = ()) -> Record | Fault:
    if isinstance(item, Fault):
        return Fault(f"{place}, {item.place}", item.reason, item.detail, item.row)
    if isinstance(item, dict):
        return Record(whole(item), place)
    if isinstance(item, list) and names:
        if len(item) == len(names):
            return Record(dict(zip(names, whole(item), strict=True)), place)
        return Fault(place, "ragged_row", f"{len(item)} values under {len(names)} names", whole(item))
    detail = "not an object with named fields"
    if isinstance(item, list):
        detail = "a list without names of its items; say them: params.yaml, ingest.sources, names"
    return Fault(place, "unknown_shape", detail, whole(item))


def are_messages(value: Any) -> bool:
    """Whether a list is a conversation: objects that all say who speaks, and to none of which others are replies."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and any(name in item for name in SPEAKER) for item in value)
        and not any(isinstance(item.get(name), list) or name in LINKS for item in value for name in item if name in (*BELOW, *LINKS))
    )


class Broken(Exception):
    """The position where a text is no longer valid JSON."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class Values:
    """The values in the lists of a JSON text, which is read in pieces. Commas are skipped like white space. Raises Broken."""

    def __init__(self, path: Path, how: Reading) -> None:
        self._path, self._how = path, how
        self._text, self._at, self._line = "", 0, 1

    def __iter__(self) -> Iterator[Any]:
        with self._path.open(encoding=self._how.encoding, newline="\n") as self._file:
            try:
                yield from self._values()
            except UnicodeDecodeError as error:
                raise Broken(self._fault("encoding", f"not {self._how.encoding}: {error.reason}")) from None

    def _values(self) -> Iterator[Any]:
        closing: list[str] = []  # the closing brackets of the open lists and object
        while True:
            self._forget()
            self._at = self._blanks(self._at)
            mark = self._text[self._at : self._at + 1]
            if not mark:
                if closing:
                    raise Broken(self._fault("truncated", f"the file ends before its {closing[-1]}: it is truncated"))
                return
            if (
                mark == "["
                and not TALK.match(self._text, self._at)
                and self._text[(after := self._blanks(self._at + 1)) : after + 1] in ("[", "{", "]", "")
            ):
                closing.append("]")
                self._at += 1
            elif closing and mark == closing[-1]:
                closing.pop()
                self._at += 1
            else:
                try:
                    yield self._value()
                except Broken as broken:
                    holder = HOLDER.match(self._text, self._at)
                    if broken.fault.reason != "too_long" or closing or not holder or holder[1] in OF_A_RECORD:
                        raise
                    closing += ["}", "]"]
                    self._at = holder.end()

    def _value(self) -> Any:
        """The value at this position, or a Fault in its place."""
        while True:
            held = len(self._text) - self._at
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos > len(self._text) - 16
                if not cut:
                    raise Broken(self._fault("not_json", f"{error.msg}, {error.pos - self._at} characters into it")) from None
                if held > self._how.max_record:
                    most = megabytes(self._how.max_record)
                    raise Broken(self._fault("too_long", f"a record of more than {most} (params.yaml, ingest.max_record_mb)")) from None
                if not self._more(max(PIECE, held)):
                    within = error.msg.startswith("Unterminated string") or error.pos >= len(self._text.rstrip())
                    reason, why = ("truncated", "the file ends within a record, so it is truncated: ") if within else ("not_json", "")
                    raise Broken(self._fault(reason, f"{why}{error.msg}, {error.pos - self._at} characters into it")) from None
            except (ValueError, RecursionError) as error:
                raise Broken(self._fault("not_json", why_not(error))) from None
            else:
                # A number at the end of the buffer may continue.
                if end == len(self._text) and self._text[self._at] not in '{["' and self._more(PIECE):
                    continue
                fault = (
                    self._fault("nul_bytes", "NUL bytes: the file was damaged when copied or saved", held)
                    if "\0" in self._text[self._at : end]
                    else None
                )
                self._at = end
                return fault or value

    def _blanks(self, at: int) -> int:
        """The position of the next character that is not skipped; the end of the text if there is none."""
        while not (found := SAID.search(self._text, at)):
            at = len(self._text)
            if not self._more(PIECE):
                return at
        return found.start()

    def _more(self, count: int) -> bool:
        piece = self._file.read(count)
        self._text += piece
        return bool(piece)

    def _forget(self) -> None:
        """Drop the consumed text once it is most of the buffer."""
        if self._at > max(PIECE, len(self._text) // 2):
            self._line += self._text.count("\n", 0, self._at)
            self._text, self._at = self._text[self._at :], 0

    def _fault(self, reason: str, detail: str, length: int = 200) -> Fault:
        line = self._line + self._text.count("\n", 0, self._at)
        return Fault(f"line {line}", reason, detail, self._text[self._at : self._at + min(length, 1000)].replace("\0", "␀"))


def whole(value: Any) -> Any:
    """The value with lone surrogates ("\\ud83d"), which JSON can contain but no encoding can represent, replaced by �."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [whole(item) for item in value]
    return {whole(name): whole(item) for name, item in value.items()} if isinstance(value, dict) else value


def flat(value: Any) -> Iterator[Any]:
    """The items of nested lists, and of an object that only contains one list of objects ({"data": [...]})."""
    if isinstance(value, dict):
        lists = {name: inner for name, inner in value.items() if isinstance(inner, list | dict)}
        for name, inner in lists.items() if len(lists) == 1 else ():
            holds = name not in OF_A_RECORD if len(value) == 1 else name in HELD
            if holds and isinstance(inner, list) and inner and isinstance(inner[0], dict) and not are_messages(inner):
                value = inner
    if are_messages(value):
        value = {"messages": value}
    if isinstance(value, list) and any(isinstance(item, list | dict) for item in value):
        for item in value:
            yield from flat(item) if isinstance(item, list) else [item]
    else:
        yield value
