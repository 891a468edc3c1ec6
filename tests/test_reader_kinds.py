"""What real files hold beside plain text: read as it is shown, or left out and reported. bench/reader_kinds.py plants each kind."""

import io
import re
import time
from pathlib import Path

import pytest
from corpus_files import docx, paragraph, pdf, xlsx
from test_readers import PARAMS, blocks, faults, read, values

from bench.reader_fuzz import measured
from bench.reader_kinds import FORMATS, KINDS, PLANTS, document, squeezed, table
from bench.reader_kinds import read as said_and_left_out
from lingyu.files import read_jsonl, read_tables
from lingyu.ingest.readers import Fault
from lingyu.ingest.readers.number_formats import shown
from lingyu.ingest.readers.shown import lowered, raised
from lingyu.ingest.sections import Origin, documents
from lingyu.text.marks import LIST_ITEM
from lingyu.text.normalise import Joined, joined, normal
from lingyu.text.symbols import without_private
from stages import ingest


@pytest.mark.parametrize(("form", "kind"), [(form, kind) for form, kinds in PLANTS.items() for kind in kinds])
def test_each_kind_is_read_as_it_is_shown_and_what_is_left_out_is_reported(tmp_path, form, kind):
    for seed in range(4):
        data, plants = document(form, ["plain text", kind, kind, "plain text"], f"{kind} {seed}")
        path = tmp_path / f"a{FORMATS[form][0]}"
        path.write_bytes(data)

        said, left = said_and_left_out(path)

        assert said == squeezed("".join(plant.shown for plant in plants))
        assert all(squeezed(plant.hidden) in left.get(plant.reason, "") for plant in plants if plant.reason)
        assert set(left) <= {plant.reason for plant in plants}


def test_the_table_of_kinds_names_every_plant():
    lines = table().split("\n")

    assert len(lines) == len(KINDS) + 2
    assert {kind for kinds in PLANTS.values() for kind in kinds} == set(KINDS)
    assert all(len(line.split(" | ")) == len(PLANTS) + 1 for line in lines[2:])
    assert table() in (Path(__file__).parent.parent / "docs/reading.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", list(FORMATS))
def test_random_documents_lose_no_character(tmp_path, form):
    assert measured(form, 6, 1, tmp_path).endswith("| 0 | 0 |")


@pytest.mark.parametrize(
    ("text", "up", "down"),
    [
        ("9", "⁹", "₉"),
        ("-3", "⁻³", "₋₃"),
        ("2+", "²⁺", "₂₊"),
        ("n", "ⁿ", "_n"),
        ("max", "^max", "_max"),
        ("x+1", "^(x+1)", "_(x+1)"),
        ("th", "th", "th"),
        ("[1]", "[1]", "[1]"),
        ("注", "注", "注"),
        ("①", "①", "①"),
        (" 2", " ²", " ₂"),
    ],
)
def test_raised_and_lowered_text_keeps_its_meaning_in_plain_characters(text, up, down):
    assert (raised(text), lowered(text)) == (up, down)


# DOCX


def test_styles_hide_strike_out_and_raise_as_runs_do(tmp_path):
    styles = "".join(
        f'<w:style w:type="character" w:styleId="{name}"><w:name w:val="{name}"/>{base}<w:rPr>{look}</w:rPr></w:style>'
        for name, base, look in [
            ("Hidden", "", "<w:vanish/>"),
            ("Child", '<w:basedOn w:val="Hidden"/>', ""),
            ("Up", "", '<w:vertAlign w:val="superscript"/>'),
        ]
    )
    run = '<w:r><w:rPr><w:rStyle w:val="{}"/>{}</w:rPr><w:t>{}</w:t></w:r>'.format
    body = (
        "<w:p>"
        + run("Child", "", "secret")
        + run("Hidden", '<w:vanish w:val="0"/>', "10")
        + run("Up", "", "-")
        + run("Up", "", "6")
        + "</w:p>"
    )

    found = read(tmp_path, "a.docx", docx(body, styles=styles))

    assert blocks(found) == [("paragraph", "10⁻⁶")]
    assert [(fault.reason, fault.row) for fault in found if isinstance(fault, Fault)] == [("hidden_text", "secret")]


def field(code):
    mark = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'.format
    return f"{mark('begin')}<w:r><w:instrText>{code}</w:instrText></w:r>{mark('end')}"


@pytest.mark.parametrize(
    ("code", "said"), [("eq \\o\\ac(○,3)", "③"), ("EQ \\f(1,2)", "1/2"), ("eq \\r(3,x)", "$\\sqrt[3]{x}$"), ("eq \\s\\up5(2)", "²")]
)
def test_formulas_that_are_fields_are_read(tmp_path, code, said):
    assert blocks(read(tmp_path, "a.docx", docx(f"<w:p>{field(code)}<w:r><w:t>。</w:t></w:r></w:p>"))) == [("paragraph", f"{said}。")]


def test_a_formula_that_is_not_read_is_reported(tmp_path):
    lost = field("EQ \\i(0,1,x)")

    found = read(tmp_path, "a.docx", docx(f"<w:p>{lost}<w:r><w:t>见上式。</w:t></w:r></w:p>"))

    assert faults(found) == [("", "formula_lost")]


def test_a_box_within_a_box_is_read_once(tmp_path):
    def boxed(inner):
        return f"<w:p><w:r><w:pict><w:txbxContent>{inner}</w:txbxContent></w:pict></w:r></w:p>"

    found = read(tmp_path, "a.docx", docx(boxed(paragraph("outer") + boxed(paragraph("inner")))))

    assert [text for _, text in blocks(found)] == ["outer", "inner"]


def test_headers_of_word_are_reported_and_not_read(tmp_path):
    import docx as word

    document = word.Document()
    document.add_paragraph("正文。")
    document.sections[0].header.paragraphs[0].text = "内部资料"
    document.sections[0].footer.paragraphs[0].text = "第 页"
    data = io.BytesIO()
    document.save(data)

    found = read(tmp_path, "a.docx", data.getvalue())

    assert blocks(found) == [("paragraph", "正文。")]
    assert sorted(fault.row for fault in found if isinstance(fault, Fault)) == ["内部资料", "第 页"]


# HTML and Markdown


def test_a_style_sheet_hides_by_tag_class_and_id_but_not_for_print_alone(tmp_path):
    page = """<html><head><style>/* .b {display:none} */ .a, aside.x {display: none} #c {visibility:hidden} @media print {.d {display:none}}
    .e {text-decoration: line-through}</style></head><body><p class="y a">1<p class=b>2<p id=c>3<p class=d>4<p>5<i class=e>6</i>
    <p class=a style="display:block">7</body></html>"""

    found = read(tmp_path, "a.html", page)

    assert [text for _, text in blocks(found)] == ["2", "4", "5", "7"]
    assert faults(found) == [("", "hidden_text"), ("", "struck_text")]


@pytest.mark.parametrize(
    ("sheet", "body", "kept"),
    [
        ("ul{font-size:0} li{font-size:14px}", "<ul>x<li>1</li> <li>2</li></ul>", ["- 1", "- 2"]),
        (".a{visibility:hidden} .a .b{visibility:visible}", "<p class=a>1<span class=b>2</span>3</p>", ["2"]),
        (".a{display:none} .a.on{display:block}", "<p class=a>1</p><p class='a on'>2</p>", ["2"]),
        (".a{display:block} #b{display:none}", "<p class=a id=b>1</p><p>2</p>", ["2"]),
        ("p{display:none !important} .a{display:block}", "<p class=a>1</p><div>2</div>", ["2"]),
        ("div > .a{display:none}", "<div><p class=a>1</p></div><section><p class=a>2</p></section>", ["2"]),
        ("h2 + p{display:none}", "<h2>t</h2><p>1</p><p>2</p>", ["t", "2"]),
        ("[hidden]{display:none} .a{display:flex}", "<p hidden>1</p><p hidden class=a>2</p>", ["2"]),
        (".a:hover, .a::before{display:none}", "<p class=a>1</p>", ["1"]),
        ("@media screen {.a{display:none}} @media (max-width: 400px) {.b{display:none}}", "<p class=a>1</p><p class=b>2</p>", ["2"]),
        ("body{opacity:0}", "<p aria-hidden=true>1</p>", ["1"]),
        (".a{font-size:0.8em;opacity:.5}", "<p class=a>1</p>", ["1"]),
    ],
)
def test_rules_of_a_page_hide_as_a_browser_reads_them(tmp_path, sheet, body, kept):
    found = read(tmp_path, "a.html", f"<html><head><style>{sheet}</style></head><body>{body}</body></html>")

    assert [text for _, text in blocks(found)] == kept
    gone = set("12") & set(re.sub("<[^>]*>", "", body)) - set("".join(kept))
    assert gone == set("12") & {letter for fault in found if isinstance(fault, Fault) for letter in fault.row}
    assert set(faults(found)) <= {("", "hidden_text")}


def test_a_page_that_its_script_shows_is_read(tmp_path):
    assert blocks(read(tmp_path, "a.html", '<html><body style="display:none"><p>正文。</body></html>')) == [("paragraph", "正文。")]


@pytest.mark.parametrize(
    "drawn",
    [
        '<span class="katex"><span class="katex-mathml"><math><mi>x</mi>'
        '<annotation encoding="application/x-tex">x^2</annotation></math></span>'
        '<span class="katex-html" aria-hidden="true">x2</span></span>',
        '<span class="MathJax_Preview"></span><span class="MathJax">x2</span><script type="math/tex">x^2</script>',
        "<mjx-container><mjx-math>x2</mjx-math>"
        "<mjx-assistive-mml><math><msup><mi>x</mi><mn>2</mn></msup></math></mjx-assistive-mml></mjx-container>",
        '<math alttext="x^{\\alpha}"><mi>x</mi></math>',
    ],
)
def test_formulas_as_katex_and_mathjax_draw_them_are_read_once(tmp_path, drawn):
    assert blocks(read(tmp_path, "a.html", f"<p>式{drawn}。</p>"))[0][1] in ("式$x^2$。", "式$x^{\\alpha}$。")


def test_code_and_comparisons_in_markdown_stay_as_they_are(tmp_path):
    text = "`~~a~~ <sup>2</sup>` 与 a < b 且 c > d，<think>想</think>。\n\n```\n| a |\n$$\n<del>x</del>\n```\n\n好的~~"

    assert [said for _, said in blocks(read(tmp_path, "a.md", text))] == [
        "`~~a~~ <sup>2</sup>` 与 a < b 且 c > d，<think>想</think>。",
        "```\n| a |\n$$\n<del>x</del>\n```",
        "好的~~",
    ]


def test_a_table_in_markdown_ends_where_its_bars_end(tmp_path):
    text = "上文：\n| a | b |\n|---|---|\n| 1 | 2 |\n下文。"

    assert blocks(read(tmp_path, "a.md", text)) == [
        ("paragraph", "上文："),
        ("table", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("paragraph", "下文。"),
    ]


def test_many_tables_without_blank_lines_between_are_read(tmp_path):
    text = "甲：\n| a | b |\n|---|---|\n| 1 | 2 |\n" * 3000

    assert [kind for kind, _ in blocks(read(tmp_path, "a.md", text))] == ["paragraph", "table"] * 3000


# XLSX


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (45721, "yyyy/m/d", "2025/3/5"),
        (45721.5, 'yyyy"年"m"月"d"日" h:mm', "2025年3月5日 12:00"),
        (45721, '[$-804]yyyy"年"m"月"d"日";@', "2025年3月5日"),
        (45721, "[$-F800]dddd, mmmm dd, yyyy", "2025-03-05"),
        (45721, "aaaa", "星期三"),
        (45721, "d-mmm-yy", "5-Mar-25"),
        (0.35416667, "h:mm AM/PM", "8:30 AM"),
        (0.75, '上午/下午h"时"mm"分"', "下午6时00分"),
        (1.086805555555556, "[h]:mm:ss", "26:05:00"),
        (45.678 / 86400, "mm:ss.0", "00:45.7"),
        (-1234.5, "#,##0.00_);(#,##0.00)", "(1,234.50)"),
        (1234.5, '_ ¥* #,##0.00_ ;_ ¥* -#,##0.00_ ;_ ¥* "-"??_ ;_ @_ ', "¥1,234.50"),
        (0, '0;-0;"零"', "零"),
        (15000, '0!.0,"万"', "1.5万"),
        (12345678901, "000-0000-0000", "123-4567-8901"),
        (12345, "0.00E+00", "1.23E+04"),
        (2.5, "# ?/?", "2 1/2"),
        (0.125, "?/8", "1/8"),
        (3, '[>=10]"多";"少"0', "少3"),
        (1.005, "0.00", "1.01"),
        (0.1 + 0.2, "General", 0.3),
        (3, "[DBNum1][$-804]General", "三"),
        ("x", '"编号"@', "编号x"),
        (5, ";;;", ""),
        (7, "0", 7),
        (True, "General", "TRUE"),
    ],
)
def test_a_value_is_shown_by_its_number_format(value, code, said):
    assert shown(value, code) == said


def test_what_a_workbook_hides_is_left_out_and_reported_and_places_stay(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["question", "secret", "answer"], ["a", "s1", "1"], ["b", "s2", "2"], ["c", "s3", "3"]):
        sheet.append(row)
    sheet.column_dimensions["B"].hidden = True
    sheet.row_dimensions[3].hidden = True
    other = book.create_sheet("旧")
    other.append(["question", "answer"])
    other.sheet_state = "hidden"
    data = io.BytesIO()
    book.save(data)

    found = read(tmp_path, "a.xlsx", data.getvalue())

    assert values(found) == [{"question": "a", "answer": "1"}, {"question": "c", "answer": "3"}]
    assert [(fault.place, fault.reason, fault.row) for fault in found if isinstance(fault, Fault)] == [
        ("sheet Sheet", "hidden_text", "secret\ns1\nb s2 2\ns3"),
        ("sheet 旧", "hidden_text", "question answer"),
    ]


def test_a_head_of_three_rows_gives_names_with_their_groups(tmp_path):
    rows = [["机型", "性能", None, None], [None, "载重", None, "续航"], [None, "空载", "满载", None], ["甲", 1, 2, 3], ["乙", 4, 5, 6]]

    found = read(tmp_path, "a.xlsx", xlsx(("s", rows), merged=["A1:A3", "B1:D1", "B2:C2", "D2:D3"]))

    assert values(found) == [
        {"机型": "甲", "性能/载重/空载": 1, "性能/载重/满载": 2, "性能/续航": 3},
        {"机型": "乙", "性能/载重/空载": 4, "性能/载重/满载": 5, "性能/续航": 6},
    ]


def test_names_below_a_group_are_known_by_themselves(tmp_path):
    (tmp_path / "data").mkdir()
    rows = [["类别", "内容", None], [None, "问题", "答案"], ["检查", "多久一次？", "每月检查。"], ["用电", "可以吗？", "不可以。"]]
    (tmp_path / "data/a.xlsx").write_bytes(xlsx(("s", rows), merged=["A1:A2", "B1:C1"]))

    ingest.run(PARAMS, tmp_path / "data", tmp_path / "out")

    assert [row.messages[0].content for row in read_tables(tmp_path / "out/tables")["dialogues"]] == ["多久一次？", "可以吗？"]


def test_parts_of_a_cell_that_are_raised_or_struck_out_are_read_so(tmp_path):
    import openpyxl
    from openpyxl.cell.rich_text import CellRichText, TextBlock
    from openpyxl.cell.text import InlineFont

    book = openpyxl.Workbook()
    up, old = (TextBlock(InlineFont(**look), text) for look, text in [({"vertAlign": "superscript"}, "2"), ({"strike": True}, "旧")])
    book.active.append(["question", "answer"])
    book.active.append(["面积", CellRichText("300 m", up, "以下", old)])
    data = io.BytesIO()
    book.save(data)
    found = read(tmp_path, "a.xlsx", data.getvalue())

    assert values(found) == [{"question": "面积", "answer": "300 m²以下"}]
    assert faults(found) == [("sheet Sheet", "struck_text")]


# PDF


def drawn(*pages):
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfgen.canvas import Canvas

    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    data = io.BytesIO()
    canvas = Canvas(data, pagesize=(595, 842), invariant=1)
    for draw in pages:
        canvas.setFont("STSong-Light", 12)
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return data.getvalue()


def test_a_line_below_or_beyond_a_text_strikes_nothing_out(tmp_path):
    def draw(canvas):
        canvas.drawString(72, 700, "下划线的文字应当保留下来。")
        canvas.line(72, 698, 228, 698)
        canvas.drawString(72, 650, "穿过整页的横线不是删除线。")
        canvas.line(20, 654, 570, 654)
        canvas.drawString(72, 600, "填写的文字在横线上：")
        canvas.drawString(192, 600, "________________")
        canvas.drawString(200, 601, "张三")

    found = read(tmp_path, "a.pdf", drawn(draw))

    assert "".join(text for _, text in blocks(found)).replace("_", "").replace(" ", "") == (
        "下划线的文字应当保留下来。穿过整页的横线不是删除线。填写的文字在横线上：张三"
    )
    assert faults(found) == []


def test_a_level_watermark_across_the_text_is_left_out(tmp_path):
    lines = [
        "消防控制室应当实行二十四小时值班制度，每班两人。",
        "值班人员应当持证上岗，发现火情应当立即报警。",
        "值班记录应当保存一年以上备查。",
    ]

    def draw(canvas):
        for number, line in enumerate(lines):
            canvas.drawString(72, 700 - 40 * number, line)
        canvas.setFillGray(0.85)
        canvas.setFont("STSong-Light", 60)
        canvas.drawString(80, 650, "内部资料")

    found = read(tmp_path, "a.pdf", drawn(draw))

    assert "".join(text for _, text in blocks(found)) == "".join(lines)
    assert [(fault.reason, fault.row) for fault in found if isinstance(fault, Fault)] == [("watermark", "内部资料")]


def test_white_text_on_a_dark_ground_or_a_picture_is_read_and_in_the_blank_it_is_not(tmp_path):
    from PIL import Image
    from reportlab.lib.utils import ImageReader

    def draw(canvas):
        canvas.drawString(72, 700, "正文应当读出来。")
        canvas.setFillGray(0.2)
        canvas.rect(60, 640, 200, 30, stroke=0, fill=1)
        canvas.drawImage(ImageReader(Image.new("L", (20, 4), 90)), 60, 590, 200, 30)
        canvas.setFillColorCMYK(0, 0, 0, 0)
        canvas.drawString(72, 650, "深底白字")
        canvas.drawString(72, 600, "图上白字")
        canvas.drawString(72, 550, "白底白字")

    found = read(tmp_path, "a.pdf", drawn(draw))

    assert "".join(text for _, text in blocks(found)) == "正文应当读出来。深底白字图上白字"
    assert [(fault.reason, fault.row) for fault in found if isinstance(fault, Fault)] == [("hidden_text", "白底白字")]


def test_a_page_with_a_font_of_formulas_is_reported(tmp_path):
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    font = TTFont("Formulas", "Vera.ttf")
    font.face.name = b"CMMI10"
    pdfmetrics.registerFont(font)

    def draw(canvas):
        canvas.drawString(72, 700, "Two signs:")
        canvas.setFont("Formulas", 12)
        canvas.drawString(150, 700, "x y" if canvas.getPageNumber() == 1 else "abc = xyz")

    found = read(tmp_path, "a.pdf", drawn(draw, draw))

    assert [(fault.place, fault.reason) for fault in found if isinstance(fault, Fault)] == [("page 2", "formula_lost")]


def test_text_that_stands_sideways_in_a_cell_is_read_in_it(tmp_path):
    def draw(canvas):
        for x in (72, 112, 300):
            canvas.line(x, 700, x, 500)
        for y in (700, 600, 500):
            canvas.line(72, y, 300, y)
        for y, texts in ((650, ("白班", "两人")), (550, ("夜班", "三人"))):
            canvas.saveState()
            canvas.translate(96, y - 20)
            canvas.rotate(90)
            canvas.setFont("STSong-Light", 12)
            canvas.drawString(0, 0, texts[0])
            canvas.restoreState()
            canvas.setFont("STSong-Light", 12)
            canvas.drawString(120, y, texts[1] + "值守消防控制室并填写记录")

    (block,) = read(tmp_path, "a.pdf", drawn(draw))

    assert block.text.split("\n")[0] == "| 白班 | 两人值守消防控制室并填写记录 |"
    assert block.text.split("\n")[2] == "| 夜班 | 三人值守消防控制室并填写记录 |"


def test_an_item_that_goes_on_over_a_page_with_footers_is_whole(tmp_path):
    def page(number, *lines):
        def draw(canvas):
            for at, line in enumerate(lines):
                canvas.drawString(72, 760 - 20 * at, line)
            canvas.drawString(200, 40, f"消防试题 第{number}页（共2页）")

        return draw

    first = ["1. 消防控制室值班人员每班不得少于几人？", "A. 一人", "B. 两人", "2. 灭火器的压力表指针应当位于"]
    second = ["什么颜色的区域？", "A. 红色", "B. 绿色", "答案：1. B 2. B"]

    found = read(tmp_path, "a.pdf", drawn(page(1, *first), page(2, *second)))

    text = "\n".join(said for _, said in blocks(found))
    assert "应当位于什么颜色的区域？" in text
    assert "共2页" not in text
    assert [fault.reason for fault in found if isinstance(fault, Fault)] == ["running_line"]


@pytest.mark.parametrize("number", ["第1页（共4页）", "第 3 页 共 8 页", "- 3 -", "3/8", "Page 3 of 8"])
def test_a_page_number_is_known_in_its_forms(tmp_path, number):
    def draw(canvas):
        canvas.drawString(72, 700, "第一行的文字应当读出来。")
        canvas.drawString(72, 650, "第二行的文字应当读出来。")
        canvas.drawString(72, 600, "第三行的文字应当读出来。")
        canvas.drawString(280, 40, number)

    found = read(tmp_path, "a.pdf", drawn(draw))

    assert "".join(text for _, text in blocks(found)) == "".join(f"第{one}行的文字应当读出来。" for one in "一二三")
    assert [(fault.reason, fault.row) for fault in found if isinstance(fault, Fault)] == [("running_line", number)]


def test_hidden_passwords_and_buttons_of_a_form_are_not_read(tmp_path):
    def draw(canvas):
        canvas.drawString(72, 700, "姓名：")
        canvas.acroForm.textfield(name="name", value="Zhang San", x=120, y=696, width=200, height=18)
        canvas.drawString(72, 650, "口令：")
        canvas.acroForm.textfield(name="word", value="hunter2", x=120, y=646, width=200, height=18, fieldFlags="password")
        canvas.drawString(72, 600, "暗项：")
        canvas.acroForm.textfield(name="dark", value="unseen", x=120, y=596, width=200, height=18, annotationFlags="hidden")

    found = read(tmp_path, "a.pdf", drawn(draw))

    text = "".join(said for _, said in blocks(found))
    assert "Zhang San" in text
    assert "hunter2" not in text
    assert [(fault.reason, fault.row) for fault in found if isinstance(fault, Fault)] == [("hidden_text", "unseen")]


def test_a_plain_pdf_is_read_without_a_report(tmp_path):
    from test_readers import story

    assert blocks(read(tmp_path, "a.pdf", pdf(story(("BodyText", "The 2nd pilot lands."))))) == [("paragraph", "The 2nd pilot lands.")]


# Symbols, line ends, length


def test_codes_for_private_use_become_what_they_show():
    assert without_private("\uf0b7 甲\n  \uf0d8乙\n\uf0fe 丙\n甲\uf0e0乙\n\ue5e5 丁") == "• 甲\n  •乙\n☑ 丙\n甲→乙\n• 丁"
    assert normal("甲\uf0b3乙") == "甲≥乙"
    assert all(LIST_ITEM.match(mark + " 甲") for mark in "•●■◆▪➢✓☑☐")


def test_short_items_behind_bullets_for_private_use_are_kept(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.txt").write_text("\uf0b7 检查压力表；\n\uf0b7 检查箱门；\n\uf0b7 检查灯光。", encoding="utf-8")

    ingest.run(PARAMS, tmp_path / "data", tmp_path / "out")

    assert [row.text for row in read_tables(tmp_path / "out/tables")["documents"]] == ["• 检查压力表；\n• 检查箱门；\n• 检查灯光。"]
    assert not list(read_jsonl(tmp_path / "out/rejected.jsonl"))


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        ("a.csv", 'text,label\r好,1\r"两\r行",2\r', [{"text": "好", "label": "1"}, {"text": "两\n行", "label": "2"}]),
        (
            "a.csv",
            "text,label\r\n好,1\r坏,2\r\n应当,3\r\n",
            [{"text": t, "label": n} for t, n in (("好", "1"), ("坏", "2"), ("应当", "3"))],
        ),
        ("a.jsonl", '{"a": "应当"}\r{"a": "不得"}\r', [{"a": "应当"}, {"a": "不得"}]),
    ],
)
def test_lines_that_end_as_on_a_mac_are_lines(tmp_path, name, text, kept, encoding):
    assert values(read(tmp_path, name, text.encode(encoding), encoding)) == kept


def test_many_lines_of_a_mac_are_not_one_line_too_long(tmp_path):
    found = read(tmp_path, "a.csv", "text,label\r" + "可以飞行,1\r" * 3000)

    assert len(values(found)) == 3000
    assert faults(found) == []


def test_lines_are_joined_alike_one_by_one_and_at_once():
    lines = ["The pi-", "lot checks", "the battery", "并且", "检查 the", "cells", "-", "end"]

    whole, at_once = lines[0], Joined(lines[0])
    for line in lines[1:]:
        whole = joined(whole, line)
        at_once.add(line)

    assert (str(at_once), at_once.length) == (whole, len(whole))


@pytest.mark.parametrize("ending", ["txt", "md"])
@pytest.mark.parametrize("line", ["应当检查设备并登记，\n", "应当检查设备并登记。\n", "应当检查设备并登记。\n\n"])
def test_the_time_to_read_a_document_grows_with_its_length_and_not_with_its_square(tmp_path, ending, line):
    def seconds(lines):
        path = tmp_path / f"a.{ending}"
        path.write_text(line * lines, encoding="utf-8")
        started = time.process_time()
        found = read(tmp_path, f"a.{ending}", path.read_bytes(), "utf-8", max_document=10**8)
        rows = list(documents([one for one in found if not isinstance(one, Fault)], Origin("a", "MIT", "domain"), "a", 800))
        assert sum(len(row.text) for row in rows) > 8 * lines
        return time.process_time() - started

    seconds(500)
    short, long = min(seconds(4000) for _ in range(3)), min(seconds(32_000) for _ in range(2))

    assert long < 40 * short  # eight times is linear, sixty-four the square; a busy machine takes what it likes between
