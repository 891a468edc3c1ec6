"""File format detection by extension, checked against the content. A wrong extension is always reported."""

import codecs
import zipfile
from pathlib import Path

from lingyu.ingest.readers import ENDINGS, FORMATS, Format, Unreadable, megabytes
from lingyu.ingest.readers.structured import looks_like_lines

# The part that identifies the type of an Office zip.
PARTS = {"word/document.xml": "DOCX", "xl/workbook.xml": "XLSX", "ppt/presentation.xml": "PPTX"}
STARTS = {
    b"%PDF-": "PDF",
    b"PAR1": "Parquet",
    b"{\\rtf": "RTF",
    b"\x1f\x8b": "gzip",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "RAR",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"II*\0": "an image",
    b"SQLite format 3": "SQLite",
}
ARCHIVES = {"a zip archive", "gzip", "7z", "RAR"}
HTML = (b"<!doctype html", b"<html")
OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
SAVE_AS = {".doc": ".docx", ".wps": ".docx", ".rtf": ".docx", ".xls": ".xlsx", ".et": ".xlsx", ".ppt": ".pptx", ".dps": ".pptx"}
# Deflate compresses runs of one byte 1:1000; real Office parts of this size stay under 1:50.
BOMB_SIZE, BOMB_RATIO = 16_000_000, 100


def format_of(path: Path, max_unpacked: int) -> Format:
    """The format by extension, if the content agrees; JSON lines are recognised with any extension. Raises Unreadable."""
    ending = path.suffix.lower()
    with path.open("rb") as file:
        start = file.read(65536)
    if not start.strip(b"\0 \t\r\n"):
        how = "it starts with" if path.stat().st_size > len(start) else "it contains only"
        if b"\0" in start:
            raise Unreadable("nul_bytes", f"{how} NUL bytes: the file was damaged when copied or saved; copy it again")
        raise Unreadable("empty_file", f"{how} white space")
    held, named = held_by(path, start), ENDINGS.get(ending)
    if ending in SAVE_AS and (held is None or held == "RTF"):
        raise Unreadable("old_format", f"{ending} is not supported; open it in Office or WPS and save it as {SAVE_AS[ending]}")
    if held is not None and held != named:
        known = next((known for known, name in ENDINGS.items() if name == held), None)
        advice = f"rename it to {known}" if known else "unpack it" if held in ARCHIVES else "convert it to a supported format"
        if named or known:
            raise Unreadable("wrong_ending", f"its extension is {ending or 'missing'} but its content is {held}; {advice}")
        raise Unreadable("unknown_format", f"its content is {held}; {advice}")
    if held is None and named and not FORMATS[named].text:
        html = b"<html" in start.lower() or b"<table" in start.lower()
        what = (
            "it is damaged: copy it again"
            if b"\0" in start
            else f"it contains {'HTML' if html else 'text'}: rename it to "
            + (".html" if html else "the type of the text (.txt, .md, .csv)")
        )
        raise Unreadable("unreadable", f"not {named}, although its extension is {ending}; {what}")
    if held in PARTS.values():
        check_unpacked(path, max_unpacked)
    if (named is None or named in ("TXT", "CSV")) and looks_like_lines(start):
        return FORMATS["JSON"]
    if named is None:
        raise Unreadable("unknown_ending", f"{ending or 'no extension'}: must be one of {', '.join(ENDINGS)}")
    return FORMATS[named]


def held_by(path: Path, start: bytes) -> str | None:
    """The format detected from the first bytes, HTML or a binary format; None for other text or unknown content."""
    if start.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(path) as parts:
                names = set(parts.namelist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
            named = ENDINGS.get(path.suffix.lower())
            raise Unreadable(
                "truncated" if named else "unknown_format", f"the zip file is truncated or damaged ({error}); copy it again"
            ) from None
        return next((name for part, name in PARTS.items() if part in names), "a zip archive")
    if start.startswith(OLD_OFFICE):
        if "EncryptedPackage".encode("utf-16-le") in path.read_bytes()[:50_000_000]:
            raise Unreadable("password", "password-protected; save it without a password")
        saved = SAVE_AS.get(path.suffix.lower(), ".docx, .xlsx or .pptx")
        raise Unreadable("old_format", f"an Office file from before 2007; open it in Office or WPS and save it as {saved}")
    if path.suffix.lower() == ".pdf" and b"%PDF-" in start[:1024]:  # some have mail headers before it
        return "PDF"
    if start.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(HTML):
        return "HTML"
    return next((name for mark, name in STARTS.items() if start.startswith(mark)), None)


def check_unpacked(path: Path, most: int) -> None:
    """Raises Unreadable for a zip bomb. Readers never unpack more than the declared sizes."""
    with zipfile.ZipFile(path) as parts:
        sizes = [(part.filename, part.file_size, part.compress_size) for part in parts.infolist()]
    for name, size, packed in sizes:
        if size > BOMB_SIZE and size > BOMB_RATIO * max(packed, 1):
            raise Unreadable(
                "zip_bomb", f"{name} unpacks from {megabytes(packed)} to {megabytes(size)}, which is not plausible for a document"
            )
    text = sum(size for name, size, _ in sizes if name.endswith((".xml", ".rels")))
    if text > most:
        raise Unreadable(
            "too_large", f"its text unpacks to {megabytes(text)}, more than {megabytes(most)}; split it, or raise ingest.max_document_mb"
        )
