"""The project folder as it was before a run: kept while the run lasts, and put back unless it succeeds.

What belongs to it is data.dvc (and other .dvc files of imports) and dvc.lock; data/ and out/ follow from these by `dvc checkout`.
A run that was killed leaves what was kept, and the next run puts it back before it starts.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

KEPT = Path(".lingyu/retrain/before")
HALF_MADE = Path(".lingyu/retrain/failed")
LIST = "files.json"


@contextmanager
def kept(files: Iterable[Path], checkout: Callable[[], object]) -> Iterator[None]:
    """Keep the files; if the run ends in any error, put them back, and leave what it had made of them in HALF_MADE."""
    keep(list(files))
    try:
        yield
    except BaseException:
        put_back(checkout)
        raise
    shutil.rmtree(KEPT)


def keep(files: list[Path]) -> None:
    partial = KEPT.with_name("before.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for number, file in enumerate(files):
        if file.exists():
            shutil.copy2(file, partial / str(number))
    (partial / LIST).write_text(json.dumps([str(file) for file in files]), encoding="utf-8")
    partial.replace(KEPT)  # all or nothing: the machine may stop at any time


def put_back(checkout: Callable[[], object]) -> bool:
    """Put back what an unfinished run had kept, if there is any; whether something had changed."""
    if not KEPT.exists():
        return False
    files = [Path(name) for name in json.loads((KEPT / LIST).read_text(encoding="utf-8"))]
    changed = [(number, file) for number, file in enumerate(files) if content(KEPT / str(number)) != content(file)]
    if changed:
        shutil.rmtree(HALF_MADE, ignore_errors=True)
        HALF_MADE.mkdir(parents=True)
    for number, file in changed:
        if file.exists():
            shutil.copy2(file, HALF_MADE / file.name)
        file.unlink(missing_ok=True)
        if (KEPT / str(number)).exists():
            shutil.copy2(KEPT / str(number), file)
    checkout()  # also where nothing changed: the stage that failed may have deleted its outputs
    shutil.rmtree(KEPT)
    return bool(changed)


def content(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None
