"""index: cut the documents into chunks and index them for professional mode.

Reads   out/clean/tables            documents and facts of the domain; general rows are not indexed
        out/clean/rules.json        what is masked in documents that are uploaded to the service
        out/ingest/metadata.json    of their files: kind, department, dates, groups that may see them
        out/ingest/retrieval.jsonl  questions with the passage that must be found
        out/split/train             questions that people asked, with the rows that answer them: search keys
        out/split/dev               the same, to calibrate when to refuse
        out/split/test              the same, to measure with
        out/review/approved         questions that a model made, and test questions about facts
Writes  out/index/knowledge         chunks.parquet, retriever.json and its index, cases.parquet with consultations in which an adviser
                                    asks first, settings.json and metadata.json with what the service goes by; examples.json and
                                    questions.json with questions that its page begins with, and goes on with
        out/index/retrieval.json    which questions of the retrieval set find their passage; a gate of select
        out/index/metrics.json      held-out questions: how often and how high the right passages are found, by the retriever, by BM25 and
                                    by always naming the most frequent; how many are wrongly refused, and how many on other things answered

The whole corpus is indexed, including test facts: the knowledge base is for serving, not for training. Questions are learnt from
in the training part only.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, PositiveInt

from lingyu.clean import pii
from lingyu.files import read_json, read_jsonl, read_table, write_json
from lingyu.ingest.expected import Expected
from lingyu.records import Dialogue, Document, Fact, Question
from lingyu.retrieve import known, regression
from lingyu.retrieve.cases import cases_of, keep
from lingyu.retrieve.chunks import Chunk, chunk_of_fact, chunks_of_document
from lingyu.retrieve.index import Hit, Knowledge, build
from lingyu.retrieve.questions import Asked, Examples, sampled
from lingyu.retrieve.retrievers import Choice
from lingyu.stage import StageError, StageParams, start
from lingyu.statistics import bootstrap, wilson
from lingyu.text.normalise import language_of, normal, simplified
from lingyu.text.sentences import sentences

DEPTHS = (1, 3, 5, 10)
RESAMPLES, SEED = 1000, 0
OWN = 100  # passages that the index is checked with
EXAMPLES, TRIED = 3, 20  # questions of a language on the page of the service, and how many are tried for them


class Params(StageParams):
    renamed: ClassVar = {"k1": "retriever.options.k1", "b": "retriever.options.b"}

    max_characters: PositiveInt = Field(
        240, description="Of a passage: what a person reads at a glance, and three of them fit the 512 tokens of the tiny model."
    )
    retriever: Choice = Field(Choice(), description="How passages are found.")
    passages: PositiveInt = Field(3, description="Passages shown with an answer. People do not read more.")
    min_score: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Probability that the passages answer the question, below which professional mode says that it cannot answer. null: as "
        "calibrated on dev questions and on everyday ones (docs/knowledge.md).",
    )
    check_items: PositiveInt = Field(
        400, description="Questions of a kind that the index is measured with: an interval of ±3 to 5 points; each takes some milliseconds."
    )
    threads: PositiveInt = Field(2, description="CPU threads of the embedder. With another number results may differ bitwise.")


@dataclass(frozen=True)
class Test:
    """A held-out question and, for each row that answers it, its chunks."""

    question: str
    rows: tuple[frozenset[str], ...]


def run(
    params: Params,
    tables: Path,
    rules: Path,
    metadata: Path,
    expected: Path,
    train: Path,
    dev: Path,
    test: Path,
    approved: Path,
    out: Path,
) -> None:
    documents = [row for row in read_table(tables / "documents.parquet", Document) if row.scope == "domain"]
    facts = [row for row in read_table(tables / "facts.parquet", Fact) if row.scope == "domain"]
    chunks_of = {row.id: list(chunks_of_document(row, params.max_characters)) for row in documents}
    chunks_of |= {row.id: [chunk_of_fact(row)] for row in facts}
    chunks = [chunk for found in chunks_of.values() for chunk in found]
    answering = {row: frozenset(chunk.id for chunk in found) for row, found in chunks_of.items()}

    examples = Examples(
        learn=[*asked(given(train), answering), *asked(made(approved), answering)],
        choose=[*asked(given(dev), answering)],
        elsewhere=[*general(train), *general(dev)],
    )
    knowledge = indexed(chunks, out / "knowledge", params.retriever, examples, params.threads)
    threshold = knowledge.threshold if params.min_score is None else params.min_score
    known.keep(out / "knowledge", examples.learn)
    cases = list(cases_of(read_table(train / "dialogues.parquet", Dialogue)))
    keep(cases, out / "knowledge")
    served = {"passages": params.passages, "min_score": threshold, "max_characters": params.max_characters, **read_json(rules)}
    write_json(out / "knowledge" / "settings.json", served)
    cited = {row.source for row in (*documents, *facts)} | {case.source for case in cases}
    write_json(out / "knowledge" / "metadata.json", {name: told for name, told in read_json(metadata).items() if name in cited})

    for_some = {name for name, told in read_json(metadata).items() if told.get("groups")}
    write_json(out / "knowledge" / "examples.json", list(beginnings(given(train), facts, for_some, knowledge, threshold)))

    found = list(regression.checked(must_find(expected, read_json(rules)), knowledge, params.passages, threshold))
    write_json(out / "retrieval.json", [{**one, "for_some": one["source"] in for_some} for one in found])

    metrics: dict[str, Any] = {"chunks_of_documents": len(chunks) - len(facts), "chunks_of_facts": len(facts)}
    metrics |= {"known_questions": len(examples.learn), "calibrated_on": len(examples.choose), "threshold": threshold}
    frequent = [id for id, _ in Counter(id for one in examples.learn for id in sorted(one.right)).most_common(max(DEPTHS))]
    refused: list[bool] = []
    with TemporaryDirectory() as folder:
        words = indexed(chunks, Path(folder), Choice(name="bm25"), Examples(), params.threads)
        # A fact is sought among the facts only: passages that state it, too, are right as well, and no reference says which.
        for kind, rows, of_kind in (("passage", given(test), None), ("fact", fact_questions(approved), "fact")):
            held_out = sampled(tests(rows, answering), params.check_items)
            hits = knowledge.search_all([one.question for one in held_out], max(DEPTHS), of_kind)
            refused += [not reaches(found, threshold) for found in hits]
            by_words = words.search_all([one.question for one in held_out], max(DEPTHS), of_kind)
            metrics |= measured(f"{kind}_of_question", held_out, map(ids_of, hits))
            metrics |= measured(f"{kind}_of_question_by_bm25", held_out, map(ids_of, by_words))
            metrics |= measured(f"{kind}_of_question_by_frequency", held_out, [frequent] * len(held_out))
    elsewhere = knowledge.search_all(sampled(list(general(test)), params.check_items), 1)
    metrics["wrongly_refused"] = rate(refused)
    metrics["wrongly_answered"] = rate([reaches(found, threshold) for found in elsewhere])
    metrics["passages_found_by_own_sentence"] = own_sentences(knowledge, sampled(chunks, OWN))
    metrics["retrieval_set_found"] = rate([one["found"] for one in found])
    metrics["curve"] = (
        read_json(out / "knowledge" / "fusion.json").get("curve", []) if (out / "knowledge" / "fusion.json").is_file() else []
    )
    write_json(out / "metrics.json", metrics)


def must_find(file: Path, rules: Mapping[str, Any]) -> Iterator[Expected]:
    """The retrieval set, its texts as clean writes passages: the questions may be those of people."""

    def clean(text: str) -> str:
        written = simplified(normal(text)) if rules["simplified"] else normal(text)
        return pii.mask(written, language_of(written), rules["mask"])[0]

    for row in read_jsonl(file):
        yield Expected.model_validate({**row, "question": clean(row["question"]), "text": clean(row["text"])})


def beginnings(
    questions: Iterable[Dialogue], facts: Sequence[Fact], for_some: set[str], knowledge: Knowledge, threshold: float
) -> Iterator[dict[str, str]]:
    """Short questions that the documents answer, some of each language: what people asked, else what the graph knows.

    for_some: files that not everybody may see. None of their words is shown.
    """
    asked = [(row.language, row.messages[0].content.strip(), row.source) for row in questions]
    of_facts = [(row.language, known.question_of(row.language, row.entity, row.relation), row.source) for row in facts]
    for language in known.FACT_QUESTION:
        found = 0
        for candidates in (asked, of_facts):
            open_to_all = dict.fromkeys(
                text
                for one, text, source in candidates
                if one == language and source not in for_some and len(text) <= known.SHORT[language]
            )
            for text in sampled(list(open_to_all), TRIED):
                if found < EXAMPLES and reaches(knowledge.search(text, 1), threshold):
                    found += 1
                    yield {"language": language, "question": text}


def indexed(chunks: list[Chunk], folder: Path, retriever: Choice, examples: Examples, threads: int) -> Knowledge:
    """Faults of an embedder – a file that is not there, an endpoint that does not answer – are the user's to fix."""
    import torch

    torch.set_num_threads(threads)
    try:
        build(chunks, folder, retriever, examples)
        return Knowledge(folder)
    except (FileNotFoundError, ConnectionError, ValueError) as error:
        raise StageError(f"{error} (params.yaml, index.retriever)") from error


def given(part: Path) -> Iterator[Dialogue]:
    """The questions of one turn that people asked, with the rows that answer them."""
    for row in read_table(part / "dialogues.parquet", Dialogue):
        if row.scope == "domain" and row.references and [message.role for message in row.messages] == ["user", "assistant"]:
            yield row


def made(approved: Path) -> Iterator[Dialogue]:
    """Those that a model made. Rules ask in the words of the passage, from which nothing is learnt about people."""
    for row in read_table(approved / "instructions.parquet", Dialogue):
        if row.teacher not in {"", "rules"} and row.references and [message.role for message in row.messages] == ["user", "assistant"]:
            yield row


def fact_questions(approved: Path) -> Iterator[Question]:
    for row in read_table(approved / "questions.parquet", Question):
        if row.task == "fact" and len(row.messages) == 1:
            yield row


def general(part: Path) -> Iterator[str]:
    for dialogue in read_table(part / "dialogues.parquet", Dialogue):
        if dialogue.scope == "general":
            yield next((message.content for message in dialogue.messages if message.role == "user"), "")


def tests(rows: Iterable[Dialogue | Question], answering: dict[str, frozenset[str]]) -> list[Test]:
    found = [Test(row.messages[0].content, tuple(answering[id] for id in row.references if id in answering)) for row in rows]
    return [one for one in found if one.rows]


def asked(rows: Iterable[Dialogue], answering: dict[str, frozenset[str]]) -> Iterator[Asked]:
    for one in tests(rows, answering):
        yield Asked(one.question, frozenset[str]().union(*one.rows))


def ids_of(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.id for hit in hits]


def reaches(hits: Sequence[Hit], threshold: float) -> bool:
    return bool(hits) and hits[0].score >= threshold


def measured(name: str, held_out: Sequence[Test], found: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Recall at each depth (the share of the rows that answer, of which a chunk is ranked that high), MRR and nDCG."""
    ranks = [ranks_of(one.rows, ids) for one, ids in zip(held_out, found, strict=True)]
    made = {f"{name}_recall@{depth}": mean([float(np.mean([rank <= depth for rank in rows])) for rows in ranks]) for depth in DEPTHS}
    made[f"{name}_mrr"] = mean([1 / min(rows) for rows in ranks])
    made[f"{name}_ndcg@{max(DEPTHS)}"] = mean([ndcg(rows) for rows in ranks])
    return made


def ranks_of(rows: Sequence[frozenset[str]], found: Sequence[str]) -> list[float]:
    return [next((rank for rank, id in enumerate(found, 1) if id in chunks), float("inf")) for chunks in rows]


def ndcg(ranks: Sequence[float]) -> float:
    ideal = sum(1 / np.log2(rank + 1) for rank in range(1, min(len(ranks), max(DEPTHS)) + 1))
    return float(sum(1 / np.log2(rank + 1) for rank in ranks if rank <= max(DEPTHS)) / ideal)


def own_sentences(knowledge: Knowledge, chunks: Sequence[Chunk]) -> dict[str, Any]:
    """How often a passage is the first hit for its own longest sentence: says that the index is whole, nothing about questions."""
    hits = knowledge.search_all([max(sentences(chunk.text), key=len) for chunk in chunks], 1)
    return rate([bool(found) and found[0].chunk.text == chunk.text for found, chunk in zip(hits, chunks, strict=True)])


def mean(values: Sequence[float]) -> dict[str, Any]:
    """With a bootstrap interval; no value if there is nothing to count."""
    if not values:
        return {"value": None, "low": None, "high": None, "count": 0}
    low, high = bootstrap(np.array(values), np.ones(len(values)), RESAMPLES, SEED)
    return {"value": round(float(np.mean(values)), 4), "low": round(low, 4), "high": round(high, 4), "count": len(values)}


def rate(hits: Sequence[bool]) -> dict[str, Any]:
    """The share of hits, with Wilson's interval; no value if there are none to count."""
    if not hits:
        return {"value": None, "low": None, "high": None, "count": 0}
    low, high = wilson(np.array(hits, float), np.ones(len(hits)))
    return {"value": round(sum(hits) / len(hits), 4), "low": round(low, 4), "high": round(high, 4), "count": len(hits)}


if __name__ == "__main__":
    start(
        run,
        Params,
        tables=Path("out/clean/tables"),
        rules=Path("out/clean/rules.json"),
        metadata=Path("out/ingest/metadata.json"),
        expected=Path("out/ingest/retrieval.jsonl"),
        train=Path("out/split/train"),
        dev=Path("out/split/dev"),
        test=Path("out/split/test"),
        approved=Path("out/review/approved"),
        out=Path("out/index"),
    )
