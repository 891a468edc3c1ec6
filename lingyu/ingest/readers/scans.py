"""OCR for scanned pages with the optional package rapidocr, which includes models for Chinese and English."""

from functools import cache
from importlib.util import find_spec
from statistics import median
from typing import Any

from lingyu.ingest.readers import Fault
from lingyu.ingest.readers.pages import Line, columns_of, in_reading_order

EXTRA = "pip install 'lingyu[ocr]'"
DOTS = 200  # dpi: a 10-point letter is 28 pixels high, which suits the models
LONGEST = 4000  # pixels of a side; limits memory for scanned plans
SURE = 0.5  # the package's default; below are mostly ornaments, stamps and handwriting
GRID = 5  # points; tolerance for left-aligned lines of a scan
ALIKE = 0.25  # lines whose heights differ less have the same font size: a line without tall letters is lower


def is_there() -> bool:
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def lines_of_scan(page: Any) -> tuple[list[Line], list[Fault]]:
    """The lines of a page in reading order, and a Fault for each with low confidence."""
    dots = min(DOTS, LONGEST * 72 / max(page.width, page.height))
    read = engine()(page.to_image(resolution=dots).original, text_score=0)
    place = f"page {page.page_number}"
    if not read.txts:
        return [], [Fault(place, "needs_ocr", "OCR found no text; if there is some, scan the page again")]
    lines, faults, runs = [], [], []
    for text, score, corners in zip(read.txts, read.scores, read.boxes.tolist(), strict=True):
        if score < SURE:
            faults.append(Fault(place, "ocr_unsure", f"low OCR confidence ({score:.2f}); type the line into a separate file", text))
            continue
        across, down = ([corner[axis] * 72 / dots for corner in corners] for axis in (0, 1))
        lines.append(Line(text, page.page_number, min(across), max(across), min(down), max(down)))
        runs.append({"x0": GRID * round(min(across) / GRID), "x1": max(across), "top": min(down), "bottom": max(down)})
    usual = median([line.bottom - line.top for line in lines] or [0])
    for line in lines:
        height = line.bottom - line.top
        line.size = round(usual if abs(height - usual) <= ALIKE * usual else height)
    gap, _ = columns_of(runs, page.width)
    if gap:
        for line, run in zip(lines, runs, strict=True):
            line.column = 1 if line.right <= gap + GRID else 2 if run["x0"] >= gap else 0
    return in_reading_order(lines) if gap else lines, faults  # on single-column pages the package keeps adjacent texts together


@cache
def engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(params={"Global.log_level": "critical"})
