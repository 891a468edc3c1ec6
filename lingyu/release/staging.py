"""What is sent: the packaged model in a clean folder, compared with its manifest before it leaves and after it came back."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from lingyu.files import read_json, sha256, write_json
from lingyu.stage import StageError

MANIFEST = "manifest.json"
# A hub puts these into a repository by itself; they are neither ours nor a stranger's.
HUBS_OWN = {".gitattributes", ".gitignore", "README.md", "configuration.json"}

Weights = Literal["all", "merged", "adapter"]


@contextmanager
def staged(package: Path, weights: Weights, root: Path, lineage: Mapping[str, Any]) -> Iterator[Path]:
    """A clean folder with the files to release, each compared with what `package` wrote, and their manifest with the lineage added."""
    if not (package / MANIFEST).exists():
        raise StageError(f"{package / MANIFEST} is missing: nothing to release yet. Run `dvc repro package` first.")
    manifest = read_json(package / MANIFEST)
    files = chosen(manifest["files"], weights, package)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".staging-") as folder:
        stage = Path(folder) / "release"
        for target, source in files.items():
            (stage / target).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(package / source, stage / target)
        digests = {target: manifest["files"][source] for target, source in files.items()}
        write_json(stage / MANIFEST, {**manifest, **lineage, "files": digests})
        if faults := differences(stage, stage):
            raise StageError(
                "\n".join([f"{package} is not what its manifest says:", *faults, "Run `dvc repro package`. Nothing was released."])
            )
        yield stage


def chosen(files: dict[str, str], weights: Weights, package: Path) -> dict[str, str]:
    """Which files to release, by the path they get: all; without the adapter; or the adapter with its tokenizer and card."""
    if weights == "all":
        return {path: path for path in files}
    if weights == "merged":
        return {path: path for path in files if not path.startswith("adapter/")}
    if "adapter/adapter_config.json" not in files:
        raise StageError(
            f"{package} has no adapter: the winner was trained in full, or by a method that PEFT has no adapter for. "
            "Release it with --weights merged."
        )
    base = str(read_json(package / "adapter/adapter_config.json").get("base_model_name_or_path") or "")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", base) or Path(base).exists():
        raise StageError(
            f"the adapter rests on {base or 'a base it does not name'}, which is on no hub, so nobody could load it alone. "
            "Release it with --weights merged."
        )
    beside = {
        path: path
        for path in files
        if "/" not in path and not re.fullmatch(r".*\.safetensors(\.index\.json)?|(generation_)?config\.json", path)
    }
    return beside | {path.removeprefix("adapter/"): path for path in files if path.startswith("adapter/")}


def link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except FileNotFoundError:
        pass  # the comparison names it
    except OSError:
        shutil.copyfile(source, target)


def differences(there: Path, ours: Path) -> list[str]:
    """A line for each file that is missing, altered or new in `there`, by the manifest in `ours`."""
    expected = {**read_json(ours / MANIFEST)["files"], MANIFEST: sha256(ours / MANIFEST)}
    found = {path.relative_to(there).as_posix(): path for path in there.rglob("*") if path.is_file()}
    lines = []
    for path, digest in expected.items():
        if path not in found:
            lines.append(f"  {path}: missing")
        elif (actual := sha256(found[path])) != digest:
            lines.append(f"  {path}: sha256 is {actual[:12]}…, not {digest[:12]}…")
    # A client keeps its notes in hidden folders.
    return lines + [
        f"  {path}: not in the manifest" for path in sorted(found.keys() - expected.keys() - HUBS_OWN) if not path.startswith(".")
    ]
