"""/v1/files: the documents of the knowledge base in the form of OpenAI's files, so that its client lists, uploads and deletes them.

Beside OpenAI's fields: metadata, passages, what was rejected and why, how far the reading is, and origin: upload, or index where a
document came with the package. Deleting one of the index hides it; POST /v1/files/ID/restore shows it again.
"""

import asyncio
import json
import re
from collections.abc import Callable
from subprocess import TimeoutExpired
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from lingyu.ingest.readers import ENDINGS
from lingyu.metadata import Metadata, faults_of
from lingyu.serve import describe
from lingyu.serve.assistant import Assistant
from lingyu.serve.documents import FOLDER, Deleted, Documents, Entry, largest
from lingyu.serve.guard import check_key
from lingyu.serve.library import File
from lingyu.serve.people import Reader, check_admin, reader_of
from lingyu.serve.picture import NotDrawn, drawn_apart, page_in
from lingyu.serve.protocol import Refused, read
from lingyu.serve.record import Figures

MOST = 10_000  # in one list, as OpenAI has it
BRACKETS = re.compile(r"metadata\[(\w+)\](?:\[\d*\])?")


def router(assistant: Callable[[], Assistant], figures: Figures) -> APIRouter:
    routes, drawing = APIRouter(), asyncio.Semaphore(2)

    def reader(request: Request) -> Reader:
        authorization = request.headers.get("authorization", "")
        check_key(authorization)
        return reader_of(authorization)

    def admin(request: Request) -> tuple[Reader, Documents]:
        who = reader(request)
        check_admin(who)
        return who, kept(assistant())

    @routes.get("/v1/files", **describe.FILES)
    async def listed(request: Request) -> dict[str, Any]:
        who = reader(request)
        page = page_of(await asyncio.to_thread(all_files, assistant(), who), dict(request.query_params))
        documents = assistant().library.documents
        more = {"admin": who.admin and documents is not None, "largest": largest(), "endings": list(ENDINGS)}
        return {**page, "data": [described(file, documents) for file in page["data"]], **more}

    @routes.post("/v1/files", **describe.UPLOAD)
    async def upload(request: Request) -> dict[str, Any]:
        who, documents = admin(request)
        try:
            file = await received(request, documents, who)
        except Refused as refused:
            figures.uploads.labels(refused.code).inc()
            raise
        figures.uploads.labels("accepted").inc()
        assistant().library.read_next()
        return described(file, documents)

    async def received(request: Request, documents: Documents, who: Reader) -> File:
        try:
            async with request.form(max_files=1, max_fields=100) as form:
                file = form.get("file")
                if not isinstance(file, UploadFile) or not file.filename:
                    raise Refused(400, "invalid_request", "file: a file with a name is missing.", "file：缺少带文件名的文件。", "file")
                fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
                metadata, replace = metadata_of(fields), dict(fields).get("replace") == "true"
                entry = await asyncio.to_thread(documents.receive, file.filename, file.file, metadata, replace, who)
        except HTTPException as error:
            raise Refused(400, "invalid_request", f"Invalid form: {error.detail}", f"表单无效：{error.detail}") from None
        return uploaded(documents, entry)

    @routes.get("/v1/files/{id}", **describe.FILE)
    async def one(request: Request, id: str) -> dict[str, Any]:
        who = reader(request)
        return described(await asyncio.to_thread(found, assistant(), who, id), assistant().library.documents)

    @routes.get("/v1/files/{id}/content", **describe.ORIGINAL)
    async def content(request: Request, id: str) -> Response:
        who = reader(request)
        file = await asyncio.to_thread(found, assistant(), who, id)
        path = await asyncio.to_thread(assistant().library.original, file)
        if path is None:
            raise Refused(404, "no_content", f"The original of {file.source} is not kept here.", f"此处未保存 {file.source} 的原文件。")
        # Never shown as a page of this service: what is inside was written by others.
        return FileResponse(path, filename=path.name, headers={"Content-Security-Policy": "sandbox; default-src 'none'"})

    @routes.post("/v1/files/{id}/page", **describe.PAGE)
    async def picture(request: Request, id: str) -> Response:
        who = reader(request)
        asked = read(await request.body(), describe.PageRequest)
        file = await asyncio.to_thread(found, assistant(), who, id)
        path = await asyncio.to_thread(assistant().library.original, file)
        number = page_in(asked.place)
        if path is None or path.suffix.lower() != ".pdf" or number is None:
            raise Refused(404, "no_page", f"{file.source} has no page to show.", f"{file.source} 没有可显示的页面。")
        try:
            async with drawing:
                shown, down, png = await asyncio.to_thread(drawn_apart, path, number, asked.sentences)
        except (NotDrawn, TimeoutExpired):
            raise Refused(
                404, "no_page", f"Page {number} of {file.source} cannot be shown.", f"{file.source} 第 {number} 页无法显示。"
            ) from None
        return Response(
            png, media_type="image/png", headers={"X-Page": str(shown), "X-Mark": str(down), "Cache-Control": "private, max-age=600"}
        )

    @routes.post("/v1/files/{id}", **describe.DESCRIBE)
    async def changed(request: Request, id: str) -> dict[str, Any]:
        who, documents = admin(request)
        metadata = checked(read(await request.body(), describe.Described).metadata)
        file = await asyncio.to_thread(found, assistant(), who, id)
        if file.entry is None:
            raise Refused(
                400,
                "not_uploaded",
                "Metadata of a packaged document is set in the corpus: ingest.sources or its .meta.yaml.",
                "随模型打包的文档，其元数据在语料中设置：ingest.sources 或 .meta.yaml。",
            )
        return described(uploaded(documents, await asyncio.to_thread(documents.describe, file.entry, metadata, who)), documents)

    @routes.delete("/v1/files/{id}", **describe.DELETE)
    async def delete(request: Request, id: str) -> dict[str, Any]:
        who, documents = admin(request)
        file = await asyncio.to_thread(found, assistant(), who, id)
        await asyncio.to_thread(deleted, documents, file, who)
        return {"id": id, "object": "file", "deleted": True}

    @routes.post("/v1/files/{id}/restore", **describe.RESTORE)
    async def restore(request: Request, id: str) -> dict[str, Any]:
        who, documents = admin(request)
        file = await asyncio.to_thread(found, assistant(), who, id)
        await asyncio.to_thread(restored, documents, file, who)
        return described(await asyncio.to_thread(found, assistant(), who, id), documents)

    return routes


def kept(assistant: Assistant) -> Documents:
    if not assistant.library.divisible:
        raise assistant.library.whole_only()
    if assistant.library.documents is None:
        raise Refused(
            404,
            "no_documents",
            f"This service takes no documents. Start it with {FOLDER}=FOLDER, best a folder inside the corpus.",
            f"本服务未启用文档上传。启动时设置 {FOLDER}=目录（最好位于语料目录内）。",
        )
    return assistant.library.documents


def uploaded(documents: Documents, entry: Entry) -> File:
    return File(entry.id, documents.source(entry), entry.metadata, entry.rows.get("passages", 0), entry.sha256, entry)


def all_files(assistant: Assistant, who: Reader) -> list[File]:
    """To an admin also those that are not read yet, or could not be; of replaced ones the new."""
    files = assistant.library.files(who)
    documents = assistant.library.documents
    if documents is None or not who.admin:
        return files
    there = {file.id for file in files}
    return [*files, *(uploaded(documents, entry) for entry in documents.entries() if entry.id not in there)]


def found(assistant: Assistant, who: Reader, id: str) -> File:
    """Raises Refused: the same where there is none and where it may not be seen."""
    for file in all_files(assistant, who):
        if file.id == id:
            return file
    raise Refused(404, "file_not_found", f"No file {id[:80]!r}.", f"文件 {id[:80]!r} 不存在。", "id")


def deleted(documents: Documents, file: File, who: Reader) -> None:
    if file.entry:
        documents.delete(file.entry, who)
    else:
        documents.hide(file.id, Deleted(source=file.source))
        documents.record(who, "hide", source=file.source)


def restored(documents: Documents, file: File, who: Reader) -> None:
    """What hid it: its own mark, or that of an upload with its content or place."""
    for name, one in documents.deleted().items():
        if name == file.id or one.source == file.source or (file.sha256 and one.sha256 == file.sha256):
            documents.show(name)
    documents.record(who, "restore", source=file.source)


def metadata_of(fields: list[tuple[str, str]]) -> Metadata:
    """The field `metadata` as JSON, or as the openai client sends an object: metadata[department]. Raises Refused."""
    said: dict[str, Any] = {}
    for name, value in fields:
        if name == "metadata":
            try:
                said |= json.loads(value)
            except (ValueError, TypeError):
                raise Refused(400, "invalid_request", "metadata: must be a JSON object.", "metadata 须为 JSON 对象。", "metadata") from None
        elif inner := BRACKETS.fullmatch(name):
            said[inner[1]] = [*said.get(inner[1], []), value] if inner[1] == "groups" else value
    return checked(said)


def checked(said: dict[str, Any]) -> Metadata:
    try:
        return Metadata.model_validate(said)
    except ValidationError as error:
        raise Refused(400, "invalid_request", f"metadata: {faults_of(error)}.", f"metadata：{faults_of(error)}。", "metadata") from None


def described(file: File, documents: Documents | None) -> dict[str, Any]:
    entry = file.entry
    about = {
        "id": file.id,
        "object": "file",
        "bytes": entry.bytes if entry else 0,
        "created_at": entry.created_at if entry else 0,
        "filename": entry.name if entry else file.source,
        "source": file.source,
        "purpose": "assistants",
        "status": entry.status if entry else "processed",
        "metadata": file.metadata.filled(),
        "passages": file.passages,
        "origin": "upload" if entry else "index",
        "hidden": file.hidden,
        "original": entry is not None or file.original is not None,
    }
    if not entry:
        return about
    progress = documents.told_progress(entry) if documents and entry.status == "uploaded" else None
    rejected = {"rejected": entry.rejected, "rejected_more": entry.rejected_more}
    return {**about, "status_details": entry.reason or None, "rows": entry.rows, **rejected, "progress": progress}


def page_of(files: list[File], asked: dict[str, str]) -> dict[str, Any]:
    """In OpenAI's form: the newest first unless order=asc; after an id, at most limit."""
    ordered = sorted(files, key=lambda file: file.entry.created_at if file.entry else 0, reverse=asked.get("order") != "asc")
    ids = [file.id for file in ordered]
    start = ids.index(asked["after"]) + 1 if asked.get("after") in ids else 0
    limit = min(int(asked["limit"]), MOST) if asked.get("limit", "").isdecimal() else MOST
    shown = ordered[start : start + max(limit, 1)]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0].id if shown else None,
        "last_id": shown[-1].id if shown else None,
        "has_more": start + len(shown) < len(ordered),
    }
