"""The staging folder of a release: the packaged model, compared with its manifest before the upload and after the download."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from lingyu.files import read_json, sha256, write_json
from lingyu.release import signature
from lingyu.release.signature import SIGNATURE
from lingyu.stage import StageError

MANIFEST = "manifest.json"
# Files that a hub adds to a repository by itself.
HUBS_OWN = {".gitattributes", ".gitignore", "README.md", "configuration.json"}

Weights = Literal["all", "merged", "adapter"]


@contextmanager
def staged(package: Path, weights: Weights, root: Path, lineage: Mapping[str, Any], key: Path | None = None) -> Iterator[Path]:
    """A clean folder with the files to release, verified against the output of `package`, their manifest with the lineage, and where a
    private key is given their signature."""
    if not (package / MANIFEST).exists():
        raise StageError(f"{package / MANIFEST} is missing, so there is nothing to release. Run `dvc repro package` first.")
    manifest = read_json(package / MANIFEST)
    files = chosen(manifest["files"], weights, package)
    # Named in the manifest, so that a release that lost its signature is not taken for one that had none.
    signer = {"signer": signature.signer_of(key)} if key else {}
    part = {} if weights == "all" else {"weights": weights}
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".staging-") as folder:
        stage = Path(folder) / "release"
        for target, source in files.items():
            (stage / target).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(package / source, stage / target)
        digests = {target: manifest["files"][source] for target, source in files.items()}
        write_json(stage / MANIFEST, {**manifest, **lineage, **part, **signer, "files": digests})
        if faults := differences(stage, stage):
            raise StageError(
                "\n".join([f"{package} does not match its manifest:", *faults, "Run `dvc repro package`. Nothing was released."])
            )
        if key:
            signature.sign(stage, key)
        yield stage


def chosen(files: dict[str, str], weights: Weights, package: Path) -> dict[str, str]:
    """The files to release, by target path: all, without the adapter, or the adapter with tokenizer and card."""
    if weights == "all":
        return {path: path for path in files}
    if weights == "merged":
        return {path: path for path in files if not path.startswith("adapter/")}
    if "adapter/adapter_config.json" not in files:
        raise StageError(
            f"{package} has no adapter: the winner was fully fine-tuned, or trained with a method that has no PEFT adapter. "
            "Release it with --weights merged."
        )
    base = str(read_json(package / "adapter/adapter_config.json").get("base_model_name_or_path") or "")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", base) or Path(base).exists():
        raise StageError(
            f"the base model of the adapter ({base or 'not named'}) is not on a hub, so the adapter cannot be loaded by itself. "
            "Release it with --weights merged."
        )
    beside = {
        path: path
        for path in files
        if "/" not in path and not re.fullmatch(r".*\.safetensors(\.index\.json)?|(generation_)?config\.json", path)
    }
    return beside | {path.removeprefix("adapter/"): path for path in files if path.startswith("adapter/")}


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for the file where the disk allows it: weights are large. What is missing is reported by the comparison."""
    if not source.exists():
        return
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def readable(folder: Path) -> None:
    """Modes as a web server or another account needs them: files that DVC linked are read-only for their owner alone."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def expected_files(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file that a release has, by its manifest."""
    beside = [name for name in (MANIFEST, SIGNATURE) if (folder / name).is_file()]
    return {**read_json(folder / MANIFEST)["files"], **{name: sha256(folder / name) for name in beside}}


def differences(there: Path, ours: Path) -> list[str]:
    """A line for each file that is missing, changed or new in `there`, compared with the manifest in `ours`."""
    expected = expected_files(ours)
    found = {path.relative_to(there).as_posix(): path for path in there.rglob("*") if path.is_file()}
    lines = []
    for path, digest in expected.items():
        if path not in found:
            lines.append(f"  {path}: missing")
        elif (actual := sha256(found[path])) != digest:
            lines.append(f"  {path}: sha256 is {actual[:12]}…, expected {digest[:12]}…")
    # Clients keep metadata in hidden folders.
    return lines + [
        f"  {path}: not in the manifest" for path in sorted(found.keys() - expected.keys() - HUBS_OWN) if not path.startswith(".")
    ]
