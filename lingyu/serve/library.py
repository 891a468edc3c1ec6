"""Everything that can be found, and the part of it that one request may see: the packaged index, the uploaded documents, their metadata.

A view is made before anything is ranked: what a reader's groups or the filter of a request leave out is not scored, quoted or named.
"""

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingyu.files import read_json, read_table, sha256, short_hash
from lingyu.metadata import Filter, Metadata
from lingyu.retrieve.added import Added, Words
from lingyu.retrieve.chunks import Chunk
from lingyu.retrieve.graph import Graph
from lingyu.retrieve.index import Knowledge
from lingyu.retrieve.retrievers.dense import embedded_text
from lingyu.retrieve.support import known_terms
from lingyu.serve.documents import PASSAGES, Deleted, Documents, Entry, NotSearchable, Worker, opened
from lingyu.serve.people import EVERYBODY, Reader
from lingyu.serve.protocol import Refused
from lingyu.serve.reading import How, NotRead, read_apart

NO_FILTER = Filter()
CORPUS = "LINGYU_CORPUS"
VIEWS = 32  # kept: of other groups and filters the least used is made again
EMBEDDED = 16  # passages at a time, so that answers get their turn


@dataclass(frozen=True)
class File:
    """A document as requests see it. entry: None for one of the packaged index."""

    id: str
    source: str
    metadata: Metadata
    passages: int
    sha256: str = ""
    entry: Entry | None = None
    hidden: bool = False
    original: Path | None = None  # the file itself, where the service has it


@dataclass(frozen=True)
class View:
    """files: by source, those that may be seen."""

    knowledge: Knowledge
    graph: Graph
    files: Mapping[str, File]

    def allows(self, source: str) -> bool:
        return source in self.files


@dataclass(frozen=True)
class Shelf:
    """The state of everything at one time. added: the uploads in their order; every file by its place in it, packaged ones first."""

    whole: Knowledge
    files: list[File]
    of_chunk: NDArray[np.int64]  # the file of each passage
    graph: Graph
    terms: frozenset[str]
    views: "OrderedDict[Any, View]" = field(default_factory=OrderedDict)


class Library:
    def __init__(self, knowledge: Knowledge, folder: Path, more_sources: Iterable[str] = ()) -> None:
        """folder: of the packaged index. more_sources: of what the service knows beside its passages."""
        self._base, self._lock = knowledge, threading.RLock()
        told: dict[str, Any] = read_json(folder / "metadata.json") if (folder / "metadata.json").is_file() else {}
        counts: dict[str, int] = dict.fromkeys([*(chunk.source for chunk in knowledge.chunks), *more_sources], 0)
        for chunk in knowledge.chunks:
            counts[chunk.source] += 1
        self._packaged = [packaged(source, count, told.get(source, {})) for source, count in counts.items()]
        self._how = How.model_validate(read_json(folder / "settings.json"))
        embedder = (folder / "embedder.json").read_text(encoding="utf-8") if (folder / "embedder.json").is_file() else ""
        self._made_for = short_hash(embedder, self._how.model_dump_json())
        self._loaded: dict[str, tuple[str, Added]] = {}
        self._seen: tuple[int, ...] | None = None
        self.documents: Documents | None = None
        self._deleted: dict[str, Deleted] = {}
        self._shelf = self._shelved([], {})
        # A retriever that cannot search a part of the passages, or more, serves what all may see, unfiltered.
        self.divisible = hasattr(knowledge.retriever, "over")
        self.documents = opened() if self.divisible else None
        self._worker = Worker(self.documents, self._prepare, self._waits) if self.documents else None

    def close(self) -> None:
        if self._worker:
            self._worker.end()

    def read_next(self) -> None:
        """There is a file to read."""
        if self._worker:
            self._worker.call()

    def shelf(self) -> Shelf:
        """As it is now: another process may have changed it."""
        if self.documents is None:
            return self._shelf
        with self._lock:
            seen = self.documents.seen()
            if seen is None or seen != self._seen:
                self._refresh(self.documents)
                self._seen = seen
            return self._shelf

    def _refresh(self, documents: Documents) -> None:
        every = documents.entries()
        if any(one.status == "uploaded" for one in every):  # by a service that has ended since, perhaps
            self.read_next()
        entries = [one for one in every if one.status == "processed" and one.made_for == self._made_for]
        kept = [entry for entry in entries if self._has(documents, entry)]
        self._loaded = {entry.id: self._loaded[entry.id] for entry in kept}
        deleted = documents.deleted()
        wanted = [(entry.id, entry.metadata) for entry in kept], deleted
        there = [(file.id, file.metadata) for file in self._shelf.files if file.entry], self._deleted
        if wanted != there:
            self._shelf, self._deleted = self._shelved(kept, deleted), deleted

    def _has(self, documents: Documents, entry: Entry) -> bool:
        """Whether its passages are loaded, or could be."""
        held = self._loaded.get(entry.id)
        if held is None or held[0] != entry.made_for:
            try:
                self._loaded[entry.id] = entry.made_for, added_in(documents.place(entry.id))
            except (OSError, ValueError):  # deleted this moment
                return False
        return True

    def _shelved(self, entries: list[Entry], deleted: dict[str, Deleted]) -> Shelf:
        documents = self.documents if entries else None
        uploaded = [
            File(
                entry.id,
                documents.source(entry),
                entry.metadata,
                len(self._loaded[entry.id][1].chunks),
                entry.sha256,
                entry,
                False,
                documents.original(entry),
            )
            for entry in entries
            if documents
        ]
        live = {file.source for file in uploaded} | {file.sha256 for file in uploaded}
        gone = {one.sha256 for one in deleted.values()} | {one.source for one in deleted.values()}
        # A file that was uploaded and then packaged with the corpus is one document: the upload, which can be changed.
        files = [
            replace(
                one, hidden=bool({one.source, one.sha256} & (gone | live) - {""}), original=in_corpus(one.source) if one.sha256 else None
            )
            for one in self._packaged
        ]
        places = {file.source: number for number, file in enumerate(files)}
        files += uploaded
        own = [places[chunk.source] for chunk in self._base.chunks]
        more = [number for number, file in enumerate(files) if file.entry for _ in range(file.passages)]
        whole = self._base.over([self._loaded[entry.id][1] for entry in entries]) if entries else self._base
        return Shelf(whole, files, np.array([*own, *more], np.int64), Graph(whole.chunks), known_terms(whole.terms))

    def view(self, reader: Reader = EVERYBODY, wanted: Filter = NO_FILTER) -> View:
        """What a reader may see of what the filter lets through."""
        shelf = self.shelf()
        may = [not file.hidden and file.metadata.seen_by(reader.groups) and wanted.passes(file.metadata, file.id) for file in shelf.files]
        key = tuple(may)
        with self._lock:
            if key not in shelf.views:
                files = {file.source: file for file, one in zip(shelf.files, may, strict=True) if one}
                seen = np.array(may, bool)[shelf.of_chunk] if len(may) else np.zeros(0, bool)
                knowledge = shelf.whole if seen.all() else self._part(shelf, seen)
                shelf.views[key] = View(knowledge, Graph(knowledge.chunks), files)
                while len(shelf.views) > VIEWS:
                    shelf.views.popitem(last=False)
            shelf.views.move_to_end(key)
            return shelf.views[key]

    def _part(self, shelf: Shelf, seen: NDArray[np.bool_]) -> Knowledge:
        if not self.divisible:
            raise self.whole_only()
        return shelf.whole.over([], seen)

    def whole_only(self) -> Refused:
        name = type(self._base.retriever).__module__
        return Refused(
            400,
            "whole_index_only",
            f"The retriever {name} has no `over`, so there are no uploads, filters and groups here. Index with another one.",
            f"检索器 {name} 未实现 `over`，因此不支持上传、筛选与可见组。请改用其他检索器重建索引。",
        )

    def files(self, reader: Reader) -> list[File]:
        """What the list of documents shows: to an admin what is hidden, too."""
        return [file for file in self.shelf().files if (reader.admin or not file.hidden) and file.metadata.seen_by(reader.groups)]

    def counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """By origin (index, upload) and state (processed, hidden, uploaded, error): documents, and their passages."""
        files = self.shelf().files
        shown = [("upload" if file.entry else "index", "hidden" if file.hidden else "processed", file.passages) for file in files]
        there = {file.id for file in files}
        others = [entry for entry in self.documents.entries() if entry.id not in there] if self.documents else []
        shown += [("upload", "error" if entry.status == "error" else "uploaded", 0) for entry in others]
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for origin, state, passages in shown:
            count, sum_of_passages = found.get((origin, state), (0, 0))
            found[origin, state] = count + 1, sum_of_passages + passages
        return found

    def original(self, file: File) -> Path | None:
        """The file itself, as it was when its passages were made; None where it is not there, or another by now."""
        path = self.documents.original(file.entry) if file.entry and self.documents else file.original
        if path is None or not path.is_file() or (not file.entry and file.sha256 != sha256(path)):
            return None
        return path

    def _waits(self, entry: Entry) -> bool:
        return entry.status == "uploaded" or entry.made_for != self._made_for

    def _prepare(self, documents: Documents, entry: Entry, made: Path) -> Entry:
        """Passages, words and vectors of a file. Raises NotSearchable."""
        progress = documents.progress(entry)
        try:
            read_apart(documents.original(entry), documents.source(entry), made, self._how, lambda count: progress("reading", count, 0))
        except NotRead as error:
            raise NotSearchable(f"cannot be read: {error}") from None
        found = read_json(made / "found.json")
        chunks = list(read_table(made / "chunks.parquet", Chunk))
        if not chunks:
            first = found["rejected"][0]["detail"] if found["rejected"] else "it has nothing to search"
            raise NotSearchable(first, found["rejected"])
        others = sum(one.rows.get("passages", 0) for one in documents.entries() if one.id != entry.id)
        if others + len(chunks) > PASSAGES:
            raise NotSearchable(f"{len(chunks)} passages, and {others} of other documents, are more than {PASSAGES}")
        self._embed(chunks, made, progress)
        (made / "found.json").unlink()
        (made / "errors").unlink()
        return entry.model_copy(update={**found, "made_for": self._made_for, "reason": ""})

    def _embed(self, chunks: list[Chunk], made: Path, progress: Any) -> None:
        embedder = getattr(self._base.retriever, "embedder", None)
        if embedder is None:
            return
        rows = []
        for start in range(0, len(chunks), EMBEDDED):
            progress("embedding", start, len(chunks))
            rows.append(embedder.passages([embedded_text(chunk) for chunk in chunks[start : start + EMBEDDED]]).astype(np.float16))
        np.save(made / "vectors.npy", np.concatenate(rows), allow_pickle=False)


def in_corpus(source: str) -> Path | None:
    """The file of a packaged document in the folder that LINGYU_CORPUS names. It holds what clean has masked in the passages."""
    folder = os.environ.get(CORPUS, "").strip()
    path = Path(folder, source)
    return path if folder and path.is_file() and path.resolve().is_relative_to(Path(folder).resolve()) else None


def packaged(source: str, passages: int, told: dict[str, Any]) -> File:
    metadata = Metadata.model_validate({name: value for name, value in told.items() if name in Metadata.model_fields})
    return File(f"index-{short_hash(source)}", source, metadata, passages, str(told.get("sha256", "")))


def added_in(folder: Path) -> Added:
    chunks = list(read_table(folder / "chunks.parquet", Chunk))
    words = Words.model_validate(json.loads((folder / "words.json").read_bytes()))
    rows = np.load(folder / "vectors.npy") if (folder / "vectors.npy").is_file() else None
    return Added(chunks, words, rows)
