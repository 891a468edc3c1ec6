"""PPTX: the title of a slide as a heading, its text, tables and notes, slide by slide."""

import posixpath
import zipfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from lingyu.ingest.readers import Block, Fault, Reading, Unreadable, markdown_table
from lingyu.ingest.readers.formulas import M, of_office
from lingyu.ingest.readers.shown import LeftOut, lowered, raised
from lingyu.text.symbols import is_picture_font, symbol, without_private

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # for old programs; repeats its sibling
# Placeholders that repeat on every slide: date, footer, number.
RUNNING = {"dt", "ftr", "sldNum", "hdr"}


RUNS, PROPERTIES, TEXT = {f"{A}r", f"{A}fld"}, f"{A}rPr", f"{A}t"


def blocks(path: Path, how: Reading) -> Iterator[Block | Fault]:
    left = LeftOut()
    try:
        with zipfile.ZipFile(path) as parts:
            for number, name in enumerate(slides(parts), 1):
                yield from slide(parts, name, f"slide {number}", left)
    except Exception as error:  # the library raises many types for damaged files
        raise Unreadable("unreadable", f"cannot be opened as PPTX ({type(error).__name__}: {error}); save it again") from error
    yield from left.faults()


def slides(parts: zipfile.ZipFile) -> Iterator[str]:
    """The part names of the slides, in presentation order."""
    targets = relations(parts, "ppt/presentation.xml")
    for slide in root(parts, "ppt/presentation.xml").iter(f"{P}sldId"):
        yield targets[slide.get(f"{R}id")][1]


def relations(parts: zipfile.ZipFile, name: str) -> dict[str, tuple[str, str]]:
    """The relations of a part, by id: type and target part."""
    folder, file = posixpath.split(name)
    listed = f"{folder}/_rels/{file}.rels"
    if listed not in parts.namelist():
        return {}
    return {
        item.get("Id"): (
            item.get("Type").rpartition("/")[2],
            posixpath.normpath(posixpath.join("/", folder, item.get("Target"))).lstrip("/"),
        )
        for item in root(parts, listed)
        if item.get("TargetMode") != "External"
    }


def root(parts: zipfile.ZipFile, name: str) -> Any:
    from lxml import etree

    whole = etree.fromstring(parts.read(name), etree.XMLParser(resolve_entities=False, no_network=True))
    for again in list(whole.iter(FALLBACK)):
        again.getparent().remove(again)
    return whole


def slide(parts: zipfile.ZipFile, name: str, place: str, left: LeftOut) -> Iterator[Block]:
    whole = root(parts, name)
    shapes = [
        shape for shape in whole.iter(f"{P}sp", f"{P}graphicFrame") if not any(above.tag == FALLBACK for above in shape.iterancestors())
    ]
    if whole.get("show") in ("0", "false"):
        left.add("hidden_text", " ".join(text for shape in shapes for text, _ in lines(shape, LeftOut())), place)
        return
    for shape in [shape for shape in shapes if is_hidden(shape)]:
        left.add("hidden_text", " ".join(text for text, _ in lines(shape, LeftOut())), place)
        shapes.remove(shape)
    titles = [shape for shape in shapes if placeholder(shape) in ("title", "ctrTitle")]
    title = " ".join(" ".join(text for text, _ in lines(shape, left, place)) for shape in titles)
    if title.strip():
        yield Block("heading", " ".join(title.split()), place, 1)
    for shape in shapes:
        if shape in titles or placeholder(shape) in RUNNING:
            continue
        for table in shape.iter(f"{A}tbl"):
            yield from of_table(table, place, left)
        if shape.tag == f"{P}sp":
            yield from (
                Block("paragraph", "  " * depth + f"- {text}" if depth else text, place) for text, depth in lines(shape, left, place)
            )
        else:
            yield from (Block("paragraph", text, place) for text in drawn(parts, name, shape, left, place))
    for kind, target in relations(parts, name).values():
        if kind == "notesSlide":
            for shape in root(parts, target).iter(f"{P}sp"):
                if placeholder(shape) == "body":
                    yield from (Block("paragraph", text, f"{place}, notes") for text, _ in lines(shape, left, place))


def placeholder(shape: Any) -> str:
    """The placeholder type of the shape: title, body, ftr …; "" for a freely drawn shape."""
    marks = [mark.get("type", "body") for mark in shape.iter(f"{P}ph")]
    return marks[0] if marks else ""


def is_hidden(shape: Any) -> bool:
    """Whether a shape, or a group that it is in, is hidden on its slide."""
    owners = (shape, *shape.iterancestors(f"{P}grpSp"))
    return any(named.get("hidden") in ("1", "true") for owner in owners for named in owner.iterfind(f"*/{P}cNvPr"))


def lines(shape: Any, left: LeftOut, place: str = "") -> Iterator[tuple[str, int]]:
    """The paragraphs of a shape with their depth."""
    for paragraph in shape.iter(f"{A}p"):
        parts = [*visible_runs(paragraph, left, place)]
        if any(how for _, how in parts):
            parts = [(moved(how, "".join(text for text, _ in same)), 0) for how, same in groupby(parts, key=lambda part: part[1])]
        text = "".join(text for text, _ in parts).strip()
        properties = paragraph.find(f"{A}pPr")
        depth = properties.get("lvl", "0") if properties is not None else "0"
        if text:
            yield without_private(text), int(depth) if depth.isdigit() else 0


def moved(baseline: int, text: str) -> str:
    """A raised or lowered run in plain characters."""
    return raised(text) if baseline > 0 else lowered(text) if baseline < 0 else text


def visible_runs(parent: Any, left: LeftOut, place: str) -> Iterator[tuple[str, int]]:
    """The visible runs of a paragraph, each with its baseline shift."""
    for element in parent:
        if element.tag in RUNS:
            properties = element.find(PROPERTIES)
            text = "".join(part.text or "" for part in element.iterfind(TEXT))
            if properties is None or (not len(properties) and {*properties.keys()} <= {"lang", "dirty", "err", "altLang", "sz", "b", "i"}):
                yield text, 0
                continue
            fonts = [font.get("typeface") or "" for name in ("sym", "latin") if (font := properties.find(f"{A}{name}")) is not None]
            pictured = next((font for font in fonts if is_picture_font(font)), "")
            if pictured:
                text = "".join(
                    symbol(pictured, ord(letter)) or letter if ord(letter) < 256 or letter >= "\uf000" else letter for letter in text
                )
            if properties.get("strike", "noStrike") != "noStrike":
                left.add("struck_text", text, place)
            else:
                baseline = (properties.get("baseline") or "0").rstrip("%")
                yield text, int(baseline) if baseline.lstrip("-").isdigit() else 0
        elif element.tag == f"{A}br":
            yield "\n", 0
        elif element.tag in (f"{M}oMath", f"{M}oMathPara"):
            yield of_office(element), 0
        elif isinstance(element.tag, str):
            yield from visible_runs(element, left, place)


def of_table(table: Any, place: str, left: LeftOut) -> Iterator[Block]:
    """A table with the text of merged cells repeated in each position."""
    rows: list[list[str]] = []
    for row in table.iter(f"{A}tr"):
        cells: list[str] = []
        for cell in row.findall(f"{A}tc"):
            if cell.get("hMerge") in ("1", "true") and cells:
                cells.append(cells[-1])
            elif cell.get("vMerge") in ("1", "true") and rows and len(cells) < len(rows[-1]):
                cells.append(rows[-1][len(cells)])
            else:
                cells.append(" ".join(text for text, _ in lines(cell, left, place)))
        rows.append(cells)
    if any(cell for row in rows for cell in row):
        yield Block("table", markdown_table(rows), place)


def drawn(parts: zipfile.ZipFile, name: str, frame: Any, left: LeftOut, place: str) -> Iterator[str]:
    """The text of a diagram (SmartArt), which is stored in a separate part."""
    targets = relations(parts, name)
    for element in frame.iter():
        if (identity := element.get(f"{R}dm")) in targets:
            yield from (text for text, _ in lines(root(parts, targets[identity][1]), left, place))
