"""One of each kind is added to a copy of the tree by one new file and one line of registration, as AGENTS.md says, and used."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from openai_server import Reply, serving
from parameters import TINY
from rows import document, fact

from lingyu.files import read_json, read_jsonl, read_table, write_json, write_table, write_tables
from lingyu.generate.llm.prompts import FOLDER
from lingyu.generate.tables import MADE
from lingyu.records import Dialogue, Document

TOP = Path(__file__).parent.parent


@pytest.fixture
def tree(tmp_path) -> Path:
    for name in ("lingyu", "stages", "web"):
        shutil.copytree(TOP / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def add(tree: Path, file: str, text: str) -> None:
    assert not (tree / file).exists()
    (tree / file).parent.mkdir(parents=True, exist_ok=True)
    (tree / file).write_text(text, encoding="utf-8")


def register(tree: Path, file: str, after: str, line: str) -> None:
    """Put the line behind the one that begins so."""
    lines = (tree / file).read_text(encoding="utf-8").splitlines(keepends=True)
    (place,) = [number for number, old in enumerate(lines) if old.startswith(after)]
    (tree / file).write_text("".join([*lines[: place + 1], f"{line}\n", *lines[place + 1 :]]), encoding="utf-8")


def python(tree: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run([sys.executable, *arguments], cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stage(tree: Path, name: str, **sections: object) -> None:
    params = yaml.safe_load(TINY) | sections
    (tree / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")
    python(tree, "-m", f"stages.{name}")


def parts(tree: Path) -> None:
    """What split leaves for generate."""
    manual = document(1, "起飞前检查桨叶和电池，电量低于30%时应当返航。雨天不得飞行。", title="手册", section="第一章")
    write_tables(tree / "out/split/train", {"documents": [manual], "facts": [fact(2, "云雀X3", "升限", "120米")]})
    write_tables(tree / "out/split/dev", {})
    write_tables(tree / "out/split/test", {})


def made(tree: Path) -> dict[str, list[Dialogue]]:
    rows = read_table(tree / "out/generate/made/instructions.parquet", Dialogue)
    by_method: dict[str, list[Dialogue]] = {}
    for row in rows:
        by_method.setdefault(row.method, []).append(row)
    return by_method


METRIC = """
from lingyu.evaluate.scorer import Metric, Scorer


def score(question, reply):
    return {"characters": float(len(reply))}


SCORER = Scorer(tasks=("fact", "poem"), metrics=(Metric("reply_characters", "characters", unit="number"),), score=score)
"""
USES_METRIC = """
import json
from lingyu.evaluate import metrics, predict
from lingyu.files import read_table, write_table
from lingyu.evaluate.scorer import Prediction
from lingyu.records import Message, Question
from pathlib import Path

made = {"source": "s", "place": "1", "licence": "x", "scope": "domain", "language": "zh", "references": [], "method": "fact", "teacher": "",
        "prompt_hash": "", "review": "", "known": "", "wrong": [], "messages": [Message(role="user", content="颜色？")], "answer": "红色"}
rows = [predict.judged(Question(id=task, task=task, **made), "", "红色。", []) for task in ("fact", "poem", "chat")]
write_table(Path("predictions.parquet"), rows, Prediction)
print(json.dumps(metrics.measured(list(read_table(Path("predictions.parquet"), Prediction)), 20, 0)))
"""


def test_a_metric(tree):
    add(tree, "lingyu/evaluate/scorers/length.py", METRIC)
    register(tree, "lingyu/evaluate/scorers/__init__.py", '    "texts",', '    "length",')

    found = json.loads(python(tree, "-c", USES_METRIC))

    assert (found["reply_characters"]["value"], found["reply_characters"]["count"]) == (3, 2)
    assert {name: found[name]["value"] for name in ("fact_exact", "poem_exact", "chat_exact")} == dict.fromkeys(
        ("fact_exact", "poem_exact", "chat_exact"), 1
    )


RULE = '''
from lingyu.generate.provenance import exchange, provenance
from lingyu.records import Dialogue
from lingyu.stage import StageParams

METHOD = "title"


class Params(StageParams):
    """Rows that ask for the title of a document."""

    documents: int = 0


def make(params, taught, left):
    for row in taught.documents[: params.documents]:
        asked = f"{row.text}\\n出自哪份文件？"
        yield Dialogue(**provenance(row, method=METHOD, task=METHOD, asked=asked), messages=exchange(asked, row.title))
'''


def test_a_rule_method(tree):
    parts(tree)
    add(tree, "lingyu/generate/rules/titles.py", RULE)
    register(tree, "lingyu/generate/registry.py", '    Method("turns",', '    Method("title", "rules.titles", review="sample"),')

    stage(tree, "generate", generate={"titles": {"documents": 1}})

    assert [row.messages[-1].content for row in made(tree)["title"]] == ["手册"]
    weights = "from lingyu.mix.shares import Weights; print(Weights(sft={'title': 2.0}).of_table('sft'))"
    assert "title" in python(tree, "-c", weights)
    assert python(tree, "-c", "from stages.review import Params; print(Params().policies['title'])").strip() == "sample"


LLM = '''
from functools import partial

from lingyu.generate.llm.checks import Candidate
from lingyu.generate.llm.client import Answer
from lingyu.generate.llm.method import source_of
from lingyu.stage import StageParams

METHOD = TASK = "summary"
PROMPTS = ("1-summary",)


class Asked(StageParams):
    """Passages summed up."""

    records: int = 0


class Summary(Answer):
    summary: str


async def make(learn, asked, teaching):
    await teaching.each(METHOD, ((row, partial(summed_up, row)) for row in learn.documents[: asked.records]))


async def summed_up(row, ask):
    given = await ask("1-summary", Summary(summary="一句话。"), passage=source_of(row))
    return [Candidate(ask.dialogue(given, [("概括这段话。", given.said.summary)], task=TASK), [source_of(row)])]
'''


def test_a_method_with_a_language_model(tree):
    parts(tree)
    add(tree, "lingyu/generate/llm/summary.py", LLM)
    prompts = tree / FOLDER.relative_to(TOP) / "summary"
    for language in ("zh", "en"):
        add(tree, f"{prompts.relative_to(tree)}/1-summary.{language}.md", "概括。\n\n---\n\n{{passage}}\n")
    register(tree, "lingyu/generate/registry.py", '    Method("nvc",', '    Method("summary", "llm.summary", review="required"),')

    with serving(lambda *_: Reply({"summary": "雨天不得飞行。"})) as server:
        teacher = {"kind": "openai", "base_url": server.url, "model": "wise"}
        stage(tree, "generate", generate={"teacher": teacher, "asked": {"summary": {"records": 1}}})

    assert [row.messages[-1].content for row in made(tree)["summary"]] == ["雨天不得飞行。"]
    assert python(tree, "-c", "from stages.review import Params; print(Params().policies['summary'])").strip() == "required"


def test_a_prompt_that_is_missing_or_lacks_a_blank_is_named(tree):
    parts(tree)
    add(tree, "lingyu/generate/llm/summary.py", LLM)
    add(tree, "lingyu/generate/llm/prompts/summary/1-summary.zh.md", "概括。\n\n---\n\n{{passage}}\n")
    register(tree, "lingyu/generate/registry.py", '    Method("nvc",', '    Method("summary", "llm.summary"),')
    teacher = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "wise"}

    with pytest.raises(AssertionError, match=r"summary/1-summary\.en\.md is not there"):
        stage(tree, "generate", generate={"teacher": teacher, "asked": {"summary": {"records": 1}}})

    add(tree, "lingyu/generate/llm/prompts/summary/1-summary.en.md", "Sum up.\n\n---\n\n")
    with pytest.raises(AssertionError, match=r"1-summary\.en\.md lacks \{\{passage\}\}"):
        stage(tree, "generate", generate={"teacher": teacher, "asked": {"summary": {"records": 1}}})


RETRIEVER = """
from lingyu.retrieve.retrievers import Hit, RetrieverOptions


class Options(RetrieverOptions):
    score: float = 0.5


def build(chunks, folder, options, examples):
    (folder / "score").write_text(str(options.score))


def load(folder, chunks):
    return Newest(chunks, float((folder / "score").read_text()))


class Newest:
    threshold = 0.5

    def __init__(self, chunks, score):
        self.chunks, self.score = chunks, score

    def search(self, question, limit, kind=None):
        return [Hit(chunk, self.score) for chunk in self.chunks[::-1] if kind in (None, chunk.kind)][:limit]

    def relevance(self, question, texts):
        return [self.score for _ in texts]
"""


def test_a_retriever(tree):
    write_tables(tree / "out/clean/tables", {"documents": [document(1, "甲。"), document(2, "乙。")]})
    write_json(tree / "out/clean/rules.json", {"mask": [], "simplified": False})
    write_json(tree / "out/ingest/metadata.json", {})
    (tree / "out/ingest/retrieval.jsonl").touch()
    for part in ("train", "dev", "test"):
        write_tables(tree / "out/split" / part, {})
    for name, row_type in MADE.items():
        write_table(tree / f"out/review/approved/{name}.parquet", [], row_type)
    add(tree, "lingyu/retrieve/retrievers/newest.py", RETRIEVER)
    register(tree, "lingyu/retrieve/retrievers/__init__.py", '    "bm25":', '    "newest": "lingyu.retrieve.retrievers.newest",')

    stage(tree, "index", index={"retriever": {"name": "newest", "options": {"score": 0.7}}})

    search = "from lingyu.retrieve.index import Knowledge; from pathlib import Path; "
    search += "print([(hit.chunk.text, hit.score) for hit in Knowledge(Path('out/index/knowledge')).search('甲', 1)])"
    assert python(tree, "-c", search).strip() == "[('乙。', 0.7)]"
    assert read_json(tree / "out/index/metrics.json")["chunks_of_documents"] == 2


@pytest.mark.parametrize(
    ("retriever", "told"),
    [({"name": "bm52"}, "must be one of bm25"), ({"options": {"k1": -1}}, "options.k1"), ({"options": {"k2": 1}}, "k2")],
)
def test_a_retriever_that_is_not_there_and_a_wrong_option_are_named(tree, retriever, told):
    with pytest.raises(AssertionError, match=told):
        stage(tree, "index", index={"retriever": retriever})


READER = """
from lingyu.ingest.readers import Block


def blocks(path, reading):
    for number, line in enumerate(path.read_text(encoding=reading.encoding).splitlines(), start=1):
        heading = line.startswith("= ")
        yield Block("heading" if heading else "paragraph", line.removeprefix("= "), f"line {number}", 1)
"""


def test_a_reader(tree):
    add(tree, "lingyu/ingest/readers/asciidoc.py", READER)
    line = '        Format("AsciiDoc", (".adoc",), "blocks", "asciidoc", "blocks", True),'
    register(tree, "lingyu/ingest/readers/__init__.py", '        Format("TXT",', line)
    (tree / "data").mkdir()
    (tree / "data/manual.adoc").write_text("= 起飞\n起飞前检查桨叶和电池。\n", encoding="utf-8")

    stage(tree, "ingest")

    (row,) = read_table(tree / "out/ingest/tables/documents.parquet", Document)
    assert (row.text, row.source) == ("起飞前检查桨叶和电池。", "manual.adoc")
    assert list(read_jsonl(tree / "out/ingest/rejected.jsonl")) == []


USES_PAGE = """
import asyncio, httpx
from pathlib import Path
from lingyu.serve.app import make_app

async def main():
    app = make_app(lambda: None, Path("web/pages"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for path in ("/help", "/static/help/help.css", "/", "/static/chat/chat.js"):
            print((await client.get(path)).status_code)

asyncio.run(main())
"""


def test_a_page(tree):
    add(tree, "web/pages/help/index.html", '<link rel="stylesheet" href="static/help/help.css"><p>帮助 Help</p>')
    add(tree, "web/pages/help/help.css", "p { color: red }")
    register(tree, "lingyu/serve/pages.py", '    "/": "chat",', '    "/help": "help",')

    assert python(tree, "-c", USES_PAGE).split() == ["200"] * 4
