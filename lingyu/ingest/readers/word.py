"""DOCX: headings by style or outline level, paragraphs with automatic numbers, tables, notes, in document order."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from lingyu.ingest.readers import Block, Fault, Reading, Unreadable, markdown_table
from lingyu.ingest.readers.formulas import M, of_office
from lingyu.ingest.readers.numbering import Numbering, W, numeral, value_of
from lingyu.ingest.readers.shown import TICKED, UNTICKED, LeftOut, lowered, raised
from lingyu.text.numerals import COUNTED
from lingyu.text.symbols import is_picture_font, symbol, without_private

W14 = "{http://schemas.microsoft.com/office/word/2010/wordml}"
OLE = "{urn:schemas-microsoft-com:office:office}OLEObject"
# Deleted text, fallback drawings for old programs, and field codes.
UNSEEN = {f"{W}{name}" for name in ("del", "moveFrom", "instrText", "delText", "pPr", "rPr", "sectPr")} | {
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
}
OFF = ("0", "false", "off", "none")
RUN, TEXT, PROPERTIES = f"{W}r", f"{W}t", f"{W}rPr"
# Skipped by _parts, which reports deletions.
UNSEEN_HERE = (UNSEEN | {f"{W}txbxContent"}) - {f"{W}del", f"{W}instrText"}
FIELDS, FORMULAS = {f"{W}fldChar", f"{W}instrText"}, {f"{M}oMath", f"{M}oMathPara"}
LOOKS = {f"{W}{name}" for name in ("rStyle", "rFonts", "vanish", "strike", "dstrike", "vertAlign")}
SPACES = {f"{W}tab": " ", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}


def blocks(path: Path, how: Reading) -> Iterator[Block | Fault]:
    import docx

    try:
        document = docx.Document(str(path))
        yield from Document(document).blocks()
    except Exception as error:  # the library raises many types for damaged files
        raise Unreadable("unreadable", f"cannot be opened as DOCX ({type(error).__name__}: {error}); save it again from Word") from error


@dataclass(frozen=True)
class Look:
    """How a run is shown: hidden, struck out, raised, or in a picture font. None: not set here."""

    hidden: bool | None = None
    struck: bool | None = None
    moved: str | None = None
    font: str | None = None

    def under(self, above: "Look") -> "Look":
        """This look, with values that are not set inherited from the style above."""
        said = {name: value for name, value in vars(self).items() if value is not None and value != getattr(above, name)}
        return replace(above, **said) if said else above


class Document:
    def __init__(self, document: Any) -> None:
        self._body = document.element.body
        self._styles = {style.style_id: style.name or "" for style in document.styles if style.style_id}
        parts = {name.rpartition("/")[2]: part for name, part in parts_of(document).items()}
        styles = root_of(parts.get("styles"))
        self._numbering = Numbering(root_of(parts.get("numbering")), styles)
        self._looks = looks_of(styles) if styles is not None else {}
        self._usual = Look()
        self._left = LeftOut()
        self._notes = {kind: self._notes_of(root_of(parts.get(f"{kind}s")), kind) for kind in ("footnote", "endnote")}
        self._contents: list[str] = []
        self._beside = besides(document)
        for comment in root_of(parts["comments"]).iter(f"{W}comment") if "comments" in parts else ():
            self._left.add("comment", " ".join(self._visible_text(part) for part in comment.iter(f"{W}p")))

    def blocks(self) -> Iterator[Block | Fault]:
        for element in elements(self._body):
            if element.tag == f"{W}tbl":
                yield from self._table(element)
            else:
                yield from self._paragraph(element)
        if self._contents:
            yield Fault("", "contents", "table of contents; its lines are headings in the text", "\n".join(self._contents)[:1000])
        for text in self._beside:
            yield Fault("", "running_line", "header, footer or page number, not part of the text", text)
        yield from self._left.faults()

    def _paragraph(self, paragraph: Any) -> Iterator[Block]:
        label = self._numbering.label(paragraph)
        text = self._visible_text(paragraph).strip()
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
        for box in boxes(paragraph):
            for element in elements(box):
                yield from self._table(element) if element.tag == f"{W}tbl" else self._paragraph(element)
        for kind, notes in self._notes.items():
            for reference in paragraph.iter(f"{W}{kind}Reference"):
                if note := notes.get(reference.get(f"{W}id"), ""):
                    yield Block("paragraph", f"注：{note}" if re.search(r"[\u4e00-\u9fff]", note) else f"Note: {note}")

    def _table(self, table: Any) -> Iterator[Block]:
        """A table with the text of merged cells repeated in each position; a single cell is a frame around text."""
        rows: list[list[str]] = []
        for row in table.iter(f"{W}tr"):
            if row.getparent() is not table and next(row.iterancestors(f"{W}tbl")) is not table:
                continue  # of a nested table
            if reason := row_left_out(row):
                self._left.add(reason, " ".join(self._visible_text(part) for part in paragraphs(row)))
                continue
            cells: list[str] = []
            for cell in (item for item in row.iter(f"{W}tc") if next(item.iterancestors(f"{W}tr")) is row):
                properties = cell.find(f"{W}tcPr")
                merged = properties.find(f"{W}vMerge") if properties is not None else None
                goes_on = merged is not None and merged.get(f"{W}val") != "restart"
                above = rows[-1][len(cells)] if rows and len(cells) < len(rows[-1]) else ""
                text = (
                    above
                    if goes_on
                    else "\n".join(filter(None, (self._numbering.label(part) + self._visible_text(part) for part in paragraphs(cell))))
                )
                span = value_of(properties, "gridSpan")
                cells += [text] * (min(int(span), 100) if span.isdigit() else 1)
            rows.append(cells)
        rows = [row for row in rows if any(cell.strip() for cell in row)]
        if len(rows) == 1 and len(set(rows[0])) == 1:
            yield from (Block("paragraph", line) for line in rows[0][0].split("\n") if line.strip())
        elif rows:
            yield Block("table", markdown_table(rows))

    def _notes_of(self, root: Any, kind: str) -> dict[str, str]:
        """The text of footnotes or endnotes by id, without separators."""
        if root is None:
            return {}
        return {
            note.get(f"{W}id"): " ".join(" ".join(self._visible_text(part) for part in note.iter(f"{W}p")).split())
            for note in root.iter(f"{W}{kind}")
            if note.get(f"{W}type") in (None, "normal")
        }

    def _visible_text(self, paragraph: Any) -> str:
        """The visible text of a paragraph: with insertions, without deletions, hidden text, text boxes and notes."""
        usual = self._looks.get(value_of(paragraph.find(f"{W}pPr"), "pStyle"), self._usual)
        parts = list(self._parts(paragraph, usual, []))
        if not any(moved for _, moved in parts):
            return without_private("".join(text for text, _ in parts))
        said = []
        for moved, same in groupby(parts, key=lambda part: part[1]):
            text = "".join(text for text, _ in same)
            said.append(raised(text) if moved == "superscript" else lowered(text) if moved == "subscript" else text)
        return without_private("".join(said))

    def _parts(self, parent: Any, look: Look, fields: list[list[str]]) -> Iterator[tuple[str, str]]:
        """The texts in a paragraph, each with its vertical alignment. fields: the codes of the open fields."""
        for element in parent:
            tag = element.tag
            if tag == RUN:
                yield from self._run(element, look, fields)
            elif tag in UNSEEN_HERE:
                continue
            elif tag == TEXT:
                yield with_font(element.text or "", look.font), look.moved or ""
            elif tag in SPACES:
                yield SPACES[tag] if element.get(f"{W}type") in (None, "textWrapping") else "", ""
            elif tag == f"{W}sym":
                yield symbol_of(element), look.moved or ""
            elif tag in FIELDS:
                yield self._field(element, fields), ""
            elif tag in FORMULAS:
                yield of_office(element), ""
            elif tag == f"{W}rt":
                self._left.add("ruby", "".join(text for text, _ in self._parts(element, look, fields)))
            elif tag == f"{W}sdt" and (box := element.find(f"{W}sdtPr/{W14}checkbox")) is not None:
                mark = box.find(f"{W14}checked")
                yield TICKED if mark is not None and mark.get(f"{W14}val", "1") not in OFF else UNTICKED, ""
            elif tag == f"{W}del":
                self._left.add("struck_text", "".join(part.text or "" for part in element.iter(f"{W}delText")))
            elif tag == f"{W}object" and (program := [found.get("ProgID") or "" for found in element.iter(OLE)]):
                if any(name.startswith(("Equation", "MathType")) for name in program):
                    self._left.add("formula_lost", program[0])
                yield from self._parts(element, look, fields)
            else:
                yield from self._parts(element, look, fields)

    def _run(self, run: Any, look: Look, fields: list[list[str]]) -> Iterator[tuple[str, str]]:
        properties = run.find(PROPERTIES)
        if properties is not None and any(mark.tag in LOOKS for mark in properties):
            of_style = self._looks.get(value_of(properties, "rStyle"))
            look = look_of(properties).under(of_style.under(look) if of_style else look)
        if not look.hidden and not look.struck:
            return self._parts(run, look, fields)
        self._left.add("hidden_text" if look.hidden else "struck_text", "".join(text for text, _ in self._parts(run, look, fields)))
        return iter(())

    def _field(self, element: Any, fields: list[list[str]]) -> str:
        """The text of a field without a result: a check box, a drop-down list, a formula given by its code."""
        if element.tag == f"{W}instrText":
            if fields:
                fields[-1].append(element.text or "")
            return ""
        kind = element.get(f"{W}fldCharType")
        if kind == "begin":
            fields.append([])
            return form_field(element.find(f"{W}ffData"))
        if kind == "end" and fields:
            code = "".join(fields.pop()).strip()
            if re.match(r"(?i)eq\b", code):
                shown = equation(code[2:])
                if shown is None:
                    self._left.add("formula_lost", code)
                return shown or ""
        return ""


def looks_of(styles: Any) -> dict[str, Look]:
    """The look that each style gives its text, with those that it is based on."""
    listed = {style.get(f"{W}styleId"): style for style in styles.iter(f"{W}style")}
    looks: dict[str, Look] = {}
    for name in listed:
        look, at, seen = Look(), name, set[str]()
        while at in listed and at not in seen:
            seen.add(at)
            look = look.under(look_of(listed[at].find(f"{W}rPr")))
            at = value_of(listed[at], "basedOn")
        looks[name] = look
    return looks


def look_of(properties: Any) -> Look:
    """The look defined by the w:rPr of a run or style."""
    if properties is None:
        return Look()

    def on(name: str) -> bool | None:
        mark = properties.find(f"{W}{name}")
        return None if mark is None else mark.get(f"{W}val", "1") not in OFF

    struck = [said for name in ("strike", "dstrike") if (said := on(name)) is not None]
    fonts = properties.find(f"{W}rFonts")
    font = (fonts.get(f"{W}ascii") or fonts.get(f"{W}hAnsi")) if fonts is not None else None
    font = font if font is None or is_picture_font(font) else ""
    return Look(on("vanish"), any(struck) if struck else None, value_of(properties, "vertAlign") or None, font)


def with_font(text: str, font: str | None) -> str:
    """The text of a run, its letters as the pictures that the font shows."""
    if not font:
        return text
    return "".join((symbol(font, ord(letter)) or letter) if ord(letter) < 256 or letter >= "\uf000" else letter for letter in text)


def symbol_of(element: Any) -> str:
    code = element.get(f"{W}char") or ""
    if not re.fullmatch(r"[0-9A-Fa-f]{1,4}", code):
        return ""
    number = int(code, 16)
    plain = "" if 0xD800 <= number <= 0xDFFF else chr(number)
    return symbol(element.get(f"{W}font") or "", number) or plain


def form_field(data: Any) -> str:
    """What an old form's field shows: the box as it is ticked, the line that was chosen; "" for a field of text, which has a result."""
    if data is None:
        return ""
    if (box := data.find(f"{W}checkBox")) is not None:
        marks = [mark for name in ("checked", "default") if (mark := box.find(f"{W}{name}")) is not None]
        return TICKED if marks and marks[0].get(f"{W}val", "1") not in OFF else UNTICKED
    if (choice := data.find(f"{W}ddList")) is not None:
        entries = [entry.get(f"{W}val") or "" for entry in choice.iter(f"{W}listEntry")]
        chosen = value_of(choice, "result") or value_of(choice, "default") or "0"
        return entries[int(chosen)] if chosen.isdigit() and int(chosen) < len(entries) else ""
    return ""


def equation(code: str) -> str | None:
    """The text of an EQ field: a circled number, a fraction, a superscript or subscript; None for other fields."""
    code = code.strip().replace("，", ",")
    if ringed := re.fullmatch(r"(?i)\\o\s*\\ac\s*\(\s*[○〇oO]\s*,\s*(.+?)\s*\)", code):
        number = ringed[1]
        if number in COUNTED:
            return "㊀㊁㊂㊃㊄㊅㊆㊇㊈㊉"[COUNTED.index(number)]
        return numeral(int(number), "decimalEnclosedCircle") if number.isdigit() else number
    if fraction := re.fullmatch(r"(?i)\\f\s*\(([^(),]+),([^(),]+)\)", code):
        above, below = (part.strip() if re.fullmatch(r"\s*\w+\s*", part) else f"({part.strip()})" for part in fraction.groups())
        return f"{above}/{below}"
    if root := re.fullmatch(r"(?i)\\r\s*\((?:([^(),]+),)?([^(),]+)\)", code):
        return f"$\\sqrt{f'[{root[1].strip()}]' if root[1] else ''}{{{root[2].strip()}}}$"
    if moved := re.fullmatch(r"(?i)\\s\s*\\(up|do)\s*\d*\s*\(([^()]*)\)", code):
        return raised(moved[2]) if moved[1].lower() == "up" else lowered(moved[2])
    return None


def row_left_out(row: Any) -> str:
    """Why a table row is not shown; "" if it is."""
    properties = row.find(f"{W}trPr")
    if properties is None:
        return ""
    hidden = properties.find(f"{W}hidden")
    if hidden is not None and hidden.get(f"{W}val", "1") not in OFF:
        return "hidden_text"
    return "struck_text" if properties.find(f"{W}del") is not None else ""


def besides(document: Any) -> list[str]:
    """The text of page headers and footers, without repetitions."""
    found: dict[str, None] = {}
    for relation in document.part.rels.values():
        if not relation.is_external and relation.reltype.rpartition("/")[2] in ("header", "footer"):
            texts = ("".join(text.text or "" for text in part.iter(f"{W}t")) for part in root_of(relation.target_part).iter(f"{W}p"))
            if said := " ".join(" ".join(texts).split()):
                found[said] = None
    return list(found)


def paragraphs(parent: Any) -> Iterator[Any]:
    """The paragraphs of a cell or row, those of tables within it and of boxes too, each once."""
    for element in parent:
        if element.tag == f"{W}p":
            yield element
            for box in boxes(element):
                yield from paragraphs(box)
        elif element.tag not in UNSEEN:
            yield from paragraphs(element)


def boxes(paragraph: Any) -> Iterator[Any]:
    """The text boxes that hang on a paragraph, without those inside a box and those drawn again for old programs."""
    for box in paragraph.iter(f"{W}txbxContent"):
        if next(box.iterancestors(f"{W}p")) is paragraph and not any(above.tag in UNSEEN for above in box.iterancestors()):
            yield box


def parts_of(document: Any) -> dict[str, Any]:
    """The related parts of the document, by the last segment of the relation type."""
    return {relation.reltype: relation.target_part for relation in document.part.rels.values() if not relation.is_external}


def root_of(part: Any) -> Any:
    """The root of an XML part; None if there is no such part."""
    if part is None:
        return None
    if hasattr(part, "element"):
        return part.element
    from docx.oxml.parser import parse_xml

    return parse_xml(part.blob)


def elements(parent: Any) -> Iterator[Any]:
    """The paragraphs and tables in order, including those in content controls and accepted changes."""
    for element in parent:
        if element.tag in (f"{W}p", f"{W}tbl"):
            yield element
        elif element.tag not in UNSEEN:
            yield from elements(element)


def heading_level(paragraph: Any, style: str) -> int | None:
    """0 for the title, 1 for Heading 1 or 标题 1 …, None for text."""
    if re.fullmatch(r"(?i)title|标题", style.strip()):
        return 0
    if match := re.match(r"(?i)(?:heading|标题)\s*(\d)", style):
        return int(match[1])
    outline = value_of(paragraph.find(f"{W}pPr"), "outlineLvl")
    return int(outline) + 1 if outline.isdigit() and int(outline) < 9 else None
