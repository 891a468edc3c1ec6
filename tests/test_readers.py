"""What each reader makes of its format, and of files that are damaged, lie about themselves or mean harm."""

import io
import json
import os
import random
import re
import sys
import zipfile
from collections import Counter

import pytest
from corpus_files import CHINESE_FONT, docx, grid, level, paragraph, parquet, pdf, pictured_pdf, pptx, scanned_pdf, shape, xlsx, zipped

from lingyu.files import read_jsonl, read_tables
from lingyu.ingest.file import Limits
from lingyu.ingest.file import read as read_file
from lingyu.ingest.readers import Block, Fault, Reading, Record, Unreadable, scans
from lingyu.ingest.readers.encoding import encoding_of
from lingyu.ingest.readers.formats import format_of
from lingyu.ingest.readers.numbering import numeral
from lingyu.stage import StageError
from stages import ingest

CHINESE = "第一条 为了规范飞行活动，保障公共安全，制定本规定。国家鼓励科研创新。"
SMALL = {"max_record": 10_000, "max_document": 1_000_000}


def read(tmp_path, name, content, encoding=None, **limits):
    """What the reader gives of one file: blocks or records, and faults."""
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    form = format_of(path, (SMALL | limits)["max_document"])
    said = encoding or (encoding_of(path) if form.text else "")
    return list(form.reader()(path, Reading(said, **SMALL | limits)))


def blocks(found):
    return [(block.kind, block.text) for block in found if isinstance(block, Block)]


def values(found):
    return [record.values for record in found if isinstance(record, Record)]


def faults(found):
    return [(fault.place, fault.reason) for fault in found if isinstance(fault, Fault)]


# Encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "big5", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings_are_told_by_evidence(tmp_path, encoding):
    text = {"big5": "應當個這們時" * 9, "cp1252": "The pilot’s own notes – in full"}.get(encoding, CHINESE)

    assert blocks(read(tmp_path, "a.txt", text.encode(encoding))) == [("paragraph", text)]


def test_utf16_without_a_mark_is_told_by_its_nuls(tmp_path):
    assert blocks(read(tmp_path, "a.txt", "Fly low.".encode("utf-16-le"))) == [("paragraph", "Fly low.")]


def test_an_encoding_that_the_evidence_leaves_open_is_refused_and_can_be_said(tmp_path):
    japanese = "ドローン".encode("shift-jis")

    with pytest.raises(Unreadable, match=r"encoding: .*params\.yaml, ingest\.sources, encoding"):
        read(tmp_path, "a.txt", japanese)

    assert blocks(read(tmp_path, "a.txt", japanese, encoding="shift-jis")) == [("paragraph", "ドローン")]
    declared = b'<meta charset="Shift-JIS"><p>' + japanese
    assert blocks(read(tmp_path, "a.html", declared)) == [("paragraph", "ドローン")]


def test_a_line_in_another_encoding_is_refused_by_itself(tmp_path):
    lines = ['{"text": "可以飞行。"}'.encode(), '{"text": "应当降落。"}'.encode("gb18030"), '{"text": "不得飞行。"}'.encode()]

    found = read(tmp_path, "a.jsonl", b"\n".join(lines))

    assert values(found) == [{"text": "可以飞行。"}, {"text": "不得飞行。"}]
    assert faults(found) == [("line 2", "encoding")]


def test_an_encoding_is_told_by_all_of_the_file(tmp_path):
    text = "Fly low. " * 200_000 + CHINESE

    (block,) = read(tmp_path, "a.txt", text.encode("gb18030"), max_record=10**7, max_document=10**7)

    assert block.text.endswith("国家鼓励科研创新。")


@pytest.mark.parametrize(("data", "reason"), [(b" \n", "empty_file"), (b"\0" * 9, "nul_bytes"), ("好".encode()[:2], "truncated")])
def test_bytes_without_text_are_unreadable(tmp_path, data, reason):
    with pytest.raises(Unreadable) as caught:
        read(tmp_path, "a.txt", data)

    assert caught.value.reason == reason


def test_a_line_with_nul_bytes_is_refused_by_itself(tmp_path):
    found = read(tmp_path, "a.csv", "text,label\n好,1\n坏\0,2\n好,3\n")

    assert [record["label"] for record in values(found)] == ["1", "3"]
    assert faults(found) == [("line 3", "nul_bytes")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_line_that_no_memory_should_hold_is_refused_and_the_rest_goes_on(tmp_path, encoding):
    found = read(tmp_path, "a.csv", f"text,label\n好,1\n{'长' * 9000},2\n好,3\n".encode(encoding))

    assert [record["label"] for record in values(found)] == ["1", "3"]
    assert faults(found) == [("line 3", "too_long")]


# PDF


def story(*parts):
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph

    style = getSampleStyleSheet()
    return [Paragraph(part[1], style[part[0]]) if isinstance(part, tuple) else part for part in parts]


def test_a_page_of_two_columns_is_read_column_by_column(tmp_path):
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    style = ParagraphStyle("body", fontSize=10, leading=12, alignment=4)
    rng = random.Random(0)
    sentences = [" ".join(rng.choices(["pilots", "check", "every", "battery", "over", "water"], k=12)) + "." for _ in range(90)]

    found = read(tmp_path, "a.pdf", pdf([Paragraph(" ".join(sentences), style)], columns=2))

    assert blocks(found) == [("paragraph", " ".join(sentences))]


def test_a_table_has_its_caption_and_what_stands_on_the_next_page(tmp_path):
    from reportlab.platypus import Spacer

    rows = [["model", "limit"], *([f"Heron {number}", f"{number} m"] for number in range(10))]

    found = read(tmp_path, "a.pdf", pdf(story(("BodyText", "Limits follow."), Spacer(1, 560), ("BodyText", "Table 1 Limits"), grid(rows))))

    assert [block.place for block in found] == ["page 1", "pages 1–2"]
    text = found[1].text.split("\n")
    assert text[:3] == ["Table 1 Limits", "| model | limit |", "| --- | --- |"]
    assert [line.split(" | ")[0] for line in text[3:]] == [f"| Heron {number}" for number in range(10)]


def test_a_caption_below_a_table_belongs_to_it(tmp_path):
    (block,) = read(tmp_path, "a.pdf", pdf(story(grid([["model", "limit"], ["Heron", "120 m"]]), ("BodyText", "Table 2: Limits"))))

    assert block.text.split("\n")[0] == "Table 2: Limits"


def test_scanned_pages_need_ocr(tmp_path):
    with pytest.raises(Unreadable, match=r"needs_ocr: .*\b1 pages .*scanned.*pip install 'lingyu\[ocr\]'.*ocr: true"):
        read(tmp_path, "a.pdf", scanned_pdf())


reads_scans = scans.is_there() and CHINESE_FONT.exists()
with_ocr = pytest.mark.skipif(not reads_scans, reason=f"needs {scans.EXTRA} and {CHINESE_FONT.name}; .ci/run installs both")


@with_ocr
def test_scanned_pages_are_read_by_ocr_where_that_is_asked_for(tmp_path):
    chinese = ["第一条 为了规范无人驾驶航空器飞行，保障公共安全，制定", "本条例。", "第二条 飞行高度不得超过120米。"]
    pages = [
        [(120, 150 + 60 * place, text) for place, text in enumerate(chinese)],
        [(120, 150, "The keeper checks the battery before every flight.")],
    ]

    found = read(tmp_path, "a.pdf", pictured_pdf(*pages), ocr=True)

    assert [text.replace(" ", "") for _, text in blocks(found)[:2]] == [
        "第一条为了规范无人驾驶航空器飞行，保障公共安全，制定本条例。",
        "第二条飞行高度不得超过120米。",
    ]
    assert blocks(found)[2:] == [("paragraph", "The keeper checks the battery before every flight.")]
    assert faults(found) == [("page 1, 2", "read_by_ocr")]


@with_ocr
def test_a_scanned_page_of_two_columns_is_read_column_by_column(tmp_path):
    left, right = ([f"{side}边的第{place + 1}行写着飞行前应当检查电池" for place in range(8)] for side in "左右")
    lines = [(x, 150 + 60 * place, text) for x, texts in ((90, left), (660, right)) for place, text in enumerate(texts)]

    found = read(tmp_path, "a.pdf", pictured_pdf(lines), ocr=True)

    assert "".join(text for _, text in blocks(found)) == "".join([*left, *right])


@with_ocr
def test_a_picture_without_text_needs_another_scan(tmp_path):
    with pytest.raises(Unreadable, match=r"needs_ocr: .*\b1 pages .*OCR found no text"):
        read(tmp_path, "a.pdf", pictured_pdf([]), ocr=True)


def test_ocr_without_its_package_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.pdf").write_bytes(scanned_pdf())

    with pytest.raises(StageError, match=r"ocr: true .*rapidocr.*pip install 'lingyu\[ocr\]'.*ocr: false"):
        ingest.run(PARAMS.model_copy(update={"ocr": True}), tmp_path / "data", tmp_path / "out")


def test_a_pdf_without_its_end_gives_what_it_has_and_says_so(tmp_path):
    whole = pdf(story(("BodyText", "The pilot lands the aircraft.")))

    found = read(tmp_path, "a.pdf", whole[: whole.rindex(b"startxref")])

    assert blocks(found) == [("paragraph", "The pilot lands the aircraft.")]
    assert faults(found) == [("end of file", "truncated")]


def test_a_pdf_behind_a_password_is_refused(tmp_path):
    from reportlab.lib.pdfencrypt import StandardEncryption

    with pytest.raises(Unreadable, match=r"password: .*save it without"):
        read(tmp_path, "a.pdf", pdf(story(("BodyText", "x")), encrypt=StandardEncryption("secret", canPrint=0)))


# DOCX

ARTICLES = (
    '<w:abstractNum w:abstractNumId="0">'
    + level(0, "chineseCountingThousand", "第%1章")
    + level(1, "chineseCountingThousand", "第%2条", '<w:lvlRestart w:val="0"/>')
    + level(2, "chineseCounting", "（%3）", '<w:suff w:val="nothing"/>')
    + '</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
)


def test_the_automatic_numbers_of_word_make_chapters_and_articles(tmp_path):
    path = tmp_path / "data/条例.docx"
    path.parent.mkdir()
    body = [
        (0, "总则"),
        (1, "为了安全，制定本条例。"),
        (1, "适用本条例。"),
        (0, "罚则"),
        (1, "有下列行为的，处罚："),
        (2, "投掷；"),
        (2, "越界。"),
    ]
    path.write_bytes(docx("".join(paragraph(text, number="1", depth=depth) for depth, text in body), numbering=ARTICLES))

    ingest.run(PARAMS, tmp_path / "data", tmp_path / "out")

    assert [(row.section, row.text) for row in read_tables(tmp_path / "out/tables")["documents"]] == [
        ("第一章 总则 / 第一条", "第一条 为了安全，制定本条例。"),
        ("第一章 总则 / 第二条", "第二条 适用本条例。"),
        ("第二章 罚则 / 第三条", "第三条 有下列行为的，处罚：\n（一）投掷；\n（二）越界。"),
    ]


def test_numbers_come_from_styles_go_on_across_text_and_start_again_where_told(tmp_path):
    numbering = (
        f'<w:abstractNum w:abstractNumId="0">{level(0, "decimal", "%1.")}{level(1, "lowerLetter", "%1.%2)")}</w:abstractNum>'
        '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
        '<w:num w:numId="2"><w:abstractNumId w:val="0"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride></w:num>'
    )
    styles = (
        '<w:style w:type="paragraph" w:styleId="Item"><w:name w:val="Item"/>'
        '<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="Own"><w:name w:val="Own"/><w:basedOn w:val="Item"/></w:style>'
    )
    body = [
        paragraph("charge", style="Item"),
        paragraph("check", number="1", depth=1),
        paragraph("between"),
        paragraph("fly", style="Own"),
        paragraph("land", number="1", depth=1),
        paragraph("none", style="Item", number="0"),
        paragraph("again", number="2"),
    ]

    found = read(tmp_path, "a.docx", docx("".join(body), numbering=numbering, styles=styles))

    assert [text for _, text in blocks(found)] == ["1. charge", "1.a) check", "between", "2. fly", "2.a) land", "none", "1. again"]


@pytest.mark.parametrize(
    ("number", "form", "shown"),
    [
        (10, "chineseCounting", "十"),
        (21, "chineseCountingThousand", "二十一"),
        (105, "chineseCountingThousand", "一百零五"),
        (110, "chineseCountingThousand", "一百一十"),
        (1020, "chineseCountingThousand", "一千零二十"),
        (12, "ideographDigital", "一二"),
        (12, "chineseLegalSimplified", "壹拾贰"),
        (2, "ideographTraditional", "乙"),
        (3, "decimalEnclosedCircle", "③"),
        (28, "upperLetter", "BB"),
        (1994, "lowerRoman", "mcmxciv"),
        (7, "decimalZero", "07"),
        (7, "unheardOf", "7"),
    ],
)
def test_numbers_are_shown_as_word_shows_them(number, form, shown):
    assert numeral(number, form) == shown


def test_a_docx_says_what_word_shows_and_not_what_was_struck_out(tmp_path):
    body = (
        "<w:sdt><w:sdtContent>" + paragraph("In a control.") + "</w:sdtContent></w:sdt>"
        "<w:p><w:r><w:t>Kept</w:t></w:r><w:ins><w:r><w:t> and added</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText> gone</w:delText></w:r></w:del>"
        '<w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
        "<w:p><w:r><w:pict><w:txbxContent>" + paragraph("In a box.") + "</w:txbxContent></w:pict></w:r></w:p>"
    )
    notes = (
        '<w:footnotes xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        f'<w:footnote w:type="separator" w:id="0">{paragraph("-")}</w:footnote><w:footnote w:id="2">{paragraph("See there.")}</w:footnote>'
        "</w:footnotes>"
    )

    found = read(tmp_path, "a.docx", docx(body, parts={"footnotes": notes}))

    assert [text for _, text in blocks(found)] == ["In a control.", "Kept and added", "Note: See there.", "In a box."]


def test_merged_cells_of_a_word_table_say_in_each_place_what_they_say(tmp_path):
    def cell(text, more=""):
        return f"<w:tc><w:tcPr>{more}</w:tcPr>{paragraph(text)}</w:tc>"

    rows = [
        cell("机型") + cell("限制", '<w:gridSpan w:val="2"/>'),
        cell("云雀", '<w:vMerge w:val="restart"/>') + cell("高度") + cell("120米"),
        cell("", "<w:vMerge/>") + cell("速度") + cell("20米/秒"),
    ]

    found = read(tmp_path, "a.docx", docx("<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in rows) + "</w:tbl>"))

    assert blocks(found) == [("table", "| 机型 | 限制 | 限制 |\n| --- | --- | --- |\n| 云雀 | 高度 | 120米 |\n| 云雀 | 速度 | 20米/秒 |")]


def test_a_table_of_contents_is_left_out_and_said(tmp_path):
    styles = '<w:style w:type="paragraph" w:styleId="TOC1"><w:name w:val="toc 1"/></w:style>'

    found = read(tmp_path, "a.docx", docx(paragraph("总则 1", style="TOC1") + paragraph("正文。"), styles=styles))

    assert blocks(found) == [("paragraph", "正文。")]
    assert faults(found) == [("", "contents")]


# XLSX


def test_titles_two_rows_of_names_and_merged_cells_of_a_workbook(tmp_path):
    rows = [
        ["消防问答汇总表"],
        ["类别", "内容", None],
        [None, "问题", "答案"],
        ["检查", "多久一次？", "每月"],
        [None, "谁来？", "专人"],
        ["第二部分"],
        ["用电", "可以吗？", "不可以"],
    ]

    found = read(tmp_path, "a.xlsx", xlsx(("问答", rows), merged=["A1:C1", "A2:A3", "B2:C2", "A4:A5", "A6:C6"]))

    assert values(found) == [
        {"类别": "检查", "内容/问题": "多久一次？", "内容/答案": "每月"},
        {"类别": "检查", "内容/问题": "谁来？", "内容/答案": "专人"},
        {"类别": "用电", "内容/问题": "可以吗？", "内容/答案": "不可以"},
    ]
    assert faults(found) == [("sheet 问答, line 1", "title_row"), ("sheet 问答, line 6", "title_row")]


def test_formulas_give_the_value_that_was_saved_and_without_one_are_refused(tmp_path):
    rows = [["question", "answer"], ["a", "=1+1"], ["b", "=1+2"], ["c", 5]]

    found = read(tmp_path, "a.xlsx", xlsx(("s", rows), formulas={"B2": 2}))

    assert values(found) == [{"question": "a", "answer": 2}, {"question": "c", "answer": 5}]
    assert faults(found) == [("sheet s, line 3", "formula")]


def test_a_workbook_that_lies_about_its_size_is_read_to_its_end(tmp_path):
    from corpus_files import changed

    book = changed(
        xlsx(("s", [["text"], ["a"], ["b"]])),
        "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace('<dimension ref="A1:A3"', '<dimension ref="A1"'),
    )

    assert values(read(tmp_path, "a.xlsx", book)) == [{"text": "a"}, {"text": "b"}]


# PPTX, HTML, Parquet


def test_a_presentation_gives_titles_text_tables_and_notes_slide_by_slide(tmp_path):
    table = "<p:graphicFrame><a:graphic><a:graphicData><a:tbl>" + "".join(
        "<a:tr>" + "".join(f"<a:tc><a:txBody><a:p><a:r><a:t>{cell}</a:t></a:r></a:p></a:txBody></a:tc>" for cell in row) + "</a:tr>"
        for row in [("机型", "限高"), ("云雀", "120米")]
    )
    table += "</a:tbl></a:graphicData></a:graphic></p:graphicFrame>"
    first = shape("飞行前检查", kind="title") + shape("查看电量。", kind="body") + shape("不低于30%", depth=1) + shape("3", kind="sldNum")

    found = read(tmp_path, "a.pptx", pptx(first, table, notes="提醒学员。"))

    assert [(block.place, block.text) for block in found] == [
        ("slide 1", "飞行前检查"),
        ("slide 1", "查看电量。"),
        ("slide 1", "  - 不低于30%"),
        ("slide 1, notes", "提醒学员。"),
        ("slide 2", "| 机型 | 限高 |\n| --- | --- |\n| 云雀 | 120米 |"),
    ]


def test_a_web_page_gives_its_text_without_menus_and_scripts(tmp_path):
    page = """<html><head><title>x</title><script>var a = "<p>no</p>"</script></head><body><nav><a>Home</a></nav>
    <h1>消防<b>须知</b></h1><p>发现火情，
    应当<em>立即</em>报警。<br>电话119。</p>loose text<ul><li>one<li>two</ul><ol><li>first</ol>
    <table><caption>表1 电话</caption><tr><th>名称<th>号码<tr><td rowspan=2>火警<td>119<tr><td>12119</table>
    <table><tr><td>Layout only</table><!-- no --><footer>版权所有</footer></body></html>"""

    found = read(tmp_path, "a.html", page.encode("gb18030"))

    assert blocks(found) == [
        ("heading", "消防须知"),
        ("paragraph", "发现火情， 应当立即报警。\n电话119。"),
        ("paragraph", "loose text"),
        ("paragraph", "- one"),
        ("paragraph", "- two"),
        ("paragraph", "1. first"),
        ("table", "表1 电话\n| 名称 | 号码 |\n| --- | --- |\n| 火警 | 119 |\n| 火警 | 12119 |"),
        ("paragraph", "Layout only"),
    ]
    assert [(fault.reason, fault.row) for fault in found if isinstance(fault, Fault)] == [("boilerplate", "Home 版权所有")]


def test_parquet_gives_a_record_a_row_with_lists_in_it(tmp_path):
    rows = [{"question": "q", "answer": ["a", "b"]}, {"question": "p", "answer": ["c"]}]

    assert values(read(tmp_path, "a.parquet", parquet(rows))) == rows


# JSON


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}, {"a": "b[]"}]',
        '[[{"a": 1}], [[{"a": "b[]"}]]]',
        '{"data": [{"a": 1}, {"a": "b[]"}]}',
        '{"a": 1}\n{"a": "b[]"}\n',
        '{"a": 1} {"a": "b[]"}',
        '{\n "a": 1\n}\n{\n "a": "b[]"\n}',
        '[{"a": 1}]\n[{"a": "b[]"}]\n',
        '\ufeff\n[\n{"a": 1},\n{"a": "b[]"},\n]',
    ],
)
@pytest.mark.parametrize("ending", [".json", ".jsonl"])
def test_json_and_json_lines_are_read_whatever_the_ending(tmp_path, text, ending):
    assert values(read(tmp_path, f"a{ending}", text)) == [{"a": 1}, {"a": "b[]"}]


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.data", "noending"])
def test_json_lines_are_known_under_any_ending(tmp_path, name):
    assert values(read(tmp_path, name, '{"a": 1}\n{"a": 2}\n{"a": 3}\n')) == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_json_is_read_a_piece_at_a_time(tmp_path):
    items = [{"text": "长" * (number % 900), "n": number} for number in range(2000)]

    found = read(tmp_path, "a.json", json.dumps(items, ensure_ascii=False))

    assert values(found) == items


def test_an_object_too_long_for_a_record_that_holds_a_list_is_read_as_the_list(tmp_path):
    items = [{"n": number} for number in range(9000)]

    found = read(tmp_path, "a.json", json.dumps({"version": "1", "data": items}))

    assert values(found) == items


@pytest.mark.parametrize(
    ("text", "kept", "fault"),
    [
        ('[{"a": 1}, {"a": 2}, {"a', 2, ("row 3, line 1", "truncated")),
        ('[{"a": 1},\n {"a": 2}', 2, ("row 3, line 2", "truncated")),
        ('[{"a": 1},\n {"a" 2}, {"a": 3}, {"a": 4}, {"a": 5}]', 1, ("row 2, line 2", "not_json")),
        ('[{"a": 1}, {"a": "' + "x" * 70_000 + '"}]', 1, ("row 2, line 1", "too_long")),
        ('[{"a": 1}, {"a": "\0"}, {"a": 3}]', 2, ("row 2, line 1", "nul_bytes")),
        ('{"a": 1}\n{"a": 2\n{"a": 3}\n', 2, ("line 2", "not_json")),
        ('[{"a": 1}, 5, {"a": 3}]', 2, ("row 2", "unknown_shape")),
        ('[{"a": 1}, ["x", "y"]]', 1, ("row 2", "unknown_shape")),
        ("[" * 100_000, 0, ("row 1, line 1", "truncated")),
        ('[{"a": 1}, {"a": ' + "[" * 100_000, 1, ("row 2, line 1", "not_json")),
        ('[{"a": 1}, {"a": ' + "1" * 5000 + "}]", 1, ("row 2, line 1", "not_json")),
    ],
)
def test_json_that_is_damaged_gives_what_stands_before_and_says_where(tmp_path, text, kept, fault):
    found = read(tmp_path, "a.json", text)

    assert len(values(found)) == kept
    assert faults(found) == [fault]


@pytest.mark.parametrize(
    ("text", "kept", "told"),
    [
        ('{"a": "' + "x" * 300_000 + '"}\n{"a": 2}\n', [{"a": 2}], [("line 1", "too_long")]),
        ('{"messages": [{"a": "' + "x" * 300_000 + '"}]}\n{"a": 2}\n', [{"a": 2}], [("line 1", "too_long")]),
        (json.dumps({"data": [{"n": number} for number in range(30_000)]}), [{"n": number} for number in range(30_000)], []),
    ],
)
def test_a_first_line_that_no_memory_should_hold_does_not_hide_the_next(tmp_path, text, kept, told):
    found = read(tmp_path, "a.jsonl", text)

    assert values(found) == kept
    assert faults(found) == told


def test_json_within_json_without_end_is_told_in_words(tmp_path):
    (fault,) = read(tmp_path, "a.json", '{"a":' * 50_000 + "1" + "}" * 50_000, max_record=1_000_000)

    assert (fault.reason, "nested" in fault.detail) == ("not_json", True)


# CSV


def test_a_quotation_mark_that_nobody_closed_takes_one_row_with_it(tmp_path):
    text = 'text,label\n"two\nlines",1\nhe said "no" twice,2\na,"3\nb,4\n"c",5\n'

    found = read(tmp_path, "a.csv", text)

    assert [(record["text"], record["label"]) for record in values(found)] == [
        ("two\nlines", "1"),
        ('he said "no" twice', "2"),
        ("b", "4"),
        ("c", "5"),
    ]
    assert faults(found) == [("line 5", "open_quote")]


def test_an_open_quotation_mark_in_a_long_file_does_not_hold_what_follows(tmp_path):
    text = 'text,label\n"open,0\n' + "".join(f"row,{number}\n" for number in range(1, 1000))

    found = read(tmp_path, "a.csv", text)

    assert [record["label"] for record in values(found)] == [str(number) for number in range(1, 1000)]
    assert faults(found) == [("line 2", "open_quote")]


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", "a;b\n1;2"), ("a.tsv", "a\tb\n1\t2"), ("a.csv", "sep=|\na|b\n1|2"), ("a.csv", "\n\na,b,\n\n1,2,\n")]
)
def test_separators_are_told_by_the_head(tmp_path, name, text):
    assert values(read(tmp_path, name, text)) == [{"a": "1", "b": "2"}]


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(Unreadable, match=r"double_column: .*答案"):
        read(tmp_path, "a.csv", "问题,答案,答案\n1,2,3\n")


def test_names_can_be_given_to_a_table_without_them(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("云雀\t限高\t120米\n", encoding="utf-8")
    how = Reading("utf-8", **SMALL, names=("head", "relation", "tail"))

    assert values(format_of(path, 1000).reader()(path, how)) == [{"head": "云雀", "relation": "限高", "tail": "120米"}]


# Files that are not what they seem

PARAMS = ingest.Params(
    max_chars=200,
    max_record_mb=0.1,
    max_document_mb=1,
    max_rejected=1,
    ocr=False,
    sources=[{"pattern": "*", "licence": "MIT", "scope": "domain"}],
)


def bomb() -> bytes:
    return zipped({"word/document.xml": "<w:document>" + " " * 30_000_000 + "</w:document>"})


def swelling() -> bytes:
    return zipped({"word/document.xml": "".join(map(str, range(300_000)))})


@pytest.mark.parametrize(
    ("name", "content", "reason", "said"),
    [
        ("a.docx", bomb, "zip_bomb", "word/document.xml unpacks from"),
        ("a.docx", swelling, "too_large", "ingest.max_document_mb"),
        ("a.docx", lambda: docx(paragraph("x"))[:3000], "truncated", "copy it"),
        ("a.docx", lambda: b"plain text", "unreadable", r"DOCX.*\.docx.*text.*\.txt, \.md, \.csv"),
        ("a.xlsx", lambda: b"\x01\0broken", "unreadable", r"XLSX.*\.xlsx.*damaged"),
        ("a.csv", lambda: bytes(500), "nul_bytes", "only NUL bytes"),
        ("a.csv", lambda: b" \n ", "empty_file", "only white space"),
        ("a.pdf", lambda: pdf(story(("BodyText", "x")))[:600], "truncated", "copy it"),
        ("a.docx", lambda: zipped({"x": "y"}), "wrong_ending", "a zip archive"),
        ("a.docx", lambda: pdf(story(("BodyText", "x"))), "wrong_ending", r"\.docx.*PDF.*\.pdf"),
        ("a.txt", lambda: docx(paragraph("x")), "wrong_ending", r"\.txt.*DOCX.*\.docx"),
        ("a.xlsx", lambda: b"<table><tr><td>1</table>", "unreadable", r"\.xlsx.*HTML.*\.html"),
        ("a.xls", lambda: b"<html><table><tr><td>1</table>", "wrong_ending", r"\.xls.*HTML.*\.html"),
        ("a.txt", lambda: b"\xef\xbb\xbf\n<!DOCTYPE html><p>x</p>", "wrong_ending", r"\.txt.*HTML.*\.html"),
        ("a.jpg", lambda: b"\xff\xd8\xff\xe0", "unknown_format", "an image.*convert it"),
        ("a.zip", lambda: zipped({"x": "y"}), "unknown_format", "a zip archive.*unpack it"),
        ("a.xls", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old_format", r"save it as \.xlsx"),
        ("a.doc", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old_format", r"save it as \.docx"),
        (
            "a.xlsx",
            lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le"),
            "password",
            "without",
        ),
        ("a.parquet", lambda: b"PAR1 broken PAR1", "unreadable", "Parquet"),
        ("a.csv", lambda: b"\x89PNG\r\n\x1a\n....", "wrong_ending", r"\.csv.*an image"),
        ("a.txt", lambda: b"x" * 300_000, "too_long", "ingest.max_record_mb"),
        ("a.json", lambda: b'[{"text": "' + b"x" * 300_000 + b'"}]', "too_long", r"0\.1 MB.*ingest\.max_record_mb.*not read"),
        ("a.md", lambda: "很长。\n".encode() * 200_000, "too_large", "ingest.max_document_mb"),
        ("a.pptx", lambda: zipped({"ppt/presentation.xml": "<p"}), "unreadable", "PPTX"),
        ("a.html", lambda: b"<script>x</script>", "empty_file", "no text"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_the_rest_goes_on(tmp_path, name, content, reason, said):
    data = tmp_path / "data"
    data.mkdir()
    (data / name).write_bytes(content())
    (data / "好 文件 🚁.txt").write_text("这一份可以读。", encoding="utf-8")

    ingest.run(PARAMS, data, tmp_path / "out")

    (fault,) = read_jsonl(tmp_path / "out/rejected.jsonl")
    assert (fault["source"], fault["reason"]) == (name, reason)
    assert re.search(said, fault["detail"])
    assert [row.source for row in read_tables(tmp_path / "out/tables")["documents"]] == ["好 文件 🚁.txt"]


def test_links_out_of_the_folder_are_not_followed_and_those_of_dvc_are(tmp_path):
    data, cache = tmp_path / "data", tmp_path / "cache/files/md5/ab"
    data.mkdir()
    cache.mkdir(parents=True)
    (cache / "cdef").write_text("来自缓存。", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    for name, target in [("cached.txt", cache / "cdef"), ("lost.txt", "nowhere"), ("out.txt", "../secret.txt"), ("folder", cache)]:
        (data / name).symlink_to(target)

    ingest.run(PARAMS, data, tmp_path / "out")

    assert [(row["source"], row["reason"]) for row in read_jsonl(tmp_path / "out/rejected.jsonl")] == [
        ("folder", "link_outside"),
        ("lost.txt", "unreadable"),
        ("out.txt", "link_outside"),
    ]
    assert [row.text for row in read_tables(tmp_path / "out/tables")["documents"]] == ["来自缓存。"]


def test_a_pipe_and_a_name_that_is_no_utf8_are_refused(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    os.mkfifo(data / "pipe.txt")
    with open(os.fsencode(data) + b"/\xce\xc4.txt", "w", encoding="utf-8") as file:
        file.write("好。")

    ingest.run(PARAMS, data, tmp_path / "out")

    assert [(row["source"], row["reason"]) for row in read_jsonl(tmp_path / "out/rejected.jsonl")] == [
        ("pipe.txt", "unreadable"),
        ("\\xce\\xc4.txt", "name"),
    ]


def test_a_file_that_is_not_utf8_is_said_and_counted(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.csv").write_bytes("text,label\n应当降落。,1\n可以飞行。,2\n".encode("gb18030"))

    ingest.run(PARAMS, data, tmp_path / "out")

    assert capsys.readouterr().out == "a.csv: 2 labels; read as gb18030\n"
    assert json.loads((tmp_path / "out/ledger.json").read_text(encoding="utf-8"))["total"]["changed"] == {"read as gb18030": 2}


def test_articles_that_a_statute_lacks_are_named(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text("第三条 甲。\n第四条 乙。\n第六条 丙。\n第七条 丁。", encoding="utf-8")

    ingest.run(PARAMS, data, tmp_path / "out")

    (row,) = read_jsonl(tmp_path / "out/rejected.jsonl")
    assert row["reason"] == "articles_missing"
    assert "第1条–第2条、第5条" in row["detail"]


# Damage


def samples() -> dict[str, bytes]:
    messages = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "<think>t</think>a"}]
    rows = [{"text": CHINESE, "label": "a"}, {"messages": messages}, {"text": "t", "spo_list": [["e", "r", "v"]]}]
    statute = "# 条例\n\n第一条 甲。\n\n第二条 乙。\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n第三条 丙。\n"
    body = "".join(paragraph(text, number="1", depth=1) for text in "甲乙丙")
    return {
        "a.md": statute.encode(),
        "b.txt": statute.encode("gb18030"),
        "c.html": b"<h1>a</h1><p>b<ul><li>c</ul><table><tr><td rowspan=2>d<td>e<tr><td>f</table>",
        "d.csv": f'text,label\n"a\nb",c\n{CHINESE},坏\n'.encode("gb18030"),
        "e.tsv": "head\trelation\ttail\n甲\t乙\t丙\n".encode("utf-16"),
        "f.json": json.dumps([rows, {"data": rows}], ensure_ascii=False).encode(),
        "g.jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in rows * 3).encode(),
        "h.docx": docx(body + "<w:tbl><w:tr><w:tc><w:p/></w:tc></w:tr></w:tbl>", numbering=ARTICLES),
        "i.xlsx": xlsx(("s", [["t"], ["text", "label"], ["a", "=1"], ["b", None]]), merged=["A1:B1", "B3:B4"]),
        "j.pptx": pptx(shape("a", kind="title") + shape("b")),
        "k.pdf": pdf(story(("Title", "a"), ("BodyText", "b"), grid([["c", "d"], ["e", "f"]]))),
        "l.parquet": parquet([{"text": "a", "label": "b"}]),
    }


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Cut, with bytes changed, with a part missing, doubled or in another place, or, within a zip, with a part so damaged."""
    if data.startswith(b"PK") and rng.random() < 0.7:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        name = rng.choice([name for name in parts if name.endswith(("xml", "rels"))])
        return zipped(parts | {name: damaged(parts[name], rng)})
    start, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    how = rng.randrange(5)
    if how == 0:
        return data[:start]
    if how == 1:
        return data[:start] + data[end:]
    if how == 2:
        return data[:end] + data[start:]
    if how == 3:
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 8)):
            changed[rng.randrange(len(changed))] = rng.choice([0, 34, 44, 60, 91, 93, 123, 125, 255, rng.randrange(256)])
        return bytes(changed)
    return data[:start] + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 40))) + data[start:]


@pytest.mark.parametrize("name", sorted(samples()))
def test_damage_gives_rows_and_faults_but_never_a_crash(tmp_path, name):
    rng, whole = random.Random(name), samples()[name]
    data = tmp_path / "data"
    data.mkdir()
    for number in range(40):
        path = data / name
        path.write_bytes(damaged(whole, rng) if number else whole)

        found = [row for _, _, row in read_file(path, name, ingest.rule_of(name, PARAMS), Limits(), Counter(), Counter())]

        assert found
        faults = [row for row in found if isinstance(row, Fault)]
        assert number or len(faults) < len(found)  # the whole one gives rows
        assert all(fault.reason and fault.detail for fault in faults)
        json.dumps([vars(row) if isinstance(row, Fault) else row.model_dump() for row in found], ensure_ascii=False).encode()
