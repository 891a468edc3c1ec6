"""Release targets behind one interface: a folder, Hugging Face, ModelScope.

A release is uploaded, downloaded again and verified before it gets its version, so every version is a verified release.
Tokens are read from the environment and passed to the hub's own client only.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from lingyu.release.staging import HUBS_OWN, MANIFEST, differences
from lingyu.stage import StageError

Kind = Literal["folder", "huggingface", "modelscope"]


class Hub(Protocol):
    """A target that stores releases by version."""

    place: str

    def released(self, version: str) -> bytes | None:
        """The manifest of this version, or None if the version does not exist."""

    def upload(self, folder: Path, version: str) -> str:
        """Upload the files of the folder without the version; returns an id of this state for `download` and `name`."""

    def download(self, state: str, into: Path) -> Path:
        """Download an uploaded state; returns its folder."""

    def name(self, state: str, version: str) -> None:
        """Set the version of the uploaded state. A version is never reassigned."""


def open_hub(kind: Kind, where: str, private: bool) -> Hub:
    """`where` is a path for a folder, otherwise owner/name; private applies to newly created repositories."""
    if kind == "folder":
        return Folder(Path(where))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", where):
        raise StageError(
            f"{where!r} is not a repository id of {kind}: use owner/name (params.yaml, release.{kind}; or --to {kind}=owner/name). "
            "Nothing was released."
        )
    return HuggingFace(where, private) if kind == "huggingface" else ModelScope(where, private)


def deliver(hub: Hub, folder: Path, version: str) -> bool:
    """Upload, download, verify, and only then set the version; False if the version already exists with this content."""
    there = hub.released(version)
    if there == (folder / MANIFEST).read_bytes():
        return False
    if there is not None:
        raise StageError(
            f"{hub.place} already has a version {version} with different content. Versions cannot be overwritten: "
            "choose another with --version, or omit it to use the hash of the content. Nothing was uploaded."
        )
    state = hub.upload(folder, version)
    with tempfile.TemporaryDirectory(dir=folder.parent) as into:
        if faults := differences(hub.download(state, Path(into)), folder):
            head, end = f"the download from {hub.place} differs from the upload:", "The new version was not set. Run the release again."
            raise StageError("\n".join([head, *faults, end]))
    hub.name(state, version)
    return True


class Folder:
    """releases/<version>/ on this machine or on a mounted disk."""

    def __init__(self, root: Path) -> None:
        self.root, self.place = root, f"folder {root}"

    def released(self, version: str) -> bytes | None:
        if not (self.root / version).exists():
            return None
        manifest = self.root / version / MANIFEST
        return manifest.read_bytes() if manifest.exists() else b""

    def upload(self, folder: Path, version: str) -> str:
        partial = self.root / f".{version}.partial"  # on the same disk as the target, so that setting the version is one rename
        with plain_errors(self.place):
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(folder, partial)
        return partial.name

    def download(self, state: str, into: Path) -> Path:
        return self.root / state

    def name(self, state: str, version: str) -> None:
        with plain_errors(self.place):
            (self.root / state).rename(self.root / version)


class HuggingFace:
    def __init__(self, repository: str, private: bool) -> None:
        endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        if "//huggingface.co" not in endpoint:
            # Other servers have no xet store for large files. Read once, when the client is imported.
            os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
        from huggingface_hub import HfApi

        self.repository, self.private, self.place = repository, private, f"Hugging Face {repository}"
        self.api = HfApi(endpoint=endpoint, token=token("HF_TOKEN", "Hugging Face"))

    def plain_errors(self) -> AbstractContextManager[None]:
        from httpx2 import HTTPError

        return plain_errors(self.place, "HF_TOKEN", HTTPError, RuntimeError)  # RuntimeError: upload of a large file failed

    def released(self, version: str) -> bytes | None:
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

        with self.plain_errors(), tempfile.TemporaryDirectory() as folder:
            self.api.whoami()
            try:
                return Path(self.api.hf_hub_download(self.repository, MANIFEST, revision=version, local_dir=folder)).read_bytes()
            except (RepositoryNotFoundError, RevisionNotFoundError):
                return None
            except EntryNotFoundError:
                return b""

    def upload(self, folder: Path, version: str) -> str:
        with self.plain_errors():
            self.api.create_repo(self.repository, private=self.private, exist_ok=True)
            check_foreign_files(self.place, self.api.list_repo_files(self.repository), folder)
            # delete_patterns: files of an older release must not remain.
            commit = self.api.upload_folder(
                repo_id=self.repository, folder_path=folder, commit_message=f"Release {version}", delete_patterns="*"
            )
            return str(commit.oid)

    def download(self, state: str, into: Path) -> Path:
        with self.plain_errors():
            self.api.snapshot_download(self.repository, revision=state, local_dir=into)
        return into

    def name(self, state: str, version: str) -> None:
        with self.plain_errors():
            self.api.create_tag(self.repository, tag=version, revision=state)


class ModelScope:
    def __init__(self, repository: str, private: bool) -> None:
        os.environ.setdefault("MODELSCOPE_LOG_LEVEL", "WARNING")  # it logs each step and prints a table in addition to its progress bars
        from modelscope_hub import HubApi, HubConfig

        self.repository, self.private, self.place = repository, private, f"ModelScope {repository}"
        # A separate configuration: the default one keeps the endpoint it was first created with.
        self.api = HubApi(HubConfig(token=token("MODELSCOPE_API_TOKEN", "ModelScope")))

    def plain_errors(self) -> AbstractContextManager[None]:
        from modelscope_hub.errors import HubError

        return plain_errors(self.place, "MODELSCOPE_API_TOKEN", HubError)

    def released(self, version: str) -> bytes | None:
        from modelscope_hub.errors import NotExistError

        with self.plain_errors(), tempfile.TemporaryDirectory() as folder:
            self.api.whoami()
            if not self.api.repo_exists(self.repository, "model"):
                return None
            if version not in {revision.get("Revision") for revision in self.api.list_repo_revisions(self.repository, "model")}:
                return None
            try:
                file: Path = self.api.download_file(self.repository, "model", MANIFEST, revision=version, local_dir=folder)
                return file.read_bytes()
            except NotExistError:
                return b""

    def upload(self, folder: Path, version: str) -> str:
        from modelscope_hub import Visibility

        with self.plain_errors():
            if not self.api.repo_exists(self.repository, "model"):
                self.api.create_repo(self.repository, "model", visibility=Visibility.PRIVATE if self.private else Visibility.PUBLIC)
            check_foreign_files(self.place, (file.path for file in self.api.list_repo_files(self.repository, "model")), folder)
            # use_cache=False: with its record of an earlier upload the client would upload nothing to a repository that has been
            # emptied since. Files that the hub already has are not uploaded again in either case.
            self.api.upload_folder(
                self.repository, "model", folder, commit_message=f"Release {version}", use_cache=False, sync_remote_repo=True
            )
            return "master"

    def download(self, state: str, into: Path) -> Path:
        with self.plain_errors():
            self.api.download_repo(self.repository, "model", revision=state, local_dir=into)
        return into

    def name(self, state: str, version: str) -> None:
        with self.plain_errors():
            self.api.create_repo_tag(self.repository, "model", version, revision=state)


def token(variable: str, hub: str) -> str:
    """The token of a hub, from the environment only: one saved by an earlier login may belong to someone else."""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise StageError(f"{variable} is not set. Set it to a {hub} token with write access. Nothing was released.")
    return value


def check_foreign_files(place: str, there: Iterable[str], folder: Path) -> None:
    """Raises StageError if the repository contains files that are not from a release: uploading would delete them."""
    ours = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    files = set(there)
    foreign = sorted(files - ours - HUBS_OWN)
    if foreign and MANIFEST not in files:
        raise StageError(
            f"{place} contains files that are not from a release: {', '.join(foreign[:5])} ({len(foreign)} in total). "
            "Choose an empty repository (params.yaml, section release). Nothing was uploaded."
        )


@contextmanager
def plain_errors(place: str, variable: str = "", *kinds: type[Exception]) -> Iterator[None]:
    """Convert errors of the disk or of a client into one StageError."""
    failures: tuple[type[Exception], ...] = (OSError, *kinds)
    try:
        yield
    except failures as error:
        status = next((code for link in chain(error) if (code := status_of(link))), None)
        if status in {401, 403}:
            raise StageError(
                f"{place} rejected the token in {variable} (HTTP {status}). Use a token with write access to this repository. "
                "The new version was not set."
            ) from error
        raise StageError(
            f"the transfer of {place} was interrupted: {without_secrets(': '.join(dict.fromkeys(str(link) for link in chain(error))))}\n"
            "The new version was not set. Run the release again: files already uploaded are not sent again."
        ) from error


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def status_of(error: BaseException) -> int | None:
    status: Any = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def without_secrets(message: str) -> str:
    """A client's message without tokens and URL queries, which may contain a signature."""
    for variable in ("HF_TOKEN", "MODELSCOPE_API_TOKEN"):
        if value := os.environ.get(variable, "").strip():
            message = message.replace(value, "***")
    return re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]+", r"\1", message)
