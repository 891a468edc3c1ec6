"""The knowledge base while the service runs: uploads, deletions, metadata, and who may see what."""

import asyncio
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import date

import httpx
import pytest
from serving import DOCUMENT, FACTS, MANUAL, TOP
from test_adding import RETRIEVER

from lingyu.files import read_json, read_tables, write_json
from lingyu.ingest.readers import ENDINGS
from lingyu.metadata import Filter, Metadata
from lingyu.retrieve.added import Added, Words
from lingyu.retrieve.chunks import chunk_of_fact, chunks_of_document
from lingyu.retrieve.index import Knowledge, build
from lingyu.retrieve.retrievers import RETRIEVERS, Choice
from lingyu.serve.app import make_app
from lingyu.serve.assistant import Assistant
from lingyu.serve.documents import Documents, safe_name
from lingyu.serve.engine import TransformersEngine
from lingyu.serve.library import Library
from lingyu.serve.people import THIS_MACHINE
from lingyu.serve.protocol import Refused
from lingyu.stage import StageError
from stages import ingest

PAGES = TOP / "web" / "pages"
ASKED = "库房的钥匙由谁保管？"
KEPT = "库房的钥匙由保管员赵六保管，电话13812345678。"
GUIDE = f"# 库房制度\n\n## 钥匙\n\n{KEPT}\n"


@pytest.fixture(scope="module")
def engine(content):
    return TransformersEngine(content / "model")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LINGYU_DOCUMENTS", str(tmp_path / "corpus" / "uploads"))
    return tmp_path / "corpus" / "uploads"


class Client:
    """Requests to the app of a service of its own."""

    def __init__(self, content, engine):
        self.assistant = Assistant(content, engine)
        self._app = make_app(lambda: self.assistant, PAGES)

    def __call__(self, method, path, key="", **more):
        async def sent():
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            headers = {**more.pop("headers", {}), **({"Authorization": f"Bearer {key}"} if key else {})}
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, path, headers=headers, **more)

        return asyncio.run(sent())

    def upload(self, name, content, key="", **fields):
        return self("POST", "/v1/files", key, files={"file": (name, content)}, data=fields)

    def read(self, id, key=""):
        for _ in range(300):
            file = self("GET", f"/v1/files/{id}", key).json()
            if file.get("status") != "uploaded":
                return file
            time.sleep(0.1)
        raise AssertionError(f"not read in 30 s: {file}")

    def ask(self, question=ASKED, key="", mode="professional", **fields):
        body = {"model": "tiny", "messages": [{"role": "user", "content": question}], "mode": mode, **fields}
        return self("POST", "/v1/chat/completions", key, json=body)


@pytest.fixture
def client(content, engine):
    client = Client(content, engine)
    yield client
    client.assistant.library.close()


def test_an_upload_answers_the_next_question_of_every_service_until_it_is_deleted(client, content, engine, folder, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("LINGYU_DOCUMENTS", str(folder))
    client, other = Client(content, engine), Client(content, engine)
    assert KEPT[:7] not in client.ask().text

    file = client.upload("制度.md", GUIDE, metadata='{"department": "库房", "valid_from": "2026-01-01"}').json()
    file = client.read(file["id"])

    assert (file["status"], file["passages"], file["metadata"]) == ("processed", 1, {"department": "库房", "valid_from": "2026-01-01"})
    for service in (client, other):
        [source] = service.ask().json()["sources"][:1]
        assert (source["source"], source["file"], source["metadata"]["department"]) == ("uploads/制度.md", file["id"], "库房")
    assert "13812345678" not in client.ask().text  # masked as clean would
    assert client("GET", f"/v1/files/{file['id']}/content").text == GUIDE
    assert client.ask(filter={"in_force_on": "2025-12-31"}).json()["answer_source"] == "none"
    assert client.ask(filter={"files": [file["id"]]}).json()["sources"]

    # The next training reads it, and knows what was said of it.
    sources = [{"pattern": "*", "licence": "CC0", "scope": "domain", "kind": "制度"}]
    ingest.run(ingest.Params.model_validate({"sources": sources}), folder.parent, folder.parent.parent / "out")
    told = read_json(folder.parent.parent / "out/metadata.json")["uploads/制度.md"]
    assert (told["kind"], told["department"], told["valid_from"]) == ("制度", "库房", "2026-01-01")
    assert [row.text for row in read_tables(folder.parent.parent / "out/tables")["documents"]] == [KEPT]

    assert client("DELETE", f"/v1/files/{file['id']}").json() == {"id": file["id"], "object": "file", "deleted": True}
    for service in (client, other):
        assert "赵六" not in service.ask().text
    assert [path.name for path in folder.iterdir()] == [".documents"]
    lines = [json.loads(line) for line in (folder / ".documents/audit.jsonl").read_text().splitlines()]
    assert [(line["what"], line["who"], line["name"]) for line in lines] == [
        ("upload", "this machine", "制度.md"),
        ("delete", "this machine", "制度.md"),
    ]


def test_what_cannot_be_searched_says_why_and_leaves_no_file(folder, client):
    file = client.upload("表.pdf", "只是文字").json()
    file = client.read(file["id"])

    assert (file["status"], file["passages"]) == ("error", 0)
    assert ".txt" in file["status_details"]
    assert [path.name for path in folder.iterdir()] == [".documents"]
    assert client.upload("空.md", "").json()["error"]["code"] == "empty_file"


def test_a_table_of_any_columns_is_searched_by_its_rows_and_says_what_training_leaves_out(folder, client):
    file = client.upload("设备.csv", "资产编号,存放处,责任人\nQ-77,三号库,孙八\nQ-78,一号库,周九\n").json()
    file = client.read(file["id"])

    assert (file["passages"], file["rejected"][0]["reason"]) == (2, "unknown_shape")
    [source] = client.ask("Q-77存放在哪里？").json()["sources"][:1]
    assert "三号库" in source["text"]
    assert source["place"] == "row 1"


def test_a_packaged_document_is_hidden_and_shown_again(folder, client):
    question = "什么天气不得飞行？"
    file = next(file for file in client("GET", "/v1/files").json()["data"] if file["filename"] == DOCUMENT.source)
    assert client.ask(question).json()["sources"]

    client("DELETE", f"/v1/files/{file['id']}")
    assert "雨天" not in client.ask(question).text
    assert client("POST", f"/v1/files/{file['id']}/restore", json={}).json()["hidden"] is False

    assert client.ask(question).json()["sources"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/a.md", "a.md"),
        ("C:\\work\\报告.PDF", "报告.PDF"),
        ("\u202efdp.\0a.md", "fdp.a.md"),
        (".hidden.txt", "hidden.txt"),
        ("~$表.xlsx", "表.xlsx"),
        ("a:b?.md", "a_b_.md"),
        ("e\u0301.md", "\u00e9.md"),
    ],
)
def test_the_name_of_an_upload_stays_in_its_folder_and_shows_what_it_is(given, kept):
    assert safe_name(given) == kept


@pytest.mark.parametrize("name", ["", "..", "a.exe", "a", "a.md.meta.yaml", "长" * 100 + ".md", ".md"])
def test_a_name_that_no_reader_knows_is_refused(name):
    with pytest.raises(Refused) as refused:
        safe_name(name)
    assert all(ending in refused.value.en for ending in ENDINGS)


def test_only_admins_upload_and_pages_of_others_do_not(folder, client, monkeypatch):
    assert client.upload("a.md", "文").status_code == 200
    foreign = client("POST", "/v1/files", headers={"Origin": "https://evil.example"}, files={"file": ("a.md", "文")})
    monkeypatch.setenv("LINGYU_API_KEYS", "reader")
    monkeypatch.setenv("LINGYU_ADMIN_KEYS", "sha256:8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918")  # of "admin"

    assert foreign.status_code == 403
    assert client.upload("b.md", "文").status_code == 401
    assert client.upload("b.md", "文", key="reader").json()["error"]["code"] == "not_admin"
    assert client.upload("b.md", "文", key="admin").status_code == 200
    assert client.ask(key="admin").status_code == 200


def test_there_are_limits_of_size_and_number(folder, client, monkeypatch):
    monkeypatch.setenv("LINGYU_DOCUMENT_MB", "0.001")
    monkeypatch.setenv("LINGYU_DOCUMENTS_MOST", "1")
    large = client.upload("a.md", "文" * 1000)
    client.upload("b.md", "文")
    same = client.upload("b.md", "另文")
    monkeypatch.setenv("LINGYU_DOCUMENTS_MOST", "2")

    assert (large.status_code, large.json()["error"]["code"]) == (413, "file_too_large")
    assert same.json()["error"]["code"] == "too_many_documents"
    assert client.upload("b.md", "另文").json()["error"]["code"] == "name_taken"


def test_without_a_folder_the_refusal_says_how_to_switch_it_on(client):
    assert "LINGYU_DOCUMENTS" in client.upload("a.md", "文").json()["error"]["message"]


WRITER = """
import io, sys
from pathlib import Path
from lingyu.metadata import Metadata
from lingyu.serve.documents import Documents
from lingyu.serve.people import THIS_MACHINE
documents = Documents(Path(sys.argv[1]))
for number in range(10**9):
    text = b"AB"[number % 2 : number % 2 + 1] * 100_000
    entry = documents.receive("file.txt", io.BytesIO(text), Metadata(department=chr(text[0])), True, THIS_MACHINE)
    if entry.status == "uploaded":
        made = documents.state / ".reading-1"
        made.mkdir(exist_ok=True)
        (made / "chunks.parquet").write_bytes(text)
        documents.settled(entry, made)
    if number == 1:
        print("ready", flush=True)
"""


def test_a_service_that_is_killed_leaves_the_old_file_or_the_new_one(tmp_path):
    dice = random.Random(0)
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=TOP) as writer:
            writer.stdout.readline()
            time.sleep(dice.random() / 5)
            writer.send_signal(signal.SIGKILL)

        documents = Documents(tmp_path)
        whole = (tmp_path / "file.txt").read_bytes()
        [entry] = [entry for entry in documents.entries() if entry.status == "processed"]
        assert whole in {b"A" * 100_000, b"B" * 100_000}
        assert entry.metadata.department == chr(whole[0])
        assert (documents.place(entry.id) / "chunks.parquet").read_bytes() == whole
        documents.tidy()
        assert documents.entries()


SECRET = "苍龙的机密代号是青花瓷。"


@pytest.fixture
def guarded(content, engine, tmp_path, monkeypatch):
    """A service whose document, facts and consultations are for the crew only; key `crew` is of it, `other` is not."""
    folder = tmp_path / "content"
    shutil.copytree(content / "knowledge", folder / "knowledge")
    for name in ("model", "settings.json"):
        (folder / name).symlink_to(content / name)
    sources = {chunk.source for chunk in Knowledge(folder / "knowledge").chunks} | {"consult/cases.jsonl"}
    write_json(folder / "knowledge/metadata.json", {source: {"groups": ["crew"]} for source in sources})
    (tmp_path / "keys.yaml").write_text("crew: [crew]\nother: [legal]\nnobody:\n")
    monkeypatch.setenv("LINGYU_KEYS_FILE", str(tmp_path / "keys.yaml"))
    return Client(folder, engine)


@pytest.mark.parametrize("mode", ["professional", "knowledge", "consult", "router"])
@pytest.mark.parametrize("question", ["云雀X3的最大飞行速度是多少？", "什么天气不得飞行？", "电池鼓包了怎么办", "它呢？"])
def test_a_key_without_the_group_never_gets_a_word(guarded, mode, question):
    mine, theirs = guarded.ask(question, "crew", mode), guarded.ask(question, "other", mode)

    assert mine.status_code == theirs.status_code == 200
    reply = theirs.json()
    assert not reply.get("sources")
    assert not reply.get("citations")
    for word in ("雨天", "雷暴", "manual", "graph.jsonl", "cases.jsonl", "鼓包时", "停用", "38分钟"):
        assert word not in json.dumps(
            {**reply, "choices": [] if reply.get("answer_source") is None else reply["choices"]}, ensure_ascii=False
        )
    assert guarded.ask(question, "nobody", mode).json().get("sources") in ([], None)


def test_the_same_groups_hold_for_lists_files_and_their_places(guarded):
    [*files] = guarded("GET", "/v1/files", "crew").json()["data"]

    assert len(files) == 3
    assert guarded("GET", "/v1/files", "other").json()["data"] == []
    for path in ("", "/content"):
        missing = guarded("GET", "/v1/files/file-none" + path, "other")
        assert guarded("GET", f"/v1/files/{files[0]['id']}{path}", "other").json()["error"]["code"] == missing.json()["error"]["code"]
    assert guarded.ask("什么天气不得飞行？", "crew").json()["sources"]
    assert guarded.ask("什么天气不得飞行？", "wrong").status_code == 401


def test_a_file_of_keys_with_a_slip_lets_nobody_in(guarded, tmp_path):
    (tmp_path / "keys.yaml").write_text("crew: [crew\n")

    assert guarded.ask(key="crew").status_code == 503


DATED = Metadata(kind="rule", department="legal", valid_from=date(2024, 1, 1), valid_to=date(2025, 12, 31))


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ({}, True),
        ({"kind": "rule"}, True),
        ({"kind": ["form", "rule"], "department": "legal"}, True),
        ({"department": "crew"}, False),
        ({"in_force_on": "2023-12-31"}, False),
        ({"in_force_on": "2025-12-31"}, True),
        ({"in_force_on": "2026-01-01"}, False),
        ({"files": ["index-2"]}, False),
    ],
)
def test_a_filter_leaves_out_what_does_not_fit(wanted, passes):
    assert Filter.model_validate(wanted).passes(DATED, "index-1") is passes


def test_an_unknown_field_of_a_filter_is_refused(client):
    assert "filter.branch" in client.ask(filter={"branch": "x"}).json()["error"]["message"]


def test_added_passages_rank_as_if_they_had_been_indexed(tmp_path):
    text = "起飞前检查桨叶。电量低于30%时应当返航。雨天不得飞行。雷暴天气禁止起飞。夜航须有两名飞手。货物不得超过三公斤。"
    documents = [DOCUMENT.model_copy(update={"id": str(n), "text": part + "。"}) for n, part in enumerate(text.split("。")[:-1])]
    chunks = [*(chunk for one in documents for chunk in chunks_of_document(one, 200)), *map(chunk_of_fact, FACTS)]
    build(chunks, tmp_path / "all", Choice(name="bm25"))
    build(chunks[:5], tmp_path / "some", Choice(name="bm25"))

    whole, part = Knowledge(tmp_path / "all"), Knowledge(tmp_path / "some")
    added = part.over([Added([chunk], Words.of([chunk]), None) for chunk in chunks[5:]])

    for question in ("夜航要几个飞手？", "电量低于多少要返航？", "云雀X3的续航时间是多久？", "货物可以多重？"):
        assert [hit.chunk.id for hit in added.search(question, 2)][:1] == [hit.chunk.id for hit in whole.search(question, 2)][:1]


def test_metadata_comes_from_the_sidecar_then_from_params(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("a.md", "b.md"):
        (data / name).write_text("起飞前检查桨叶。")
    (data / "a.md.meta.yaml").write_text("groups: crew\nvalid_to: 2026-03-31\n")
    params = ingest.Params.model_validate({"sources": [{"pattern": "*", "licence": "CC0", "scope": "domain", "groups": ["legal"]}]})

    ingest.run(params, data, tmp_path / "out")

    told = read_json(tmp_path / "out/metadata.json")
    assert (told["a.md"]["groups"], told["a.md"]["valid_to"], told["b.md"]["groups"]) == (["crew"], "2026-03-31", ["legal"])
    assert not (tmp_path / "out/rejected.jsonl").read_text()
    (data / "a.md.meta.yaml").write_text("group: crew\n")
    with pytest.raises(StageError, match=r"a\.md\.meta\.yaml: group"):
        ingest.run(params, data, tmp_path / "out")


def test_a_document_that_was_uploaded_and_then_packaged_is_one(content, tmp_path, monkeypatch):
    monkeypatch.setenv("LINGYU_DOCUMENTS", str(tmp_path / "documents"))
    shutil.copytree(content / "knowledge", tmp_path / "knowledge")
    knowledge = Knowledge(tmp_path / "knowledge")
    documents = Documents(tmp_path / "documents")
    with (tmp_path / "text").open("w+b") as file:
        file.write("雨天不得飞行。".encode())
        file.seek(0)
        entry = documents.receive("manual.md", file, Metadata(), False, THIS_MACHINE)
    write_json(tmp_path / "knowledge/metadata.json", {DOCUMENT.source: {"sha256": entry.sha256}})
    library = Library(knowledge, tmp_path / "knowledge")
    while documents.entry(entry.id).status == "uploaded":
        time.sleep(0.05)

    shown = [chunk.source for chunk in library.view().knowledge.chunks if chunk.kind == "document"]
    assert shown == ["documents/manual.md"]  # of the folder documents, beside the packaged one of the same content
    documents.delete(documents.entry(entry.id), THIS_MACHINE)

    assert not [chunk for chunk in library.view().knowledge.chunks if chunk.kind == "document"]
    library.close()


def test_a_page_of_a_pdf_shows_the_cited_sentence_marked(folder, client):
    from io import BytesIO

    from corpus_files import pdf
    from PIL import Image
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import PageBreak, Paragraph

    style = getSampleStyleSheet()["Normal"]
    story = [Paragraph("Keys are kept by the warden. No key leaves the building.", style), PageBreak(), Paragraph("Doors are shut.", style)]
    file = client.upload("rules.pdf", pdf(story)).json()
    file = client.read(file["id"])
    [source] = client.ask("Who keeps the keys?", filter={"files": [file["id"]]}).json()["sources"][:1]

    def marked(*sentences, place=source["place"]):
        reply = client("POST", f"/v1/files/{file['id']}/page", json={"place": place, "sentences": list(sentences)})
        colours = Image.open(BytesIO(reply.content)).convert("RGB").getcolors(1 << 20)
        return reply.headers["X-Page"], any(red > 200 and green > 200 and blue < 190 for _, (red, green, blue) in colours)

    assert source["original"]
    assert marked("Keys are kept by the warden.") == ("1", True)
    assert marked("Nothing of the kind stands here.") == ("1", False)
    assert marked("Doors are shut.") == ("2", True)  # where a passage goes on over a page
    assert client("POST", f"/v1/files/{file['id']}/page", json={"place": "page 9"}).status_code == 404
    assert client("POST", "/v1/files/file-none/page", json={"place": "page 1"}).status_code == 404


def test_a_retriever_that_knows_no_parts_answers_and_says_what_it_cannot_do(content, engine, folder, tmp_path, monkeypatch):
    (tmp_path / "newest.py").write_text(RETRIEVER, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(RETRIEVERS, "newest", "newest")
    build([MANUAL], tmp_path / "content/knowledge", Choice(name="newest", options={"score": 0.9}))
    write_json(tmp_path / "content/knowledge/settings.json", {"passages": 3, "min_score": 0.5})
    for name in ("model", "settings.json"):
        (tmp_path / "content" / name).symlink_to(content / name)
    client = Client(tmp_path / "content", engine)

    assert client.ask("起飞前检查什么？").json()["sources"]
    assert client("GET", "/v1/models").json()["data"][0]["filters"] is False
    for refused in (
        client.ask("起飞前检查什么？", filter={"department": ["运行"]}),
        client.upload("手册.md", "# 手册\n\n电池。".encode()),
    ):
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "whole_index_only"
        assert "newest" in refused.json()["error"]["message"]
    assert client("GET", "/v1/files").json()["data"]


def test_the_figures_count_documents_passages_and_uploads(folder, client):
    assert client.upload("手册.md", "# 手册\n\n电池要充满。".encode()).status_code == 200
    (id,) = [file["id"] for file in client("GET", "/v1/files").json()["data"] if file["origin"] == "upload"]
    client.read(id)
    assert client.upload("空.md", b"").status_code == 400

    figures = client("GET", "/metrics").text

    for line in (
        'lingyu_uploads_total{outcome="accepted"} 1.0',
        'lingyu_uploads_total{outcome="empty_file"} 1.0',
        'lingyu_documents{origin="upload",state="processed"} 1.0',
        'lingyu_passages{origin="upload",state="processed"} 1.0',
        'lingyu_passages{origin="index",state="processed"} 4.0',
    ):
        assert line in figures
