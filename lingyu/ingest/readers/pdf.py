"""PDF: paragraphs from lines, headings by font size, tables with captions, without headers and footers."""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from lingyu.ingest.readers import Block, Fault, Reading, Unreadable
from lingyu.ingest.readers.ink import note_render_modes
from lingyu.ingest.readers.pages import Line, lines_of, unread
from lingyu.ingest.readers.scans import EXTRA, lines_of_scan
from lingyu.ingest.readers.shown import LeftOut
from lingyu.text.legal import ENGLISH_HEADING, HEADING, UNIT
from lingyu.text.marks import LIST_ITEM, bare
from lingyu.text.normalise import joined, normal
from lingyu.text.sentences import CLOSERS

EDGE = 2  # lines at the top and bottom of a page that may be headers and footers
LARGER = 1.15  # minimum size of a heading, relative to the body text
PAGE_NUMBER = re.compile(
    r"[-–—~·• ]*(?:第|page|p\.)?\s*\d{1,4}\s*页?(?:\s*[(（]?\s*(?:/|of|共|,|，)\s*共?\s*\d{1,4}\s*页?\s*[)）]?)?[-–—~·• ]*", re.IGNORECASE
)
CAPTION = re.compile(r"(?:表|Table|Tab\.)\s*[\dA-Z一二三四五六七八九十][^。]{0,60}|(?:续表|Table .{1,8}continued).{0,60}", re.IGNORECASE)
HOW = f"run the file through OCR first, or {EXTRA} and set ocr: true in params.yaml, section ingest"
CONTINUED = re.compile(r"续表|.*continued|.*（续）|.*\(续\)", re.IGNORECASE)


def blocks(path: Path, how: Reading) -> Iterator[Block | Fault]:
    left = LeftOut()
    pages, faults = read(path, how.ocr, left)
    if not any(pages):
        if faults:
            raise Unreadable(faults[0].reason, f"none of the {len(pages)} pages can be read: {faults[0].detail}")
        raise Unreadable("unreadable", "a PDF without any content")
    yield from faults
    if is_cut(path):
        yield Fault("end of file", "truncated", f"the PDF is truncated, and may have had more than {len(pages)} pages")
    running = running_lines(pages)
    for text, lines in running.items():
        yield Fault(
            f"{len({line.page for line in lines})} pages", "running_line", "header, footer or page number, not part of the text", text
        )
    left_out = {id(line) for lines in running.values() for line in lines}
    yield from paragraphs(list(whole_tables([line for page in pages for line in page if id(line) not in left_out])))
    yield from left.faults()


def read(path: Path, ocr: bool, left: LeftOut) -> tuple[list[list[Line]], list[Fault]]:
    """The lines and tables of each page in reading order, and a Fault for pages that need OCR."""
    import pdfplumber

    logging.getLogger("pdfminer").setLevel(logging.ERROR)  # many warnings per page about unusual fonts
    pages, faults, scanned = [], [], []
    try:
        with path.open("rb") as file, pdfplumber.open(file) as pdf:
            for page in pdf.pages:
                note_render_modes(page)
                why = unread(page)
                if why and ocr:
                    lines, unclear = lines_of_scan(page)
                    faults += unclear
                    scanned += [str(page.page_number)] if lines else []
                elif why:
                    lines = []
                    faults.append(Fault(f"page {page.page_number}", "needs_ocr", f"{why}; {HOW}"))
                else:
                    lines = list(lines_of(page, left))
                pages.append(lines)
                page.close()
    except Exception as error:  # the library raises many types for damaged files
        if "password" in f"{type(error).__name__} {error!r}".lower():
            raise Unreadable("password", "password-protected; save it without a password") from error
        if is_cut(path):
            raise Unreadable("truncated", "the PDF is truncated: its cross-reference table is missing; copy it again") from error
        raise Unreadable("unreadable", f"cannot be read as PDF ({type(error).__name__}: {error})") from error
    if scanned:
        where = f"page {', '.join(scanned)}"
        faults.append(Fault(where, "read_by_ocr", "a scanned page, read by OCR: check numbers and names"))
    return pages, faults


def is_cut(path: Path) -> bool:
    """Whether the end-of-file marker is missing."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        return b"%%EOF" not in file.read()


def running_lines(pages: list[list[Line]]) -> dict[str, list[Line]]:
    """Page numbers, and lines at the edge of pages that are the same, except for numbers, on most pages."""
    seen: dict[str, list[Line]] = {}
    for page in pages:
        down = sorted((line for line in page if not line.beside), key=lambda line: line.top)
        at_edges = [*down[:EDGE], *down[-EDGE:], *(line for line in page if line.beside)]
        for line in {id(line): line for line in at_edges}.values():
            text = normal(line.text)
            form = "#" if PAGE_NUMBER.fullmatch(text) else re.sub(r"\d+", "#", text) + f" {line.size}"  # titles have a larger font
            if not line.table:
                seen.setdefault(form, []).append(line)
    enough = max(2, len(pages) / 2)
    return {lines[0].text: lines for form, lines in seen.items() if form == "#" or len({line.page for line in lines}) >= enough}


def whole_tables(lines: list[Line]) -> Iterator[Line]:
    """The lines, with each table merged with its caption above or below, and with its continuation on the next page."""
    waiting = list(reversed(lines))
    held: Line | None = None  # a caption
    while waiting:
        line = waiting.pop()
        if held:
            if line.table and line.page == held.page:
                line.caption = held.text
            else:
                yield held
            held = None
        if not line.table and CAPTION.fullmatch(normal(line.text)):
            held = line
            continue
        while line.table and (after := next_part(line, waiting)) is not None:
            rows = after.table[1:] if after.table[0] == line.table[0] else after.table
            line.table, line.page_end = line.table + rows, after.page
        if line.table and not line.caption and waiting and below(line, waiting[-1]) and not (len(waiting) > 1 and waiting[-2].table):
            line.caption = waiting.pop().text
        yield line
    if held:
        yield held


def next_part(table: Line, waiting: list[Line]) -> Line | None:
    """The continuation of a table at the top of the next page, removed from the waiting lines together with its 续表 caption."""
    some = waiting[-2:][::-1]
    if some and not some[0].table and CONTINUED.match(some[0].text):
        some = some[1:]
    if not some or not some[0].table:
        return None
    after = some[0]
    same = len(after.table[0]) == len(table.table[0]) and abs(after.left - table.left) < 3 and abs(after.right - table.right) < 3
    if not same or after.page != table.page_end + 1:
        return None
    while waiting.pop() is not after:
        pass
    return after


def below(table: Line, line: Line) -> bool:
    """Whether a line is the caption below a table."""
    near = line.page == table.page_end and 0 <= line.top - table.bottom < 3 * (line.size or 10)
    return not line.table and near and bool(CAPTION.fullmatch(normal(line.text)))


def paragraphs(lines: list[Line]) -> Iterator[Block]:
    """Paragraphs and headings, joined across lines, columns and pages."""
    text = [line for line in lines if not line.table]
    if not text:
        yield from (block("", line, None) for line in lines)
        return
    body = Counter[float]()
    for line in text:
        body[line.size] += len(line.text)
    size = body.most_common(1)[0][0]
    plain = [line for line in text if line.size == size]
    edges = {column: edges_of([line for line in plain if line.column == column] or plain) for column in {line.column for line in text}}
    pitches = sorted(below.top - above.top for above, below in pairwise(plain) if beside(above, below) and below.top > above.top)
    pitch = pitches[len(pitches) // 5] if pitches else 1.5 * size  # line pitch within paragraphs; between them it is often larger
    all_bold = sum(line.bold for line in plain) > len(plain) / 2
    levels = heading_sizes(text, size)

    def level_of(line: Line) -> int | None:
        if line.table or len(line.text) > 60 or line.text.endswith(("。", "；", "，", ";", ",")):
            return None
        if line.size in levels:
            return levels[line.size]
        return len(levels) + 1 if line.bold and not all_bold and line.size == size else None

    def continues(line: Line, last: Line) -> bool:
        """Whether the line continues the current paragraph or heading."""
        if last.table or line.table or level_of(line) != level_of(last) or line.size != last.size:
            return False
        (left, _), (_, right) = edges[line.column], edges[last.column]
        full = last.right > right - 2.5 * last.size
        if level_of(line) is not None:
            return full and beside(last, line) and line.top - last.top < 2 * line.size
        if not beside(last, line):
            return not last.text.endswith(CLOSERS) and (line.page > last.page or 0 < last.column < line.column)
        if line.top - last.top > 1.25 * pitch or (line.left > left + 1.2 * size and last.left <= left + 1.2 * size):
            return False
        begins = any(mark.match(bare(line.text)) for mark in (LIST_ITEM, HEADING, UNIT, ENGLISH_HEADING))
        return full and not (begins and last.text.endswith(CLOSERS))

    whole, first, last = "", None, None
    for line in lines:
        if first and last and continues(line, last):
            whole = joined(whole, line.text)
        else:
            if first:
                yield block(whole, first, level_of(first))
            whole, first = line.text, line
        last = line
    if first:
        yield block(whole, first, level_of(first))


def beside(above: Line, line: Line) -> bool:
    """Whether two lines are in the same column of the same page."""
    return (above.page, above.column) == (line.page, line.column)


def edges_of(lines: list[Line]) -> tuple[float, float]:
    """The usual start of the lines of a column, and the end of the longest."""
    return Counter(round(line.left) for line in lines).most_common(1)[0][0], max(line.right for line in lines)


def heading_sizes(lines: list[Line], size: float) -> dict[float, int]:
    """Heading levels by font size above the body text, 1 for the largest."""
    larger = sorted({line.size for line in lines if line.size >= LARGER * size}, reverse=True)
    return {size: level for level, size in enumerate(larger, 1)}


def block(text: str, first: Line, level: int | None) -> Block:
    place = f"page {first.page}"
    if first.table:
        return Block("table", first.as_table(), place if first.page_end == first.page else f"pages {first.page}–{first.page_end}")
    return Block("paragraph", text, place) if level is None else Block("heading", text, place, level)
