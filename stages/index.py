"""index: cut the documents into chunks and index them for professional mode.

Reads   out/clean/tables            documents and facts of the domain; general rows are not indexed, only used as test questions
Writes  out/index/knowledge         chunks.parquet, retriever.json and its index, settings.json with the settings of the service
        out/index/metrics.json      the number of chunks, and how often a generated question retrieves its source passage

The whole corpus is indexed, including test facts: the knowledge base is for serving, not for training. The test questions
are built from facts without their value, so the metrics only describe retrieval for this kind of question.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, PositiveInt

from lingyu.files import read_table, write_json
from lingyu.records import Dialogue, Document, Fact
from lingyu.retrieve.chunks import Chunk, chunk_of_fact, chunks_of_document
from lingyu.retrieve.index import Knowledge, build
from lingyu.retrieve.retrievers import Choice
from lingyu.stage import StageParams, start
from lingyu.statistics import wilson
from lingyu.text.sentences import sentences

DEPTHS = (1, 3, 5)


class Params(StageParams):
    renamed: ClassVar = {"k1": "retriever.options.k1", "b": "retriever.options.b"}

    max_characters: PositiveInt = Field(
        240, description="Of a passage: what a person reads at a glance, and three of them fit the 512 tokens of the tiny model."
    )
    retriever: Choice = Field(Choice(), description="How passages are found.")
    passages: PositiveInt = Field(3, description="Passages shown with an answer. People do not read more.")
    min_score: float = Field(
        0.4,
        gt=0,
        le=1,
        description="Share of the question's words, by weight, that the best passage must have; below it professional mode says that it "
        "cannot answer. At 0.4 all of 160 reworded questions on samples/drone pass and 22 % of the general ones; at 0.5 it is 99 % and 11 "
        "%, but on statutes, where people use other words, it would refuse what it could answer.",
    )
    check_items: PositiveInt = Field(
        1000, description="Questions that check the index: an interval of ±2 points; each takes a millisecond."
    )


def run(params: Params, tables: Path, out: Path) -> None:
    documents = [row for row in read_table(tables / "documents.parquet", Document) if row.scope == "domain"]
    facts = [row for row in read_table(tables / "facts.parquet", Fact) if row.scope == "domain"]

    passages = [chunk for document in documents for chunk in chunks_of_document(document, params.max_characters)]
    build([*passages, *map(chunk_of_fact, facts)], out / "knowledge", params.retriever)
    write_json(out / "knowledge" / "settings.json", {"passages": params.passages, "min_score": params.min_score})

    knowledge = Knowledge(out / "knowledge")
    sampled = sample(facts, params.check_items)
    metrics: dict[str, Any] = {"chunks_of_documents": len(passages), "chunks_of_facts": len(facts)}
    metrics |= recall("fact_of_question", knowledge, [(question_of(f), {chunk_of_fact(f).id}) for f in sampled], "fact")
    metrics |= recall("passage_of_question", knowledge, list(questions_with_passages(sampled, passages)), "document")
    whole = [(longest(chunk), {chunk.id}) for chunk in sample(passages, params.check_items)]
    metrics |= recall("passage_of_sentence", knowledge, whole, "document")
    outside = sample(list(general_questions(tables)), params.check_items)
    metrics["inside_answered"] = answered(knowledge, [question_of(fact) for fact in sampled], params.min_score)
    metrics["outside_answered"] = answered(knowledge, outside, params.min_score)
    write_json(out / "metrics.json", metrics)


def sample(items: list[Any], limit: int) -> list[Any]:
    """At most `limit` items, evenly spaced."""
    return items[:: -(-len(items) // limit)] if items else []


def question_of(fact: Fact) -> str:
    return f"{fact.entity}的{fact.relation}是什么？" if fact.language == "zh" else f"What is the {fact.relation} of {fact.entity}?"


def questions_with_passages(facts: list[Fact], passages: list[Chunk]) -> Iterator[tuple[str, set[str]]]:
    """Questions about the facts that appear in a passage, with the passages that contain both the entity and a value."""
    for fact in facts:
        naming = [chunk for chunk in passages if fact.entity in f"{chunk.title} {chunk.section} {chunk.text}"]
        if right := {chunk.id for chunk in naming if any(value in chunk.text for value in fact.values)}:
            yield question_of(fact), right


def longest(chunk: Chunk) -> str:
    return max(sentences(chunk.text), key=len)


def general_questions(tables: Path) -> Iterator[str]:
    for dialogue in read_table(tables / "dialogues.parquet", Dialogue):
        if dialogue.scope == "general":
            yield next((message.content for message in dialogue.messages if message.role == "user"), "")


def recall(name: str, knowledge: Knowledge, questions: list[tuple[str, set[str]]], kind: str) -> dict[str, Any]:
    """Recall at each depth: how often one of the relevant chunks (of that kind) is ranked that high."""
    ranks = []
    for question, right in questions:
        hits = knowledge.search(question, max(DEPTHS), kind)
        ranks.append(next((rank for rank, hit in enumerate(hits, 1) if hit.chunk.id in right), math.inf))
    return {f"{name}_recall@{depth}": rate([rank <= depth for rank in ranks]) for depth in DEPTHS}


def answered(knowledge: Knowledge, questions: list[str], min_score: float) -> dict[str, Any]:
    """How often the best chunk reaches the minimum score."""
    tops = [knowledge.search(question, 1) for question in questions]
    return rate([bool(hits) and hits[0].score >= min_score for hits in tops])


def rate(hits: list[bool]) -> dict[str, Any]:
    """The share of hits; no value if there are none to count."""
    if not hits:
        return {"value": None, "low": None, "high": None, "count": 0}
    low, high = wilson(np.array(hits, float), np.ones(len(hits)))
    return {"value": round(sum(hits) / len(hits), 4), "low": round(low, 4), "high": round(high, 4), "count": len(hits)}


if __name__ == "__main__":
    start(run, Params, tables=Path("out/clean/tables"), out=Path("out/index"))
