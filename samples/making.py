"""Shared by the scripts that make the sample corpora: choices that are hashes of the item itself, files of the same bytes everywhere."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml

SAMPLES = Path(__file__).parent
WRITTEN = SAMPLES / "written"
T = TypeVar("T")


def written(name: str) -> str:
    return (WRITTEN / name).read_text(encoding="utf-8")


def read_yaml(name: str) -> Any:
    """What a YAML file holds."""
    return yaml.safe_load(written(f"{name}.yaml"))


# Random choices


def draw(*key: str) -> int:
    """A number determined by this key."""
    return int.from_bytes(hashlib.sha256("\0".join(key).encode()).digest()[:8], "big")


def pick(items: list[T], *key: str) -> T:
    return items[draw(*key) % len(items)]


def shuffled(items: Iterable[T], *key: str) -> list[T]:
    return sorted(items, key=lambda item: draw(*key, str(item)))


# Files


def write_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def write_yaml(path: Path, entries: list[dict[str, Any]]) -> None:
    """One entry a line, as JSON: YAML that a reader can search, and a diff can show."""
    write_text(path, "".join(f"- {json.dumps(entry, ensure_ascii=False)}\n" for entry in entries))


def table(names: list[str], rows: Iterable[Iterable[str]], delimiter: str = ",") -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return file.getvalue()


def pdf(lines: list[str], left: str, right: str, author: str) -> bytes:
    """A document of articles: # and ## mark headings; page header, page numbers. Uncompressed: the same bytes with any zlib."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.platypus import CondPageBreak, Paragraph, SimpleDocTemplate

    font = "STSong-Light"
    pdfmetrics.registerFont(UnicodeCIDFont(font))
    styles = {
        "# ": ParagraphStyle("title", fontName=font, fontSize=18, leading=26, alignment=1, spaceAfter=12),
        "## ": ParagraphStyle("heading", fontName=font, fontSize=14, leading=22, alignment=1, spaceBefore=12, spaceAfter=8),
        "": ParagraphStyle("text", fontName=font, fontSize=12, leading=21, spaceAfter=8, wordWrap="CJK"),
    }
    blocks: list[Any] = []
    for line in filter(None, lines):
        mark = next(mark for mark in ("## ", "# ", "") if line.startswith(mark))
        if mark == "## ":
            blocks.append(CondPageBreak(40 * mm))
        blocks.append(Paragraph(line.removeprefix(mark), styles[mark]))

    def frame(canvas: Any, document: Any) -> None:
        canvas.setFont(font, 9)
        canvas.drawString(25 * mm, 284 * mm, left)
        canvas.drawRightString(185 * mm, 284 * mm, right)
        canvas.drawCentredString(105 * mm, 12 * mm, f"第 {document.page} 页")

    file = io.BytesIO()
    document = SimpleDocTemplate(
        file,
        pagesize=A4,
        leftMargin=25 * mm,
        rightMargin=25 * mm,
        topMargin=25 * mm,
        bottomMargin=25 * mm,
        title=right,
        author=author,
        invariant=1,
        pageCompression=0,
    )
    document.build(blocks, onFirstPage=frame, onLaterPages=frame)
    return file.getvalue()


# Numbers of articles


def article(number: int) -> str:
    """第十二条"""
    tens, ones = divmod(number, 10)
    digits = ["", *"一二三四五六七八九"]
    return f"第{('十' if tens == 1 else digits[tens] + '十') if tens else ''}{digits[ones]}条"


def articles_of(statute: str) -> dict[int, str]:
    """The text of each article of a statute in Markdown, by its number."""
    parts = re.split(r"^(?:第[^\s条]+条 |Section \d+\. )", statute, flags=re.MULTILINE)[1:]
    return {number: re.split(r"\n\n", text)[0].strip() for number, text in enumerate(parts, start=1)}
