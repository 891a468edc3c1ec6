"""Characters of a PDF page that nobody sees or that say nothing: drawn without ink, white on white, of no size, or without a Unicode value.

The invisible text over or under a picture is the OCR layer of a scan, and is kept.
"""

import re
from collections.abc import Iterator
from functools import cache
from statistics import median
from typing import Any

from lingyu.ingest.readers.shown import LeftOut

Char = dict[str, Any]

NO_INK = {3, 7}  # render modes of text
TINY = 1.0  # points; smaller text is no text to read where the rest of the page is larger
WHITE = 0.98
COLOURS = {"DeviceGray": 1, "CalGray": 1, "DeviceRGB": 3, "CalRGB": 3, "DeviceCMYK": 4}  # components
PRIVATE_USE = re.compile("[\ue000-\uf8ff]")
UNMAPPED = re.compile(r"\(cid:\d+\)")
FORMULA = re.compile(
    r"^(?:CM(?:MI|SY|EX|BSY|MIB)|MS[AB]M|EU[FRS]M|STIX.*Math|.*Math(?!ew)|MT ?Extra|MTSY|Euclid (?:Symbol|Extra))", re.IGNORECASE
)
FEW = 5  # characters of formula fonts; fewer are a sign in the text


def note_render_modes(page: Any) -> None:
    """Sets char["render_mode"] of the page's characters; before anything else is asked of the page, which is interpreted here."""
    from pdfminer.pdfinterp import PDFPageInterpreter

    device = aggregator()(page.pdf.rsrcmgr, pageno=page.page_number, laparams=page.pdf.laparams)
    PDFPageInterpreter(page.pdf.rsrcmgr, device).process_page(page.page_obj)
    page._layout = device.get_result()
    for char, mode in zip(page.chars, modes_of(page._layout), strict=True):
        char["render_mode"] = mode


@cache
def aggregator() -> Any:
    from pdfplumber.page import PDFPageAggregatorWithMarkedContent

    class WithRenderModes(PDFPageAggregatorWithMarkedContent):
        """Keeps the render mode of each character, which pdfminer drops."""

        mode = 0

        def render_string(self, textstate: Any, *rest: Any) -> None:
            self.mode = textstate.render
            super().render_string(textstate, *rest)

        def render_char(self, *args: Any, **kwargs: Any) -> float:
            advance: float = super().render_char(*args, **kwargs)
            drawn: Any = self.cur_item._objs[-1]
            drawn.render_mode = self.mode
            return advance

    return WithRenderModes


def modes_of(layout: Any) -> Iterator[int]:
    """In the order of page.chars."""
    from pdfminer.layout import LTChar, LTContainer

    for one in layout._objs:
        if isinstance(one, LTContainer):
            yield from modes_of(one)
        elif isinstance(one, LTChar):
            yield getattr(one, "render_mode", 0)


def without_unseen(page: Any, chars: list[Char], left: LeftOut, place: str) -> list[Char]:
    """The characters without those that are drawn without ink, in white on white, or of no size."""
    pictures = [box_of(image) for image in page.images]
    sizes = [char["size"] for char in chars]
    usual = median(sizes) if sizes else 0.0
    gone: list[Char] = []
    grounds: list[tuple[float, float, float, float]] | None = None
    for char in chars:
        if char["text"].isspace():
            continue
        no_ink, tiny, white = char.get("render_mode") in NO_INK, char["size"] < TINY < 0.5 * usual, is_white(char, "non_stroking_color")
        if not (no_ink or tiny or white):
            continue
        if white and not (no_ink or tiny):
            if grounds is None:
                painted = [
                    thing for thing in (*page.rects, *page.curves) if thing.get("fill") and not is_white(thing, "non_stroking_color")
                ]
                grounds = [*map(box_of, painted), *pictures]
            if any(is_within(char, box) for box in grounds):
                continue
        elif any(is_within(char, box) for box in pictures):
            continue
        gone.append(char)
    if not gone:
        return chars
    left.add("hidden_text", "".join(char["text"] for char in gone), place)
    ids = {id(char) for char in gone}
    return [char for char in chars if id(char) not in ids]


def box_of(thing: dict[str, Any]) -> tuple[float, float, float, float]:
    return thing["x0"], thing["top"], thing["x1"], thing["bottom"]


def is_within(char: Char, box: tuple[float, float, float, float]) -> bool:
    across, down = (char["x0"] + char["x1"]) / 2, (char["top"] + char["bottom"]) / 2
    return bool(box[0] <= across <= box[2] and box[1] <= down <= box[3])


def is_white(thing: dict[str, Any], name: str) -> bool:
    """Whether its colour is white, where the kind of colour says so; spot colours and patterns are not looked at."""
    colour, space = thing.get(name), thing.get("ncs")
    if not isinstance(colour, tuple | list) or not colour or not all(isinstance(part, int | float) for part in colour):
        return False
    if space is not None and space != "ICCBased" and COLOURS.get(space) != len(colour):
        return False
    return (
        all(part <= 1 - WHITE for part in colour) if len(colour) == 4 else len(colour) in (1, 3) and all(part >= WHITE for part in colour)
    )


def report_unmapped(chars: list[Char], left: LeftOut, place: str) -> list[Char]:
    """Reports characters without a Unicode value, which become �, and those of formula fonts, whose arrangement is lost."""
    unmapped = [char for char in chars if UNMAPPED.fullmatch(char["text"])]
    for char in unmapped:
        left.add("unmapped", char["text"], place)
    formula = [char for char in chars if FORMULA.match(char["fontname"].partition("+")[2] or char["fontname"])]
    if len(formula) >= FEW:
        left.add("formula_lost", "".join(char["text"] for char in formula), place)
    if not unmapped:
        return chars
    ids = {id(char) for char in unmapped}
    return [char | {"text": "\ufffd"} if id(char) in ids else char for char in chars]


def without_unknown(text: str, left: LeftOut, place: str) -> str:
    """Text with � for the codes for private use that are left in it, which only their font knows; they are reported."""
    for code in PRIVATE_USE.findall(text):
        left.add("unmapped", f"U+{ord(code):04X}", place)
    return PRIVATE_USE.sub("\ufffd", text)
