"""The ingest stage: every kind of file on its smallest example, and what becomes of files that cannot be read."""

import json

import pytest

from lingyu.files import read_jsonl, read_tables, write_jsonl
from lingyu.stage import StageError
from stages import ingest

PARAMS = ingest.Params(
    max_chars=200,
    max_record_mb=1,
    max_document_mb=10,
    max_rejected=0.5,
    ocr=False,
    sources=[
        {"pattern": "general/*", "licence": "MIT", "scope": "general"},
        {
            "pattern": "swapped/*",
            "licence": "MIT",
            "scope": "domain",
            "columns": {"question": "q", "answer": "reasoning", "reasoning": "answer"},
        },
        {"pattern": "*", "licence": "CC-BY-4.0", "scope": "domain", "task": ""},
    ],
)
STATUTE = """# 飞行条例

2003年1月10日 公布

<!-- INFO END -->

## 第一章 总 则

第一条 为了安全，制定本条例。

依照
第三条的规定执行。

第二条 适用本条例。

## 第二章 罚则

（一）应当：

第三条　有前款行为的，依照第二条 处罚。
"""


def read(tmp_path, name, content, params=PARAMS):
    """The tables and rejected rows of one file."""
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    else:
        write_jsonl(path, content)
    ingest.run(params, tmp_path / "data", tmp_path / "out")
    return read_tables(tmp_path / "out/tables"), list(read_jsonl(tmp_path / "out/rejected.jsonl"))


def test_a_statute_falls_into_articles_under_their_chapters(tmp_path):
    tables, rejected = read(tmp_path, "条例.md", STATUTE)

    assert rejected == []
    assert [(row.section, row.text.split("\n")[0]) for row in tables["documents"]] == [
        ("", "2003年1月10日 公布"),
        ("第一章 总则 / 第一条", "第一条 为了安全，制定本条例。"),
        ("第一章 总则 / 第二条", "第二条 适用本条例。"),
        ("第二章 罚则", "（一）应当："),
        ("第二章 罚则 / 第三条", "第三条　有前款行为的，依照第二条 处罚。"),
    ]
    assert {row.title for row in tables["documents"]} == {"飞行条例"}
    assert tables["documents"][1].text.endswith("依照第三条的规定执行。")
    assert tables["documents"][1].place == "第一章 总则 / 第一条"


def test_markdown_falls_into_sections_and_long_ones_into_parts(tmp_path):
    text = f"---\nauthor: x\n---\n# Manual\n\n## Before\nCheck the\nbattery.\n- one\n- two\n\n### Wind\n{'Do not fly in storms. ' * 12}\n"

    tables, _ = read(tmp_path, "manual.md", text)

    rows = tables["documents"]
    assert [row.place for row in rows] == ["Before", "Before / Wind, part 1", "Before / Wind, part 2"]
    assert rows[0].text == "Check the battery.\n- one\n- two"
    assert all(row.title == "Manual" and row.language == "en" for row in rows)
    assert len({row.id for row in rows}) == 3


def test_plain_text_joins_lines_broken_inside_a_sentence(tmp_path):
    text = "无人驾驶航空器的飞行活动应当遵守国家有关的\n规定。\n驾驶员应当持有执照。"

    tables, _ = read(tmp_path, "a.txt", text.encode("gb18030"))

    assert tables["documents"][0].text == "无人驾驶航空器的飞行活动应当遵守国家有关的规定。\n驾驶员应当持有执照。"


def test_a_pdf_gives_paragraphs_headings_and_tables_but_no_running_lines(tmp_path):
    tables, rejected = read(tmp_path, "m.pdf", pdf())

    rows = tables["documents"]
    assert [(row.section, row.place) for row in rows] == [("Limits", "page 1, Limits"), ("Batteries", "page 2, Batteries")]
    assert {row.title for row in rows} == {"Field Manual"}
    assert rows[0].text == "The pilot keeps the aircraft in sight at all times and lands it as soon as it is out of sight."
    assert rows[1].text == "Charge them indoors.\n| model | limit |\n| --- | --- |\n| Heron | 120 m |"
    assert {(row["reason"], row["row"]) for row in rejected} == {("running_line", "Handbook of Example"), ("running_line", "Page 1 of 2")}


def test_a_docx_gives_headings_paragraphs_and_tables_in_order(tmp_path):
    import docx

    document = docx.Document()
    document.add_heading("作业卡", 0)
    document.add_heading("机型", 1)
    document.add_paragraph("先看下表。")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip([*table.rows[0].cells, *table.rows[1].cells], ["机型", "限高", "云雀", "120米|1"], strict=True):
        cell.text = text
    document.add_paragraph("表格之后。")
    (tmp_path / "data").mkdir()
    document.save(str(tmp_path / "data/card.docx"))

    tables, _ = read(tmp_path, "more.txt", "另一份文件。")

    row = tables["documents"][0]
    assert (row.title, row.section) == ("作业卡", "机型")
    assert row.text == "先看下表。\n| 机型 | 限高 |\n| --- | --- |\n| 云雀 | 120米\\|1 |\n表格之后。"


LINES = [
    "第一章 总则",
    "第一条 按照第三章的规定，制定本办法。",
    "第二条 适用于本市。",
    "第二章 飞行",
    "第三条 应当报备，依照第一条办理。",
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "\n".join(LINES)),
        ("a.md", "# 办法\n\n" + "\n".join(LINES).replace("第三章的", "\n第三章的").replace("第一条办", "\n第一条办")),
        ("a.html", f"<h1>办法</h1><p>{'<br>'.join(LINES[:3])}</p><p>{'<br>'.join(LINES[3:])}</p>"),
    ],
)
def test_articles_that_a_mere_line_break_parts_are_articles(tmp_path, name, text):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_text(text, encoding="utf-8")

    ingest.run(PARAMS, tmp_path / "data", tmp_path / "out")

    assert [(row.section, row.text) for row in read_tables(tmp_path / "out/tables")["documents"]] == [
        ("第一章 总则 / 第一条", "第一条 按照第三章的规定，制定本办法。"),
        ("第一章 总则 / 第二条", "第二条 适用于本市。"),
        ("第二章 飞行 / 第三条", "第三条 应当报备，依照第一条办理。"),
    ]


def test_a_broken_paragraph_of_a_statute_in_docx_is_joined_and_a_bare_chapter_name_recognised(tmp_path):
    import docx

    document = docx.Document()
    lines = ["第一条 为了加强和规范无人驾驶航空器安全管理，保障", "公共安全，制定本规定。", "罚则", "第二条 罚款。", "第三条 施行。"]
    for line in lines:
        document.add_paragraph(line)
    (tmp_path / "data").mkdir()
    document.save(str(tmp_path / "data/r.docx"))

    tables, _ = read(tmp_path, "more.txt", "另一份文件。")

    assert [(row.section, row.text) for row in tables["documents"][1:]] == [
        ("第一条", "第一条 为了加强和规范无人驾驶航空器安全管理，保障公共安全，制定本规定。"),
        ("罚则 / 第二条", "第二条 罚款。"),
        ("罚则 / 第三条", "第三条 施行。"),
    ]


def test_a_workbook_gives_a_record_a_row_of_each_sheet(tmp_path):
    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "问答"
    for row in [["问题", "答案"], ["限高多少？", 120], [None, None], ["能夜航吗？", "能"]]:
        book.active.append(row)
    (tmp_path / "data").mkdir()
    book.save(tmp_path / "data/qa.xlsx")

    tables, _ = read(tmp_path, "more.txt", "另一份文件。")

    assert [(row.place, row.messages[0].content, row.messages[1].content) for row in tables["dialogues"]] == [
        ("sheet 问答, row 1", "限高多少？", "120"),
        ("sheet 问答, row 2", "能夜航吗？", "能"),
    ]


def test_a_csv_in_gb18030_with_ragged_rows(tmp_path):
    text = 'text,label\n"航班延误，旅客聚集在登机口。",低风险\n只有一列\n飞机与地面车辆相撞。,重大风险\n'

    tables, rejected = read(tmp_path, "reports.csv", text.encode("gb18030"))

    assert [(row.text, row.label, row.task, row.place) for row in tables["labels"]] == [
        ("航班延误，旅客聚集在登机口。", "低风险", "classify-zh", "row 1"),
        ("飞机与地面车辆相撞。", "重大风险", "classify-zh", "row 3"),
    ]
    assert [(row["place"], row["reason"]) for row in rejected] == [("row 2", "ragged_row")]


USER, REPLY = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(
    ("record", "table", "expected"),
    [
        ({"instruction": "i", "input": "x", "output": "o"}, "dialogues", ["i\nx", "o"]),
        ({"instruction": "i", "input": "", "output": "o", "history": [["p", "q"]]}, "dialogues", ["p", "q", "i", "o"]),
        ({"conversations": [{"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}]}, "dialogues", ["u", "a"]),
        ({"messages": [USER, REPLY], "system": "s"}, "dialogues", ["s", "u", "a"]),
        ({"messages": [USER, {"role": "assistant", "content": "<think>t</think>a"}]}, "dialogues", ["u", "a"]),
        ({"question": "q", "answer": "a"}, "dialogues", ["q", "a"]),
        ({"title": "t", "ask": "q", "answer": "a"}, "dialogues", ["q", "a"]),
        ({"query": "q", "laws": ["《民法典》第一条：正文"], "response": "r"}, "dialogues", ["q", "r"]),
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, "preferences", ["p", "c", "r"]),
        ({"instruction": "i", "input": "x", "chosen": "c", "rejected": "r"}, "preferences", ["i\nx", "c", "r"]),
        (
            {"conversations": [{"from": "human", "value": "u"}], "chosen": {"from": "gpt", "value": "c"}, "rejected": {"value": "r"}},
            "preferences",
            ["u", "c", "r"],
        ),
        ({"entity": "e", "kind": "k", "relation": "r", "values": ["v", "w", "v"]}, "facts", ["e", "k", "r", "v", "w"]),
        ({"head": "e", "relation": "r", "tail": "v"}, "facts", ["e", "", "r", "v"]),
        ({"text": "t", "spo_list": [["e", "r", "v"], ["e", "r", "w"]]}, "facts", ["e", "", "r", "v", "w"]),
        ({"text": "some text", "label": 1}, "labels", ["some text", "1"]),
        ({"question": "q", "options": ["x", "y", "z"], "answer": "AC"}, "exams", ["q", [0, 2]]),
        ({"question": "q", "options": {"A": "x", "B": "y"}, "answer": ["B"]}, "exams", ["q", [1]]),
        ({"text": "t", "title": "n"}, "documents", ["n", "t"]),
    ],
)
def test_known_shapes_are_recognised(tmp_path, record, table, expected):
    tables, rejected = read(tmp_path, "r.jsonl", [record])

    assert rejected == []
    (row,) = tables[table]
    said = {
        "dialogues": lambda: [message.content for message in row.messages],
        "preferences": lambda: [*(message.content for message in row.messages), row.chosen, row.rejected],
        "facts": lambda: [row.entity, row.kind, row.relation, *row.values],
        "labels": lambda: [row.text, row.label],
        "exams": lambda: [row.question, row.right],
        "documents": lambda: [row.title, row.text],
    }
    assert said[table]() == expected


def test_reasoning_stands_in_its_own_field_and_columns_can_be_swapped(tmp_path):
    tables, _ = read(tmp_path, "swapped/r.jsonl", [{"q": "能飞吗？", "answer": "风太大。", "reasoning": "不能。"}])

    (row,) = tables["dialogues"]
    assert (row.task, row.messages[1].content, row.messages[1].reasoning) == ("reason", "不能。", "风太大。")


def test_triples_of_one_entity_and_relation_are_one_fact(tmp_path):
    tables, _ = read(tmp_path, "r.jsonl", [{"head": "e", "relation": "r", "tail": tail} for tail in "vw"])

    assert [row.values for row in tables["facts"]] == [["v", "w"]]


def test_the_articles_of_a_consultation_are_documents_it_refers_to(tmp_path):
    record = {"laws": ["《民法典》第一条：正文"], "response": "r"}

    tables, _ = read(tmp_path, "r.json", json.dumps([record | {"query": "q"}, record | {"query": "p"}]))

    (law,) = tables["documents"]
    assert (law.title, law.section, law.text) == ("民法典", "第一条", "正文")
    assert [row.references for row in tables["dialogues"]] == [[law.id], [law.id]]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pdf", b"%PDF-1.4 broken", "truncated"),
        ("a.docx", b"PK broken", "unreadable"),
        ("a.xlsx", b"PK broken", "unreadable"),
        ("a.json", '[{"text": "cut', "truncated"),
        ("a.jsonl", '{"text": 1', "truncated"),
        ("a.jsonl", '{"text" 1}', "not_json"),
        ("a.json", "[1]", "unknown_shape"),
        ("a.jsonl", '{"speed": 3}', "unknown_shape"),
        ("a.jsonl", '{"messages": [{"role": "user", "content": "u"}]}', "incomplete"),
        ("a.jsonl", '{"messages": [{"role": "tool", "content": "u"}]}', "unknown_role"),
        ("a.jsonl", '{"question": {"x": 1}, "answer": "a"}', "ill_typed"),
        ("a.jsonl", '{"question": "q", "options": ["x", "y"], "answer": "D"}', "ill_typed"),
        ("swapped/a.jsonl", '{"question": "q", "answer": "a"}', "missing_column"),
        ("a.csv", "", "empty_file"),
        ("a.csv", "text,label\n", "empty_file"),
        ("a.md", "# only a heading", "empty_file"),
        ("a.bin", "x", "unknown_ending"),
        ("noending", "x", "unknown_ending"),
    ],
)
def test_what_cannot_be_read_is_rejected_with_its_reason_and_the_rest_goes_on(tmp_path, name, content, reason):
    good = tmp_path / "data/good.txt"
    good.parent.mkdir(parents=True)
    good.write_text("这一份可以读。", encoding="utf-8")

    tables, rejected = read(tmp_path, name, content)

    assert len(tables["documents"]) == 1
    assert [(row["source"], row["reason"]) for row in rejected] == [(name, reason)]
    assert rejected[0]["detail"]
    ledger = json.loads((tmp_path / "out/ledger.json").read_text(encoding="utf-8"))
    assert ledger["total"]["dropped"] == {reason: 1}


def test_too_many_files_without_rows_fail_the_stage(tmp_path):
    with pytest.raises(StageError, match=r"1 of 1 files .* max_rejected 0.5[\s\S]*a\.bin: \.bin.*\.docx"):
        read(tmp_path, "a.bin", "x")


def test_empty_data_says_how_to_fill_it(tmp_path):
    with pytest.raises(StageError, match=r"make data FROM=samples/drone"):
        read(tmp_path, ".gitignore", "x")


def test_hidden_files_and_decisions_of_reviewers_are_left_alone_and_the_first_rule_holds(tmp_path):
    for name in (".dvc/x.txt", "reviews/decisions.csv", "~$card.docx"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x", encoding="utf-8")

    tables, rejected = read(tmp_path, "general/a.txt", "一句话。")

    assert rejected == []
    assert [(row.source, row.licence, row.scope) for row in tables["documents"]] == [("general/a.txt", "MIT", "general")]


def test_the_retrieval_set_is_read_from_every_file_of_its_name(tmp_path):
    row = {"question": "谁可以停飞？", "source": "rules.md", "section": "第二条"}
    lines = [row, row, {"question": "谁？"}, {**row, "score": 1}]
    (tmp_path / "data" / "feedback").mkdir(parents=True)
    (tmp_path / "data" / "feedback" / "retrieval_set.jsonl").write_text('{"question": "cut sho\n', encoding="utf-8")
    (tmp_path / "data" / "rules.md").write_text(STATUTE, encoding="utf-8")

    tables, rejected = read(tmp_path, "retrieval_set.jsonl", lines)

    assert list(read_jsonl(tmp_path / "out" / "retrieval.jsonl")) == [{"source": "rules.md", "section": "第二条", "text": "", **row}]
    assert [(row["source"], row["place"], row["reason"]) for row in rejected] == [
        ("feedback/retrieval_set.jsonl", "line 1", "retrieval_set"),
        ("retrieval_set.jsonl", "line 3", "retrieval_set"),
        ("retrieval_set.jsonl", "line 4", "retrieval_set"),
    ]
    assert {row.source for rows in tables.values() for row in rows} == {"rules.md"}


def test_half_a_character_is_shown_as_unreadable(tmp_path):
    tables, _ = read(tmp_path, "a.jsonl", '{"text": "\\ud83d 好 \\ud83d\\ude00"}')

    assert tables["documents"][0].text == "� 好 😀"


def test_same_files_same_bytes(tmp_path):
    read(tmp_path, "条例.md", STATUTE)
    first = (tmp_path / "out/tables/documents.parquet").read_bytes()

    read(tmp_path, "条例.md", STATUTE)

    assert (tmp_path / "out/tables/documents.parquet").read_bytes() == first


def pdf() -> bytes:
    """Two pages with a header, a page number, a title, headings, a sentence across lines, and a table."""
    import io

    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Table, TableStyle

    def edges(canvas, document):
        canvas.drawString(72, 815, "Handbook of Example")
        canvas.drawString(280, 20, f"Page {document.page} of 2")

    style, data = getSampleStyleSheet(), io.BytesIO()
    table = Table([["model", "limit"], ["Heron", "120 m"]], style=TableStyle([("GRID", (0, 0), (-1, -1), 1, colors.black)]))
    sentence = "The pilot keeps the aircraft in sight at all times and lands it as soon as it is out of sight."
    story = [Paragraph("Field Manual", style["Title"]), Paragraph("Limits", style["Heading2"]), Paragraph(sentence, style["BodyText"])]
    story += [PageBreak(), Paragraph("Batteries", style["Heading2"]), Paragraph("Charge them indoors.", style["BodyText"]), table]
    SimpleDocTemplate(data, pagesize=A4, invariant=1).build(story, onFirstPage=edges, onLaterPages=edges)
    return data.getvalue()
