"""`lingyu verify`: whether a release is what its manifest, its signature and its lineage say, each fault named."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lingyu.files import read_json
from lingyu.release import lineage, signature
from lingyu.release.hubs import HuggingFace, ModelScope, tried
from lingyu.release.signature import SIGNATURE
from lingyu.release.staging import MANIFEST, differences
from lingyu.stage import StageError

FOLDER = Path("releases")


@dataclass(frozen=True)
class Verdict:
    """What was looked at, and what is wrong; remarks are what could not be looked at."""

    checked: list[str]
    faults: list[str]
    remarks: list[str]


@contextmanager
def fetched(release: str) -> Iterator[Path]:
    """The folder of a release: a path, a version under releases/, or huggingface:owner/name@version, modelscope:owner/name@version."""
    kind, colon, where = release.partition(":")
    if colon and kind in {"huggingface", "modelscope"}:
        repository, _, revision = where.partition("@")
        if not revision:
            raise StageError(f"{release}: write {kind}:{repository}@VERSION. The newest state of a branch is no release.")
        hub = (HuggingFace if kind == "huggingface" else ModelScope)(repository, private=True, reading=True)
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR"), prefix="lingyu-") as folder:
            yield tried(lambda: hub.download(revision, Path(folder)))
        return
    found = next((path for path in (Path(release), FOLDER / release) if path.is_dir()), None)
    if found is None:
        raise StageError(f"{release}: no such folder, and no version of {FOLDER}. On a hub: huggingface:owner/name@version, modelscope:….")
    yield found


def verdict(folder: Path, key: Path | None, repository: Path) -> Verdict:
    """key: the public key that the release should be signed with. repository: the project's clone, for what only git can tell."""
    if not (folder / MANIFEST).is_file():
        raise StageError(f"{folder} has no {MANIFEST}, so it is no release.")
    try:
        manifest = read_json(folder / MANIFEST)
        files = dict(manifest["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(f"{folder / MANIFEST} cannot be read as the manifest of a release: {error!r}.") from error
    checked, remarks = [f"{len(files)} files by their SHA-256"], list[str]()
    faults = [line.strip() for line in differences(folder, folder)]

    signed = (folder / SIGNATURE).is_file()
    if manifest.get("signer") and not signed:
        faults.append(f"{SIGNATURE}: missing, though the manifest says that the release is signed ({manifest['signer'][:12]}…)")
    elif key:
        faults += signature.faults(folder, key)
        checked.append(f"the signature by {key}")
    elif signed:
        remarks.append(f"signed with the key {signature.signed_by(folder)[:12]}…, which was not checked: give the public key with --key")
    else:
        remarks.append("not signed: who made it cannot be told")

    faults += [f"lineage: {line}" for line in lineage.contradictions(manifest, folder)]
    checked.append("the lineage in itself, and against the files")
    if all(key in manifest for key in lineage.KEYS):
        differing = lineage.differs_from_git(manifest, repository)
        if differing is None:
            remarks.append("the commit is not in this folder's git, so code, parameters and data.dvc were not compared with it")
        else:
            faults += [f"lineage: {line}" for line in differing]
            checked.append("code, parameters and data.dvc against the commit")
    return Verdict(checked, faults, remarks)
