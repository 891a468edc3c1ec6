"""The documents that were uploaded: LINGYU_DOCUMENTS names the folder, best one inside the corpus folder, where ingest reads them too.

    NAME                          the file as it was uploaded; once it is here it is part of the knowledge base
    NAME.meta.yaml                its metadata
    .documents/ID/entry.json      what is known of it, and what of it was rejected
    .documents/ID/file/NAME       the file, while it is not yet read
    .documents/ID/chunks.parquet  its passages; vectors.npy: their vectors
    .documents/deleted/ID         what is no longer to be found, though a packaged index has it
    .documents/audit.jsonl        who changed what, and when

A file appears by one rename and goes by one unlink, each after everything else is on the disk: a service that is killed in between leaves
the old state or the new one. Several services may share the folder: each looks at it before a question, one at a time reads files.
"""

import fcntl
import json
import logging
import os
import re
import shutil
import tempfile
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from lingyu.files import short_hash
from lingyu.ingest.readers import ENDINGS
from lingyu.metadata import SIDECAR, Metadata
from lingyu.serve.people import Reader
from lingyu.serve.protocol import Refused

log = logging.getLogger("bentoml.lingyu")
FOLDER = "LINGYU_DOCUMENTS"
LARGEST_MB = "LINGYU_DOCUMENT_MB"  # of a file
MOST = "LINGYU_DOCUMENTS_MOST"  # files
STATE = ".documents"
PASSAGES = 200_000  # of all uploaded files together: what is searched for each question
TICK = 50_000_000  # ns: the clock of a folder's changes may be this coarse
Status = Literal["uploaded", "processed", "error"]


def largest() -> int:
    return int(float(os.environ.get(LARGEST_MB) or 64) * (1 << 20))


def most() -> int:
    return int(os.environ.get(MOST) or 2000)


class Entry(BaseModel):
    """rows: by table, as ingest counts them, and the passages; stamp: size and time of the file, by which it is known again."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    name: str
    bytes: int
    sha256: str
    created_at: int
    metadata: Metadata = Metadata()
    status: Status = "uploaded"
    reason: str = ""
    rows: dict[str, int] = {}
    rejected: list[dict[str, str]] = []
    rejected_more: int = 0
    stamp: tuple[int, int] = (0, 0)
    made_for: str = ""  # the embedder and the length of passages that chunks and vectors were made for


class Deleted(BaseModel):
    """What a packaged index may still have, and must not show."""

    sha256: str = ""
    source: str = ""


class Documents:
    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / STATE
        (self.state / "deleted").mkdir(parents=True, exist_ok=True)
        self.touch()
        self.prefix = folder.resolve().name

    def seen(self) -> tuple[int, ...] | None:
        """What changes whenever the folder does; None where it changed just now, and might again within a tick of the clock."""
        times = tuple(path.stat().st_mtime_ns for path in (self.folder, self.state, self.state / "deleted", self.state / "changed"))
        return None if time.time_ns() - max(times) < TICK else times

    def entries(self) -> list[Entry]:
        """In the order of their upload."""
        found = [entry for path in self.state.glob("file-*") if (entry := self.entry(path.name))]
        return sorted(found, key=lambda entry: (entry.created_at, entry.id))

    def entry(self, id: str) -> Entry | None:
        """None where there is none, or its file is gone or another by now."""
        try:
            entry = Entry.model_validate_json((self.place(id) / "entry.json").read_bytes())
        except (OSError, ValueError):
            return None
        if entry.status == "processed" and not self.waiting(entry) and not self.is_there(entry):
            return None
        return entry.model_copy(update={"status": "uploaded"}) if entry.status == "processed" and self.waiting(entry) else entry

    def is_there(self, entry: Entry) -> bool:
        path = self.folder / entry.name
        with suppress(OSError):
            return stamp_of(path) == entry.stamp or (path.stat().st_size == entry.bytes and digest_of(path) == entry.sha256)
        return False

    def waiting(self, entry: Entry) -> Path | None:
        path = self.place(entry.id) / "file" / entry.name
        return path if path.is_file() else None

    def original(self, entry: Entry) -> Path:
        return self.waiting(entry) or self.folder / entry.name

    def place(self, id: str) -> Path:
        return self.state / id

    def source(self, entry: Entry) -> str:
        """As ingest will call it where the folder is one of the corpus."""
        return f"{self.prefix}/{entry.name}"

    def deleted(self) -> dict[str, Deleted]:
        found = {}
        for path in (self.state / "deleted").iterdir():
            with suppress(OSError, ValueError):
                found[path.name] = Deleted.model_validate_json(path.read_bytes())
        return found

    def receive(self, name: str, file: Any, metadata: Metadata, replace: bool, reader: Reader) -> Entry:
        """Keep an uploaded file, to be read next. file: an open file with its bytes. Raises Refused."""
        name = safe_name(name)
        arriving = Path(tempfile.mkdtemp(prefix=".arriving-", dir=self.state))
        try:
            (arriving / "file").mkdir()
            size, hashed = keep(file, arriving / "file" / name)
            if not size:
                raise Refused(400, "empty_file", f"{name} is empty.", f"{name} 是空文件。", "file")
            with self.locked("folder"):
                if (there := self.same(name, hashed)) and there.status == "processed":
                    return there if there.metadata == metadata else self.described(there, metadata, reader)
                self.check_room(name, hashed, replace)
                entry = Entry(
                    id=f"file-{short_hash(name, hashed)}",
                    name=name, bytes=size, sha256=hashed, created_at=int(time.time()), metadata=metadata,
                )  # fmt: skip
                write(arriving / "entry.json", entry.model_dump_json())
                settle(arriving)
                shutil.rmtree(self.place(entry.id), ignore_errors=True)
                arriving.rename(self.place(entry.id))
                settle(self.state)
                (self.state / "deleted" / entry.id).unlink(missing_ok=True)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
        self.record(reader, "upload", entry)
        return entry

    def same(self, name: str, hashed: str) -> Entry | None:
        return next((entry for entry in self.entries() if (entry.name, entry.sha256) == (name, hashed)), None)

    def check_room(self, name: str, hashed: str, replace: bool) -> None:
        entries = self.entries()
        if len(entries) >= most():
            en, zh = f"There are {len(entries)} documents, as many as {MOST} allows.", f"已有 {len(entries)} 个文件，达到 {MOST} 的上限。"
            raise Refused(409, "too_many_documents", en, zh)
        there = [entry for entry in entries if entry.name == name and entry.status != "error"]
        same = any(entry.sha256 == hashed for entry in there)
        if (there and not replace and not same) or (not there and (self.folder / name).exists()):
            en = f"There is another file {name}; delete it first{', or send replace=true' if there else ''}."
            zh = f"已有同名文件 {name}；请先删除{'，或传入 replace=true' if there else ''}。"
            raise Refused(409, "name_taken", en, zh, "file")
        if shutil.disk_usage(self.folder).free < 256 << 20:
            raise Refused(507, "disk_full", "The disk of the service is full.", "服务所在磁盘空间不足。")

    def settled(self, entry: Entry, made: Path) -> Entry:
        """A file that was read becomes part of the knowledge base. made: a folder with its passages and vectors."""
        place, file = self.place(entry.id), self.place(entry.id) / "file" / entry.name
        with self.locked("folder"):
            moved, now = file.is_file(), self.entry(entry.id) or entry
            entry = entry.model_copy(
                update={"metadata": now.metadata, "status": "processed", "stamp": stamp_of(file if moved else self.folder / entry.name)}
            )
            for path in made.iterdir():
                flushed(path)
                path.replace(place / path.name)
            write(place / "entry.json", entry.model_dump_json())
            settle(place)
            if moved:
                self.say(entry)
                file.replace(self.folder / entry.name)
            settle(self.folder)
            self.touch()
        return entry

    def say(self, entry: Entry) -> None:
        """The sidecar that ingest reads."""
        sidecar = self.folder / (entry.name + SIDECAR)
        if told := entry.metadata.filled():
            write(sidecar, yaml.safe_dump(told, allow_unicode=True, sort_keys=False))
        else:
            sidecar.unlink(missing_ok=True)

    def progress(self, entry: Entry) -> Callable[[str, int, int], None]:
        """Says how far the reading of a file is, for whoever asks any of the services."""
        path = self.place(entry.id) / "progress.json"

        def tell(step: str, done: int, total: int) -> None:
            with suppress(OSError):
                path.write_text(json.dumps({"step": step, "done": done, "total": total}), encoding="utf-8")

        return tell

    def told_progress(self, entry: Entry) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.place(entry.id) / "progress.json").read_bytes())
            return found
        except (OSError, ValueError):
            return None

    def failed(self, entry: Entry, reason: str) -> None:
        """A file that gives nothing to search is not kept; why stays to be read."""
        place = self.place(entry.id)
        with self.locked("folder"):
            write(place / "entry.json", entry.model_copy(update={"status": "error", "reason": reason}).model_dump_json())
            settle(place)
            shutil.rmtree(place / "file", ignore_errors=True)
            self.touch()

    def describe(self, entry: Entry, metadata: Metadata, reader: Reader) -> Entry:
        """Other metadata for the same file."""
        with self.locked("folder"):
            return self.described(entry, metadata, reader)

    def described(self, entry: Entry, metadata: Metadata, reader: Reader) -> Entry:
        entry = entry.model_copy(update={"metadata": metadata})
        write(self.place(entry.id) / "entry.json", entry.model_dump_json())
        if entry.status == "processed":
            self.say(entry)
        self.touch()
        self.record(reader, "describe", entry)
        return entry

    def delete(self, entry: Entry, reader: Reader) -> None:
        with self.locked("folder"):
            if self.is_there(entry):
                self.hide(entry.id, Deleted(sha256=entry.sha256, source=self.source(entry)))
                (self.folder / entry.name).unlink(missing_ok=True)
                settle(self.folder)
                (self.folder / (entry.name + SIDECAR)).unlink(missing_ok=True)
            shutil.rmtree(self.place(entry.id), ignore_errors=True)
            self.touch()
        self.record(reader, "delete", entry)

    def hide(self, id: str, what: Deleted) -> None:
        write(self.state / "deleted" / id, what.model_dump_json())
        settle(self.state / "deleted")

    def show(self, id: str) -> None:
        (self.state / "deleted" / id).unlink(missing_ok=True)

    def record(self, reader: Reader, what: str, entry: Entry | None = None, source: str = "") -> None:
        """A line for whoever asks later who did it; the name of a file cannot begin a line of its own."""
        about = {"id": entry.id, "name": entry.name, "sha256": entry.sha256} if entry else {"name": source}
        line = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "who": reader.who, "what": what, **about}
        log.info("knowledge base: %s", json.dumps(line))
        with (self.state / "audit.jsonl").open("ab") as file:
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def touch(self) -> None:
        """Tell the others that something changed below the folders that they look at."""
        (self.state / "changed").touch()

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """One process and thread at a time; a process that is killed leaves no lock."""
        with (self.state / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def tidy(self) -> None:
        """Leftovers of a service that was killed, and what belonged to files that are gone or have been replaced."""
        with self.locked("folder"):
            self.touch()
            for path in self.state.iterdir():
                if path.name.startswith(".reading-") or (path.name.startswith("file-") and not self.entry(path.name)):
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name.startswith((".arriving-", ".new-")) and time.time() - path.stat().st_mtime > 3600:
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


Prepare = Callable[[Documents, Entry, Path], Entry]
"""Makes the passages and vectors of a waiting file into a folder; the entry says how many. Raises NotSearchable."""


class NotSearchable(Exception):
    """A file that gives nothing to search, and why."""

    def __init__(self, reason: str, rejected: list[dict[str, str]] | None = None) -> None:
        super().__init__(reason)
        self.rejected = rejected or []


class Worker:
    """Reads waiting files one after the other, in a thread of its own."""

    def __init__(self, documents: Documents, prepare: Prepare, needed: Callable[[Entry], bool]) -> None:
        """needed: whether a file that was read must be read again."""
        self._documents, self._prepare, self._needed = documents, prepare, needed
        self._called, self._ended = threading.Event(), False
        self._thread = threading.Thread(target=self._work, daemon=True, name="documents")
        self._thread.start()

    def call(self) -> None:
        self._called.set()

    def end(self) -> None:
        self._ended = True
        self._called.set()

    def _work(self) -> None:
        while not self._ended:
            try:
                with self._documents.locked("reading"):
                    self._documents.tidy()
                    while not self._ended and (entry := self._next()):
                        self._read(entry)
                    self._documents.tidy()
            except OSError:
                log.exception("the folder of documents cannot be used")
            self._called.wait()
            self._called.clear()

    def _next(self) -> Entry | None:
        return next((one for one in self._documents.entries() if one.status != "error" and self._needed(one)), None)

    def _read(self, entry: Entry) -> None:
        place = self._documents.place(entry.id)
        made = Path(tempfile.mkdtemp(prefix=".reading-", dir=self._documents.state))
        try:
            self._documents.settled(self._prepare(self._documents, entry, made), made)
        except NotSearchable as error:
            self._documents.failed(entry.model_copy(update={"rejected": error.rejected}), str(error))
        except Exception as error:
            if place.is_dir():  # deleted while it was read: nothing to say
                log.exception("an uploaded file could not be read")
                self._documents.failed(entry, f"internal error: {type(error).__name__}")
        finally:
            shutil.rmtree(made, ignore_errors=True)


def safe_name(given: str) -> str:
    """The last part of a name without what hides or overrides characters, or has a meaning to a file system. Raises Refused."""
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", given)[-1])
    name = "".join(character for character in name if unicodedata.category(character) not in {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
    name = re.sub(r'[<>:"|?*]', "_", name).strip(" .~$")
    ending = Path(name).suffix.lower()
    if not name or ending not in ENDINGS or name.lower().endswith(SIDECAR) or len(name.encode()) > 200:
        kinds = "、".join(ENDINGS)
        raise Refused(
            400,
            "file_name",
            f"file: needs a name of at most 200 bytes that ends in one of {', '.join(ENDINGS)} (found {name[:80]!r}).",
            f"file：文件名不超过 200 字节，扩展名须为 {kinds}（实际为 {name[:80]!r}）。",
            "file",
        )
    return name


def keep(file: Any, path: Path) -> tuple[int, str]:
    """Copy to the disk and make sure that it is there; its size and SHA-256. Raises Refused where it is too large."""
    size, hashed = 0, sha256()
    with path.open("wb") as copy:
        while part := file.read(1 << 20):
            size += len(part)
            if size > largest():
                raise Refused(413, "file_too_large", f"The file is larger than {largest() >> 20} MiB.", f"文件超过 {largest() >> 20} MiB。")
            hashed.update(part)
            copy.write(part)
        copy.flush()
        os.fsync(copy.fileno())
    return size, hashed.hexdigest()


def write(path: Path, text: str) -> None:
    """All of it or nothing."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".new-", delete=False) as file:
        file.write(text)
        os.fchmod(file.fileno(), 0o644)  # ingest may run as another user
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)


def flushed(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def settle(folder: Path) -> None:
    """The names in a folder on the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def stamp_of(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        hashed = sha256()
        while part := file.read(1 << 20):
            hashed.update(part)
    return hashed.hexdigest()


def opened() -> Documents | None:
    """The folder that LINGYU_DOCUMENTS names; None where it names none."""
    folder = os.environ.get(FOLDER, "").strip()
    return Documents(Path(folder)) if folder else None
