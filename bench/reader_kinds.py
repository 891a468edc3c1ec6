"""What real files hold beside plain text, planted in small documents of each format; used by reader_fuzz and by the tests.

PLANTS says, by format and kind, what is put into a file, what a reader must make of it, and what it must leave out under which reason.
"""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# fmt: off
WORDS = [
    "检查", "设备", "电源", "值班", "记录", "人员", "应当", "及时", "通道", "保持", "畅通", "车辆", "库房", "温度",
    "湿度", "灭火", "器材", "安全", "距离", "培训", "考核", "申请", "办理", "登记", "窗口", "材料", "审核", "期限",
    "工作", "通知", "单位", "负责", "维护", "清洁", "门窗", "照明", "线路", "水泵", "压力", "指示", "灯光", "报警",
    "系统", "监控", "疏散", "演练",
]
# fmt: on


@dataclass(frozen=True)
class Plant:
    """What is in the file, what must be read of it, and what must be left out and reported under the reason."""

    raw: Any
    shown: str
    hidden: str = ""
    reason: str = ""


class Words:
    """Random text without anything that a reader treats otherwise than as text."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def some(self, count: int = 3) -> str:
        return "".join(self.rng.choices(WORDS, k=count))

    def sentence(self) -> str:
        return self.some(self.rng.randint(4, 8)) + "。"

    def number(self) -> int:
        return self.rng.randint(2, 98)


Make = Callable[[Words], Plant]
Build = Callable[[list[Any], Words], bytes]

RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
NAMESPACES = (
    f'{W} xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" xmlns:v="urn:schemas-microsoft-com:vml" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"'
)


# DOCX


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def in_word(*runs: str) -> str:
    return f"<w:p>{''.join(runs)}</w:p>"


def word_plain(words: Words) -> Plant:
    said = words.sentence()
    return Plant(in_word(run(said)), said)


def word_raised(words: Words) -> Plant:
    a, power = words.some(), str(-words.number())
    return Plant(
        in_word(run(f"{a}10"), run(power, '<w:vertAlign w:val="superscript"/>'), run("以下。")), f"{a}10{power.translate(RAISED)}以下。"
    )


def word_lowered(words: Words) -> Plant:
    a = words.some()
    return Plant(in_word(run(f"{a}CO"), run("2", '<w:vertAlign w:val="subscript"/>'), run("。")), f"{a}CO₂。")


def word_formula(words: Words) -> Plant:
    a, number = words.some(), words.number()
    said = "<m:r><m:t>{}</m:t></m:r>".format
    math = f"<m:oMath>{said('L=')}<m:f><m:num>{said('v')}</m:num><m:den>{said(number)}</m:den></m:f></m:oMath>"
    return Plant(in_word(run(a), math, run("。")), f"{a}$L=\\frac{{v}}{{{number}}}$。")


def word_hidden(words: Words) -> Plant:
    a, secret, b = words.some(), words.some(), words.sentence()
    return Plant(in_word(run(a), run(secret, "<w:vanish/>"), run(b)), a + b, secret, "hidden_text")


def word_hidden_row(words: Words) -> Plant:
    a, b, secret = words.some(), words.some(), words.some()
    cell = "<w:tc><w:tcPr/>{}</w:tc>"
    rows = f"<w:tr>{cell.format(in_word(run(a)))}{cell.format(in_word(run(b)))}</w:tr>"
    rows += f"<w:tr><w:trPr><w:hidden/></w:trPr>{cell.format(in_word(run(secret)))}{cell.format(in_word(run('')))}</w:tr>"
    return Plant(f"<w:tbl>{rows}</w:tbl>", a + b, secret, "hidden_text")


def word_struck(words: Words) -> Plant:
    a, old, b = words.some(), words.some(), words.sentence()
    how = words.rng.choice(["<w:strike/>", "<w:dstrike/>", ""])
    gone = run(old, how) if how else f'<w:del w:id="1" w:author="x"><w:r><w:delText>{old}</w:delText></w:r></w:del>'
    return Plant(in_word(run(a), gone, run(b)), a + b, old, "struck_text")


def word_ruby(words: Words) -> Plant:
    a, base, b = words.some(), words.some(1), words.sentence()
    ruby = f"<w:r><w:ruby><w:rubyPr/><w:rt>{run('ni hao')}</w:rt><w:rubyBase>{run(base)}</w:rubyBase></w:ruby></w:r>"
    return Plant(in_word(run(a), ruby, run(b)), a + base + b, "ni hao", "ruby")


def word_ticks(words: Words) -> Plant:
    a, b = words.some(), words.some()
    symbols = [f'<w:r><w:sym w:font="Wingdings" w:char="{code}"/></w:r>' for code in ("F0FE", "F0A8")]
    control = (
        "<w:sdt><w:sdtPr><w14:checkbox><w14:checked w14:val='{}'/></w14:checkbox></w:sdtPr><w:sdtContent>"
        + run("☒")
        + "</w:sdtContent></w:sdt>"
    )
    old = '<w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:checkBox><w:default w:val="{}"/></w:checkBox></w:ffData></w:fldChar></w:r>'
    old += '<w:r><w:instrText> FORMCHECKBOX </w:instrText></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>'
    ticked, empty = words.rng.choice([symbols, [control.format(1), control.format(0)], [old.format(1), old.format(0)]])
    return Plant(in_word(ticked, run(a), empty, run(b + "。")), f"☑{a}☐{b}。")


def word_box(words: Words) -> Plant:
    a, said = words.sentence(), words.sentence()
    box = f"<w:txbxContent>{in_word(run(said))}</w:txbxContent>"
    drawn = (
        f"<w:r><mc:AlternateContent><mc:Choice Requires='wps'><w:drawing><wps:txbx>{box}</wps:txbx></w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )
    if words.rng.random() < 0.5:
        return Plant(in_word(run(a), drawn), a + said)
    head = words.some()
    return Plant(f"<w:tbl><w:tr><w:tc>{in_word(run(head))}</w:tc><w:tc>{in_word(run(a), drawn)}</w:tc></w:tr></w:tbl>", head + a + said)


def word_table(words: Words) -> Plant:
    cells = [words.some() for _ in range(4)]
    held = [f"<w:tc>{in_word(run(cell))}</w:tc>" for cell in cells]
    return Plant(f"<w:tbl><w:tr>{''.join(held[:2])}</w:tr><w:tr>{''.join(held[2:])}</w:tr></w:tbl>", "".join(cells))


def build_docx(pieces: list[Any], words: Words) -> bytes:
    import docx
    from docx.oxml.parser import parse_xml

    document = docx.Document()
    for element in list(document.element.body):
        document.element.body.remove(element)
    for element in parse_xml(f"<w:body {NAMESPACES}>{''.join(pieces)}</w:body>"):
        document.element.body.append(element)
    data = io.BytesIO()
    document.save(data)
    return data.getvalue()


# HTML, and Markdown, which may hold it


def html_plain(words: Words) -> Plant:
    said = words.sentence()
    return Plant(f"<p>{said}</p>", said)


def html_raised(words: Words) -> Plant:
    a, power = words.some(), str(-words.number())
    return Plant(f"<p>{a}10<sup>{power}</sup>以下。</p>", f"{a}10{power.translate(RAISED)}以下。")


def html_lowered(words: Words) -> Plant:
    a, count = words.some(), str(words.number())
    return Plant(f"<p>{a}C<sub>{count}</sub>。</p>", f"{a}C{count.translate(LOWERED)}。")


def html_formula(words: Words) -> Plant:
    a, number = words.some(), words.number()
    math = f"<math><mi>L</mi><mo>=</mo><mfrac><mi>v</mi><mn>{number}</mn></mfrac></math>"
    return Plant(f"<p>{a}{math}。</p>", f"{a}$L=\\frac{{v}}{{{number}}}$。")


def html_hidden(words: Words) -> Plant:
    a, secret, b = words.some(), words.some(), words.sentence()
    how = words.rng.choice(['style="display:none"', 'style="color: red; visibility: hidden"', "hidden"])
    return Plant(f"<p>{a}<span {how}>{secret}</span>{b}</p>", a + b, secret, "hidden_text")


def html_styled(words: Words) -> Plant:
    """Hidden by a rule of the page's style sheet, in one of the ways of naming an element."""
    a, secret, b = words.some(), words.some(), words.sentence()
    name = f"n{words.number()}x{words.rng.randrange(10**6)}"
    hides = words.rng.choice(["display:none", "visibility: hidden", "font-size:0", "display: none !important", "opacity:0;color:red"])
    selector, how = words.rng.choice(
        [
            (f".{name}", f'class="b {name}"'),
            (f"#{name}", f'id="{name}"'),
            (f"p > span.{name}", f'class="{name}"'),
            (f"[data-x={name}]", f'data-x="{name}"'),
        ]
    )
    return Plant(f"<style>{selector} {{ {hides} }}</style><p>{a}<span {how}>{secret}</span>{b}</p>", a + b, secret, "hidden_text")


def html_read_aloud(words: Words) -> Plant:
    """Not hidden: left out by screen readers only, or shown again within what is hidden."""
    a, b = words.some(), words.sentence()
    how = words.rng.choice(['aria-hidden="true"', 'class="visible"', 'style="display:block"'])
    again = f'<span style="visibility:hidden"><span style="visibility:visible">{a}</span></span>'
    return Plant(words.rng.choice([f"<p><span {how}>{a}</span>{b}</p>", f"<p>{again}{b}</p>"]), a + b)


def html_struck(words: Words) -> Plant:
    a, old, b = words.some(), words.some(), words.sentence()
    tag = words.rng.choice(["s", "del", "strike"])
    return Plant(f"<p>{a}<{tag}>{old}</{tag}>{b}</p>", a + b, old, "struck_text")


def html_ruby(words: Words) -> Plant:
    a, base, b = words.some(), words.some(1), words.sentence()
    return Plant(f"<p>{a}<ruby>{base}<rp>(</rp><rt>ni hao</rt><rp>)</rp></ruby>{b}</p>", a + base + b, "ni hao", "ruby")


def html_ticks(words: Words) -> Plant:
    a, b = words.some(), words.some()
    return Plant(f'<p><input type="checkbox" checked>{a}<input type="checkbox">{b}。</p>', f"☑{a}☐{b}。")


def html_table(words: Words) -> Plant:
    cells = [words.some() for _ in range(4)]
    rows = "".join(f"<tr><td>{one}</td><td>{two}</td></tr>" for one, two in (cells[:2], cells[2:]))
    return Plant(f"<table>{rows}</table>", "".join(cells))


def build_html(pieces: list[Any], words: Words) -> bytes:
    return f"<!doctype html><html><body>{''.join(pieces)}</body></html>".encode()


def as_markdown(make: Make) -> Make:
    """What is planted in a page as it is in Markdown, which has no paragraphs in tags."""

    def made(words: Words) -> Plant:
        plant = make(words)
        return Plant(plant.raw.removeprefix("<p>").removesuffix("</p>"), plant.shown, plant.hidden, plant.reason)

    return made


def markdown_struck(words: Words) -> Plant:
    a, old, b = words.some(), words.some(), words.sentence()
    return Plant(f"{a}~~{old}~~{b}", a + b, old, "struck_text")


def markdown_formula(words: Words) -> Plant:
    number = words.number()
    if words.rng.random() < 0.5:
        return Plant(f"$$\nL = \\frac{{v}}{{{number}}}\n\n+ 6\n$$", f"$$L=\\frac{{v}}{{{number}}}+6$$")
    a = words.some()
    return Plant(f"{a} $L_{number}$。", f"{a}$L_{number}$。")


def markdown_table(words: Words) -> Plant:
    above, cells = words.sentence(), [words.some() for _ in range(4)]
    rows = [" | ".join(cells[:2]), "--- | ---", " | ".join(cells[2:])]
    if words.rng.random() < 0.5:
        rows = [f"| {row} |" for row in rows]
    return Plant("\n".join([above, *rows]), above + "".join(cells))


def markdown_picture(words: Words) -> Plant:
    a, name = words.sentence(), words.some()
    return Plant(f"{a}![{name}](data:image/png;base64,{'iVBORw0KGgo' * 40})", a + name, name, "picture")


def build_markdown(pieces: list[Any], words: Words) -> bytes:
    return "\n\n".join(pieces).encode()


# Text


def text_plain(words: Words) -> Plant:
    said = words.sentence()
    return Plant(said, said)


def text_bullets(words: Words) -> Plant:
    items = [words.sentence() for _ in range(3)]
    code = chr(words.rng.choice([0xF0B7, 0xF0A7, 0xF0D8, 0xF06C, 0xF06E, 0xF075, 0xE123]))
    return Plant("\n".join(f"{code} {item}" for item in items), "".join(f"•{item}" for item in items))


def text_ticks(words: Words) -> Plant:
    a, b = words.some(), words.some()
    return Plant(f"\uf0fe{a}\uf0a8{b}。", f"☑{a}☐{b}。")


def build_text(pieces: list[Any], words: Words) -> bytes:
    whole = "\n\n".join(pieces)
    return whole.replace("\n", words.rng.choice(["\n", "\r\n", "\r"])).encode(words.rng.choice(["utf-8", "utf-8-sig", "utf-16"]))


# Rows


def csv_row(words: Words) -> Plant:
    a, b = words.some(), words.sentence()
    return Plant((a, b), a + b)


def csv_lines(words: Words) -> Plant:
    a, b, c = words.some(), words.some(), words.sentence()
    return Plant((a, f'"{b}\n{c}"'), a + b + c)


def csv_bullets(words: Words) -> Plant:
    a, b = words.some(), words.sentence()
    return Plant((a, f"\uf0b7{b}"), f"{a}\uf0b7{b}")  # clean's `normal` makes • of it, as of all in records


def build_csv(pieces: list[Any], words: Words) -> bytes:
    lines = ["question,answer", *(",".join(piece) for piece in pieces)]
    end = words.rng.choice(["\n", "\r\n", "\r"])
    return "".join(line.replace("\n", end) + end for line in lines).encode(words.rng.choice(["utf-8", "gb18030"]))


@dataclass(frozen=True)
class Cell:
    """A cell of a workbook: its value, number format, and what else is changed of it or of its row."""

    value: Any
    code: str = "General"
    struck: bool = False
    row_hidden: bool = False


def sheet_row(words: Words) -> Plant:
    a, b = words.some(), words.sentence()
    return Plant((Cell(a), Cell(b)), a + b)


def sheet_number(words: Words) -> Plant:
    from datetime import datetime, timedelta

    a, n = words.some(), words.number()
    value, code, shown = words.rng.choice(
        [
            (datetime(2025, 3, n % 28 + 1), "yyyy-mm-dd", f"2025-03-{n % 28 + 1:02}"),
            (datetime(2025, 3, n % 28 + 1), 'yyyy"年"m"月"d"日"', f"2025年3月{n % 28 + 1}日"),
            (n / 1000, "0.0%", f"{n / 10:.1f}%"),
            (n, "00000", f"{n:05}"),
            (n * 1000 + 5, "#,##0.00", f"{n},005.00"),
            (timedelta(hours=n, minutes=5), "[h]:mm", f"{n}:05"),
            (n + 0.25, "# ?/?", f"{n} 1/4"),
            (n, '"¥"0.00', f"¥{n}.00"),
            (n / 10, "General", f"{n / 10:g}"),
            (n % 2 == 0, "General", str(n % 2 == 0).upper()),
        ]
    )
    return Plant((Cell(a), Cell(value, code)), a + shown)


def sheet_hidden_row(words: Words) -> Plant:
    secret = words.some()
    return Plant((Cell(secret, row_hidden=True), Cell(secret)), "", secret, "hidden_text")


def sheet_hidden_value(words: Words) -> Plant:
    a, n = words.some(), words.number()
    return Plant((Cell(a), Cell(n, ";;;")), a, str(n), "hidden_text")


def sheet_struck(words: Words) -> Plant:
    a, old = words.some(), words.some()
    return Plant((Cell(a), Cell(old, struck=True)), a, old, "struck_text")


def sheet_raised(words: Words) -> Plant:
    from openpyxl.cell.rich_text import CellRichText, TextBlock
    from openpyxl.cell.text import InlineFont

    a, b, power = words.some(), words.some(), str(words.number())
    value = CellRichText(f"{b}10", TextBlock(InlineFont(vertAlign="superscript"), power))
    return Plant((Cell(a), Cell(value)), f"{a}{b}10{power.translate(RAISED)}")


def build_xlsx(pieces: list[Any], words: Words) -> bytes:
    from openpyxl import Workbook
    from openpyxl.styles import Font

    book = Workbook()
    sheet = book.active
    sheet.append(["question", "answer"])
    for number, row in enumerate(pieces, 2):
        for column, cell in enumerate(row, 1):
            made = sheet.cell(number, column, cell.value)
            made.number_format = cell.code
            if cell.struck:
                made.font = Font(strike=True)
            if cell.row_hidden:
                sheet.row_dimensions[number].hidden = True
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


# PPTX

A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
M = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" xmlns:a14="http://schemas.microsoft.com/office/drawing/2010/main"'
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def in_slide(*runs: str, hidden: bool = False) -> str:
    mark = ' hidden="1"' if hidden else ""
    return f'<p:sp><p:nvSpPr><p:cNvPr id="2" name="x"{mark}/></p:nvSpPr><p:txBody><a:p>{"".join(runs)}</a:p></p:txBody></p:sp>'


def slide_run(text: str, attributes: str = "", inner: str = "") -> str:
    return f"<a:r><a:rPr {attributes}>{inner}</a:rPr><a:t>{text}</a:t></a:r>"


def slide_plain(words: Words) -> Plant:
    said = words.sentence()
    return Plant(in_slide(slide_run(said)), said)


def slide_raised(words: Words) -> Plant:
    a, power = words.some(), str(-words.number())
    return Plant(in_slide(slide_run(f"{a}10"), slide_run(power, 'baseline="30000"'), slide_run("。")), f"{a}10{power.translate(RAISED)}。")


def slide_lowered(words: Words) -> Plant:
    a = words.some()
    return Plant(in_slide(slide_run(f"{a}CO"), slide_run("2", 'baseline="-25000"')), f"{a}CO₂")


def slide_formula(words: Words) -> Plant:
    a, number = words.some(), words.number()
    said = "<m:r><m:t>{}</m:t></m:r>".format
    math = f"<a14:m><m:oMath><m:sSup><m:e>{said('x')}</m:e><m:sup>{said(number)}</m:sup></m:sSup></m:oMath></a14:m>"
    power = str(number) if number < 10 else f"{{{number}}}"
    return Plant(in_slide(slide_run(a), math), f"{a}$x^{power}$")


def slide_hidden(words: Words) -> Plant:
    secret = words.some()
    return Plant(in_slide(slide_run(secret), hidden=True), "", secret, "hidden_text")


def slide_struck(words: Words) -> Plant:
    a, old = words.some(), words.some()
    return Plant(in_slide(slide_run(a), slide_run(old, 'strike="sngStrike"')), a, old, "struck_text")


def slide_ticks(words: Words) -> Plant:
    a, b = words.some(), words.some()
    font = '<a:latin typeface="Wingdings"/>'
    return Plant(in_slide(slide_run("\u00fe", inner=font), slide_run(a), slide_run("\u00a8", inner=font), slide_run(b)), f"☑{a}☐{b}")


def slide_table(words: Words) -> Plant:
    cells = [words.some() for _ in range(4)]
    held = [f"<a:tc><a:txBody><a:p>{slide_run(cell)}</a:p></a:txBody></a:tc>" for cell in cells]
    rows = f"<a:tr>{''.join(held[:2])}</a:tr><a:tr>{''.join(held[2:])}</a:tr>"
    return Plant(
        f"<p:graphicFrame><a:graphic><a:graphicData><a:tbl>{rows}</a:tbl></a:graphicData></a:graphic></p:graphicFrame>", "".join(cells)
    )


def build_pptx(pieces: list[Any], words: Words) -> bytes:
    import zipfile

    kind = "http://schemas.openxmlformats.org/package/2006/relationships"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as parts:
        listed = '<p:sldIdLst><p:sldId id="256" r:id="rId1"/></p:sldIdLst>'
        parts.writestr("ppt/presentation.xml", f'<p:presentation {P} xmlns:r="{R}">{listed}</p:presentation>')
        relation = f'<Relationship Id="rId1" Type="{R}/slide" Target="slides/slide1.xml"/>'
        parts.writestr("ppt/_rels/presentation.xml.rels", f'<Relationships xmlns="{kind}">{relation}</Relationships>')
        parts.writestr("ppt/slides/slide1.xml", f"<p:sld {P} {A} {M}><p:cSld><p:spTree>{''.join(pieces)}</p:spTree></p:cSld></p:sld>")
    return data.getvalue()


# PDF: a piece draws itself at the height that it is given, or on the whole page

Draw = Callable[[Any, float], None]
SIZE, LEFT = 12, 72


def written(canvas: Any, x: float, y: float, text: str, size: float = SIZE) -> float:
    """Where the text ends."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    canvas.setFont("STSong-Light", size)
    canvas.drawString(x, y, text)
    return x + stringWidth(text, "STSong-Light", size)


def page_plain(words: Words) -> Plant:
    said = words.sentence()
    return Plant(lambda canvas, y: written(canvas, LEFT, y, said), said)


def page_raised(words: Words) -> Plant:
    a, power = words.some(), str(-words.number())

    def draw(canvas: Any, y: float) -> None:
        x = written(canvas, LEFT, y, f"{a}10")
        x = written(canvas, x, y + 5, power, 7)
        written(canvas, x, y, "以下。")

    return Plant(draw, f"{a}10{power.translate(RAISED)}以下。")


def page_lowered(words: Words) -> Plant:
    a, count = words.some(), str(words.number())

    def draw(canvas: Any, y: float) -> None:
        x = written(canvas, LEFT, y, f"{a}C")
        x = written(canvas, x, y - 3, count, 7)
        written(canvas, x, y, "以下。")

    return Plant(draw, f"{a}C{count.translate(LOWERED)}以下。")


def page_struck(words: Words) -> Plant:
    a, old, b = words.some(), words.some(), words.sentence()

    def draw(canvas: Any, y: float) -> None:
        x = written(canvas, LEFT, y, a)
        end = written(canvas, x, y, old)
        canvas.line(x, y + 4, end, y + 4)
        written(canvas, end, y, b)

    return Plant(draw, a + b, old, "struck_text")


def page_watermark(words: Words) -> Plant:
    said, mark = words.sentence(), words.some(2)

    def draw(canvas: Any, y: float) -> None:
        canvas.saveState()
        canvas.setFillGray(0.8)
        canvas.translate(250, y)
        canvas.rotate(words.rng.choice([30, 45, 60]))
        written(canvas, 0, 0, mark, 30)
        canvas.restoreState()
        written(canvas, LEFT, y, said)

    return Plant(draw, said, mark, "watermark")


def page_off(words: Words) -> Plant:
    said, secret = words.sentence(), words.some()

    def draw(canvas: Any, y: float) -> None:
        written(canvas, LEFT, y, said)
        written(canvas, 900, y, secret)

    return Plant(draw, said, secret, "hidden_text")


def page_unseen(words: Words) -> Plant:
    """White on white, of no size, or drawn without ink; white on a dark ground is read."""
    said, secret, head = words.sentence(), words.some(), words.some()
    how = words.rng.choice(["white", "tiny", "no ink"])

    def draw(canvas: Any, y: float) -> None:
        written(canvas, LEFT, y, said)
        canvas.setFillColorRGB(0.1, 0.2, 0.4)
        canvas.rect(LEFT - 4, y - 25, 200, 18, stroke=0, fill=1)
        canvas.setFillColorRGB(1, 1, 1)
        written(canvas, LEFT, y - 20, head)
        if how == "white":
            written(canvas, 350, y, secret)
        elif how == "tiny":
            canvas.setFillColorRGB(0, 0, 0)
            written(canvas, 350, y, secret, 0.4)
        else:
            without_ink(canvas, 350, y, secret)

    return Plant(draw, said + head, secret, "hidden_text")


def without_ink(canvas: Any, x: float, y: float, text: str) -> None:
    line = canvas.beginText(x, y)
    line.setFont("STSong-Light", SIZE)
    line.setTextRenderMode(3)
    line.textOut(text)
    line.setTextRenderMode(0)
    canvas.drawText(line)


def page_scan(words: Words) -> Plant:
    """A picture of a page, with its text without ink over it, as OCR programs write it."""
    lines = [words.sentence() for _ in range(4)]

    def draw(canvas: Any, y: float) -> None:
        from PIL import Image
        from reportlab.lib.utils import ImageReader

        canvas.drawImage(ImageReader(Image.new("L", (60, 84), 230)), 0, 0, 595, 842)
        for number, line in enumerate(lines):
            without_ink(canvas, LEFT, 760 - 40 * number, line)

    return Plant(draw, "".join(lines))


def page_unmapped(words: Words) -> Plant:
    """A sign of a font of formulas that has a code for private use, within a line."""
    a, b = words.some(), words.sentence()

    def draw(canvas: Any, y: float) -> None:
        x = written(canvas, LEFT, y, a)
        canvas.setFont("Pictures", SIZE)
        canvas.drawString(x, y, "\ue123")
        written(canvas, x + 12, y, b)

    return Plant(draw, f"{a}\ufffd{b}", "U+E123", "unmapped")


def page_field(words: Words) -> Plant:
    a, value = words.some(), "east gate " + str(words.number())

    def draw(canvas: Any, y: float) -> None:
        x = written(canvas, LEFT, y, f"{a}：")
        canvas.acroForm.textfield(name=f"f{y}", value=value, x=x + 4, y=y - 4, width=200, height=18, fontSize=SIZE)

    return Plant(draw, f"{a}：{value}")


def page_box(words: Words) -> Plant:
    a, ticked = words.some(), words.rng.random() < 0.5

    def draw(canvas: Any, y: float) -> None:
        x = written(canvas, LEFT, y, a)
        canvas.acroForm.checkbox(name=f"c{y}", checked=ticked, x=x + 4, y=y - 4, size=16)

    return Plant(draw, f"{a}{'☑' if ticked else '☐'}")


def page_bullets(words: Words) -> Plant:
    """A bullet as Word writes it into PDF: a code for private use of a font of pictures."""
    said, code = words.sentence(), chr(words.rng.choice([0xF0B7, 0xF0A7, 0xF06C, 0xF0D8]))

    def draw(canvas: Any, y: float) -> None:
        canvas.setFont("Pictures", SIZE)
        canvas.drawString(LEFT, y, code)
        written(canvas, LEFT + 16, y, said)

    return Plant(draw, f"•{said}")


def page_table(words: Words) -> Plant:
    cells = [words.some() for _ in range(4)]

    def draw(canvas: Any, y: float) -> None:
        for x in (LEFT, LEFT + 150, LEFT + 300):
            canvas.line(x, y + 16, x, y - 24)
        for down in (16, -4, -24):
            canvas.line(LEFT, y + down, LEFT + 300, y + down)
        for at, cell in enumerate(cells):
            written(canvas, LEFT + 5 + 150 * (at % 2), y - 20 * (at // 2), cell)

    return Plant(draw, "".join(cells))


def page_sideways(words: Words) -> Plant:
    lines = [words.sentence() for _ in range(3)]

    def draw(canvas: Any, y: float) -> None:
        canvas.translate(300, 100)
        canvas.rotate(90)
        for number, line in enumerate(lines):
            written(canvas, 0, -60 * number, line)

    return Plant(draw, "".join(lines))


def page_downwards(words: Words) -> Plant:
    lines = [words.sentence() for _ in range(3)]

    def draw(canvas: Any, y: float) -> None:
        for number, line in enumerate(lines):
            for at, letter in enumerate(line):
                written(canvas, 450 - 80 * number, 760 - 17 * at, letter, 14)

    return Plant(draw, "".join(lines))


def page_columns(words: Words) -> Plant:
    columns = words.rng.choice([2, 3])
    width = 460 / columns
    letters = int((width - 22) / SIZE)
    texts = [[words.some(20)[: letters - 1] + "，" for _ in range(9)] + [words.some(20)[: letters - 1] + "。"] for _ in range(columns)]

    def draw(canvas: Any, y: float) -> None:
        for number, lines in enumerate(texts):
            for at, line in enumerate(lines):
                written(canvas, LEFT - 20 + width * number, 700 - 18 * at, line)

    return Plant(draw, "".join(line for lines in texts for line in lines))


def build_pdf(pieces: list[Any], words: Words) -> bytes:
    """One page below the other; what takes a whole page stands on one of its own. Each page has a header and a number."""
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.pdfgen.canvas import Canvas

    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    pictures = TTFont("Pictures", "Vera.ttf")  # comes with reportlab; its bullet under more codes, as Wingdings has it
    pictures.face.charToGlyph.update(dict.fromkeys([*range(0xF020, 0xF0FF), 0xE123], pictures.face.charToGlyph[0x2022]))
    pdfmetrics.registerFont(pictures)
    data = io.BytesIO()
    canvas = Canvas(data, pagesize=(595, 842), invariant=1)
    for draw in pieces:
        draw(canvas, 500)
        canvas.showPage()
    canvas.save()
    return data.getvalue()


def lines_on_a_page(makes: list[Make]) -> Make:
    """A page of lines, each made by one of these."""

    def made(words: Words) -> Plant:
        plants = [make(words) for make in makes]

        def draw(canvas: Any, y: float) -> None:
            for number, plant in enumerate(plants):
                canvas.saveState()
                plant.raw(canvas, 760 - 60 * number)
                canvas.restoreState()

        reasons = {plant.reason for plant in plants if plant.reason}
        return Plant(
            draw, "".join(plant.shown for plant in plants), next((p.hidden for p in plants if p.reason), ""), next(iter(reasons), "")
        )

    return made


def with_lines(make: Make) -> Make:
    """A line among plain ones."""
    return lines_on_a_page([page_plain, page_plain, make, page_plain])


FORMATS: dict[str, tuple[str, Build]] = {
    "DOCX": (".docx", build_docx),
    "PPTX": (".pptx", build_pptx),
    "PDF": (".pdf", build_pdf),
    "HTML": (".html", build_html),
    "Markdown": (".md", build_markdown),
    "TXT": (".txt", build_text),
    "CSV": (".csv", build_csv),
    "XLSX": (".xlsx", build_xlsx),
}
KINDS = {
    "plain text": "普通文字",
    "superscripts": "上标",
    "subscripts": "下标",
    "formulas": "公式",
    "hidden text": "隐藏文字",
    "hidden by a style sheet": "样式表隐藏",
    "shown but not read aloud": "仅对读屏隐藏",
    "white on white, of no size, without ink": "白字、零字号、无墨文字",
    "text of scans": "扫描件的文字层",
    "glyphs without a character": "无对应字符的字形",
    "hidden rows": "隐藏行",
    "struck-out text": "删除线、修订删除",
    "ruby": "注音",
    "tick boxes": "勾选框",
    "text boxes": "文本框",
    "form fields": "表单域",
    "bullets for private use": "私用区项目符号",
    "tables": "表格",
    "embedded pictures": "内嵌图片",
    "line ends of a Mac": "Mac 换行符",
    "number formats": "数字格式",
    "watermarks": "水印",
    "sideways pages": "旋转页",
    "vertical writing": "竖排",
    "columns": "多栏",
}
PLANTS: dict[str, dict[str, Make]] = {
    "DOCX": {
        "plain text": word_plain,
        "superscripts": word_raised,
        "subscripts": word_lowered,
        "formulas": word_formula,
        "hidden text": word_hidden,
        "hidden rows": word_hidden_row,
        "struck-out text": word_struck,
        "ruby": word_ruby,
        "tick boxes": word_ticks,
        "text boxes": word_box,
        "tables": word_table,
    },
    "PPTX": {
        "plain text": slide_plain,
        "superscripts": slide_raised,
        "subscripts": slide_lowered,
        "formulas": slide_formula,
        "hidden text": slide_hidden,
        "struck-out text": slide_struck,
        "tick boxes": slide_ticks,
        "tables": slide_table,
    },
    "PDF": {
        "plain text": lines_on_a_page([page_plain] * 4),
        "superscripts": with_lines(page_raised),
        "subscripts": with_lines(page_lowered),
        "hidden text": with_lines(page_off),
        "white on white, of no size, without ink": with_lines(page_unseen),
        "text of scans": page_scan,
        "glyphs without a character": with_lines(page_unmapped),
        "struck-out text": with_lines(page_struck),
        "tick boxes": with_lines(page_box),
        "form fields": with_lines(page_field),
        "bullets for private use": with_lines(page_bullets),
        "tables": with_lines(page_table),
        "watermarks": with_lines(page_watermark),
        "sideways pages": page_sideways,
        "vertical writing": page_downwards,
        "columns": page_columns,
    },
    "HTML": {
        "plain text": html_plain,
        "superscripts": html_raised,
        "subscripts": html_lowered,
        "formulas": html_formula,
        "hidden text": html_hidden,
        "hidden by a style sheet": html_styled,
        "shown but not read aloud": html_read_aloud,
        "struck-out text": html_struck,
        "ruby": html_ruby,
        "tick boxes": html_ticks,
        "tables": html_table,
    },
    "Markdown": {
        "plain text": text_plain,
        "superscripts": as_markdown(html_raised),
        "subscripts": as_markdown(html_lowered),
        "formulas": markdown_formula,
        "hidden text": as_markdown(html_hidden),
        "struck-out text": markdown_struck,
        "ruby": as_markdown(html_ruby),
        "tick boxes": as_markdown(html_ticks),
        "bullets for private use": text_bullets,
        "tables": markdown_table,
        "embedded pictures": markdown_picture,
    },
    "TXT": {"plain text": text_plain, "tick boxes": text_ticks, "bullets for private use": text_bullets, "line ends of a Mac": text_plain},
    "CSV": {"plain text": csv_row, "bullets for private use": csv_bullets, "line ends of a Mac": csv_lines},
    "XLSX": {
        "plain text": sheet_row,
        "superscripts": sheet_raised,
        "number formats": sheet_number,
        "hidden text": sheet_hidden_value,
        "hidden rows": sheet_hidden_row,
        "struck-out text": sheet_struck,
    },
}


def document(form: str, kinds: list[str], seed: str) -> tuple[bytes, list[Plant]]:
    """A document of this format with these kinds in it, and what was planted."""
    words = Words(random.Random(seed))
    plants = [PLANTS[form][kind](words) for kind in kinds]
    return FORMATS[form][1]([plant.raw for plant in plants], words), plants


def table() -> str:
    """Kinds by formats as Markdown: what is read, and what is left out under which reason."""
    lines = ["| | " + " | ".join(PLANTS) + " |", "| --- |" + " --- |" * len(PLANTS)]
    for kind, chinese in KINDS.items():
        cells = []
        for plants in PLANTS.values():
            reason = plants[kind](Words(random.Random(0))).reason if kind in plants else "–"
            cells.append("–" if reason == "–" else f"`{reason}`" if reason else "read")
        lines.append(f"| {kind} {chinese} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def read(path: Path) -> tuple[str, dict[str, str]]:
    """What a reader says of a file, without blanks and the marks of tables, and by reason what it left out."""
    from lingyu.ingest.readers import Block, Fault, Reading
    from lingyu.ingest.readers.encoding import encoding_of
    from lingyu.ingest.readers.formats import format_of

    form = format_of(path, 10**8)
    how = Reading(encoding_of(path) if form.text else "", 10**7, 10**8)
    said, left = "", dict[str, str]()
    for one in form.reader()(path, how):
        if isinstance(one, Fault):
            left[one.reason] = left.get(one.reason, "") + str(one.row)
        elif isinstance(one, Block):
            said += without_table(one.text) if one.kind == "table" else one.text
        else:
            said += "".join(str(value) for value in one.values.values() if value is not None)
    return squeezed(said), {reason: squeezed(row) for reason, row in left.items()}


def without_table(text: str) -> str:
    rows = [line for line in text.split("\n") if set(line) - set("|-: ")]
    return "".join(row.replace("|", "") for row in rows)


def squeezed(text: str) -> str:
    return "".join(text.split())
