"""PDF: paragraphs out of lines, headings by size, tables, and the lines that repeat on every page left out."""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from lingyu.corpus.marks import ARTICLE, ENDS, LIST_ITEM, UNIT, bare
from lingyu.corpus.normalise import joined, normal
from lingyu.corpus.readers import Block, Fault, Unreadable, markdown_table

EDGE = 2  # lines at the top and at the bottom of a page among which running lines are looked for
LARGER = 1.15  # times the size of the running text: a heading
PAGE_NUMBER = re.compile(r"[-–— ]*(?:第|page|p\.)?\s*\d{1,4}\s*页?(?:\s*(?:/|of|共|,|，)\s*共?\s*\d{1,4}\s*页?)?[-–— ]*", re.IGNORECASE)


@dataclass
class Line:
    """A line of text, or a whole table, with its box on the page; what the rules below need to know of it."""

    text: str
    page: int
    left: float
    right: float
    top: float
    bottom: float
    size: float = 0.0
    bold: bool = False
    table: bool = False


def blocks(path: Path) -> Iterator[Block | Fault]:
    pages, unread = read(path)
    if not any(pages):
        raise Unreadable("needs_ocr", f"none of its {len(pages)} pages has text; it looks scanned. Run it through OCR first")
    for page in unread:
        yield Fault(f"page {page}", "needs_ocr", "an image without text; run the file through OCR first")
    running = running_lines(pages)
    for text, lines in running.items():
        yield Fault(f"{len(lines)} pages", "running_line", "a header, footer or page number, no part of the text", text)
    left_out = {id(line) for lines in running.values() for line in lines}
    yield from paragraphs([[line for line in page if id(line) not in left_out] for page in pages])


def read(path: Path) -> tuple[list[list[Line]], list[int]]:
    """The lines and tables of each page from top to bottom, and the pages that are images without text."""
    import pdfplumber

    logging.getLogger("pdfminer").setLevel(logging.ERROR)  # a warning for each odd font, many a page
    pages, unread = [], []
    try:
        with pdfplumber.open(path) as pdf:
            for page in pdf.pages:
                lines = list(lines_of(page))
                if not lines and page.images:
                    unread.append(page.page_number)
                pages.append(lines)
                page.close()
    except Exception as error:  # whatever a broken file provokes in the library, the file is what is broken
        if "password" in f"{type(error).__name__} {error!r}".lower():
            raise Unreadable("password", "protected by a password; save it without one") from error
        raise Unreadable("unreadable", f"not a PDF that can be read ({type(error).__name__}: {error})") from error
    return pages, unread


def lines_of(page: Any) -> Iterator[Line]:
    """What a page holds from top to bottom: tables of at least two rows and columns, and the lines outside them."""
    found, number = [], page.page_number
    for table in page.find_tables():
        rows = [
            [" ".join(cell.split("\n")) if cell and cell.isascii() else joined_lines(cell or "") for cell in row] for row in table.extract()
        ]
        rows = [row for row in rows if any(cell.strip() for cell in row)]
        if len(rows) >= 2 and len(rows[0]) >= 2:
            left, top, right, bottom = table.bbox
            found.append(Line(markdown_table(rows), number, left, right, top, bottom, table=True))
    outside = page
    for table in found:
        outside = outside.outside_bbox((table.left, table.top, table.right, table.bottom), strict=False)
    for line in outside.extract_text_lines(strip=True, return_chars=True):
        sizes = Counter(round(char["size"], 1) for char in line["chars"])
        bold = sum("bold" in char["fontname"].lower() or "black" in char["fontname"].lower() for char in line["chars"])
        size = sizes.most_common(1)[0][0]
        found.append(Line(line["text"], number, line["x0"], line["x1"], line["top"], line["bottom"], size, bold > len(line["chars"]) / 2))
    yield from sorted(found, key=lambda line: (line.top, line.left))


def joined_lines(text: str) -> str:
    """The lines of a table's cell as one."""
    whole = ""
    for line in text.split("\n"):
        whole = joined(whole, line.strip())
    return whole


def running_lines(pages: list[list[Line]]) -> dict[str, list[Line]]:
    """The lines at the edge of pages that say the same, but for numbers, on most pages; and page numbers."""
    seen: dict[str, list[Line]] = {}
    for page in pages:
        for line in {id(line): line for line in page[:EDGE] + page[-EDGE:]}.values():
            text = normal(line.text)
            form = "#" if PAGE_NUMBER.fullmatch(text) else re.sub(r"\d+", "#", text) + f" {line.size}"  # a title is set larger
            if not line.table:
                seen.setdefault(form, []).append(line)
    enough = max(2, len(pages) / 2)
    return {lines[0].text: lines for form, lines in seen.items() if form == "#" or len({line.page for line in lines}) >= enough}


def paragraphs(pages: list[list[Line]]) -> Iterator[Block]:
    """Lines joined to paragraphs and headings, across lines and pages."""
    lines = [line for page in pages for line in page]
    text = [line for line in lines if not line.table]
    if not text:
        yield from (Block("table", line.text, f"page {line.page}") for line in lines)
        return
    body = Counter[float]()
    for line in text:
        body[line.size] += len(line.text)
    size = body.most_common(1)[0][0]
    plain = [line for line in text if line.size == size]
    left, right = Counter(round(line.left) for line in plain).most_common(1)[0][0], max(line.right for line in plain)
    pitches = sorted(below.top - above.top for above, below in pairwise(plain) if above.page == below.page and below.top > above.top)
    pitch = pitches[len(pitches) // 5] if pitches else 1.5 * size  # within paragraphs; between them it is often more
    all_bold = sum(line.bold for line in plain) > len(plain) / 2
    levels = heading_sizes(text, size)

    def level_of(line: Line) -> int | None:
        if line.table or len(line.text) > 60 or line.text.endswith(("。", "；", "，", ";", ",")):
            return None
        if line.size in levels:
            return levels[line.size]
        return len(levels) + 1 if line.bold and not all_bold and line.size == size else None

    def goes_on(line: Line, last: Line) -> bool:
        """Whether the line belongs to the paragraph or heading that the last one began."""
        if last.table or line.table or level_of(line) != level_of(last) or line.size != last.size:
            return False
        full = last.right > right - 2.5 * last.size
        if level_of(line) is not None:
            return full and line.page == last.page and line.top - last.top < 2 * line.size
        if line.page != last.page:
            return not last.text.endswith(ENDS)
        if line.top - last.top > 1.25 * pitch or (line.left > left + 1.2 * size and last.left <= left + 1.2 * size):
            return False
        begins = any(mark.match(bare(line.text)) for mark in (LIST_ITEM, ARTICLE, UNIT))
        return full and not (begins and last.text.endswith(ENDS))

    whole, first, last = "", None, None
    for line in lines:
        if first and last and goes_on(line, last):
            whole = joined(whole, line.text)
        else:
            if first:
                yield block(whole, first, level_of(first))
            whole, first = line.text, line
        last = line
    if first:
        yield block(whole, first, level_of(first))


def heading_sizes(lines: list[Line], size: float) -> dict[float, int]:
    """The sizes larger than the running text's, the largest 1."""
    larger = sorted({line.size for line in lines if line.size >= LARGER * size}, reverse=True)
    return {size: level for level, size in enumerate(larger, 1)}


def block(text: str, first: Line, level: int | None) -> Block:
    place = f"page {first.page}"
    if first.table:
        return Block("table", text, place)
    return Block("paragraph", text, place) if level is None else Block("heading", text, place, level)
