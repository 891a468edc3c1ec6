"""Statutes: versions of one text, English law, quotations that other articles hold, titles within titles, what defines a term."""

import pytest
from rows import document
from test_shapes import ingest_outputs

from lingyu.files import read_table
from lingyu.generate.rules.articles import articles_of
from lingyu.generate.rules.definitions import definitions_of
from lingyu.ingest.readers import Block
from lingyu.ingest.sections import Origin, documents
from lingyu.records import Document
from lingyu.text.legal import bare_title, cited, titles
from stages import ingest

OLD = ["第一条 为了管好机库，制定本规则。", "第二条 机库应当上锁。", "第三条 每月清点一次桨叶。", "第四条 违反本规则的，罚十元。"]
NEW = ["第一条 为了管好机库和电池，制定本规则。", "第二条 机库应当上锁并有人值守。", "第三条 每周清点一次桨叶。"]


def statute(*articles, title="机库规则"):
    return "\n\n".join([f"# {title}", *articles]) + "\n"


def read(tmp_path, files, *sources):
    (tmp_path / "data").mkdir()
    for name, text in files.items():
        (tmp_path / "data" / name).write_text(text, encoding="utf-8")
    rest = {"pattern": "*", "licence": "MIT", "scope": "domain"}
    params = ingest.Params.model_validate({"sources": [*({**rest, **source} for source in sources), rest]})
    ingest.run(params, tmp_path / "data", tmp_path / "out")
    kept = {row.source for row in read_table(tmp_path / "out/tables/documents.parquet", Document)}
    return kept, *ingest_outputs(tmp_path / "out")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("机库规则(2011).md", "机库规则（2023修订）.md"),
        ("2011-机库规则.md", "机库规则2023-05-01.md"),
        ("机库规则（2011年版）.md", "机库规则_20230501.md"),
        ("机库规则(2022-12-30).md", "机库规则(2023-01-01).md"),
    ],
)
def test_of_two_versions_the_newer_is_taught_and_the_older_kept_beside(tmp_path, old, new, capsys):
    kept, ledger, rejected = read(tmp_path, {old: statute(*OLD), new: statute(*NEW)})

    assert kept == {new}
    assert {(row["source"], row["reason"]) for row in rejected} == {(old, "superseded")}
    assert [row["row"]["section"] for row in rejected] == ["第一条", "第二条", "第三条", "第四条"]
    assert new in rejected[0]["detail"]
    (entry,) = [entry for entry in ledger["entries"] if entry["source"] == old]
    assert (entry["out"], entry["dropped"]) == (0, {"superseded": 4})
    assert old in capsys.readouterr().out


def test_the_day_of_a_version_is_also_in_its_title_its_text_or_the_sources(tmp_path):
    since = "第五条 本规则自{}起施行。"
    files = {
        "a.md": statute(*OLD, since.format("2011年1月1日")),
        "b.md": statute(*NEW, since.format("2023年1月1日")),
        "c.md": statute(*OLD, title="灯规（2011年修正）"),
        "d.md": statute(*NEW, title="灯规（2023年修正）"),
        "e.md": statute(*OLD, title="桨规"),
        "f.md": statute(*NEW, title="桨规"),
    }
    kept, _, _ = read(tmp_path, files, {"pattern": "e.md", "valid_from": "2024-01-01"}, {"pattern": "f.md", "valid_from": "2023-01-01"})

    assert kept == {"b.md", "d.md", "e.md"}


def test_versions_without_a_day_are_reported_and_not_asked(tmp_path):
    kept, _, rejected = read(tmp_path, {"a.md": statute(*OLD), "b.md": statute(*NEW)})

    (fault,) = rejected
    assert (fault["reason"], fault["source"]) == ("versions_unclear", "b.md")
    assert "a.md" in fault["detail"]
    assert kept == {"a.md", "b.md"}
    assert articles_of(read_table(tmp_path / "out/tables/documents.parquet", Document), 160) == []


@pytest.mark.parametrize(
    "files",
    [
        {"机库规则(2011).md": statute(*OLD), "机库规则(2023).txt": statute(*OLD)},  # one text in two formats, named by when it was saved
        {"机库规则(2011).md": statute(*OLD), "灯规(2023).md": statute(*NEW, title="灯规")},
        {"上.md": statute(*OLD[:3]), "下.md": statute("第五条 甲。", "第六条 乙。", "第七条 丙。")},
        {"手册(2011).md": "# 手册\n\n旧。", "手册(2023).md": "# 手册\n\n新。"},
    ],
)
def test_what_is_no_other_version_of_a_statute_stays(tmp_path, files):
    kept, _, rejected = read(tmp_path, files)

    assert kept == {*files}
    assert {row["reason"] for row in rejected} <= {"articles_missing"}


def sections(text, kind="paragraph"):
    blocks = [Block("heading", line.lstrip("# "), "", 1) if line.startswith("#") else Block(kind, line) for line in text.split("\n")]
    return list(documents(blocks, Origin("a.md", "MIT", "domain"), "Drone Act", 1000))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "PART I — GENERAL\nSection 1. Drones shall be registered.\nSection 2. Lights, as Section 9 of the Air Code says, shall be on.\n"
            "PART II\nDuties\nSection 3. Logs shall be kept.\nSection 3A. Logs shall be signed.",
            ["PART I GENERAL / Section 1", "PART I GENERAL / Section 2", "PART II Duties / Section 3", "PART II Duties / Section 3A"],
        ),
        (
            "Article 1\nScope\nThis applies to drones.\nArticle 2\nLights\nLights shall be on.\nArticle 3\nLogs\nLogs shall be kept.",
            ["Article 1", "Article 2", "Article 3"],
        ),
        ("Sec. 1. Scope. Drones.\nSEC. 2. Lights shall be on.\nSec. 3. Logs shall be kept.", ["Sec. 1", "Sec. 2", "Sec. 3"]),
        ("# § 9.1 Scope.\nDrones.\n# § 9.3 Lights.\nLights shall be on.\n# § 9.5 Logs.\nLogs.", ["§ 9.1", "§ 9.3", "§ 9.5"]),
        (
            "CHAPTER I\nSECTION 1\nGeneral\nArticle 1 — Scope\nDrones.\nArticle 2 — Lights\nOn.\nArticle 3 — Logs\nKept.",
            [f"CHAPTER I / SECTION 1 General / Article {number}" for number in (1, 2, 3)],
        ),
        (
            "Article I. Flights\nSection 1. Drones.\nSection 2. Lights.\nArticle II. Logs\nSection 1. Kept.\nSection 2. Signed.",
            [
                "Article I. Flights / Section 1",
                "Article I. Flights / Section 2",
                "Article II. Logs / Section 1",
                "Article II. Logs / Section 2",
            ],
        ),
        ("Section 5 of the Act applies.\nSection 6 applies, too.\nSection 7 does not.\nSection 8 and others.", [""]),
    ],
)
def test_english_law_gives_a_row_an_article(text, expected):
    assert list(dict.fromkeys(row.section for row in sections(text))) == expected


def test_articles_of_english_law_are_asked_by_their_number_and_what_they_say():
    found = articles_of(
        sections("Sec. 1. Drones shall be registered.\nSec. 2. Lights shall be on at night.\nSec. 3. Logs shall be kept."), 160
    )

    assert [(article.number, article.text) for article in found] == [
        ("Sec. 1", "Drones shall be registered."),
        ("Sec. 2", "Lights shall be on at night."),
        ("Sec. 3", "Logs shall be kept."),
    ]
    assert found[1].quotes == ("Lights shall be on at night.",)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("See Sec. 2 and § 107.3(b).", ["2", "107.3"]),
        ("Article IV, Section 12a", ["4", "12a"]),
        ("article civil, article a", []),
        ("第二十八条之一", ["28-1"]),
    ],
)
def test_citations_are_found_in_every_form(text, numbers):
    assert cited(text) == numbers


def article(number, text, title="罚则", source="a.md"):
    return document(f"第{number}条", f"第{number}条 {text}", title=title, section=f"第{number}条", source=source)


def test_a_quotation_that_other_articles_hold_is_not_asked_as_of_one():
    fine = "处二千元以上一万元以下罚款"
    rows = [
        article("一", f"无证起飞的，{fine}；情节严重的，没收无人机。"),
        article("二", f"夜间不开灯的，并{fine}。"),
        article("三", f"拒不登记的，依照前条{fine}。"),
        article("四", "值班员应当每周清点桨叶，记入簿册。"),
    ]

    quotes = {found.number: found.quotes for found in articles_of(rows, 160)}

    assert [number for number, some in quotes.items() if fine in some or f"并{fine}" in some or f"依照前条{fine}" in some] == []
    assert "情节严重的" not in quotes["第一条"]  # too short to be known by
    assert "值班员应当每周清点桨叶" in quotes["第四条"]


def test_one_title_may_hold_another():
    assert titles("见《关于修改《消防法》的决定》和《民法典》") == {"关于修改《消防法》的决定", "民法典"}
    assert titles("《关于修改〈消防法〉的决定》") == {"关于修改《消防法》的决定"}
    assert [bare_title(title) for title in ("《民法典》", "实施《消防法》办法", "实施《消防法》", "《实施《消防法》办法》")] == [
        "民法典",
        "实施《消防法》办法",
        "实施《消防法》",
        "实施《消防法》办法",
    ]


@pytest.mark.parametrize(
    ("sentence", "term"),
    [
        ("本规则所称空机，是指不载货物的无人机。", "空机"),
        ("航灯，指装在机臂末端的红绿灯。", "航灯"),
        ("直播，是指向公众实时播放画面的活动。", "直播"),
        ("定检，系指定期进行的检查。", "定检"),
        ("桨距指的是桨叶旋转一周前进的距离。", "桨距"),
        ("发现桨叶裂纹的，指令飞手立即降落并停飞检查。", ""),
        ("接到报警后，指派两名飞手赶赴现场核实。", ""),
        ("夜间作业，指定专人看守航灯和备用电池。", ""),
        ("风速突变，指挥员应当召回无人机。", ""),
        ("《手册》是指导性文件和操作的依据。", ""),
        ("库房负责人，指定一名值班员清点桨叶。", ""),
        ("甲方系指定采购单位，不得转包。", ""),
    ],
)
def test_only_what_defines_a_term_is_a_definition(sentence, term):
    found = definitions_of([document(1, sentence)])

    assert [one.term for one in found] == ([term] if term else [])


@pytest.mark.parametrize(
    ("sentence", "term"),
    [
        ("Night means the time between sunset and sunrise.", "Night"),
        ('The term "pilot" refers to the person at the controls.', "pilot"),
        ("A spotter refers to a person who watches the sky.", "spotter"),
        ("The officer refers to the handbook before each flight.", ""),
        ("No person shall by any means enter the closed area.", ""),
        ("A pilot by means of a light warns the people below.", ""),
    ],
)
def test_only_what_defines_a_term_is_a_definition_in_english(sentence, term):
    found = definitions_of([document(1, sentence, language="en")])

    assert [one.term for one in found] == ([term] if term else [])
