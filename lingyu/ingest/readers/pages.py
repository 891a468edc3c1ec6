"""The lines and tables of a PDF page in reading order, column by column."""

from bisect import bisect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lingyu.ingest.readers import markdown_table
from lingyu.ingest.readers.ink import without_unknown
from lingyu.ingest.readers.shown import LeftOut
from lingyu.ingest.readers.upright import parts_of
from lingyu.text.normalise import joined
from lingyu.text.symbols import without_private

COLUMN = 5  # minimum lines on each side of a gap between two columns
BESIDE = 90  # the columns of text in another direction than most of the page
FEW = 30  # characters: a page number or a stamp on an image, not a page of text


@dataclass
class Line:
    """A line of text or a whole table, with its box on the page and the properties used to build paragraphs."""

    text: str
    page: int
    left: float
    right: float
    top: float
    bottom: float
    size: float = 0.0
    bold: bool = False
    column: int = 0  # 1, 2 … on a page of more than one, 0 across them or on a page of one
    beside: bool = False  # runs in another direction than most of the page
    table: list[list[str]] = field(default_factory=list)
    caption: str = ""

    def __post_init__(self) -> None:
        self.page_end = self.page

    def as_table(self) -> str:
        return f"{self.caption}\n{markdown_table(self.table)}" if self.caption else markdown_table(self.table)


def unread(page: Any) -> str:
    """Why a non-empty page has no readable text; "" if it has."""
    text = "".join(char["text"] for char in page.chars if not char["text"].isspace())
    codes = sum(len(char["text"]) > 1 and char["text"].startswith("(cid:") for char in page.chars)
    if codes > len(page.chars) / 5:
        return "its font has no mapping to characters"
    if len(text) > FEW:
        return ""
    area = sum(abs((image["x1"] - image["x0"]) * (image["bottom"] - image["top"])) for image in page.images)
    if page.images and (not text or area > 0.6 * page.width * page.height):
        return "an image without text, probably scanned"
    if not text and len(page.curves) > 100:
        return "its text is drawn as outlines"
    return ""


def lines_of(page: Any, left: LeftOut) -> Iterator[Line]:
    """The content of a page: tables of at least two rows and columns, and the lines outside them; then rotated text."""
    place = f"page {page.page_number}"
    for line in known_and_unknown(page, left):
        line.text = without_unknown(line.text, left, place)
        line.table = [[without_unknown(cell, left, place) for cell in row] for row in line.table]
        yield line


def known_and_unknown(page: Any, left: LeftOut) -> Iterator[Line]:
    """The same, with codes for private use as the page has them."""
    most, *others = parts_of(page, left)
    aside = {part.angle: part.page.chars for part in others}
    number = page.page_number
    tables = []
    for table in most.page.find_tables():
        rows = [
            [" ".join(cell.split("\n")) if cell and cell.isascii() else joined_lines(cell or "") for cell in row] for row in table.extract()
        ]
        if others and most.angle == 0:
            rows = with_sideways(table, rows, page, aside)
        rows = [row for row in rows if any(cell.strip() for cell in row)]
        if len(rows) >= 2 and len(rows[0]) >= 2:
            left_edge, top, right, bottom = table.bbox
            tables.append(Line("", number, left_edge, right, top, bottom, table=rows))
    yield from lines_and_tables(most.page, number, tables)
    for part in others:
        part.page._objects["char"] = aside[part.angle]
        for line in text_lines(part.page, number, BESIDE + part.angle // 90):
            line.beside = True
            yield line


def with_sideways(table: Any, rows: list[list[str]], page: Any, aside: dict[int, list[dict[str, Any]]]) -> list[list[str]]:
    """The rows of a table with rotated text in its cells, which is removed from the other rotated text."""
    for angle, chars in aside.items():
        back = {id(char): unturned(char, page.bbox, angle) for char in chars}
        for row, cells in zip(rows, table.rows, strict=True):
            for at, cell in enumerate(cells.cells):
                inside = [char for char in aside[angle] if cell and within(back[id(char)], cell)]
                if inside:
                    words = page_of(page, inside).extract_text()
                    row[at] = " ".join(filter(None, [row[at], joined_lines(words)]))
                    ids = {id(char) for char in inside}
                    aside[angle] = [char for char in aside[angle] if id(char) not in ids]
    return rows


def page_of(page: Any, chars: list[dict[str, Any]]) -> Any:
    """A page with only these characters."""
    made = page.filter(lambda _: False)
    made._objects = {"char": chars}
    return made


def within(middle: tuple[float, float], box: tuple[float, float, float, float]) -> bool:
    return box[0] <= middle[0] <= box[2] and box[1] <= middle[1] <= box[3]


def unturned(char: dict[str, Any], box: tuple[float, float, float, float], angle: int) -> tuple[float, float]:
    """The middle of a character in the coordinates before rotation."""
    across, down = (char["x0"] + char["x1"]) / 2, (char["top"] + char["bottom"]) / 2
    left, top, right, bottom = box
    if angle == 90:
        return left + down, bottom - across
    return (right - down, top + across) if angle == 270 else (right - across, bottom - down)


def lines_and_tables(page: Any, number: int, tables: list[Line]) -> Iterator[Line]:
    """The tables, and the lines outside them column by column."""
    outside = page
    for table in tables:
        outside = outside.outside_bbox((table.left, table.top, table.right, table.bottom), strict=False)
    runs = outside.extract_words(keep_blank_chars=True, x_tolerance_ratio=1.2)
    gaps, across = gaps_of(runs, page.bbox[0], page.bbox[2])
    if not gaps:
        yield from sorted([*tables, *text_lines(outside, number)], key=lambda line: (line.top, line.left))
        return

    def column_of(char: Any) -> int:
        if any(top <= (char["top"] + char["bottom"]) / 2 <= bottom for top, bottom in across):
            return 0
        return bisect(gaps, char["x0"] + 1) + 1

    found = []
    for column in range(len(gaps) + 2):
        part = outside.filter(lambda thing, column=column: thing["object_type"] != "char" or column_of(thing) == column)
        found += text_lines(part, number, column)
    for table in tables:
        crossed = any(table.left < gap < table.right for gap in gaps)
        table.column = 0 if crossed else bisect(gaps, table.left + 1) + 1
    yield from in_reading_order([*found, *tables])


def gaps_of(runs: list[dict[str, Any]], left: float, right: float) -> tuple[list[float], list[tuple[float, float]]]:
    """The starts of the second and further columns, and the tops and bottoms of the runs across them."""
    gap, across = columns_of(runs, right - left, left)
    if not gap:
        return [], []
    crossing = [run for run in runs if run["x0"] < gap < run["x1"]]
    before, bars_before = gaps_of([run for run in runs if run["x1"] <= gap], left, gap)
    after, bars_after = gaps_of([run for run in runs if run["x0"] >= gap and run not in crossing], gap, right)
    return [*before, gap, *after], [*across, *bars_before, *bars_after]


def in_reading_order(lines: list[Line]) -> list[Line]:
    """Column by column; lines across the columns separate those above from those below."""
    bars = sorted(line.top for line in lines if line.column == 0)
    return sorted(lines, key=lambda line: (2 * bisect(bars, line.top) - (line.column == 0), line.column, line.top))


def text_lines(page: Any, number: int, column: int = 0) -> list[Line]:
    found = []
    for line in page.extract_text_lines(strip=True, return_chars=True):
        sizes = Counter(round(char["size"], 1) for char in line["chars"])
        bold = sum("bold" in char["fontname"].lower() or "black" in char["fontname"].lower() for char in line["chars"])
        box = (line["x0"], line["x1"], line["top"], line["bottom"])
        found.append(Line(without_private(line["text"]), number, *box, sizes.most_common(1)[0][0], bold > len(line["chars"]) / 2, column))
    return found


def columns_of(runs: list[dict[str, Any]], width: float, begins: float = 0) -> tuple[float, list[tuple[float, float]]]:
    """The start of the second column, and the tops and bottoms of the runs across both; 0 and none on a single-column page.

    Unlike a form or a table without rules, two text columns have full lines on the left and left-aligned lines on the right.
    """
    starts = Counter(round(run["x0"]) for run in runs if 0.35 * width < run["x0"] - begins < 0.7 * width)
    if not starts:
        return 0, []
    gap = starts.most_common(1)[0][0] - 1.0
    left = [run for run in runs if run["x1"] <= gap]
    right = [run for run in runs if run["x0"] >= gap]
    across = [run for run in runs if run["x0"] < gap < run["x1"]]
    if min(len(left), len(right)) < COLUMN or len(across) > 0.3 * len(runs):
        return 0, []
    edge = max(run["x1"] for run in left)
    full = sum(run["x1"] > edge - 1.5 * (run["bottom"] - run["top"]) for run in left)
    together = sum(run["x0"] < gap + 3 for run in right)
    wide = sum(run["x1"] - run["x0"] > 0.2 * width for run in left + right)
    if full < 0.4 * len(left) or together < 0.5 * len(right) or wide < 0.5 * len(left + right):
        return 0, []
    return gap, [(run["top"], run["bottom"]) for run in across]


def joined_lines(text: str) -> str:
    """The joined lines of a table cell."""
    whole = ""
    for line in without_private(text).split("\n"):
        whole = joined(whole, line.strip())
    return whole
