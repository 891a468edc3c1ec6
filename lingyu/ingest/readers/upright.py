"""The characters of a PDF page in reading direction: rotated upright, with form values, without watermarks and struck-out text.

A page is split by reading direction: each part has its own coordinates, in which lines run from left to right.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lingyu.ingest.readers.ink import report_unmapped, without_unseen
from lingyu.ingest.readers.shown import TICKED, UNTICKED, LeftOut, lowered, raised
from lingyu.text.symbols import is_picture_font, symbol

Char = dict[str, Any]

SLANTED = 8  # degrees from which a line of text is a watermark; scans are skewed less
SMALLER = 0.8  # times the size of its neighbour, at most: what is raised or lowered
RAISED, LOWERED = 0.2, -0.08  # parts of the neighbour's size by which it is
BLANKS_TO_FILL = set("_＿—―─━-–.…·")  # text may be written upon them
PUSHBUTTON, PASSWORD = 1 << 16, 1 << 13  # flags of form fields
UNSHOWN = 2 | 32  # flags of annotations: hidden, not shown on screens


@dataclass
class Part:
    """The text of a page in one direction. beside: not the direction of most of the page."""

    page: Any
    angle: int
    beside: bool


def parts_of(page: Any, left: LeftOut) -> list[Part]:
    """The page by reading direction, the main direction first. Omitted text is recorded in `left`."""
    place = f"page {page.page_number}"
    every: list[Char] = page.chars
    chars = report_unmapped(without_unseen(page, every, left, place), left, place)
    annotations = page.annots if page.page_obj.attrs.get("Annots") else []
    struck_boxes: list[tuple[float, float, float, float]] = []
    filled: list[Char] = []
    if annotations:
        filled, struck_boxes = annotated(page, annotations, chars, left)
        chars = [*chars, *filled]
    straight = [char for char in chars if angle_of(char) is not None]
    if len(straight) < len(chars):
        left.add("watermark", text_of([char for char in chars if angle_of(char) is None]), place)
    within = [char for char in straight if on_page(char, page.bbox)]
    if len(within) < len(straight):
        left.add("hidden_text", text_of([char for char in straight if not on_page(char, page.bbox)]), place)
    straight = without_overlaid(without_struck(page, within, struck_boxes, left, place), left, place)
    groups: dict[int, list[Char]] = defaultdict(list)
    for char in straight:
        groups[angle_of(char) or 0].append(char)
    vertical = written_downwards(groups[0])
    if vertical:
        ids = {id(char) for char in vertical}
        groups[0] = [char for char in groups[0] if id(char) not in ids]
        groups[270] = vertical + groups.get(270, [])
    ordered = sorted(((angle, group) for angle, group in groups.items() if group), key=lambda pair: -len(pair[1])) or [(0, [])]
    if len(ordered) == 1 and ordered[0][0] == 0 and chars is every and len(straight) == len(every) and not small(every):
        return [Part(page, 0, False)]
    return [Part(turned(page, group, angle), angle, number > 0) for number, (angle, group) in enumerate(ordered)]


def text_of(chars: list[Char]) -> str:
    return "".join(char["text"] for char in chars)


def on_page(char: Char, box: tuple[float, float, float, float]) -> bool:
    across, down = (char["x0"] + char["x1"]) / 2, (char["top"] + char["bottom"]) / 2
    return bool(box[0] <= across <= box[2] and box[1] <= down <= box[3])


def angle_of(char: Char) -> int | None:
    """The reading direction of a character, 0, 90, 180 or 270 degrees counter-clockwise; None if it is slanted."""
    a, b = char["matrix"][:2]
    if b == 0:
        return 0 if a >= 0 else 180
    degrees = math.degrees(math.atan2(b, a)) % 360
    nearest = round(degrees / 90) * 90
    return nearest % 360 if abs(degrees - nearest) <= SLANTED else None


def turned(page: Any, chars: list[Char], angle: int) -> Any:
    """The page with these characters only, rotated upright."""
    from pdfplumber.page import FilteredPage

    made = FilteredPage(page, lambda _: True)
    left, top, right, bottom = page.bbox

    def box(thing: dict[str, Any]) -> tuple[float, float, float, float]:
        if angle == 90:
            return bottom - thing["bottom"], bottom - thing["top"], thing["x0"] - left, thing["x1"] - left
        if angle == 270:
            return thing["top"] - top, thing["bottom"] - top, right - thing["x1"], right - thing["x0"]
        return right - thing["x1"], right - thing["x0"], bottom - thing["bottom"], bottom - thing["top"]

    def point(at: tuple[float, float]) -> tuple[float, float]:
        across, down = at
        if angle == 90:
            return bottom - down, across - left
        return (down - top, right - across) if angle == 270 else (right - across, bottom - down)

    def upright(thing: dict[str, Any]) -> dict[str, Any]:
        x0, x1, above, below = box(thing)
        found = thing | {"x0": x0, "x1": x1, "top": above, "bottom": below, "doctop": above, "width": x1 - x0, "height": below - above}
        if "pts" in thing:
            found["pts"] = [point(at) for at in thing["pts"]]
        if thing["object_type"] == "char":
            found |= {"upright": True, "size": below - above}
        return found

    if angle:
        made._objects = {kind: [upright(thing) for thing in things] for kind, things in page.objects.items() if kind != "char"}
        made.bbox = (0, 0, bottom - top, right - left) if angle != 180 else (0, 0, right - left, bottom - top)
        chars = [upright(char) for char in chars]
        if angle == 270:
            chars = close_up(chars)
    else:
        made._objects = {kind: things for kind, things in page.objects.items() if kind != "char"}
    made._objects["char"] = on_the_line(chars)
    return made


# Writing from top to bottom


def written_downwards(chars: list[Char]) -> list[Char]:
    """The characters of vertical columns, if most upright characters are in such columns."""
    down, across = set[int](), set[int]()
    for before, char in pairwise(chars):
        size = char["size"] or 1
        right, below = char["x0"] - before["x0"], char["top"] - before["top"]
        if abs(right) < 0.3 * size and 0.7 * size < below < 2.5 * size:
            down |= {id(before), id(char)}
        elif abs(below) < 0.3 * size and 0 < right < 2.5 * size:
            across |= {id(before), id(char)}
    down -= across
    return [char for char in chars if id(char) in down or id(char) not in across] if len(down) > len(across) and len(down) > 8 else []


def close_up(chars: list[Char]) -> list[Char]:
    """Removes gaps of less than one character in a column: they are not spaces."""
    lines: dict[int, list[Char]] = defaultdict(list)
    for char in chars:
        lines[round((char["top"] + char["bottom"]) / 2 / 3)].append(char)
    for line in lines.values():
        line.sort(key=lambda char: char["x0"])
        for char, after in pairwise(line):
            if 0 < after["x0"] - char["x1"] < 0.8 * char["size"]:
                char["x1"] = after["x0"]
    return chars


# Raised and lowered


def small(chars: list[Char]) -> bool:
    """Whether `on_the_line` may change the page: different sizes, or picture fonts."""
    sizes = {round(char["size"], 1) for char in chars}
    return (len(sizes) > 1 and min(sizes) <= SMALLER * max(sizes)) or any(map(is_picture_font, {family(char) for char in chars}))


def family(char: Char) -> str:
    """The name of a font without the letters before it that mark a part of it, and what Office writes behind it."""
    return re.sub(r"(?:-Regular|MT)$", "", char["fontname"].partition("+")[2] or char["fontname"]).replace("-", " ").strip()


def on_the_line(chars: list[Char]) -> list[Char]:
    """The characters with superscripts and subscripts marked as such, and picture fonts as characters."""
    pictured = [
        char | {"text": symbol(family(char), ord(char["text"])) or char["text"]}
        if len(char["text"]) == 1 and is_picture_font(family(char)) and (char["text"] < "\x80" or char["text"] >= "\ue000")
        else char
        for char in chars
    ]
    runs = list(level_runs(pictured))
    made: list[Char] = []
    base: Char | None = None  # the last character of full size
    for number, run in enumerate(runs):
        first = run[0]
        before = runs[number - 1][-1] if number else None
        after = runs[number + 1][0] if number + 1 < len(runs) else None
        near = base if base and before and next_to(before, first, base["size"]) else None
        how = moved(first, near) if near else ""
        if not how and after and next_to(run[-1], after, after["size"]) and (how := moved(first, after)) == "raised":
            near = after  # ¹⁴C
        if how and near and len(run) <= 12:
            text = (raised if how == "raised" else lowered)(text_of(run))
            like = {name: near[name] for name in ("top", "bottom", "doctop", "size", "fontname")}
            same = len(text) == len(run)
            made += [char | like | {"text": text[at] if same else "" if at else text} for at, char in enumerate(run) if same or not at]
            if not same:
                made[-1] = made[-1] | {"x1": run[-1]["x1"]}
        else:
            made += run
            base = run[-1]
    return made


def level_runs(chars: list[Char]) -> Iterator[list[Char]]:
    """Runs of characters of the same size and height."""
    run: list[Char] = []
    for char in chars:
        if run and (
            abs(char["size"] - run[-1]["size"]) > 0.2 or abs(char["bottom"] - run[-1]["bottom"]) > 0.5 or char["x0"] < run[-1]["x0"]
        ):
            yield run
            run = []
        run.append(char)
    if run:
        yield run


def next_to(before: Char, char: Char, size: float) -> bool:
    """Whether a character directly follows another, at any height of the line."""
    return bool(
        -0.3 * size <= char["x0"] - before["x1"] <= 0.35 * size and char["top"] < before["bottom"] and before["top"] < char["bottom"]
    )


def moved(char: Char, base: Char) -> str:
    """Whether a smaller character is raised or lowered next to one of full size; about a fifth of both is below the baseline."""
    if char["size"] > SMALLER * base["size"]:
        return ""
    by = (base["bottom"] - 0.2 * base["size"]) - (char["bottom"] - 0.2 * char["size"])
    return "raised" if by > RAISED * base["size"] else "lowered" if by < LOWERED * base["size"] else ""


# Watermarks and struck-out text


def without_overlaid(chars: list[Char], left: LeftOut, place: str) -> list[Char]:
    """The characters without those printed over others: a watermark of another size or colour."""
    looks = Counter((round(char["size"], 1), str(char.get("non_stroking_color"))) for char in chars)
    if len(looks) < 2:
        return chars
    usual = looks.most_common(1)[0][0]
    cells: dict[tuple[int, int], list[Char]] = defaultdict(list)
    groups: dict[tuple[float, str], list[Char]] = defaultdict(list)
    for char in chars:
        look = (round(char["size"], 1), str(char.get("non_stroking_color")))
        if char["text"].isspace() or char["text"] in BLANKS_TO_FILL:
            continue
        if look == usual:
            cells[int((char["x0"] + char["x1"]) / 2) // 12, int((char["top"] + char["bottom"]) / 2) // 12].append(char)
        else:
            groups[look].append(char)
    gone: set[tuple[float, str]] = set()
    for look, group in groups.items():
        over = sum(covers(char, cells) for char in group)
        if over >= 2 and over >= 0.3 * len(group):
            gone.add(look)
            left.add("watermark", text_of(group), place)
    return [char for char in chars if (round(char["size"], 1), str(char.get("non_stroking_color"))) not in gone] if gone else chars


def covers(char: Char, cells: dict[tuple[int, int], list[Char]]) -> bool:
    """Whether the middle of another character lies well within this one."""
    aside, height = 0.1 * (char["x1"] - char["x0"]), 0.1 * (char["bottom"] - char["top"])
    box = (char["x0"] + aside, char["top"] + height, char["x1"] - aside, char["bottom"] - height)
    return any(
        on_page(other, box)
        for across in range(int(box[0]) // 12, int(box[2]) // 12 + 1)
        for down in range(int(box[1]) // 12, int(box[3]) // 12 + 1)
        for other in cells.get((across, down), ())
    )


def without_struck(page: Any, chars: list[Char], boxes: list[tuple[float, float, float, float]], left: LeftOut, place: str) -> list[Char]:
    """The characters without struck-out ones: with a line of about their length through the middle, or marked as struck out."""
    thin = [thing for thing in (*page.lines, *page.rects) if abs(thing["bottom"] - thing["top"]) < 2 and thing["x1"] - thing["x0"] > 3]
    if not thin and not boxes:
        return chars
    rows: dict[int, list[Char]] = defaultdict(list)
    for char in chars:
        if angle_of(char) == 0:
            rows[int((char["top"] + char["bottom"]) / 2) // 4].append(char)
    gone: set[int] = set()
    for line in thin:
        down = (line["top"] + line["bottom"]) / 2
        near = [char for row in range(int(down) // 4 - 2, int(down) // 4 + 3) for char in rows.get(row, ())]
        crossed = [char for char in near if crosses(line, down, char)]
        letters = [char for char in crossed if char["text"] not in BLANKS_TO_FILL]
        if not any(char["text"].strip() for char in letters):
            continue
        size = letters[0]["size"]
        first, last = min(char["x0"] for char in letters), max(char["x1"] for char in letters)
        if line["x0"] > first - 0.6 * size and line["x1"] < last + 0.6 * size:
            gone |= {id(char) for char in crossed}
    gone |= {id(char) for char in chars for box in boxes if on_page(char, box)}
    if not gone:
        return chars
    left.add("struck_text", text_of([char for char in chars if id(char) in gone]), place)
    return [char for char in chars if id(char) not in gone]


def crosses(line: dict[str, Any], down: float, char: Char) -> bool:
    height = char["bottom"] - char["top"]
    middle = (char["x0"] + char["x1"]) / 2
    return bool(line["x0"] <= middle <= line["x1"] and char["top"] + 0.35 * height < down < char["top"] + 0.72 * height)


# Forms and notes


def annotated(
    page: Any, annotations: list[dict[str, Any]], chars: list[Char], left: LeftOut
) -> tuple[list[Char], list[tuple[float, float, float, float]]]:
    """The values of the page's form fields and text boxes as characters, and the boxes of text marked as struck out."""
    filled: list[Char] = []
    struck: list[tuple[float, float, float, float]] = []
    sizes = Counter(round(char["size"], 1) for char in chars if not char["text"].isspace())
    usual = sizes.most_common(1)[0][0] if sizes else 11.0
    font = next((char["fontname"] for char in chars if round(char["size"], 1) == usual), "")
    for one in annotations:
        data = one["data"]
        kind = named(data.get("Subtype"))
        box = (float(one["x0"]), float(one["top"]), float(one["x1"]), float(one["bottom"]))
        if kind == "StrikeOut":
            struck.append(box)
            continue
        if kind not in ("Widget", "FreeText"):
            continue
        text = field_value(data) if kind == "Widget" else typed(data.get("Contents"))
        if whole_number(data.get("F")) & UNSHOWN:
            left.add("hidden_text", text.replace(UNTICKED, ""), f"page {page.page_number}")
            continue
        lines = [line for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
        for number, line in enumerate(lines):
            height = (box[3] - box[1]) / len(lines)
            middle = box[1] + height * (number + 0.5)
            near = [char for char in chars if char["top"] < middle < char["bottom"] and abs(char["size"] - usual) < 1]
            top = near[0]["top"] if near else middle - usual / 2
            width = min((box[2] - box[0]) / len(line), usual) if len(line) > 1 else min(usual, box[2] - box[0])
            for at, letter in enumerate(line):
                x0 = box[0] + at * width
                filled.append(typed_char(letter, x0, width, top, usual, font))
    return filled, struck


def typed_char(letter: str, x0: float, width: float, top: float, size: float, font: str) -> Char:
    """A character in pdfplumber's form."""
    place = {"x0": x0, "x1": x0 + width, "top": top, "bottom": top + size, "doctop": top, "width": width, "height": size, "adv": width}
    look = {"size": size, "fontname": font, "upright": True, "matrix": (1, 0, 0, 1, x0, top), "non_stroking_color": None}
    return {"object_type": "char", "text": letter, **place, **look}


def field_value(data: dict[str, Any]) -> str:
    """The value of a form field, its own or of its parent field."""
    from pdfminer.pdftypes import resolve1

    found: dict[str, Any] = {}
    at: Any = data
    for _ in range(8):
        if not isinstance(at, dict):
            break
        found = {name: value for name, value in at.items() if name in ("FT", "V", "Ff")} | found
        at = resolve1(at.get("Parent"))
    kind, flags, value = named(found.get("FT")), whole_number(found.get("Ff")), resolve1(found.get("V"))
    if kind == "Btn":
        if flags & PUSHBUTTON:
            return ""
        state = named(data.get("AS")) if data.get("AS") is not None else named(value)
        return TICKED if state not in ("", "Off") else UNTICKED
    if kind not in ("Tx", "Ch") or (kind == "Tx" and flags & PASSWORD):
        return ""
    return "、".join(filter(None, map(typed, value))) if isinstance(value, list) else typed(value)


def typed(value: Any) -> str:
    """A text of a PDF, which may be in one of two encodings, or in a stream."""
    from pdfminer.pdftypes import PDFStream, resolve1
    from pdfminer.utils import decode_text

    value = resolve1(value)
    if isinstance(value, PDFStream):
        value = value.get_data()
    return decode_text(value) if isinstance(value, bytes) else value if isinstance(value, str) else ""


def named(value: Any) -> str:
    from pdfminer.pdftypes import resolve1

    value = resolve1(value)
    name = getattr(value, "name", value)
    return name.decode("latin-1") if isinstance(name, bytes) else str(name) if isinstance(name, str) else ""


def whole_number(value: Any) -> int:
    from pdfminer.pdftypes import resolve1

    value = resolve1(value)
    return value if isinstance(value, int) else 0
