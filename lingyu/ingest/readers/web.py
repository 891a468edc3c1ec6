"""HTML: headings, paragraphs, lists and tables of the main content, without menus, forms and scripts."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lingyu.ingest.readers import Block, Fault, Reading, Unreadable, markdown_table
from lingyu.ingest.readers.encoding import whole_text
from lingyu.ingest.readers.formulas import between_marks, of_web
from lingyu.ingest.readers.shown import TICKED, UNTICKED, LeftOut, lowered, raised
from lingyu.ingest.readers.styles import KINDS, Styles

BREAK = "\u2028"  # a <br>; a line break in the source is only white space
UNSEEN = {"script", "style", "noscript", "template", "head", "svg", "math", "iframe", "object", "canvas", "audio", "video", "map"}
BESIDE = {"nav", "header", "footer", "aside", "form", "button", "select", "menu", "dialog"}
# fmt: off
INLINE = {
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img", "ins", "kbd", "label",
    "mark", "q", "rp", "ruby", "rt", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
}
# fmt: on
# Tags that are not shown as plain text, regardless of attributes.
MARKED = {"sup", "sub", "s", "strike", "del", "rt", "rp", "math", "input", "script", "mjx-container"}
WHOLE = ("html", "body", "head")  # a page that is hidden as a whole is shown by its script
INHERITED = ("visibility", "font-size")
# Formulas rendered by KaTeX and MathJax, next to their MathML or script source.
DRAWN = re.compile(r"(?:^|\s)(?:katex-html|MathJax|MathJax_Display|MathJax_Preview|MathJax_SVG|mjx-chtml)(?:\s|$)")


def blocks(path: Path, how: Reading) -> Iterator[Block | Fault]:
    from lxml import html

    text, faults = whole_text(path, how)
    yield from faults
    left = LeftOut()
    try:
        parser = html.HTMLParser(encoding="utf-8", huge_tree=False, remove_comments=True, remove_pis=True)
        page = html.document_fromstring(text.encode(), parser=parser)
        as_shown(page, left)
    except Exception as error:  # the library raises many types for damaged files
        raise Unreadable("unreadable", f"cannot be read as HTML ({type(error).__name__}: {error})") from error
    reader = Reader()
    main = page.xpath("//main | //*[@role='main']") or page.xpath("//body") or [page]
    for part in main:
        yield from reader.blocks(part)
        yield from reader.paragraph()
    if reader.beside:
        yield Fault("", "boilerplate", "menus, forms, headers and footers, not part of the main text", " ".join(reader.beside)[:1000])
    yield from left.faults()


def of_fragment(text: str, left: LeftOut, whole: bool = True) -> Iterator[Block]:
    """The content of HTML within another text; whole: as blocks, otherwise as one line."""
    from lxml import html

    piece = html.document_fromstring(f"<html><body><div>{text}</div></body></html>")
    as_shown(piece, left)
    if whole:
        reader = Reader()
        yield from reader.blocks(piece)
        yield from reader.paragraph()
    elif said := " ".join(piece.text_content().split()):
        yield Block("paragraph", said)


def as_shown(page: Any, left: LeftOut) -> None:
    """Reduce a page to its visible content in plain characters: hidden and struck-out text is removed."""
    styles = Styles(page)
    told = {script.getparent() for script in page.iter("script") if (script.get("type") or "").startswith("math/tex")}
    found: list[tuple[str, str]] = []
    without_inherited(page, styles, found)
    for element in reversed(list(page.iter())):  # inner elements first
        tag = element.tag
        if tag not in MARKED and not styles.rules and not element.attrib:
            continue
        if not isinstance(tag, str) or element.getparent() is None:
            continue
        looks = looks_of(element, styles)
        if tag in ("rt", "rp"):
            found.append(("ruby", "" if tag == "rp" else element.text_content()))
            element.drop_tree()
        elif tag == "math":
            replace(element, of_web(element))
        elif tag == "script" and (element.get("type") or "").startswith("math/tex"):
            replace(element, between_marks(element.text or ""))
        elif (drawn := DRAWN.search(element.get("class") or "")) and (element.getparent() in told or "katex" in drawn[0]):
            element.drop_tree()
        elif tag == "mjx-container":
            drawn_by_mathjax(element)
        elif tag == "input" and (element.get("type") or "").lower() in ("checkbox", "radio"):
            replace(element, TICKED if element.get("checked") is not None else UNTICKED)
        elif tag in WHOLE or tag in UNSEEN:
            continue
        elif "hidden_text" in looks:
            found.append(("hidden_text", element.text_content()))
            element.drop_tree()
        elif tag in ("s", "strike", "del") or "struck_text" in looks:
            found.append(("struck_text", element.text_content()))
            element.drop_tree()
        elif tag in ("sup", "sub") or "sup" in looks or "sub" in looks:
            move = raised if tag == "sup" or (tag != "sub" and "sup" in looks) else lowered
            replace(element, move(element.text_content()))
    for reason, text in reversed(found):
        left.add(reason, text)


def looks_of(element: Any, styles: Styles) -> set[str]:
    """What is done to the whole of an element: hidden_text, struck_text, sup, sub."""
    values = styles.of(element) if styles.rules or element.get("style") else {}
    looks = {"hidden_text"} if element.get("hidden") is not None and "display" not in values else set[str]()
    if any(KINDS[name](values[name]) for name in ("display", "content-visibility", "opacity") if name in values):
        looks.add("hidden_text")
    if KINDS["text-decoration"](values.get("text-decoration", "")):
        looks.add("struck_text")
    if (shift := values.get("vertical-align", "")) in ("super", "sub"):
        looks.add("sup" if shift == "super" else "sub")
    return looks


def without_inherited(page: Any, styles: Styles, found: list[tuple[str, str]]) -> None:
    """Removes text that is invisible or of no size, and keeps what within it is shown again, as the items of a list whose gaps are."""
    names = [name for name in INHERITED if any(name in rule.said for rule in styles.rules)]
    if not names and not page.xpath("//*[contains(@style, 'visibility') or contains(@style, 'font-size')]"):
        return
    states: dict[Any, dict[str, bool]] = {}
    gone: dict[Any, list[str]] = {}  # by the outermost element that is not seen
    owners: dict[Any, Any] = {}
    for element in page.iter():
        if not isinstance(element.tag, str):
            continue
        parent = element.getparent()
        state = dict(states.get(parent, {}))
        if element.tag not in WHOLE and (values := styles.of(element)):
            state |= {name: KINDS[name](values[name]) for name in INHERITED if values.get(name, "inherit") not in ("inherit", "unset")}
        states[element] = state
        if not any(state.values()) or element.tag in UNSEEN:
            continue
        owner = owners[element] = owners.get(parent, element)
        texts = gone.setdefault(owner, [])
        texts.append(element.text or "")
        element.text = None
        for child in element:
            texts.append(child.tail or "")
            child.tail = None
    found += [("hidden_text", text) for texts in reversed(gone.values()) if (text := "".join(texts)).strip()]


def replace(element: Any, text: str) -> None:
    element.tail = text + (element.tail or "")
    element.drop_tree()


def drawn_by_mathjax(element: Any) -> None:
    """MathJax 3 keeps the MathML, already converted to text, in a part for screen readers."""
    spoken = element.xpath(".//mjx-assistive-mml")
    if spoken:
        replace(element, " ".join(part.text_content() for part in spoken))


class Reader:
    """Walks a page; text between two blocks is collected into a paragraph."""

    def __init__(self) -> None:
        self.gathered: list[str] = []
        self.beside: list[str] = []

    def blocks(self, element: Any, mark: str = "") -> Iterator[Block]:
        """The blocks of an element. mark: the list marker of an item."""
        self.gathered.append(mark + (element.text or ""))
        for number, child in enumerate(element, 1):
            yield from self.block(child, number)
            self.gathered.append(child.tail or "")

    def block(self, element: Any, number: int) -> Iterator[Block]:
        tag = element.tag if isinstance(element.tag, str) else ""
        if tag in UNSEEN or not tag:
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
        """The collected text, with white space collapsed as in a browser."""
        lines = [" ".join(line.split()) for line in "".join(self.gathered).split(BREAK)]
        self.gathered = []
        text = "\n".join(line for line in lines if line)
        if not re.fullmatch(r"-|\d+\.|", text):  # an empty list item
            yield Block("paragraph", text)


def table(element: Any) -> Iterator[Block]:
    """A table with its caption; one with a single row or column is layout, and its cells are paragraphs."""
    spans: dict[int, tuple[int, str]] = {}  # by column: the remaining rows of the span, and its text
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
