"""The index stage on three facts and a few articles."""

import pytest
from serving import DOCUMENT, FACTS

from lingyu.files import read_json, write_json, write_jsonl, write_table, write_tables
from lingyu.generate.tables import MADE
from lingyu.records import Dialogue, Message, Question
from lingyu.retrieve import regression
from lingyu.retrieve.index import Knowledge
from lingyu.retrieve.retrievers import Choice
from lingyu.serve import assistant
from lingyu.stage import StageError
from stages import index

PARAMS = index.Params(max_characters=200, passages=3, check_items=10, retriever=Choice(name="bm25"))
SHARED = {"source": "qa.jsonl", "place": "row 1", "licence": "CC0", "language": "zh"}


def asked(question, scope="domain", references=(), teacher=""):
    made = {"references": list(references), "method": "given", "teacher": teacher, "prompt_hash": "", "review": ""}
    messages = [Message(role="user", content=question), Message(role="assistant", content="答")]
    return Dialogue(id=question, scope=scope, task="chat", **SHARED, **made, messages=messages)


def test_question(question, fact):
    made = {"references": [fact], "method": "fact", "teacher": "rules", "prompt_hash": "", "review": "", "wrong": [], "known": ""}
    return Question(
        id=question, scope="domain", task="fact", **SHARED, **made, messages=[Message(role="user", content=question)], answer="答"
    )


test_question.__test__ = False


def run(folder, tables, params=PARAMS, **rows):
    """rows: dialogues of train, dev and test; instructions and questions that review passed on."""
    write_tables(folder / "tables", tables)
    for part in ("train", "dev", "test"):
        write_tables(folder / part, {"dialogues": rows.get(part, [])})
    for name, row_type in MADE.items():
        write_table(folder / f"approved/{name}.parquet", rows.get(name, []), row_type)
    write_json(folder / "rules", {"mask": ["email"], "simplified": False})
    write_json(folder / "metadata", {DOCUMENT.source: {"sha256": "ab", "groups": ["crew"]}, "elsewhere.md": {"sha256": "cd"}})
    write_jsonl(folder / "expected", rows.get("expected", []))
    parts = {name: folder / name for name in ("tables", "rules", "metadata", "expected", "train", "dev", "test", "approved")}
    index.run(params, **parts, out=folder / "out")
    return read_json(folder / "out/metrics.json")


def test_the_domain_is_indexed_and_what_is_general_is_not(tmp_path):
    general = DOCUMENT.model_copy(update={"id": "general", "scope": "general", "text": "红烧肉要小火慢炖。"})

    run(tmp_path, {"documents": [DOCUMENT, general], "facts": FACTS})

    knowledge = Knowledge(tmp_path / "out/knowledge")
    assert len(knowledge.chunks) == 4
    assert knowledge.terms == {"云雀X3", "21米每秒", "38分钟", "Lark X3", "120 metres"}
    settings = {"passages": 3, "min_score": knowledge.threshold, "max_characters": 200, "mask": ["email"], "simplified": False}
    assert read_json(tmp_path / "out/knowledge/settings.json") == settings
    assert read_json(tmp_path / "out/knowledge/metadata.json") == {DOCUMENT.source: {"sha256": "ab", "groups": ["crew"]}}


def test_held_out_questions_measure_the_search_beside_bm25_and_the_most_frequent(tmp_path):
    other = DOCUMENT.model_copy(update={"id": "other", "title": "", "section": "", "text": "雷暴天气禁止起飞。"})
    metrics = run(
        tmp_path,
        {"documents": [DOCUMENT, other], "facts": FACTS},
        train=[asked("电池要查什么？", references=["manual"])],
        test=[asked("打雷能起飞吗？", references=["other"]), asked("红烧肉怎么做？", "general")],
        questions=[test_question("云雀X3的续航时间有多久？", FACTS[1].id)],
    )

    assert (metrics["chunks_of_documents"], metrics["chunks_of_facts"], metrics["known_questions"]) == (2, 3, 1)
    assert (metrics["fact_of_question_recall@1"]["value"], metrics["fact_of_question_recall@1"]["count"]) == (1.0, 1)
    assert metrics["passage_of_question_recall@3"]["value"] == metrics["passage_of_question_by_bm25_recall@3"]["value"] == 1.0
    assert metrics["passage_of_question_by_frequency_recall@3"]["value"] == 0.0
    assert (metrics["wrongly_answered"]["count"], metrics["wrongly_refused"]["count"]) == (1, 2)


def test_questions_of_dev_and_test_are_no_search_keys(tmp_path):
    metrics = run(
        tmp_path, {"documents": [DOCUMENT]}, dev=[asked("甲？", references=["manual"])], test=[asked("乙？", references=["manual"])]
    )

    assert (metrics["known_questions"], metrics["calibrated_on"]) == (0, 1)


def test_questions_by_a_teacher_are_search_keys_and_those_by_rules_are_not(tmp_path):
    made = [asked("甲？", references=["manual"], teacher="rules"), asked("乙？", references=["manual"], teacher="gpt")]

    assert run(tmp_path, {"documents": [DOCUMENT]}, instructions=made)["known_questions"] == 1


def test_the_threshold_of_params_counts_where_there_is_one(tmp_path):
    run(tmp_path, {"documents": [DOCUMENT]}, PARAMS.model_copy(update={"min_score": 0.9}))

    assert read_json(tmp_path / "out/knowledge/settings.json")["min_score"] == 0.9


def test_an_empty_corpus_gives_an_empty_knowledge_base(tmp_path):
    metrics = run(tmp_path, {})

    assert Knowledge(tmp_path / "out/knowledge").search("电池", 3) == []
    assert metrics["wrongly_refused"]["value"] is None


def test_an_embedder_that_is_not_there_is_named(tmp_path):
    options = {"embedder": {"name": "e5", "options": {"file": str(tmp_path / "none.bin")}}}

    with pytest.raises(StageError, match=r"none\.bin"):
        run(tmp_path, {"documents": [DOCUMENT]}, PARAMS.model_copy(update={"retriever": Choice(name="hybrid", options=options)}))


@pytest.mark.parametrize(("ranks", "gain"), [([1], 1.0), ([1, 2], 1.0), ([3], 0.5), ([float("inf")], 0.0), ([11], 0.0)])
def test_ndcg(ranks, gain):
    assert index.ndcg(ranks) == pytest.approx(gain)


def test_the_page_begins_with_short_questions_that_the_documents_answer(tmp_path):
    for_some = FACTS[0].model_copy(update={"id": "s", "source": DOCUMENT.source, "entity": "密使一号"})

    run(tmp_path, {"documents": [DOCUMENT], "facts": [*FACTS, for_some]}, train=[asked("今天天气怎么样？", "general")])

    assert read_json(tmp_path / "out/knowledge/examples.json") == [
        {"language": "zh", "question": "云雀X3的最大飞行速度是什么？"},
        {"language": "zh", "question": "云雀X3的续航时间是什么？"},
        {"language": "en", "question": "What is the maximum altitude of Lark X3?"},
    ]


def test_each_question_of_the_retrieval_set_is_looked_up(tmp_path):
    where = {"source": DOCUMENT.source, "section": "", "text": ""}
    expected = [
        {"question": "电量低于多少应当返航？", **where, "section": "起飞前检查", "text": "低于 30%"},
        {"question": "云雀X3的续航时间是多久？", **where},
        {"question": "云雀X3的最大飞行速度是多少？", "source": "gone.md", "section": "", "text": ""},
        {"question": "写信给 zhang@example.com 的红烧肉怎么做？", **where},
    ]

    metrics = run(tmp_path, {"documents": [DOCUMENT], "facts": FACTS}, PARAMS.model_copy(update={"passages": 1}), expected=expected)

    first, second, third, fourth = read_json(tmp_path / "out/retrieval.json")
    assert (first["found"], first["rank"], first["why"], first["for_some"]) == (True, 1, "", True)
    assert (second["found"], second["why"], second["instead"]) == (False, "other passages", "knowledge/graph.jsonl, row 1")
    assert (third["found"], third["why"], third["for_some"]) == (False, "not in the corpus", False)
    assert (fourth["found"], fourth["why"]) == (False, "refused")
    assert "zhang" not in fourth["question"]
    assert (metrics["retrieval_set_found"]["value"], metrics["retrieval_set_found"]["count"]) == (0.25, 4)


def test_professional_mode_reads_as_many_passages_as_the_retrieval_set_is_looked_up_in():
    assert regression.READ == assistant.READ
