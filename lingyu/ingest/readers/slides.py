"""PPTX: the title of a slide as a heading, its text, tables and notes, slide by slide."""

import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingyu.ingest.readers import Block, Reading, Unreadable, markdown_table

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
# Placeholders that repeat on every slide: date, footer, number.
RUNNING = {"dt", "ftr", "sldNum", "hdr"}


def blocks(path: Path, how: Reading) -> Iterator[Block]:
    try:
        with zipfile.ZipFile(path) as parts:
            for number, name in enumerate(slides(parts), 1):
                yield from slide(parts, name, f"slide {number}")
    except Exception as error:  # whatever a broken file provokes in the library, the file is what is broken
        raise Unreadable("unreadable", f"not a PPTX that can be opened ({type(error).__name__}: {error}); save it anew") from error


def slides(parts: zipfile.ZipFile) -> Iterator[str]:
    """The names of the slides' parts, in the order in which they are shown."""
    targets = relations(parts, "ppt/presentation.xml")
    for slide in root(parts, "ppt/presentation.xml").iter(f"{P}sldId"):
        yield targets[slide.get(f"{R}id")][1]


def relations(parts: zipfile.ZipFile, name: str) -> dict[str, tuple[str, str]]:
    """What a part refers to, by id: the kind and the part's name."""
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

    return etree.fromstring(parts.read(name), etree.XMLParser(resolve_entities=False, no_network=True))


def slide(parts: zipfile.ZipFile, name: str, place: str) -> Iterator[Block]:
    shapes = list(root(parts, name).iter(f"{P}sp", f"{P}graphicFrame"))
    titles = [shape for shape in shapes if placeholder(shape) in ("title", "ctrTitle")]
    title = " ".join(" ".join(text for text, _ in lines(shape)) for shape in titles)
    if title.strip():
        yield Block("heading", " ".join(title.split()), place, 1)
    for shape in shapes:
        if shape in titles or placeholder(shape) in RUNNING:
            continue
        for table in shape.iter(f"{A}tbl"):
            yield from of_table(table, place)
        if shape.tag == f"{P}sp":
            yield from (Block("paragraph", "  " * depth + f"- {text}" if depth else text, place) for text, depth in lines(shape))
        else:
            yield from (Block("paragraph", text, place) for text in drawn(parts, name, shape))
    for kind, target in relations(parts, name).values():
        if kind == "notesSlide":
            for shape in root(parts, target).iter(f"{P}sp"):
                if placeholder(shape) == "body":
                    yield from (Block("paragraph", text, f"{place}, notes") for text, _ in lines(shape))


def placeholder(shape: Any) -> str:
    """What the shape is for on the slide: title, body, ftr …; "" where it was drawn freely."""
    marks = [mark.get("type", "body") for mark in shape.iter(f"{P}ph")]
    return marks[0] if marks else ""


def lines(shape: Any) -> Iterator[tuple[str, int]]:
    """The paragraphs of a shape with their depth."""
    for paragraph in shape.iter(f"{A}p"):
        text = "".join("\n" if part.tag == f"{A}br" else part.text or "" for part in paragraph.iter(f"{A}t", f"{A}br")).strip()
        properties = paragraph.find(f"{A}pPr")
        depth = properties.get("lvl", "0") if properties is not None else "0"
        if text:
            yield text, int(depth) if depth.isdigit() else 0


def of_table(table: Any, place: str) -> Iterator[Block]:
    """A table whose merged cells say in each of their places what they say."""
    rows: list[list[str]] = []
    for row in table.iter(f"{A}tr"):
        cells: list[str] = []
        for cell in row.findall(f"{A}tc"):
            if cell.get("hMerge") in ("1", "true") and cells:
                cells.append(cells[-1])
            elif cell.get("vMerge") in ("1", "true") and rows and len(cells) < len(rows[-1]):
                cells.append(rows[-1][len(cells)])
            else:
                cells.append(" ".join(text for text, _ in lines(cell)))
        rows.append(cells)
    if any(cell for row in rows for cell in row):
        yield Block("table", markdown_table(rows), place)


def drawn(parts: zipfile.ZipFile, name: str, frame: Any) -> Iterator[str]:
    """The words of a diagram (SmartArt), which stand in a part of their own."""
    targets = relations(parts, name)
    for element in frame.iter():
        if (identity := element.get(f"{R}dm")) in targets:
            yield from (text for text, _ in lines(root(parts, targets[identity][1])))
