"""Check, before anything runs, what a run would stumble over later: `python -m stages`, which `make repro` does first.

Every section of params.yaml against the stage or flow that it belongs to, and that data/ holds a file. DVC removes the
outputs of a stage before it starts it, and a slip in the last section would show after hours of training.
"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lingyu.stage import StageError, StageParams, read_params
from stages.ingest import DATA, EMPTY, files_of


def faults() -> Iterator[str]:
    """A text for each fault, none where the run may begin."""
    stages: dict[str, Any] = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    sections = read_params()
    known = {*stages, *(path.stem for path in Path("flows").glob("[!_]*.py"))}
    for section in sections:
        if section not in known:
            yield f"params.yaml: no stage or flow is named {section!r}."
    for name, stage in stages.items():
        params: type[StageParams] = importlib.import_module(f"stages.{name}").Params
        of_section = sections.get(name)
        items = (of_section.get("candidates") or {}) if isinstance(of_section, dict) and "foreach" in stage else [None]
        for item in items:
            try:
                params.load(name, item)
            except StageError as error:
                yield f"{name}@{item}: {error}" if item else f"{name}: {error}"
    if not any(files_of(DATA)):
        yield EMPTY


def main() -> None:
    try:
        found = list(faults())
    except StageError as error:
        found = [str(error)]
    if found:
        sys.exit(
            "\n".join([*found, "Nothing was started, nothing changed. Mend this first.", "什么都没有运行，也没有改动。请先改正以上问题。"])
        )


if __name__ == "__main__":
    main()
