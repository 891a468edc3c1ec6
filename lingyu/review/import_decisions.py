"""Imports a reviewer's file into reviews/ of the source folder of data/, after checking it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from lingyu.records import REVIEWS
from lingyu.review.decisions import READERS, Decision, decisions_of, files_of
from lingyu.review.queue import made_rows
from lingyu.review.rulings import Rulings, misfits
from lingyu.stage import StageError

NEW = "the new file 新文件"


@dataclass(frozen=True)
class Imported:
    path: Path
    decisions: list[Decision]
    unmet: dict[Decision, str]


def import_file(file: Path, corpus: Path, made: Path) -> Imported:
    """Copy the file into the corpus under an unused name. Raises StageError and copies nothing if it is not valid.

    made: the generated rows. Decisions without a row are kept and returned in `unmet`.
    """
    if file.suffix.lower() not in READERS or not file.is_file():
        kinds = "a workbook (.xlsx), JSON lines (.jsonl) or an export of Label Studio (.json)"
        raise StageError(f"{file} is not a decision file. Use {kinds}.")
    folder = corpus / REVIEWS
    there = files_of(folder)
    if same := [path for path in there if path.read_bytes() == file.read_bytes()]:
        raise StageError(f"{file} is already in {folder} as {same[0].name}. Nothing was copied.")
    target = next(path for path in names(folder / file.name) if not path.exists())
    found = decisions_of([(file, NEW)])
    if not found:
        raise StageError(f"{file} contains no decisions: its column decision is empty. Nothing was copied.")
    decisions_of([*((path, path.name) for path in there), (file, NEW)])  # raises if they contradict each other
    rulings = Rulings(found)
    for table, row in made_rows(made):
        rulings.add(table, row)
    rulings.settle()
    if faults := misfits(made_rows(made), rulings):
        raise StageError(
            "\n".join(["these decisions do not match their rows; nothing was copied 审核决定与对应的行不符，未复制:", *faults])
        )
    folder.mkdir(exist_ok=True)
    target.write_bytes(file.read_bytes())
    return Imported(target, found, rulings.unmet)


def names(path: Path) -> Iterator[Path]:
    """The path, then numbered variants, so that an earlier file is never overwritten."""
    yield path
    number = 2
    while True:
        yield path.with_stem(f"{path.stem}-{number}")
        number += 1


def corpus_of(pointer: Path) -> Path:
    """The source folder of data/, from data.dvc."""
    try:
        entry = yaml.safe_load(pointer.read_text(encoding="utf-8"))
        source = str(entry["deps"][0]["path"])
    except (OSError, KeyError, IndexError, TypeError):
        raise StageError(f"{pointer} does not name the source of data/. Import your documents with `make data FROM=folder`.") from None
    folder = pointer.parent / source
    if "://" in source or not folder.is_dir():
        raise StageError(
            f"data/ is imported from {source}, which is not a local folder. Put the file into {REVIEWS}/ at the source and run `dvc update "
            "data.dvc`; or keep the corpus locally: `cp -rL data folder; make data FROM=folder`."
        )
    return folder
