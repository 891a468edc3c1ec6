"""index: cut the documents into chunks and index them for professional mode.

Reads   out/clean/tables            documents and facts of the domain; what is general is only asked, never indexed
Writes  out/index/knowledge         chunks.parquet, retriever.json and its index, settings.json with what the service needs to know
        out/index/metrics.json      how many chunks, and how often a question made here finds the passage it was made from

Every part of the corpus is indexed, test facts too: the knowledge base serves; it trains nothing. Questions for the check are
built from facts without their value, so the numbers speak of the search on such questions and of no other.
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
    asked = some(facts, params.check_items)
    metrics: dict[str, Any] = {"chunks_of_documents": len(passages), "chunks_of_facts": len(facts)}
    metrics |= found("fact_of_question", knowledge, [(question_of(f), {chunk_of_fact(f).id}) for f in asked], "fact")
    metrics |= found("passage_of_question", knowledge, list(told(asked, passages)), "document")
    whole = [(longest(chunk), {chunk.id}) for chunk in some(passages, params.check_items)]
    metrics |= found("passage_of_sentence", knowledge, whole, "document")
    outside = some(list(general_questions(tables)), params.check_items)
    metrics["inside_answered"] = answered(knowledge, [question_of(fact) for fact in asked], params.min_score)
    metrics["outside_answered"] = answered(knowledge, outside, params.min_score)
    write_json(out / "metrics.json", metrics)


def some(items: list[Any], limit: int) -> list[Any]:
    """At most `limit` of the items, evenly over the whole."""
    return items[:: -(-len(items) // limit)] if items else []


def question_of(fact: Fact) -> str:
    return f"{fact.entity}的{fact.relation}是什么？" if fact.language == "zh" else f"What is the {fact.relation} of {fact.entity}?"


def told(facts: list[Fact], passages: list[Chunk]) -> Iterator[tuple[str, set[str]]]:
    """The questions of the facts that some passage tells, with the passages that name both the entity and a value."""
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


def found(name: str, knowledge: Knowledge, asked: list[tuple[str, set[str]]], kind: str) -> dict[str, Any]:
    """For each depth: how often one of the right chunks (of that kind) stands so far up the list."""
    ranks = []
    for question, right in asked:
        hits = knowledge.search(question, max(DEPTHS), kind)
        ranks.append(next((rank for rank, hit in enumerate(hits, 1) if hit.chunk.id in right), math.inf))
    return {f"{name}_recall@{depth}": rate([rank <= depth for rank in ranks]) for depth in DEPTHS}


def answered(knowledge: Knowledge, questions: list[str], min_score: float) -> dict[str, Any]:
    """How often the best chunk scores enough to answer from it."""
    tops = [knowledge.search(question, 1) for question in questions]
    return rate([bool(hits) and hits[0].score >= min_score for hits in tops])


def rate(hits: list[bool]) -> dict[str, Any]:
    """The share of hits. No tries: no value."""
    if not hits:
        return {"value": None, "low": None, "high": None, "count": 0}
    low, high = wilson(np.array(hits, float), np.ones(len(hits)))
    return {"value": round(sum(hits) / len(hits), 4), "low": round(low, 4), "high": round(high, 4), "count": len(hits)}


if __name__ == "__main__":
    start(run, Params, tables=Path("out/clean/tables"), out=Path("out/index"))
