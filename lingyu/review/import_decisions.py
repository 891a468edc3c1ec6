"""Bringing a reviewer's file back: into reviews/ of the folder that data/ is made from, once it is known to fit."""

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
class Brought:
    path: Path
    decisions: list[Decision]
    unmet: dict[Decision, str]


def bring(file: Path, corpus: Path, made: Path) -> Brought:
    """Copy the file into the corpus, under a name that no other has. Raises StageError where it does not fit, and copies nothing.

    made: the rows that the decisions are about; those that no row asks for are told, and kept.
    """
    if file.suffix.lower() not in READERS or not file.is_file():
        kinds = "a workbook (.xlsx), JSON lines (.jsonl) or an export of Label Studio (.json)"
        raise StageError(f"{file} is no file of decisions. Bring {kinds}.")
    folder = corpus / REVIEWS
    there = files_of(folder)
    if same := [path for path in there if path.read_bytes() == file.read_bytes()]:
        raise StageError(f"{file} is in {folder} already, as {same[0].name}. Nothing was copied.")
    target = next(path for path in names(folder / file.name) if not path.exists())
    found = decisions_of([(file, NEW)])
    if not found:
        raise StageError(f"{file} holds no decision: its column decision is empty. Nothing was copied.")
    decisions_of([*((path, path.name) for path in there), (file, NEW)])  # raises where they contradict each other
    rulings = Rulings(found)
    for table, row in made_rows(made):
        rulings.seen(table, row)
    rulings.settle()
    if faults := misfits(made_rows(made), rulings):
        raise StageError("\n".join(["these decisions do not fit their rows, and nothing was copied 未复制:", *faults]))
    folder.mkdir(exist_ok=True)
    target.write_bytes(file.read_bytes())
    return Brought(target, found, rulings.unmet)


def names(path: Path) -> Iterator[Path]:
    """The path, and then others like it: what a reviewer brought before is never written over."""
    yield path
    number = 2
    while True:
        yield path.with_stem(f"{path.stem}-{number}")
        number += 1


def corpus_of(pointer: Path) -> Path:
    """The folder that data/ is made from, by data.dvc."""
    try:
        entry = yaml.safe_load(pointer.read_text(encoding="utf-8"))
        source = str(entry["deps"][0]["path"])
    except (OSError, KeyError, IndexError, TypeError):
        raise StageError(f"{pointer} does not say where data/ comes from. Put your documents there with `make data FROM=folder`.") from None
    folder = pointer.parent / source
    if "://" in source or not folder.is_dir():
        raise StageError(
            f"data/ is made from {source}, which is no folder here. Put the file into its {REVIEWS}/ where it is, then `dvc update "
            "data.dvc`; or keep the corpus here: `cp -rL data folder; make data FROM=folder`."
        )
    return folder
