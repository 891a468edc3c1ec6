"""Files of every format that the tests of the readers read, each made here on its smallest example."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
KIND = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def pdf(story, *, columns=1, **settings) -> bytes:
    """A PDF of reportlab's flowables."""
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

    data = io.BytesIO()
    width = (A4[0] - 144 - 24 * (columns - 1)) / columns
    frames = [Frame(72 + (width + 24) * number, 72, width, A4[1] - 144, 0, 0, 0, 0) for number in range(columns)]
    template = BaseDocTemplate(data, pagesize=A4, invariant=1, **settings)
    template.addPageTemplates([PageTemplate(frames=frames)])
    template.build(story)
    return data.getvalue()


def grid(rows):
    from reportlab.lib import colors
    from reportlab.platypus import Table, TableStyle

    return Table(rows, repeatRows=1, style=TableStyle([("GRID", (0, 0), (-1, -1), 1, colors.black)]))


def pictured_pdf(*pages: list[tuple[int, int, str]]) -> bytes:
    """Pages that are images of lines (left, top, text) in a Chinese font, 150 dots an inch."""
    from PIL import Image, ImageDraw, ImageFont
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    data = io.BytesIO()
    canvas = Canvas(data, invariant=1)
    for lines in pages:
        image = Image.new("L", (1240, 1754), 255)
        for left, top, text in lines:
            ImageDraw.Draw(image).text((left, top), text, 0, ImageFont.truetype(str(CHINESE_FONT), 30, index=2))
        canvas.drawImage(ImageReader(image), 0, 0, 595, 842)
        canvas.showPage()
    canvas.save()
    return data.getvalue()


CHINESE_FONT = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")  # Debian's fonts-noto-cjk; index 2 is simplified Chinese


def scanned_pdf() -> bytes:
    """A page that is one image."""
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    image = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0))
    image += chunk(b"IDAT", zlib.compress(b"\0\0\xff\0\xff\0")) + chunk(b"IEND", b"")
    data = io.BytesIO()
    canvas = Canvas(data, invariant=1)
    canvas.drawImage(ImageReader(io.BytesIO(image)), 0, 0, 595, 842)
    canvas.drawString(280, 20, "- 1 -")
    canvas.save()
    return data.getvalue()


def docx(body: str, *, numbering: str = "", styles: str = "", parts: dict[str, str] | None = None) -> bytes:
    """A Word file whose body, numbering and further styles are this XML."""
    import docx as word
    from docx.opc.constants import RELATIONSHIP_TYPE
    from docx.opc.packuri import PackURI
    from docx.opc.part import Part
    from docx.oxml.parser import parse_xml

    document = word.Document()
    for element in list(document.element.body):
        document.element.body.remove(element)
    for element in parse_xml(f"<w:body {W} {R}>{body}</w:body>"):
        document.element.body.append(element)
    for element in parse_xml(f"<w:styles {W}>{styles}</w:styles>"):
        document.styles.element.append(element)
    if numbering:
        root = document.part.numbering_part.element
        for element in list(root):
            root.remove(element)
        for element in parse_xml(f"<w:numbering {W}>{numbering}</w:numbering>"):
            root.append(element)
    for kind, xml in (parts or {}).items():
        blob = xml.encode()
        part = Part(PackURI(f"/word/{kind}.xml"), "application/xml", blob, document.part.package)
        document.part.relate_to(part, getattr(RELATIONSHIP_TYPE, kind.upper()))
    data = io.BytesIO()
    document.save(data)
    return data.getvalue()


def paragraph(text: str, *, style: str = "", number: str = "", depth: int = 0) -> str:
    numbered = f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{number}"/></w:numPr>' if number else ""
    styled = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{styled}{numbered}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def level(depth: int, form: str, text: str, more: str = "") -> str:
    return f'<w:lvl w:ilvl="{depth}"><w:start w:val="1"/><w:numFmt w:val="{form}"/>{more}<w:lvlText w:val="{text}"/></w:lvl>'


def xlsx(*sheets, merged=(), formulas=None) -> bytes:
    """A workbook of (title, rows); merged ranges of the first sheet; formulas: values saved beside formulas, by cell."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for title, rows in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    for ranged in merged:
        book.worksheets[0].merge_cells(ranged)
    data = io.BytesIO()
    book.save(data)
    if not formulas:
        return data.getvalue()

    def with_value(xml: str) -> str:
        for cell, value in formulas.items():
            before, after = xml.split(f'<c r="{cell}"', 1)
            xml = f'{before}<c r="{cell}"' + after.replace("<v />", f"<v>{value}</v>", 1).replace("<v></v>", f"<v>{value}</v>", 1)
        return xml

    return changed(data.getvalue(), "xl/worksheets/sheet1.xml", with_value)


def changed(archive: bytes, name: str, change) -> bytes:
    """A zip with one of its parts changed."""
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            content = old.read(part)
            new.writestr(part, change(content.decode()) if part == name else content)
    return data.getvalue()


def zipped(parts: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return data.getvalue()


def relations(*targets: tuple[str, str, str]) -> str:
    listed = "".join(f'<Relationship Id="{name}" Type="{KIND}/{kind}" Target="{target}"/>' for name, kind, target in targets)
    return f'<Relationships xmlns="{PACKAGE}">{listed}</Relationships>'


def pptx(*slides: str, notes: str = "") -> bytes:
    """A presentation whose slides hold these shapes; notes to the first."""
    parts = {
        "ppt/presentation.xml": f"<p:presentation {P} {R}><p:sldIdLst>"
        + "".join(f'<p:sldId id="{255 + number}" r:id="rId{number}"/>' for number in range(1, len(slides) + 1))
        + "</p:sldIdLst></p:presentation>",
        # The names of the parts say nothing of their order.
        "ppt/_rels/presentation.xml.rels": relations(
            *((f"rId{number}", "slide", f"slides/slide{9 - number}.xml") for number in range(1, len(slides) + 1))
        ),
    }
    for number, shapes in enumerate(slides, 1):
        parts[f"ppt/slides/slide{9 - number}.xml"] = f"<p:sld {P} {A} {R}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"
    if notes:
        parts["ppt/slides/_rels/slide8.xml.rels"] = relations(("rId1", "notesSlide", "../notesSlides/notesSlide1.xml"))
        parts["ppt/notesSlides/notesSlide1.xml"] = f"<p:notes {P} {A}>{shape(notes, kind='body')}</p:notes>"
    return zipped(parts)


def shape(*texts: str, kind: str = "", depth: int = 0) -> str:
    held = "".join(f'<a:p><a:pPr lvl="{depth}"/><a:r><a:t>{text}</a:t></a:r></a:p>' for text in texts)
    mark = f'<p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>' if kind else ""
    return f"<p:sp>{mark}<p:txBody>{held}</p:txBody></p:sp>"


def parquet(rows) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), data)
    return data.getvalue()
