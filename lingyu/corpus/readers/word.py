"""DOCX: headings by style or outline level, paragraphs and tables in the order in which they stand."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingyu.corpus.readers import Block, Unreadable, markdown_table


def blocks(path: Path) -> Iterator[Block]:
    import docx
    from docx.table import Table

    try:
        document = docx.Document(str(path))
        items = list(document.iter_inner_content())
    except Exception as error:  # whatever a broken file provokes in the library, the file is what is broken
        raise Unreadable(
            "unreadable", f"not a DOCX that can be opened ({type(error).__name__}: {error}); save it anew from Word"
        ) from error
    for item in items:
        if isinstance(item, Table):
            rows = [[cell.text for cell in row.cells] for row in item.rows]
            if any(cell.strip() for row in rows for cell in row):
                yield Block("table", markdown_table(rows))
        elif text := item.text.strip():
            level = heading_level(item)
            if level is not None:
                yield Block("heading", " ".join(text.split()), level=level)
            else:
                listed = (item.style.name or "").lower().startswith("list") if item.style else False
                yield Block("paragraph", f"- {text}" if listed else text)


def heading_level(paragraph: Any) -> int | None:
    """0 for the title, 1 for Heading 1 or 标题 1 …, None for text."""
    name = (paragraph.style.name or "") if paragraph.style else ""
    if re.fullmatch(r"(?i)title|标题", name.strip()):
        return 0
    if match := re.match(r"(?i)(?:heading|标题)\s*(\d)", name):
        return int(match[1])
    outline = paragraph._p.xpath("./w:pPr/w:outlineLvl/@w:val")
    return int(outline[0]) + 1 if outline and int(outline[0]) < 9 else None
