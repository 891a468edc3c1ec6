"""Encoding detection: a byte order mark, valid UTF-8, else the encoding that yields the most common characters.

Ambiguous files are rejected with the setting that resolves it. A file is read in pieces.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lingyu.ingest.readers import Fault, Reading, Unreadable, megabytes
from lingyu.text.symbols import without_private

# In most Chinese texts of more than a line, at least one in twenty characters is among these; wrongly decoded bytes have none.
COMMON = frozenset(
    "的一是不了在人有我他这中大来上国和说们为以到及与或等应当规定个這來們說國為與應當規個時会會可用年月日第条條，。、：；？！（）“”《》"
)
MARKS = [(codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")]
CANDIDATES = ["gb18030", "big5", "utf-16-le", "utf-16-be"]
# Quotes, dashes, accents and similar characters that make an English text from Windows invalid UTF-8.
WESTERN = frozenset("‘’“”–—…•™€£©®°±·½¼àâäáçèéêëíïîñóôöúùûüßÀÉÈÖÜ\xa0")
DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?([A-Za-z][\w.:-]*)""")  # by HTML or XML
SAMPLE = 1 << 20
HINT = "set the encoding in params.yaml, ingest.sources, encoding; or save the file as UTF-8"


@dataclass(frozen=True)
class Line:
    """A line without its line ending, numbered from 1."""

    number: int
    text: str


def encoding_of(path: Path) -> str:
    """The name of the encoding; for UTF-8 the whole file is checked. Raises Unreadable if no encoding fits, or several do."""
    with path.open("rb") as file:
        start = file.read(SAMPLE)
        for mark, name in MARKS:
            if start.startswith(mark):
                return name
        if wide := wide_ascii(start):
            return wide
        wrong = first_not_utf8(file, start)
        if wrong is None:
            return "utf-8"
        # Lines around the first wrong byte. From an even place on, as UTF-16 needs it.
        file.seek(max(0, wrong - SAMPLE) // 2 * 2)
        data = file.read(2 * SAMPLE)
        try:
            return detected(data, whole=wrong < SAMPLE and path.stat().st_size <= 2 * SAMPLE)
        except Unreadable as error:
            declared = DECLARED.search(start[:4096])
            if error.reason == "encoding" and declared and is_declared_correctly(declared[1].decode(), data):
                return declared[1].decode().lower()
            raise


def is_declared_correctly(name: str, data: bytes) -> bool:
    """Whether a text can be in its declared encoding."""
    try:
        return attempted(data, name) is not None and codecs.lookup(name).name != "utf-8"
    except LookupError:
        return False


def first_not_utf8(file: BinaryIO, start: bytes) -> int | None:
    """The position of the first byte that is not UTF-8; None if there is none."""
    decoder, at, piece = codecs.getincrementaldecoder("utf-8")(), 0, start
    while True:
        try:
            decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            return max(0, at + error.start - 3)
        if not piece:
            return None
        at += len(piece)
        piece = file.read(SAMPLE)


def detected(data: bytes, whole: bool) -> str:
    """The encoding of a sample that is not valid UTF-8."""
    beyond = [line for line in data.split(b"\n") if not line.isascii()]
    if not whole:  # the first and last lines of a sample are incomplete
        beyond = beyond[1:-1] or beyond
    fitting = sum(attempted(line, "utf-8") is not None for line in beyond)
    if fitting > len(beyond) / 2:
        return "utf-8"  # with some damaged lines, which are rejected one by one
    if len(beyond) == 1 and not data.rstrip(b"\n").count(b"\n") and (cut := utf8_but_for_its_end(data)) is not None:
        raise Unreadable("truncated", f"the UTF-8 text ends in the middle of a character at byte {cut}; the file is truncated")
    shares = sorted(((common_share(text), name) for name in CANDIDATES if (text := sampled(data, name, whole)) is not None), reverse=True)
    shares = [(share, name) for share, name in shares if share >= 0.03]
    if shares and (len(shares) == 1 or shares[0][0] > 2 * shares[1][0]):
        return shares[0][1]
    if shares:
        raise Unreadable("encoding", f"not UTF-8, and the encoding is ambiguous: {' or '.join(name for _, name in shares)}; {HINT}")
    western = attempted(data, "cp1252") or ""
    foreign = [character for character in western if character > "\x7f"]
    if 0 < len(foreign) < len(western) / 10 and sum(character in WESTERN for character in foreign) > 0.9 * len(foreign):
        return "cp1252"
    raise Unreadable("encoding", f"the encoding must be UTF-8, UTF-16, GB18030 or Big5; {HINT}")


def utf8_but_for_its_end(data: bytes) -> int | None:
    """The position at which a UTF-8 text is truncated within its last character, as when copied from a terminal or a stream."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start > len(data) - 4 and error.reason == "unexpected end of data":
            return error.start
    return None


def wide_ascii(start: bytes) -> str | None:
    """Detects UTF-16 without byte order mark if the text is mostly ASCII, so that every second byte is NUL."""
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) < 0.4 * len(start) / 2 or min(even, odd) > 0.05 * max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def sampled(data: bytes, name: str, whole: bool) -> str | None:
    """The sample decoded in this encoding. A few damaged bytes are tolerated, as are incomplete characters at its ends."""
    if name.startswith("utf-16"):
        data = data[: len(data) // 2 * 2]
    elif not whole:
        data = data[data.find(b"\n") + 1 : data.rfind(b"\n") + 1] or data
    text = data.decode(name, "replace")
    return text if text.count("\ufffd") <= max(1 if not whole else 0, len(text) / 500) else None


def attempted(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except UnicodeDecodeError:
        return None


def common_share(text: str) -> float:
    """The share of common Chinese characters and punctuation among non-ASCII characters."""
    beyond = [character for character in text if character > "\x7f"][:50_000]
    return sum(character in COMMON for character in beyond) / len(beyond) if beyond else 0.0


def lines(path: Path, how: Reading) -> Iterator[Line | Fault]:
    """The lines of a text, one in memory at a time; damaged and too long lines give a Fault and are skipped."""
    with path.open("rb") as file:
        wide = {"utf-16": 2, "utf-32": 4}.get(how.encoding[:6], 1)
        encoding = how.encoding
        if encoding in ("utf-16", "utf-32"):
            mark = file.read(wide)
            encoding += "-le" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF32_LE) else "-be"
        elif encoding == "utf-8-sig":
            file.read(len(codecs.BOM_UTF8))
            encoding = "utf-8"
        end = line_end(file, encoding)
        usual = wide == 1 and end == b"\n"
        raw_lines = narrow_lines(file, how.max_record) if usual else other_lines(file, how.max_record, end, wide)
        for number, (raw, length) in enumerate(raw_lines, 1):
            if length > how.max_record:
                start = raw[:2000].decode(encoding, "replace")[:200]
                most = megabytes(how.max_record)
                yield Fault(
                    f"line {number}",
                    "too_long",
                    f"a line of {megabytes(length)}, more than {most} (params.yaml, ingest.max_record_mb)",
                    start,
                )
                continue
            try:
                text = raw.decode(encoding).rstrip("\r\n")
            except UnicodeDecodeError as error:
                yield Fault(
                    f"line {number}",
                    "encoding",
                    f"byte {error.start + 1} of the line is not valid {encoding}, the encoding of the file",
                    raw[:1000].decode(encoding, "replace"),
                )
                continue
            if "\0" in text:
                shown = text[:1000].replace("\0", "␀")
                yield Fault(
                    f"line {number}", "nul_bytes", f"{text.count(chr(0))} NUL bytes: the file was damaged when copied or saved", shown
                )
            else:
                yield Line(number, text)


def line_end(file: BinaryIO, encoding: str) -> bytes:
    """The line ending from here on: \\n, or a lone \\r as written by classic Mac OS."""
    at = file.tell()
    start = file.read(SAMPLE)
    file.seek(at)
    mac, usual = "\r".encode(encoding), "\n".encode(encoding)
    return mac if mac in start and usual not in start else usual


def narrow_lines(file: BinaryIO, most: int) -> Iterator[tuple[bytes, int]]:
    """Lines ending with byte 10, with their length; only the beginning of a line that is too long."""
    while raw := file.readline(most + 1):
        length = len(raw)
        if length > most:
            piece = raw
            while not piece.endswith(b"\n") and (piece := file.readline(SAMPLE)):
                length += len(piece)
        yield raw, length


def other_lines(file: BinaryIO, most: int, end: bytes, wide: int) -> Iterator[tuple[bytes, int]]:
    """The same for another line ending, and for characters of two or four bytes."""
    held, length = bytearray(), 0
    while piece := file.read(SAMPLE):
        at = 0
        while at < len(piece):
            stop = piece.find(end, at)
            while stop >= 0 and stop % wide:
                stop = piece.find(end, stop + 1)
            stop = stop + wide if stop >= 0 else len(piece)
            length += stop - at
            if len(held) <= most:
                held += piece[at:stop]
            if piece[:stop].endswith(end):
                yield bytes(held), length
                held, length = bytearray(), 0
            at = stop
    if length:
        yield bytes(held), length


def whole_text(path: Path, how: Reading) -> tuple[str, list[Fault]]:
    """A text without its damaged lines, and these lines. Raises Unreadable if it exceeds the maximum document size."""
    size = path.stat().st_size
    if size > how.max_document:
        most = megabytes(how.max_document)
        raise Unreadable("too_large", f"a document of {megabytes(size)}, more than {most} (params.yaml, ingest.max_document_mb); split it")
    found = list(lines(path, how))
    text = "\n".join(line.text if isinstance(line, Line) else "" for line in found)
    return without_private(text.replace("\r", "\n")), [line for line in found if isinstance(line, Fault)]  # \r: classic Mac OS
