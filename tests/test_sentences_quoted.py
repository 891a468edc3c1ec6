"""Which sentences of the passages may answer a question, and how they are quoted."""

import numpy as np
import pytest
from rows import document
from serving import fact

from bench.answers import beside, faults, right
from lingyu.retrieve.chunks import Chunk, chunk_of_fact, chunks_of_document, passages
from lingyu.retrieve.evidence import Evidence, evidence, proof
from lingyu.retrieve.fusion import Parts, top
from lingyu.retrieve.graph import Graph, named
from lingyu.retrieve.retrievers import dense
from lingyu.retrieve.support import known_terms
from lingyu.serve.modes.professional import lead_of, quotation

RULES = "第九条 有下列行为之一的，处五百元罚款：\n（一）谎报火警的；\n（二）在加油站吸烟的；\n（三）堵塞通道的。\n执法人员应当出示证件。"
FACTS = [fact("云雀X3", "最长续航", "38分钟"), fact("锂聚电池", "检查间隔", "每两周"), fact("投放挂钩", "保管人", "机务工程师")]


def chunk(text: str) -> Chunk:
    return next(iter(chunks_of_document(document(1, text, title="规则", section="第九条"), 400)))


def found(question: str, *chunks: Chunk) -> list[str]:
    """The sentences that may answer, in the order of the passages."""
    graph = Graph([chunk_of_fact(row) for row in FACTS])
    terms = known_terms(term for row in FACTS for term in (row.entity, *row.values))
    return [each.whole for each in evidence(question, chunks, terms, lambda _, texts: [1.0] * len(texts), graph)]


def test_a_list_that_is_cut_goes_on_under_its_introduction():
    first, second = passages(RULES, 50)

    assert first == "第九条 有下列行为之一的，处五百元罚款：\n（一）谎报火警的；\n（二）在加油站吸烟的；"
    assert second == "第九条 有下列行为之一的，处五百元罚款：\n（三）堵塞通道的。\n执法人员应当出示证件。"


def test_a_list_ends_where_a_line_is_no_item():
    *_, last = passages(RULES, 35)

    assert last == "执法人员应当出示证件。"


def test_an_item_is_quoted_with_its_introduction_and_the_introduction_never_alone():
    passage = chunk(RULES)
    first, second, *rest = evidence("？", [passage], frozenset(), lambda _, texts: [1.0] * len(texts))

    lead = "第九条 有下列行为之一的，处五百元罚款："
    assert quotation(first, True, passage.text) == f"《规则 / 第九条》“{lead}\n（一）谎报火警的；” [1]"
    assert quotation(second, True, passage.text) == f"《规则 / 第九条》“{lead}……（二）在加油站吸烟的；” [1]"
    assert [(cited["start"], cited["text"]) for cited in lead_of(second, passage.text)] == [(0, lead)]
    assert [each.lead for each in rest] == [lead, ""]


@pytest.mark.parametrize(
    ("question", "answers"),
    [
        ("谁负责检查电池", []),
        ("锂聚电池的检查间隔是谁定的？", ["锂聚电池的检查间隔是每两周。"]),
        ("电池的检查间隔是多少？", ["锂聚电池的检查间隔是每两周。"]),
        ("铁甲蜗牛的检查间隔？", []),
    ],
)
def test_a_fact_answers_only_what_it_is_about(question, answers):
    assert found(question, chunk_of_fact(FACTS[1])) == answers


def test_a_part_is_named_by_its_last_word_only():
    assert named("锂聚电池", "谁检查电池")
    assert not named("电池温差", "谁检查电池")


@pytest.mark.parametrize(("question", "proven"), [("Compass Fault: contact?", True), ("Please tell me Compass Fault's maker.", False)])
def test_a_value_proves_nothing_of_an_attribute_that_its_sentence_does_not_have(question, proven):
    sentence = Evidence(0, 0, 9, "The contact of Compass Fault is duty manager.", "Compass Fault / contact", 1.0)

    assert (proof("duty manager.", question, [sentence], known_terms(["Compass Fault", "duty manager"])) is not None) == proven


@pytest.mark.parametrize(
    ("question", "is_there"),
    [("第九条规定了什么？", True), ("第九百条规定了什么？", False), ("苍鹰五号谎报火警怎么办？", False), ("谎报火警呢？", True)],
)
def test_an_article_or_code_that_the_passage_does_not_have_is_not_answered_from_it(question, is_there):
    assert bool(found(question, chunk(RULES))) == is_there


def reply(content: str, **more):
    text = "第九条 不得堵塞通道。违反的，处500元罚款。"
    source = {"title": "规则", "section": "第九条", "text": text}
    cited = {"source": 1, "start": 11, "end": 22, "text": text[11:22]}
    return {"kind": "laymen", "turns": ["堵了通道呢？"], "content": content, "sources": [source], "citations": [cited]} | more


@pytest.mark.parametrize(
    ("source", "content", "wrong"),
    [
        ("quotation", "《规则 / 第九条》“违反的，处500元罚款。” [1]", False),
        ("quotation", "《规则 / 第九条》“违反的，处900元罚款。” [1]", True),
        ("quotation", "《规则 / 第九条》“违反的，处500元罚款。” [2]", True),
        ("quotation", "可以。", True),
        ("model", "违反的，处500元罚款。 [1]", False),
        ("model", "违反的，处50元罚款。 [1]", True),
        ("model", "违反的，不得处罚款。 [1]", True),
        ("model", "违反的，处500元罚款。 [1]还要拘留。", True),
    ],
)
def test_the_measurement_sees_what_is_unsupported(source, content, wrong):
    assert bool(faults(reply(content, answer_source=source))) == wrong


def test_the_measurement_sees_an_answer_about_nothing_and_the_right_sentence():
    quoted = reply("《规则 / 第九条》“违反的，处500元罚款。” [1]", answer_source="quotation", articles=["规则 第9条"], says=["500元 罚款"])

    assert right(quoted, first=True)
    assert not right(quoted | {"articles": ["规则 第8条"]}, first=False)
    assert not right(quoted | {"says": ["900元"]}, first=False)
    assert beside(quoted | {"kind": "a name", "planted": "铁甲蜗牛"})
    assert not beside(quoted)


def test_of_many_passages_the_best_are_found_by_their_principal_components_and_compared_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(dense, "MANY", 100)
    monkeypatch.setattr(dense, "COMPONENTS", 4)
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(400, 3)) @ chance.normal(size=(3, 8)) + chance.normal(scale=0.05, size=(400, 8))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    np.save(tmp_path / "vectors.npy", rows)
    (tmp_path / "embedder.json").write_text('{"name": "openai", "options": {"base_url": "http://127.0.0.1:9/v1", "model": "m"}}')
    exactly = dense.Vectors(tmp_path)

    dense.outline(tmp_path)
    nearly = dense.Vectors(tmp_path)
    parts = [Parts(400, None, vectors, 1.0) for vectors in (exactly, nearly)]
    orders = [top(part.relevance("", rows[7].astype(np.float32))[0], 5).tolist() for part in parts]

    assert (exactly.nearly, nearly.nearly) == (False, True)
    assert orders[0] == orders[1]
    assert orders[0][0] == 7
    assert np.abs(nearly.cosines(rows[7].astype(np.float32)) - exactly.cosines(rows[7].astype(np.float32))).max() < 0.1
