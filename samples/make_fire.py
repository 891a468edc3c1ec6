"""Generates samples/fire from the hand-written files in samples/written/fire; for developers only.

Run: python samples/make_fire.py [folder]     (needs reportlab and openpyxl; the folder is samples/fire by default)
"""

import io
import re
import sys
import zipfile
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))
from make_drone import draw, pick, shuffled, write_bytes, write_rows, write_text

WRITTEN = Path(__file__).parent / "written/fire"
CODES = {"p": "plant", "w": "work"}
MARGINS = 25  # millimetres
COLUMNS = ["编号", "登记日期", "咨询部门", "咨询问题", "答复", "依据条款"]
CITED = {
    "zh": ["根据《{title}》第{number}条，{answer}", "依照《{title}》第{number}条：{answer}", "{answer}依据是《{title}》第{number}条。"],
    "en": ["Under《{title}》第{number}条: {answer}", "{answer} See《{title}》第{number}条."],
}


def main(out: Path) -> None:
    write_bytes(out / "codes/plant.pdf", code_pdf("plant"))
    write_text(out / "codes/work.md", spaced(written("work.zh.md")))
    write_bytes(out / "questions/register.xlsx", register())
    write_rows(out / "questions/plain.jsonl", plain_questions())


# Hand-written files


@cache
def written(name: str) -> str:
    return (WRITTEN / name).read_text(encoding="utf-8")


@cache
def questions() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(written("questions.yaml"))
    return found


def spaced(text: str) -> str:
    """A blank line between the paragraphs and items of an article: Markdown would join their lines."""
    return re.sub(r"(?<!\n)\n(?=[^|\n])", "\n\n", text)


def title_of(code: str) -> str:
    return written(f"{code}.zh.md").split("\n", 1)[0].removeprefix("# ")


def articles(code: str) -> dict[str, str]:
    """Number in Chinese and text of every article of a code, with its paragraphs, items and table."""
    parts = re.split(r"^第([一二三四五六七八九十]+)条 ", written(f"{code}.zh.md"), flags=re.MULTILINE)[1:]
    texts = (re.split(r"^## ", text, flags=re.MULTILINE)[0].strip() for text in parts[1::2])
    return dict(zip(parts[::2], texts, strict=True))


def article(mark: str) -> tuple[str, str]:
    """Title of the code and number of the article: p12 → 澜湾工业区厂房仓库防火规程, 十二."""
    code = CODES[mark[0]]
    return title_of(code), list(articles(code))[int(mark[1:]) - 1]


def cited(answer: str, mark: str, language: str) -> str:
    """The answer with the article on which it rests, in one of the ways in which people write that."""
    title, number = article(mark)
    return pick(CITED[language], "cited", answer).format(title=title, number=number, answer=answer)


# Questions


def register() -> bytes:
    """The workbook in which the fire station keeps what it was asked. Not compressed: the same bytes with any zlib."""
    import openpyxl

    asked = [(language, *row) for language, listed in questions()["sheet"].items() for row in listed]
    day = date(2025, 6, 3)
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "咨询登记"
    sheet.append(COLUMNS)
    for number, (language, question, answer, mark, desk) in enumerate(shuffled(asked, "register"), 1):
        title, place = article(mark)
        day += timedelta(days=draw("days", question) % 3)
        ended = question if question.endswith("?") else f"{question}？"
        sheet.append([number, day, desk, ended, cited(answer, mark, language), f"《{title}》第{place}条"])
    for column, width in zip("ABCDEF", (6, 12, 12, 44, 80, 44), strict=True):
        sheet.column_dimensions[column].width = width
    return fixed_workbook(book)


def fixed_workbook(book: Any) -> bytes:
    book.properties.title, book.properties.creator = "消防咨询登记", "澜湾工业区消防站"
    book.properties.created = datetime(2026, 1, 1)
    saved, fixed = io.BytesIO(), io.BytesIO()
    book.save(saved)
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(fixed, "w") as out:
        for name in sorted(archive.namelist()):
            content = archive.read(name)
            if name == "docProps/core.xml":  # openpyxl writes the time of saving
                content = re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>2026-01-01T00:00:00Z", content)
            out.writestr(zipfile.ZipInfo(name), content)
    return fixed.getvalue()


def plain_questions() -> list[dict[str, Any]]:
    """Questions in laymen's words, each with the article that answers it."""
    rows = []
    for question, answer, mark in questions()["plain"]:
        title, number = article(mark)
        rows.append(
            {"question": f"{question}？", "answer": cited(answer, mark, "zh"), "basis": f"《{title}》第{number}条"},
        )
    return shuffled(rows, "plain")


# The PDF


def code_pdf(code: str) -> bytes:
    """A code with tables, header, footer and page numbers. Uncompressed: the same bytes with any zlib."""
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.platypus import CondPageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

    font, title = "STSong-Light", title_of(code)
    pdfmetrics.registerFont(UnicodeCIDFont(font))
    styles = {
        "# ": ParagraphStyle("title", fontName=font, fontSize=18, leading=26, alignment=1, spaceAfter=12),
        "## ": ParagraphStyle("heading", fontName=font, fontSize=14, leading=22, alignment=1, spaceBefore=12, spaceAfter=8),
        "": ParagraphStyle("text", fontName=font, fontSize=12, leading=20, spaceAfter=6, firstLineIndent=24, wordWrap="CJK"),
    }
    cell = ParagraphStyle("cell", fontName=font, fontSize=10.5, leading=15, wordWrap="CJK")
    lines = TableStyle([("GRID", (0, 0), (-1, -1), 0.6, colors.black), ("VALIGN", (0, 0), (-1, -1), "MIDDLE")])
    blocks: list[Any] = []
    table: list[list[str]] = []

    def close_table() -> None:
        if table:
            width = 160 * mm / len(table[0])
            drawn = Table([[Paragraph(text, cell) for text in row] for row in table], [width] * len(table[0]), repeatRows=1)
            drawn.setStyle(lines)
            blocks.extend([drawn, Spacer(1, 10)])
            table.clear()

    for line in filter(None, written(f"{code}.zh.md").splitlines()):
        if line.startswith("|"):
            row = [text.strip() for text in line.strip("|").split("|")]
            if not set("".join(row)) <= set("- "):
                table.append(row)
            continue
        close_table()
        mark = next(mark for mark in ("## ", "# ", "") if line.startswith(mark))
        if mark == "## ":
            blocks.append(CondPageBreak(40 * mm))
        blocks.append(Paragraph(line.removeprefix(mark), styles[mark]))
    close_table()

    def frame(canvas: Any, document: Any) -> None:
        canvas.setFont(font, 9)
        canvas.drawString(MARGINS * mm, 284 * mm, "澜湾工业区消防站")
        canvas.drawRightString(185 * mm, 284 * mm, title)
        canvas.drawCentredString(105 * mm, 12 * mm, f"第 {document.page} 页")

    file = io.BytesIO()
    margins = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), MARGINS * mm)
    document = SimpleDocTemplate(file, pagesize=A4, title=title, author="澜湾工业区消防站", invariant=1, pageCompression=0, **margins)
    document.build(blocks, onFirstPage=frame, onLaterPages=frame)
    return file.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else WRITTEN.parent.parent / "fire")
