"""How well professional mode finds what people ask: `python -m bench.retrieval`, with any of:

--law        consultations with the articles that answer them: 700 to learn from (100 of them to calibrate with), 300 held out
--statutes   folders of the statutes that bench/questions asks about: 100 questions in laymen's words, 50 on other things,
             30 conversations with a follow-up. The questions were written from the documents before any search was seen.
--tables     cells of a table in a document, asked for in words
--second     a model (folder): its answer to each question of --statutes is searched for with the question (package.search.second);
             "right": instead of a model's, the words that a right answer has, which no model can surpass
--passages   so many passages of made text: memory, start-up, time of a query; run it twice with --work, for the first run builds

Each prints a Markdown table for docs/benchmarks.md. Indices are kept in --work and used again.
"""

import argparse
import asyncio
import random
import resource
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from sys import stderr
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.generation import split_corpus
from lingyu.files import read_jsonl, read_table, short_hash
from lingyu.model.chat import Chat
from lingyu.records import Dialogue, Document, Message
from lingyu.retrieve import fusion
from lingyu.retrieve.chunks import Chunk, chunks_of_document
from lingyu.retrieve.index import Knowledge, build
from lingyu.retrieve.questions import Asked, Examples
from lingyu.retrieve.retrievers import Choice
from lingyu.retrieve.words import words
from lingyu.serve.choosing import Sampling
from lingyu.serve.engine import start
from lingyu.statistics import mcnemar
from lingyu.text.legal import cited
from stages.index import DEPTHS, mean, ndcg, ranks_of, rate

RECORDS = Path("bench/questions")
HELD_OUT, CHOOSE = 300, 100
TOKENS = 64  # of an answer that is searched for
DEEP = 60  # passages searched, of which the articles are counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--law", type=Path)
    parser.add_argument("--statutes", type=Path, nargs="+")
    parser.add_argument("--second", type=Path)
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--passages", type=int)
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        work = given.work or Path(folder)
        if given.law:
            law(given.law, work / "law")
        if given.statutes:
            statutes(given.statutes, work / "statutes", given.second)
        if given.tables:
            tables(work / "tables")
        if given.passages:
            size(given.passages, work / "size")


def documents_of(sources: Sequence[Path], work: Path) -> tuple[list[Document], list[Dialogue]]:
    """The clean rows of the folders, read once."""
    if not (work / "clean").is_dir():
        data = work / "data"
        data.mkdir(parents=True, exist_ok=True)
        for source in sources:
            shutil.copytree(source, data / source.name, dirs_exist_ok=True)
        with redirect_stdout(stderr):
            split_corpus(data if len(sources) > 1 else sources[0], work, 10**9)
    folder = work / "clean/tables"
    return list(read_table(folder / "documents.parquet", Document)), list(read_table(folder / "dialogues.parquet", Dialogue))


def knowledge_of(way: str, chunks: list[Chunk], work: Path, examples: Examples) -> Knowledge:
    folder = work / way
    if not (folder / "fusion.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        build(chunks, folder, Choice(name=way), examples)
    return Knowledge(folder)


def ways(chunks: list[Chunk], work: Path, examples: Examples) -> dict[str, Knowledge]:
    """The default; the same without words and known questions, its vectors used again; BM25 as it is now."""
    found = {"hybrid": knowledge_of("hybrid", chunks, work, examples), "meaning only": knowledge_of("hybrid", chunks, work, examples)}
    parts = found["meaning only"].retriever._parts
    parts.meaning, parts.key_weight = 1.0, 0.0
    return {**found, "bm25": knowledge_of("bm25", chunks, work, Examples())}


def law(source: Path, work: Path) -> None:
    documents, dialogues = documents_of([source], work)
    chunks = {row.id: list(chunks_of_document(row, 240)) for row in documents}
    dialogues = sorted(dialogues, key=lambda row: short_hash("bench", row.id))
    held_out, choose, learn = dialogues[:HELD_OUT], dialogues[HELD_OUT : HELD_OUT + CHOOSE], dialogues[HELD_OUT + CHOOSE :]
    examples = Examples([asked(row, chunks) for row in learn], [asked(row, chunks) for row in choose])
    every = [chunk for found in chunks.values() for chunk in found]
    row_of = {chunk.id: row for row, found in chunks.items() for chunk in found}
    searches = {way: rows_found(knowledge, row_of) for way, knowledge in ways(every, work, examples).items()}
    frequent = [row for row, _ in Counter(id for row in learn for id in row.references).most_common(max(DEPTHS))]
    searches["the most frequent"] = lambda _: frequent
    searches["BM25, segmented words"] = by_words(every, row_of)
    print(f"{len(learn)} questions learnt from, {len(choose)} to calibrate with, {len(held_out)} held out; {len(documents)} articles\n")
    table([(row.messages[0].content, [frozenset({id}) for id in row.references]) for row in held_out], searches)


def asked(row: Dialogue, chunks: dict[str, list[Chunk]]) -> Asked:
    return Asked(row.messages[0].content, frozenset(chunk.id for id in row.references for chunk in chunks[id]))


def statutes(sources: Sequence[Path], work: Path, answers_first: Path | None = None) -> None:
    documents, _ = documents_of(sources, work)
    chunks = {row.id: list(chunks_of_document(row, 240)) for row in documents}
    article: dict[str, set[str]] = defaultdict(set)  # a long article is several documents
    for row in documents:
        article[article_of(row)].add(row.id)
    every = [chunk for found in chunks.values() for chunk in found]
    row_of = {chunk.id: row for row, found in chunks.items() for chunk in found}
    found = ways(every, work, Examples())
    laymen = list(read_jsonl(RECORDS / "laymen.jsonl"))
    questions = [(one["question"], [rows_of(article, one["articles"])]) for one in laymen]
    searches = {way: rows_found(knowledge, row_of) for way, knowledge in found.items()}
    searches["BM25, segmented words"] = by_words(every, row_of)
    print(f"{len(laymen)} questions in laymen's words; {len(documents)} articles, {len(every)} passages. Any right article counts.\n")
    table(questions, searches)

    knowledge = found["hybrid"]
    refused = [not knowledge.answerable(knowledge.search(question, 1)) for question, _ in questions]
    print(f"\n| refused | share (95 % interval) |\n| --- | --- |\n| laymen's questions, wrongly | {shown(rate(refused))} |")
    elsewhere = list(read_jsonl(RECORDS / "elsewhere.jsonl"))
    for kind in ("far", "near", ""):
        other = [not knowledge.answerable(knowledge.search(one["question"], 1)) for one in elsewhere if kind in ("", one["kind"])]
        name = {"far": "on another subject", "near": "close to the subject", "": "all questions on other things"}[kind]
        print(f"| {name}, rightly | {shown(rate(other))} |")

    followups = list(read_jsonl(RECORDS / "followups.jsonl"))
    print(f"\n{len(followups)} conversations whose last question leans on the one before\n")
    turned: dict[str, Callable[[Any], str]] = {
        "the last question": lambda turns: turns[-1],
        "made from the conversation": knowledge.question,
    }
    asked_again = [(one["turns"], [rows_of(article, one["articles"])]) for one in followups]
    table(asked_again, {name: lambda turns, make=make: searches["hybrid"](make(turns)) for name, make in turned.items()})

    if answers_first:
        asked = [question for question, _ in questions]
        right = answers_first == Path("right")
        said = [" ".join(one["says"][:1]) for one in laymen] if right else answered(answers_first, asked)
        second(dict(zip(asked, said, strict=True)), knowledge, row_of, questions)


def second(
    answers: dict[str, str], knowledge: Knowledge, row_of: dict[str, str], questions: Sequence[tuple[Any, list[frozenset[str]]]]
) -> None:
    """The search with an answer, beside that of the question alone: paired by question."""
    searches: dict[str, Search] = {
        name: lambda question, more=more: list(
            dict.fromkeys(row_of[hit.chunk.id] for hit in knowledge.search_with(question, more(question), DEEP))
        )
        for name, more in (("the question", lambda question: ""), ("the question, and with its answer", answers.__getitem__))
    }
    print("\nsearch with an answer; paired\n")
    table(questions, searches)
    ranks = [[min(ranks_of(right, search(question))) for question, right in questions] for search in searches.values()]
    for depth in DEPTHS[:3]:
        before, after = (np.array([rank <= depth for rank in found], float) for found in ranks)
        gained, lost = int((after > before).sum()), int((after < before).sum())
        print(f"@{depth}: {gained} gained, {lost} lost, p {mcnemar(before, after):.3f} (McNemar's exact test)")


def answered(model: Path, questions: Sequence[str]) -> list[str]:
    """The first tokens of the model's reply to each, by the service's engine."""
    engine, chat = start(model, 16), Chat.read(model)

    async def reply(question: str) -> str:
        prompt = chat.encode(chat.prompt([Message(role="user", content=question)]))
        ids = [token.id async for token in engine.tokens(prompt, Sampling(TOKENS, 0.0, 1.0, None)) if token.id not in engine.end_tokens]
        return str(chat.tokenizer.decode(ids))

    async def every() -> list[str]:
        return list(await asyncio.gather(*map(reply, questions)))

    try:
        return asyncio.run(every())
    finally:
        engine.close()


def rows_of(article: dict[str, set[str]], names: Sequence[str]) -> frozenset[str]:
    return frozenset[str]().union(*(article[name] for name in names))


def article_of(row: Document) -> str:
    """As bench/questions names it: 消防法 第28条."""
    number = (cited(row.section) or [""])[-1]
    return f"{row.title.removeprefix('中华人民共和国')} 第{number}条"


def tables(work: Path) -> None:
    """Three tables of forty rows in one document, each cell asked for by its row and column."""
    spread = random.Random(0)
    names = [f"{kind}{spread.choice('甲乙丙丁戊己庚辛')}{number}" for kind in ("水泵", "阀门", "风机") for number in range(1, 41)]
    heads = {"检修周期": "多久检修一次", "存放位置": "放在哪里", "负责岗位": "归谁管", "额定压力": "压力是多大"}
    cells = {
        name: [f"{spread.randint(1, 24)}个月", f"{spread.choice('东西南北')}区{spread.randint(1, 30)}架", *others(spread)] for name in names
    }
    documents = []
    for place, kind in enumerate(("水泵", "阀门", "风机")):
        rows = [f"| {name} | {' | '.join(values)} |" for name, values in cells.items() if name.startswith(kind)]
        text = "\n".join([f"| 设备 | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads), *rows])
        about = {"source": "设备台账.docx", "place": f"table {place}", "licence": "CC0", "scope": "domain", "language": "zh"}
        documents.append(Document(id=kind, **about, title="设备台账", section=f"{kind}一览", text=text))
    every = [chunk for row in documents for chunk in chunks_of_document(row, 240)]
    questions = [
        (f"{name}{ask}？", [frozenset(chunk.id for chunk in every if f"| {name} |" in chunk.text and head in chunk.text)])
        for name in names
        for head, ask in heads.items()
    ]
    row_of = {chunk.id: chunk.id for chunk in every}
    print(f"{len(questions)} cells of {len(every)} rows; the passage must have the row and the head of its column\n")
    table(questions, {way: rows_found(knowledge, row_of) for way, knowledge in ways(every, work, Examples()).items()})


def others(spread: random.Random) -> list[str]:
    return [spread.choice(("电工", "钳工", "库管员", "班长")), f"{spread.randint(2, 40) / 10} MPa"]


def size(count: int, work: Path) -> None:
    """Made texts; the vectors are mixtures of three of real ones with noise, for to compute so many takes hours.

    Seconds are of the processor, so that a busy machine counts little: of all threads of this process, of which there is one.
    """
    from lingyu.retrieve.questions import everyday
    from lingyu.retrieve.retrievers import bm25, dense

    spread = random.Random(0)
    characters = [chr(code) for code in range(0x4E00, 0x4E00 + 3000)]
    weights = [1 / (rank + 10) for rank in range(len(characters))]
    about = {"kind": "document", "title": "", "source": "", "place": "", "licence": "", "scope": "domain", "language": "zh", "terms": []}
    texts = ["".join(spread.choices(characters, weights, k=86)) for _ in range(count)]
    chunks = [Chunk(id=str(number), section="", text=text, **about) for number, text in enumerate(texts)]
    if not (work / "fusion.json").is_file():
        small = work / "small"
        small.mkdir(parents=True)
        real = [Chunk(id=str(number), section="", text=text, **about) for number, text in enumerate(everyday())]
        build(real, small, Choice(), Examples())
        started = time.process_time()
        bm25.index(chunks, work, bm25.Options())
        print(f"BM25 index: {time.process_time() - started:.0f} s of the processor", file=stderr)
        chance, few = np.random.default_rng(0), dense.Vectors(small).rows
        rows = sum(few[chance.integers(len(few), size=count)] * chance.random((count, 1)) for _ in range(3))
        rows += chance.normal(scale=0.01, size=rows.shape)
        np.save(work / "vectors.npy", (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16))
        started = time.process_time()
        dense.outline(work)
        print(f"components: {time.process_time() - started:.1f} s of the processor", file=stderr)
        for name in ("fusion.json", "everyday.npy", "embedder.json"):
            (work / name).write_bytes((small / name).read_bytes())
        (work / "embedder").symlink_to((small / "embedder").resolve())
    before, started = memory(), time.process_time()
    found = Choice().load(work, chunks)
    found.search(texts[0][:20], 5)
    loaded, held = time.process_time() - started, memory() - before
    parts = found._parts
    questions = [spread.choice(texts)[:20] for _ in range(150)] + list(everyday())[:150]
    embedding, searching, same = list[float](), list[float](), list[bool]()
    for question in questions:
        started = time.process_time()
        vector = parts.embedded([question])[0]
        embedding.append(time.process_time() - started)
        started = time.process_time()
        hits = found._found(question, vector, 5, None)
        searching.append(time.process_time() - started)
        same += nearly_as_exactly(parts, question, vector, hits)
    times = " | ".join(f"{np.quantile(taken, share) * 1000:.1f}" for taken in (searching, embedding) for share in (0.5, 0.99))
    print("| passages | start, s | memory, MB | search p50, ms | p99 | embedding p50, ms | p99 | found of the exact five |")
    print(f"|{' --- |' * 8}\n| {count:,} | {loaded:.1f} | {held:.0f} | {times} | {np.mean(same):.4f} |")


def nearly_as_exactly(parts: Any, question: str, vector: Any, hits: Any) -> list[bool]:
    """Of the five best by all vectors in full, which were found."""
    words, cosines = parts.words.scores(question)[0], parts.vectors.rows @ vector
    order = (1 - parts.meaning) * fusion.standard(words) + parts.meaning * fusion.standard(cosines)
    best = {str(place) for place in fusion.top(order, 5)}
    return [place in {hit.chunk.id for hit in hits} for place in sorted(best)]


def memory() -> float:
    """The most that this process held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


Search = Callable[[Any], list[str]]


def rows_found(knowledge: Knowledge, row_of: dict[str, str]) -> Search:
    """The rows of the passages found, each once, best first."""
    return lambda question: list(dict.fromkeys(row_of[hit.chunk.id] for hit in knowledge.search(question, DEEP)))


def by_words(chunks: Sequence[Chunk], row_of: dict[str, str]) -> Search:
    """BM25 over jieba's words, as a baseline."""
    import bm25s

    vocabulary: dict[str, int] = {}
    index = bm25s.BM25()
    index.index(
        ([[vocabulary.setdefault(word, len(vocabulary)) for word in words(chunk.text)] for chunk in chunks], vocabulary),
        show_progress=False,
    )

    def search(question: str) -> list[str]:
        known = sorted({vocabulary[word] for word in words(question) if word in vocabulary})
        scores = index.get_scores(known) if known else np.zeros(len(chunks))
        return list(dict.fromkeys(row_of[chunks[place].id] for place in np.argsort(-scores, kind="stable")[:DEEP]))

    return search


def table(questions: Sequence[tuple[Any, list[frozenset[str]]]], searches: dict[str, Search]) -> None:
    """Recall with 95 % intervals, MRR, nDCG@10."""
    print("| way | " + " | ".join(f"@{depth}" for depth in DEPTHS) + " | MRR | nDCG@10 |\n| --- |" + " --- |" * (len(DEPTHS) + 2))
    for name, search in searches.items():
        ranks = [ranks_of(right, search(question)) for question, right in questions]
        at = [mean([float(np.mean([rank <= depth for rank in rows])) for rows in ranks]) for depth in DEPTHS]
        rest = [f"{np.mean([1 / min(rows) for rows in ranks]):.3f}", f"{np.mean([ndcg(rows) for rows in ranks]):.3f}"]
        print(f"| {name} | " + " | ".join([*map(shown, at), *rest]) + " |", flush=True)


def shown(measure: dict[str, Any]) -> str:
    return f"{measure['value']:.3f} ({measure['low']:.2f}–{measure['high']:.2f})"


if __name__ == "__main__":
    main()
