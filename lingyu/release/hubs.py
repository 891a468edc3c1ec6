"""Where a release goes: a folder, Hugging Face or ModelScope, behind one small interface.

A release is uploaded first, read back, and named last: only what was compared carries a version.
Tokens come from the environment, go to the hub's own client, and nowhere else.
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
    """A place that keeps releases by version."""

    place: str

    def released(self, version: str) -> bytes | None:
        """The manifest that stands under this version; None when the version is free."""

    def upload(self, folder: Path, version: str) -> str:
        """Put the files of the folder there, not yet under the version; what to call this state when asking for it back."""

    def download(self, state: str, into: Path) -> Path:
        """Fetch what `upload` put there; the folder where it is now."""

    def name(self, state: str, version: str) -> None:
        """Give the uploaded state its version. It is never given to another one."""


def open_hub(kind: Kind, where: str, private: bool) -> Hub:
    """`where` is a path for a folder, else owner/name; a repository that is made anew is private or public."""
    if kind == "folder":
        return Folder(Path(where))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", where):
        raise StageError(
            f"{where!r} is no repository of {kind}: write owner/name there (params.yaml, release.{kind}; or --to {kind}=owner/name). "
            "Nothing was released."
        )
    return HuggingFace(where, private) if kind == "huggingface" else ModelScope(where, private)


def deliver(hub: Hub, folder: Path, version: str) -> bool:
    """Upload, fetch again, compare, and only then give the version; False when it stands there already with this content."""
    there = hub.released(version)
    if there == (folder / MANIFEST).read_bytes():
        return False
    if there is not None:
        raise StageError(
            f"{hub.place} has a version {version} already, with other content. A version is never given twice: "
            "choose another with --version, or leave it out to name the release by its content. Nothing was uploaded."
        )
    state = hub.upload(folder, version)
    with tempfile.TemporaryDirectory(dir=folder.parent) as into:
        if faults := differences(hub.download(state, Path(into)), folder):
            head, end = f"what {hub.place} gives back is not what was sent:", "Nothing carries the new version. Run the release again."
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
        partial = self.root / f".{version}.partial"  # same disk as its final place, so that naming it is one rename
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
            # The client sends large files to a xet store, and other servers have none. Read once, at its import.
            os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
        from huggingface_hub import HfApi

        self.repository, self.private, self.place = repository, private, f"Hugging Face {repository}"
        self.api = HfApi(endpoint=endpoint, token=token("HF_TOKEN", "Hugging Face"))

    def plain_errors(self) -> AbstractContextManager[None]:
        from httpx2 import HTTPError

        return plain_errors(self.place, "HF_TOKEN", HTTPError, RuntimeError)  # RuntimeError: a large file did not go up

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
            refuse_strangers(self.place, self.api.list_repo_files(self.repository), folder)
            # delete_patterns: what an older release had and this one has not must not ride along.
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
        os.environ.setdefault("MODELSCOPE_LOG_LEVEL", "WARNING")  # it reports each step, and prints a table besides its bars
        from modelscope_hub import HubApi, HubConfig

        self.repository, self.private, self.place = repository, private, f"ModelScope {repository}"
        # A configuration of its own: the default one keeps the endpoint it was first made with.
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
            refuse_strangers(self.place, (file.path for file in self.api.list_repo_files(self.repository, "model")), folder)
            # use_cache=False: its record of an earlier upload makes the client send nothing to a repository that was emptied
            # since. Files that the hub has are not sent again without it either: the hub says which.
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
    """The token of a hub, from the environment only: one saved by an earlier login may be somebody else's."""
    value = os.environ.get(variable, "").strip()
    if not value:
        raise StageError(f"{variable} is not set. Put a token of {hub} with write access into it. Nothing was released.")
    return value


def refuse_strangers(place: str, there: Iterable[str], folder: Path) -> None:
    """Raise where the repository holds files that no release of ours put there: uploading would delete them."""
    ours = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    files = set(there)
    strangers = sorted(files - ours - HUBS_OWN)
    if strangers and MANIFEST not in files:
        raise StageError(
            f"{place} holds files that no release put there: {', '.join(strangers[:5])} ({len(strangers)} in all). "
            "Choose an empty repository (params.yaml, section release). Nothing was uploaded."
        )


@contextmanager
def plain_errors(place: str, variable: str = "", *kinds: type[Exception]) -> Iterator[None]:
    """Turn what the disk or a client raises into one message for the person who releases."""
    failures: tuple[type[Exception], ...] = (OSError, *kinds)
    try:
        yield
    except failures as error:
        status = next((code for link in chain(error) if (code := status_of(link))), None)
        if status in {401, 403}:
            raise StageError(
                f"{place} refused the token in {variable} (HTTP {status}). Give it one with write access to this repository. "
                "Nothing carries the new version."
            ) from error
        raise StageError(
            f"{place} broke off: {without_secrets(': '.join(dict.fromkeys(str(link) for link in chain(error))))}\n"
            "Nothing carries the new version. Run the release again: files that arrived are not sent a second time."
        ) from error


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def status_of(error: BaseException) -> int | None:
    status: Any = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def without_secrets(message: str) -> str:
    """A client's message without tokens and without the query of a URL, which may carry a signature."""
    for variable in ("HF_TOKEN", "MODELSCOPE_API_TOKEN"):
        if value := os.environ.get(variable, "").strip():
            message = message.replace(value, "***")
    return re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]+", r"\1", message)
