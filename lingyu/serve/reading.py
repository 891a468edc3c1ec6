"""Reads an uploaded file into passages, in a process of its own: `python -m lingyu.serve.reading FILE SOURCE OUT SETTINGS`.

A hostile or enormous file can then neither stop the service nor fill its memory. FILE has the ending of the uploaded name. What was
found goes to OUT: chunks.parquet, their words for BM25, and found.json with the rows by table and what was rejected and why.
"""

import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel

from lingyu.clean import pii
from lingyu.clean.written import normalised
from lingyu.files import short_hash, write_json, write_table
from lingyu.ingest.file import Limits, Source, read
from lingyu.ingest.readers import Fault, markdown_table
from lingyu.records import Dialogue, Document, Fact, Row
from lingyu.retrieve.added import Words
from lingyu.retrieve.chunks import Chunk, chunk_of_fact, chunks_of_document
from lingyu.text.normalise import language_of, normal

SECONDS = 900  # of processor time for one file
MEMORY = 4 << 30
TOLD = 100  # rejected parts that are listed
TOP = Path(__file__).parents[2]


class How(BaseModel):
    """As index made its passages, and clean their text: knowledge/settings.json."""

    max_characters: int = 240
    mask: list[str] = [kind for kind in pii.RULES if kind not in pii.BY_MODEL]
    simplified: bool = False


def main(file: Path, source: str, out: Path, how: How) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    made, rejected, rest = Counter[str](), list[Fault](), 0

    def chunks() -> Iterator[Chunk]:
        nonlocal rest
        for table, row in rows(file, source):
            made[table] += 1
            if isinstance(row, Fault):
                rest += len(rejected) >= TOLD
                rejected[len(rejected) : TOLD] = [row] if len(rejected) < TOLD else []
                continue
            row, _ = normalised(row, how.mask, how.simplified)
            for chunk in chunks_of(row, Path(source).stem, how.max_characters):
                made["passages"] += 1
                if made["passages"] % 50 == 0:
                    print(made["passages"], flush=True)
                yield chunk

    def kept() -> Iterator[Chunk]:
        for chunk in chunks():
            found.append(chunk)
            yield chunk

    found = list[Chunk]()
    write_table(out / "chunks.parquet", kept(), Chunk)
    (out / "words.json").write_text(Words.of(found).model_dump_json(), encoding="utf-8")
    told = [{"place": fault.place, "reason": fault.reason, "detail": fault.detail} for fault in rejected]
    write_json(out / "found.json", {"rows": dict(made), "rejected": told, "rejected_more": rest})


def rows(file: Path, source: str) -> Iterator[tuple[str, Row | Fault]]:
    """The rows as ingest makes them. A record that is in no known shape is rejected there; here it can still be searched, as it stands."""
    rule = Source(pattern="*", licence="", scope="domain")
    for table, _, row in read(file, file.name, rule, Limits(), Counter(), Counter()):
        if isinstance(row, Fault):
            yield "rejected", row
            if row.reason in {"unknown_shape", "incomplete"} and isinstance(row.row, dict) and (found := record(row, source)):
                yield "records", found
        else:
            yield table, row.model_copy(update={"source": source})


def record(fault: Fault, source: str) -> Document | None:
    cells = {name: str(value) for name, value in fault.row.items() if value not in (None, "", [], {})}
    if not cells:
        return None
    text = normal(markdown_table([list(cells), list(cells.values())]))
    return Document(
        id=short_hash("records", source, fault.place),
        source=source, place=fault.place, licence="", scope="domain", language=language_of(text),
        title=Path(source).stem, section="", text=text,
    )  # fmt: skip


def chunks_of(row: Row, title: str, characters: int) -> Iterator[Chunk]:
    """A question with its answer can be searched, too: it is a passage under the question."""
    if isinstance(row, Document):
        yield from chunks_of_document(row, characters)
    elif isinstance(row, Fact):
        yield chunk_of_fact(row)
    elif isinstance(row, Dialogue):
        said = [message.content for message in row.messages if message.role != "system"]
        for number, (question, answer) in enumerate(zip(said[::2], said[1::2], strict=False)):
            shared = {name: getattr(row, name) for name in ("source", "place", "licence", "scope", "language")}
            asked = Document(id=short_hash(row.id, str(number)), title=title, section=question[:200], text=answer, **shared)
            yield from chunks_of_document(asked, characters)


class NotRead(Exception):
    """The process that reads a file ended without a result."""


def read_apart(file: Path, source: str, out: Path, how: How, progress: Callable[[int], None]) -> None:
    """The same in a process of its own. Raises NotRead."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LINGYU_")}
    environment = kept | {"PYTHONPATH": str(TOP), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lingyu.serve.reading", str(file), source, str(out), how.model_dump_json()]
    with (out / "errors").open("w+b") as errors:
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors) as process:
            for line in process.stdout or ():
                progress(int(line))
        if process.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
            raise NotRead(said[-1][:300] if said else f"the reader ended with {process.returncode}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), How.model_validate_json(sys.argv[4]))
