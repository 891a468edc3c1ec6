"""HTML: headings, paragraphs, lists and tables of what the page says; menus, forms and scripts left out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingyu.ingest.readers import Block, Fault, Reading, Unreadable, markdown_table
from lingyu.ingest.readers.encoding import whole_text

BREAK = "\u2028"  # a <br>, where a line break in the source is but a blank
UNSEEN = {"script", "style", "noscript", "template", "head", "svg", "math", "iframe", "object", "canvas", "audio", "video", "map"}
BESIDE = {"nav", "header", "footer", "aside", "form", "button", "select", "menu", "dialog"}
# fmt: off
INLINE = {
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img", "ins", "kbd", "label",
    "mark", "q", "rp", "ruby", "rt", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
}
# fmt: on


def blocks(path: Path, how: Reading) -> Iterator[Block | Fault]:
    from lxml import html

    text, faults = whole_text(path, how)
    yield from faults
    try:
        parser = html.HTMLParser(encoding="utf-8", huge_tree=False, remove_comments=True, remove_pis=True)
        page = html.document_fromstring(text.encode(), parser=parser)
    except Exception as error:  # whatever a broken file provokes in the library, the file is what is broken
        raise Unreadable("unreadable", f"not HTML that can be read ({type(error).__name__}: {error})") from error
    reader = Reader()
    main = page.xpath("//main | //*[@role='main']") or page.xpath("//body") or [page]
    for part in main:
        yield from reader.blocks(part)
        yield from reader.paragraph()
    if reader.beside:
        yield Fault("", "boilerplate", "menus, forms, headers and footers of the page, no part of its text", " ".join(reader.beside)[:1000])


class Reader:
    """Walks a page; text between two blocks is gathered to a paragraph."""

    def __init__(self) -> None:
        self.gathered: list[str] = []
        self.beside: list[str] = []

    def blocks(self, element: Any, mark: str = "") -> Iterator[Block]:
        """What an element says. mark: what a list puts before its item."""
        self.gathered.append(mark + (element.text or ""))
        for number, child in enumerate(element, 1):
            yield from self.block(child, number)
            self.gathered.append(child.tail or "")

    def block(self, element: Any, number: int) -> Iterator[Block]:
        tag = element.tag if isinstance(element.tag, str) else ""
        if tag in UNSEEN or not tag or element.get("hidden") is not None:
            return
        if tag in BESIDE and not (tag == "header" and element.xpath("ancestor::article | ancestor::main")):
            if said := " ".join(element.text_content().split()):
                self.beside.append(said)
        elif tag in INLINE:
            yield from self.blocks(element)
        elif tag == "br":
            self.gathered.append(BREAK)
        elif tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            yield from self.paragraph()
            if text := " ".join(element.text_content().split()):
                yield Block("heading", text, level=int(tag[1]))
        elif tag == "table" and not element.xpath(".//table"):
            yield from self.paragraph()
            yield from table(element)
        elif tag == "pre":
            yield from self.paragraph()
            if text := element.text_content().strip("\n"):
                yield Block("paragraph", text)
        else:
            yield from self.paragraph()
            ordered = tag == "li" and element.getparent() is not None and element.getparent().tag == "ol"
            yield from self.blocks(element, f"{number}. " if ordered else "- " if tag == "li" else "")
            yield from self.paragraph()

    def paragraph(self) -> Iterator[Block]:
        """What was gathered, its blanks as a browser shows them."""
        lines = [" ".join(line.split()) for line in "".join(self.gathered).split(BREAK)]
        self.gathered = []
        text = "\n".join(line for line in lines if line)
        if text.strip("-. 0123456789"):
            yield Block("paragraph", text)


def table(element: Any) -> Iterator[Block]:
    """A table with its caption; one of a single row or column is layout, and its cells are paragraphs."""
    spans: dict[int, tuple[int, str]] = {}  # by column: how many rows below it still reaches into, and what it says
    rows = []
    for row in element.iter("tr"):
        cells: list[str] = []

        def from_above(cells: list[str] = cells) -> None:
            while len(cells) in spans:
                left, text = spans.pop(len(cells))
                if left > 1:
                    spans[len(cells)] = (left - 1, text)
                cells.append(text)

        for cell in row:
            if cell.tag in ("td", "th"):
                from_above()
                text = " ".join(cell.text_content().split())
                for _ in range(min(whole_number(cell.get("colspan")), 100)):
                    if (down := whole_number(cell.get("rowspan"))) > 1:
                        spans[len(cells)] = (down - 1, text)
                    cells.append(text)
        from_above()
        if any(cells):
            rows.append(cells)
    caption = " ".join(" ".join(part.text_content().split()) for part in element.iter("caption"))
    if len(rows) >= 2 and max(map(len, rows)) >= 2:
        yield Block("table", f"{caption}\n{markdown_table(rows)}" if caption else markdown_table(rows))
    else:
        yield from (Block("paragraph", text) for text in [caption, *(cell for cells in rows for cell in cells)] if text)


def whole_number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else 1
