"""Questions about an attribute that the documents do not have of an entity: nothing else of it is quoted."""

import numpy as np
import pytest
from rows import document
from serving import fact

from lingyu.retrieve.attributes import Attributes
from lingyu.retrieve.chunks import chunk_of_fact, chunks_of_document
from lingyu.retrieve.evidence import evidence
from lingyu.retrieve.graph import Graph
from lingyu.retrieve.support import known_terms

RELATIONS = ("最长续航", "最大载重", "抗风等级", "检修周期")
FACTS = [
    fact(entity, relation, value)
    for entity, values in {
        "云雀一号": ("30分钟", "2千克", "五级", "每20架次"),
        "苍鹰五号": ("52分钟", "", "三级", "每120架次"),
        "翠鸟十号": ("", "5千克", "六级", "每50架次"),
    }.items()
    for relation, value in zip(RELATIONS, values, strict=True)
    if value
]
CHUNKS = [chunk_of_fact(row) for row in FACTS]
GRAPH = Graph(CHUNKS)


def closest_to(relation: str):
    """How close the passages are to a question about this relation."""
    return lambda question: np.array([0.9 if chunk.section == relation else 0.8 for chunk in CHUNKS], np.float32)


@pytest.mark.parametrize(
    ("question", "relation", "required"),
    [
        ("苍鹰五号能带多重的货？", "最大载重", ("最大载重",)),
        ("苍鹰五号能飞多久？", "最长续航", None),
        ("翠鸟十号能飞多久？", "最长续航", ("最长续航",)),
        ("苍鹰五号的最大载重是多少？", "最长续航", ("最大载重",)),
        ("苍鹰五号的最长续航是多少？", "最大载重", None),
        ("苍鹰五号和云雀一号谁带得多？", "最大载重", None),
        ("最大的无人机能带多重？", "最大载重", None),
        ("介绍一下苍鹰五号", "最大载重", None),
    ],
)
def test_the_relation_that_a_question_is_closest_to_is_required_where_its_entity_lacks_it(question, relation, required):
    assert GRAPH.required(question, closest_to(relation)) == required


def test_of_an_attribute_that_no_relation_is_like_a_sentence_must_have_a_word():
    def evenly(question):
        return np.full(len(CHUNKS), 0.8, np.float32)

    assert GRAPH.required("苍鹰五号的像素是多少？", evenly) == ("像素",)
    assert GRAPH.required("苍鹰五号飞多高？", evenly) is None
    assert GRAPH.required("苍鹰五号的像素是多少？", lambda question: None) is None


def test_relations_of_another_kind_of_entity_are_not_expected_of_this_one():
    mixed = [*CHUNKS, *(chunk_of_fact(fact("会展中心", name, "1")) for name in ("限高", "开放时段", "人群距离"))]

    attributes = Attributes(mixed)

    def close(question):
        return np.array([0.9 if chunk.section == "限高" else 0.8 for chunk in mixed], np.float32)

    assert len(attributes.of_kind({0, 1})) <= len(RELATIONS)
    assert attributes.required("苍鹰五号能飞到几楼？", ["苍鹰五号"], close) != ("限高",)


def quoted(question: str, text: str, relation: str) -> list[str]:
    chunk = next(iter(chunks_of_document(document(1, text, title="手册", section="载荷"), 400)))
    terms = known_terms(term for one in CHUNKS for term in one.terms)
    required = GRAPH.required(question, closest_to(relation))
    return [each.text for each in evidence(question, [chunk], terms, lambda _, texts: [1.0] * len(texts), GRAPH, required)]


def test_a_document_that_states_what_the_graph_lacks_is_quoted():
    text = "苍鹰五号的最长续航是52分钟。苍鹰五号的最大载重是3千克。"

    assert quoted("苍鹰五号能带多重的货？", text, "最大载重") == ["苍鹰五号的最大载重是3千克。"]
    assert quoted("苍鹰五号能带多重的货？", "苍鹰五号的最长续航是52分钟。", "最大载重") == []


def test_an_empty_cell_of_a_table_states_nothing_and_its_head_is_never_quoted_alone():
    table = "| 机型 | 最长续航 | 最大载重 |\n| --- | --- | --- |\n| 苍鹰五号 | 52分钟 | {} |"

    assert quoted("苍鹰五号的最大载重是多少？", table.format("—"), "最大载重") == []
    assert quoted("苍鹰五号的最大载重是多少？", table.format("3千克"), "最大载重") == ["| 苍鹰五号 | 52分钟 | 3千克 |"]


@pytest.mark.parametrize(("question", "is_there"), [("苍鹰五号能飞58分钟吗？", True), ("苍鹰五号能飞到多高？", False)])
def test_a_figure_of_the_question_need_not_stand_in_the_sentence_and_a_length_is_no_time(question, is_there):
    assert bool(quoted(question, "苍鹰五号的最长续航是52分钟。", "最长续航")) == is_there
