"""DOCX: headings by style or outline level, paragraphs with their automatic numbers, tables, notes, in the order in which they stand."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingyu.ingest.readers import Block, Fault, Reading, Unreadable, markdown_table
from lingyu.ingest.readers.numbering import Numbering, W, value_of

RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
# What was struck out, what only shows how a drawing looks in old programs, and the codes of fields.
UNSEEN = {f"{W}{name}" for name in ("del", "moveFrom", "instrText", "delText", "pPr", "rPr", "sectPr")} | {
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
}
SPACES = {f"{W}tab": " ", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}


def blocks(path: Path, how: Reading) -> Iterator[Block | Fault]:
    import docx

    try:
        document = docx.Document(str(path))
        yield from Document(document).blocks()
    except Exception as error:  # whatever a broken file provokes in the library, the file is what is broken
        raise Unreadable(
            "unreadable", f"not a DOCX that can be opened ({type(error).__name__}: {error}); save it anew from Word"
        ) from error


class Document:
    def __init__(self, document: Any) -> None:
        self._body = document.element.body
        self._styles = {style.style_id: style.name or "" for style in document.styles if style.style_id}
        parts = {name.rpartition("/")[2]: part for name, part in parts_of(document).items()}
        self._numbering = Numbering(root_of(parts.get("numbering")), root_of(parts.get("styles")))
        self._notes = {kind: notes_of(root_of(parts.get(f"{kind}s")), kind) for kind in ("footnote", "endnote")}
        self._contents: list[str] = []

    def blocks(self) -> Iterator[Block | Fault]:
        for element in elements(self._body):
            if element.tag == f"{W}tbl":
                yield from self._table(element)
            else:
                yield from self._paragraph(element)
        if self._contents:
            yield Fault("", "contents", "the table of contents; its lines stand as headings in the text", "\n".join(self._contents)[:1000])

    def _paragraph(self, paragraph: Any) -> Iterator[Block]:
        label = self._numbering.label(paragraph)
        text = said_by(paragraph).strip()
        style = self._styles.get(value_of(paragraph.find(f"{W}pPr"), "pStyle"), "")
        if text and re.match(r"(?i)toc \d|目录 ?\d", style):
            self._contents.append(text)
        elif text:
            level = heading_level(paragraph, style)
            if level is not None:
                yield Block("heading", " ".join((label + text).split()), level=level)
            else:
                bullet = "- " if not label and style.lower().startswith("list") else label
                yield Block("paragraph", f"{bullet}{text}")
        for box in paragraph.iter(f"{W}txbxContent"):
            if not any(above.tag in UNSEEN for above in box.iterancestors()):
                for element in elements(box):
                    yield from self._table(element) if element.tag == f"{W}tbl" else self._paragraph(element)
        for kind, notes in self._notes.items():
            for reference in paragraph.iter(f"{W}{kind}Reference"):
                if note := notes.get(reference.get(f"{W}id"), ""):
                    yield Block("paragraph", f"注：{note}" if re.search(r"[\u4e00-\u9fff]", note) else f"Note: {note}")

    def _table(self, table: Any) -> Iterator[Block]:
        """A table whose merged cells say in each of their places what they say; one of a single cell is a frame around text."""
        rows: list[list[str]] = []
        for row in table.iter(f"{W}tr"):
            if row.getparent() is not table and next(row.iterancestors(f"{W}tbl")) is not table:
                continue  # of a table inside a cell
            cells: list[str] = []
            for cell in (item for item in row.iter(f"{W}tc") if next(item.iterancestors(f"{W}tr")) is row):
                properties = cell.find(f"{W}tcPr")
                merged = properties.find(f"{W}vMerge") if properties is not None else None
                goes_on = merged is not None and merged.get(f"{W}val") != "restart"
                above = rows[-1][len(cells)] if rows and len(cells) < len(rows[-1]) else ""
                text = (
                    above
                    if goes_on
                    else "\n".join(filter(None, (self._numbering.label(part) + said_by(part) for part in cell.iter(f"{W}p"))))
                )
                span = value_of(properties, "gridSpan")
                cells += [text] * (min(int(span), 100) if span.isdigit() else 1)
            rows.append(cells)
        rows = [row for row in rows if any(cell.strip() for cell in row)]
        if len(rows) == 1 and len(set(rows[0])) == 1:
            yield from (Block("paragraph", line) for line in rows[0][0].split("\n") if line.strip())
        elif rows:
            yield Block("table", markdown_table(rows))


def parts_of(document: Any) -> dict[str, Any]:
    """The parts that the document refers to, by the last word of how it does."""
    return {relation.reltype: relation.target_part for relation in document.part.rels.values() if not relation.is_external}


def root_of(part: Any) -> Any:
    """The root of a part of XML; None if there is no such part."""
    if part is None:
        return None
    if hasattr(part, "element"):
        return part.element
    from docx.oxml.parser import parse_xml

    return parse_xml(part.blob)


def notes_of(root: Any, kind: str) -> dict[str, str]:
    """The text of footnotes or endnotes by their ids; what only draws the line above them is none."""
    if root is None:
        return {}
    return {
        note.get(f"{W}id"): " ".join(" ".join(said_by(part) for part in note.iter(f"{W}p")).split())
        for note in root.iter(f"{W}{kind}")
        if note.get(f"{W}type") in (None, "normal")
    }


def elements(parent: Any) -> Iterator[Any]:
    """The paragraphs and tables in their order, those within content controls and accepted changes too."""
    for element in parent:
        if element.tag in (f"{W}p", f"{W}tbl"):
            yield element
        elif element.tag not in UNSEEN:
            yield from elements(element)


def said_by(paragraph: Any) -> str:
    """What a paragraph says as it is shown: with what was inserted, without what was struck out, boxes and notes apart."""
    said = []
    for element in paragraph:
        if element.tag == f"{W}t":
            said.append(element.text or "")
        elif element.tag in SPACES:
            said.append(SPACES[element.tag] if element.get(f"{W}type") in (None, "textWrapping") else "")
        elif element.tag not in UNSEEN and element.tag != f"{W}txbxContent":
            said.append(said_by(element))
    return "".join(said)


def heading_level(paragraph: Any, style: str) -> int | None:
    """0 for the title, 1 for Heading 1 or 标题 1 …, None for text."""
    if re.fullmatch(r"(?i)title|标题", style.strip()):
        return 0
    if match := re.match(r"(?i)(?:heading|标题)\s*(\d)", style):
        return int(match[1])
    outline = value_of(paragraph.find(f"{W}pPr"), "outlineLvl")
    return int(outline) + 1 if outline.isdigit() and int(outline) < 9 else None
