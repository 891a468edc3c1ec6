"""The index stage on three facts and one document."""

import pytest
from serving import DOCUMENT, FACTS

from lingyu.files import read_json, write_tables
from lingyu.records import Dialogue, Message
from lingyu.retrieve.index import Knowledge
from stages import index

PARAMS = index.Params(max_characters=200, passages=3, min_score=0.4, check_items=10)


def asked(question, scope):
    row = {"id": question, "source": "qa.jsonl", "place": "row 1", "licence": "CC0", "scope": scope, "language": "zh", "task": "chat"}
    made = {"references": [], "method": "given", "teacher": "", "prompt_hash": "", "review": ""}
    return Dialogue(**row, **made, messages=[Message(role="user", content=question), Message(role="assistant", content="答")])


def test_the_domain_is_indexed_and_what_is_general_is_not(tmp_path):
    general = DOCUMENT.model_copy(update={"id": "general", "scope": "general", "text": "红烧肉要小火慢炖。"})
    write_tables(tmp_path / "tables", {"documents": [DOCUMENT, general], "facts": FACTS, "dialogues": [asked("红烧肉怎么做？", "general")]})

    index.run(PARAMS, tmp_path / "tables", tmp_path / "out")

    knowledge = Knowledge(tmp_path / "out/knowledge")
    assert len(knowledge.chunks) == 4
    assert knowledge.terms == {"云雀X3", "21米每秒", "38分钟", "Lark X3", "120 metres"}
    assert read_json(tmp_path / "out/knowledge/settings.json") == {"passages": 3, "min_score": 0.4}


def test_each_metric_comes_with_its_count_and_interval(tmp_path):
    told = DOCUMENT.model_copy(update={"text": "云雀X3的续航时间为38分钟。"})
    write_tables(tmp_path / "tables", {"documents": [told], "facts": FACTS, "dialogues": [asked("红烧肉怎么做？", "general")]})

    index.run(PARAMS, tmp_path / "tables", tmp_path / "out")

    metrics = read_json(tmp_path / "out/metrics.json")
    assert (metrics["chunks_of_documents"], metrics["chunks_of_facts"]) == (1, 3)
    assert {name: (metrics[name]["value"], metrics[name]["count"]) for name in metrics if not name.startswith("chunks")} == {
        **{f"fact_of_question_recall@{depth}": (1.0, 3) for depth in (1, 3, 5)},
        **{f"passage_of_question_recall@{depth}": (1.0, 1) for depth in (1, 3, 5)},
        **{f"passage_of_sentence_recall@{depth}": (1.0, 1) for depth in (1, 3, 5)},
        "inside_answered": (1.0, 3),
        "outside_answered": (0.0, 1),
    }
    assert metrics["fact_of_question_recall@1"]["low"] < 1


def test_an_empty_corpus_gives_an_empty_knowledge_base(tmp_path):
    write_tables(tmp_path / "tables", {})

    index.run(PARAMS, tmp_path / "tables", tmp_path / "out")

    assert Knowledge(tmp_path / "out/knowledge").search("电池", 3) == []
    assert read_json(tmp_path / "out/metrics.json")["inside_answered"]["value"] is None


@pytest.mark.parametrize(("items", "limit", "kept"), [(0, 3, []), (3, 3, [0, 1, 2]), (4, 3, [0, 2]), (10, 3, [0, 4, 8])])
def test_some_are_taken_evenly_over_the_whole(items, limit, kept):
    assert index.sample(list(range(items)), limit) == kept
