"""Words, chunks and search, each rule on the shortest text that shows it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from endpoints import posted_to
from serving import DOCUMENT, FACTS

from lingyu.retrieve.chunks import chunk_of_fact, chunks_of_document, passages, plain, sentences
from lingyu.retrieve.evidence import Evidence, proof
from lingyu.retrieve.index import Knowledge, build
from lingyu.retrieve.prompt import with_passages
from lingyu.retrieve.retrievers import Choice
from lingyu.retrieve.words import words
from lingyu.text.normalise import key

CHUNKS = [*chunks_of_document(DOCUMENT, 30), *map(chunk_of_fact, FACTS)]


@pytest.mark.parametrize(
    ("question", "prompt"),
    [
        ("几米？", "资料：\n[1] 规则 / 第五条\n限高九米。\n[2] 云雀X3的续航时间是38分钟。\n\n问题：几米？"),
        ("How high?", "Passages:\n[1] 规则 / 第五条\n限高九米。\n[2] 云雀X3的续航时间是38分钟。\n\nQuestion: How high?"),
    ],
)
def test_a_passage_stands_under_its_title_and_heading_and_a_fact_alone(question, prompt):
    rule = DOCUMENT.model_copy(update={"title": "规则", "section": "第五条", "text": "限高九米。"})
    shown = [*chunks_of_document(rule, 30), chunk_of_fact(FACTS[1])]

    assert with_passages(question, shown) == prompt


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("电池存放", ["电池", "存放", "池存"]),
        ("最大速度是多少？", ["最大", "速度", "大速"]),
        ("RTK-2", ["rtk-2", "rtk", "2"]),
        ("ＧＢ５００１６", ["gb50016", "gb", "50016"]),
        ("3.5kg", ["3.5kg", "3.5", "kg"]),
        ("Drones' batteries", ["drone", "battery"]),
        ("What is the gas?", ["gas"]),
        ("第二十八条", ["第28条"]),
        ("第 28 条", ["第28条"]),
        ("第一百零三条", ["第103条"]),
        ("⼈⼯", ["人工"]),
        ("，。 …", []),
        ("", []),
    ],
)
def test_words(text, found):
    assert words(text) == found


@pytest.mark.parametrize(
    ("written", "typed"),
    [("CO₂", "CO2"), ("120 m²", "120 m2"), ("㎡", "m2"), ("①", "1"), ("⑴", "(1)"), ("10⁹/L", "10^9/L"), ("Ⅱ级", "II级"), ("３％", "3%")],
)
def test_what_is_raised_lowered_or_encircled_is_found_as_people_type_it(written, typed):
    assert words(written) == words(typed)


@pytest.mark.parametrize(
    ("one", "other"), [("CO₂", "CO2"), ("m²", "m2"), ("①", "1"), ("10⁹", "109"), ("10⁹", "10⁻⁹"), ("10⁹/L", "10^9/L"), ("H₂O", "H2O")]
)
def test_rows_that_differ_so_are_no_duplicates(one, other):
    assert key(f"含量{one}") != key(f"含量{other}")


def test_a_power_is_another_number_than_its_digits():
    assert words("10⁹") != words("109")


@pytest.mark.parametrize(
    ("text", "size", "found"),
    [
        ("甲。乙！丙？", 4, ["甲。乙！", "丙？"]),
        ("甲。\n乙。", 10, ["甲。\n乙。"]),
        ("“甲。”乙。", 4, ["“甲。”", "乙。"]),
        ("It is 3.5 m. Ok.", 12, ["It is 3.5 m.", "Ok."]),
        ("甲乙丙，丁戊己。", 4, ["甲乙丙，", "丁戊己。"]),
        ("甲乙丙丁戊", 2, ["甲乙", "丙丁", "戊"]),
        ("", 5, []),
        (" \n ", 5, []),
        ("表。\n| 甲 | 乙 |\n| --- | --- |\n| 一 | 二 |\n| 三 | 四 |\n完。", 9, [
            "表。", "| 甲 | 乙 |\n| --- | --- |\n| 一 | 二 |", "| 甲 | 乙 |\n| --- | --- |\n| 三 | 四 |", "完。",
        ]),
        ("| 甲 |", 9, ["| 甲 |"]),
    ],
)  # fmt: skip
def test_passages_end_at_sentences_while_they_can(text, size, found):
    assert passages(text, size) == found


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("| 物资 | 数量 |\n|---|---|\n| 沙袋 | 80个 |", "物资: 沙袋; 数量: 80个"),
        ("| 物资 | |\n|---|---|\n| a\\|b | 80个 |", "物资: a\\|b; 80个"),
        ("甲。", "甲。"),
    ],
)
def test_a_row_is_read_as_pairs_of_column_and_cell(text, read):
    assert plain(text) == read


def test_sentences_are_the_whole_text():
    text = "一。二；three. Four?\n\n五"

    assert "".join(sentences(text)) == text
    assert [sentence for sentence in sentences(text) if sentence.strip()] == ["一。", "二；", "three.", " Four?", "五"]


def test_a_chunk_keeps_where_it_stood():
    first, second = chunks_of_document(DOCUMENT, 30)

    assert (first.title, first.section, first.source, first.place) == (DOCUMENT.title, DOCUMENT.section, DOCUMENT.source, DOCUMENT.place)
    assert first.text + "\n" + second.text == DOCUMENT.text
    assert first.id != second.id


def test_a_fact_is_one_line_with_its_terms():
    chunk = chunk_of_fact(FACTS[2])

    assert (chunk.text, chunk.terms) == ("The maximum altitude of Lark X3 is 120 metres.", ["Lark X3", "120 metres"])


@pytest.mark.parametrize(
    ("question", "kind", "first"),
    [
        ("云雀X3能飞多快，最大飞行速度？", None, "云雀X3的最大飞行速度是21米每秒。"),
        ("翻到云雀X3那一页，续航时间后面写着什么？", None, "云雀X3的续航时间是38分钟。"),
        ("雷暴能起飞吗", "document", "雨天不得飞行；雷暴天气禁止起飞。"),
        ("altitude of the Lark X3", None, "The maximum altitude of Lark X3 is 120 metres."),
        ("红烧肉", None, None),
        ("？", None, None),
    ],
)
def test_search(tmp_path, question, kind, first):
    build(CHUNKS, tmp_path, Choice(name="bm25"))

    hits = Knowledge(tmp_path).search(question, 3, kind)

    assert (hits[0].chunk.text if hits else None) == first
    assert all(0 < hit.score <= 1 for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("chunks", [[], [CHUNKS[0].model_copy(update={"title": "", "section": "", "text": "……"})]])
def test_a_knowledge_base_without_words_finds_nothing(tmp_path, chunks):
    build(chunks, tmp_path, Choice(name="bm25"))

    assert Knowledge(tmp_path).search("电池", 3) == []


@pytest.mark.slow
def test_the_same_chunks_give_the_same_bytes_in_another_process_and_no_word_is_printed(tmp_path):
    script = (
        "import sys; sys.path.insert(0, 'tests'); from pathlib import Path; from test_retrieve import CHUNKS, Choice, build; "
        "build(CHUNKS, Path(sys.argv[1]), Choice(name='bm25'))"
    )
    for seed in "12":
        run = [sys.executable, "-c", script, str(tmp_path / seed)]
        done = subprocess.run(run, env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": "."}, capture_output=True, text=True, check=True)
        assert done.stdout + done.stderr == ""

    files = {seed: {path.name: path.read_bytes() for path in sorted(Path(tmp_path, seed).rglob("*")) if path.is_file()} for seed in "12"}
    assert files["1"] == files["2"]
    assert len(files["1"]) > 4


def test_a_reranker_puts_the_best_passages_in_its_order_and_the_scores_stay_with_the_ranks(tmp_path):
    asked = []

    def rows(body):
        asked.append(body)
        return {"results": [{"index": place, "relevance_score": place} for place in range(len(body["documents"]))]}

    with posted_to(rows) as url:
        reranker = {"name": "endpoint", "base_url": url, "model": "m", "depth": 2}
        build(CHUNKS, tmp_path, Choice(name="hybrid", options={"embedder": {"name": "none"}, "reranker": reranker}))
        hits = Knowledge(tmp_path).search("云雀X3的续航时间", 3)

    plain_order = [hit.chunk.text for hit in plainly(tmp_path / "plain").search("云雀X3的续航时间", 3)]
    assert [hit.chunk.text for hit in hits] == [plain_order[1], plain_order[0], *plain_order[2:]]
    assert asked[0]["query"] == "云雀X3的续航时间"
    assert len(asked[0]["documents"]) == 2
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def plainly(folder):
    build(CHUNKS, folder, Choice(name="bm25"))
    return Knowledge(folder)


@pytest.mark.parametrize(("reranker", "told"), [({"name": "folder"}, "needs path"), ({"name": "endpoint", "model": "m"}, "needs base_url")])
def test_a_reranker_without_its_place_is_named(reranker, told):
    with pytest.raises(ValueError, match=told):
        Choice(name="hybrid", options={"reranker": reranker})


def test_the_sentence_that_answers_is_the_most_relevant(tmp_path):
    build(CHUNKS, tmp_path, Choice(name="bm25"))
    knowledge = Knowledge(tmp_path)

    texts = ["起飞前检查桨叶。", "雷暴天气禁止起飞。", "库房要凉。"]
    found = knowledge.relevance("雷暴的时候能起飞吗？", texts)

    assert texts[max(range(3), key=found.__getitem__)] == "雷暴天气禁止起飞。"
    assert all(0 <= one <= 1 for one in found)
    assert list(knowledge.relevance("雷暴？", [])) == []


def test_the_question_of_a_conversation_is_made_with_the_entities_of_the_knowledge_base(tmp_path):
    build(CHUNKS, tmp_path, Choice(name="bm25"))

    assert Knowledge(tmp_path).question(["云雀X3的最大飞行速度是多少？", "那它的续航时间呢？"]) == "云雀X3的续航时间呢？"


@pytest.mark.parametrize(
    ("answer", "proven"),
    [
        ("35%。", True),
        ("30%。", False),
        ("可以。", False),
        ("返航电量是35%。", True),
        ("返航电量不得低于35%。", False),
        ("返航电量不是35%。", False),
    ],
)
def test_an_answer_follows_from_the_sentence_that_is_closest_to_the_question(answer, proven):
    ranked = [
        Evidence(0, 0, 10, "鱼鹰的返航电量是35%。", "鱼鹰 / 返航电量", 1.0),
        Evidence(1, 0, 10, "可以飞行，返航电量不得低于30%。", "别处", 0.2),
    ]

    assert (proof(answer, "鱼鹰的返航电量是多少？", ranked, frozenset()) is not None) == proven
