"""Release targets behind one interface: a folder, Hugging Face, ModelScope.

A release is uploaded, downloaded again and verified before it gets its version, and the version is believed once it has been read back,
so every version is a verified release. What may pass (a busy hub, a cut connection) is tried again. Tokens are read from the environment
and passed to the hub's own client only.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from lingyu.errors import Unavailable, disk_is_full
from lingyu.files import hashes, sha256
from lingyu.release.staging import HUBS_OWN, MANIFEST, differences, expected_files, readable
from lingyu.stage import StageError

T = TypeVar("T")
Kind = Literal["folder", "huggingface", "modelscope"]
WAITS = [1.0, 4.0, 15.0, 60.0]  # seconds before each further try, where the hub does not say how long
LONGEST = 300.0  # that a hub may ask for with Retry-After


class Passing(Unavailable):
    """A transfer that failed for a reason that may pass. wait: the seconds that the hub asks for."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Hub(Protocol):
    """A target that stores releases by version."""

    place: str

    def released(self, version: str) -> bytes | None:
        """The manifest of this version, or None if the version does not exist."""

    def upload(self, folder: Path, version: str) -> str:
        """Upload the files of the folder without the version; returns an id of this state for `download` and `name`."""

    def download(self, state: str, into: Path) -> Path:
        """Download a state or a version; returns its folder."""

    def name(self, state: str, version: str) -> None:
        """Set the version of the uploaded state. A version is never reassigned."""

    def named(self, version: str, state: str, files: Mapping[str, str]) -> bool:
        """Whether the version, asked anew, is the state that was compared. files: the SHA-256 of each."""


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
    """Upload, download, verify, set the version and read it back; False if the version already exists with this content."""
    there = tried(lambda: hub.released(version))
    if there == (folder / MANIFEST).read_bytes():
        return False
    if there is not None:
        raise StageError(
            f"{hub.place} already has a version {version} with different content. Versions cannot be overwritten: "
            "choose another with --version, or omit it to use the hash of the content. Nothing was uploaded."
        )
    state = tried(lambda: hub.upload(folder, version))
    tried(lambda: compare(hub, state, folder))
    tried(lambda: hub.name(state, version))
    if not tried(lambda: hub.named(version, state, expected_files(folder))):
        raise StageError(
            f"{hub.place} answered that version {version} is set, but asked again it has none of this content. Remove the tag there if it "
            "exists, and run the release again."
        )
    return True


def compare(hub: Hub, state: str, folder: Path) -> None:
    """Raises StageError where what the hub gives back is not what was sent."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as into:
        if faults := differences(hub.download(state, Path(into)), folder):
            head, end = f"the download from {hub.place} differs from the upload:", "The new version was not set. Run the release again."
            raise StageError("\n".join([head, *faults, end]))


def tried(step: Callable[[], T]) -> T:
    """What the step returns, after as many tries as it takes where its error may pass."""
    for wait in WAITS:
        try:
            return step()
        except Passing as error:
            if (error.wait or 0.0) > LONGEST:
                raise
            time.sleep(wait if error.wait is None else error.wait)
    return step()


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
            readable(partial)
        return partial.name

    def download(self, state: str, into: Path) -> Path:
        return self.root / state

    def name(self, state: str, version: str) -> None:
        with plain_errors(self.place):
            (self.root / state).rename(self.root / version)

    def named(self, version: str, state: str, files: Mapping[str, str]) -> bool:
        return hashes(self.root / version) == files


class HuggingFace:
    def __init__(self, repository: str, private: bool, reading: bool = False) -> None:
        endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        if "//huggingface.co" not in endpoint:
            # Other servers have no xet store for large files. Read once, when the client is imported.
            os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
        from huggingface_hub import HfApi

        self.repository, self.private, self.place = repository, private, f"Hugging Face {repository}"
        self.api = HfApi(endpoint=endpoint, token=token("HF_TOKEN", "Hugging Face", reading) or False)

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
            check_foreign_files(self.place, self.contents(), self.at_head, folder)
            # delete_patterns: files of an older release must not remain.
            commit = self.api.upload_folder(
                repo_id=self.repository, folder_path=folder, commit_message=f"Release {version}", delete_patterns="*"
            )
            return str(commit.oid)

    def contents(self) -> dict[str, str]:
        """The SHA-256 of each file of the newest state. The hub has it of large files; small ones are fetched."""
        from huggingface_hub.hf_api import RepoFile

        there = [entry for entry in self.api.list_repo_tree(self.repository, recursive=True) if isinstance(entry, RepoFile)]
        with tempfile.TemporaryDirectory() as folder:
            return {
                file.path: file.lfs.sha256
                if file.lfs
                else sha256(Path(self.api.hf_hub_download(self.repository, file.path, local_dir=folder)))
                for file in there
            }

    def at_head(self, path: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            return Path(self.api.hf_hub_download(self.repository, path, local_dir=folder)).read_bytes()

    def download(self, state: str, into: Path) -> Path:
        with self.plain_errors():
            self.api.snapshot_download(self.repository, revision=state, local_dir=into)
        shutil.rmtree(into / ".cache", ignore_errors=True)
        return into

    def name(self, state: str, version: str) -> None:
        with self.plain_errors():
            # exist_ok: the answer to an earlier try may have been lost. Which state it names is asked afterwards.
            self.api.create_tag(self.repository, tag=version, revision=state, exist_ok=True)

    def named(self, version: str, state: str, files: Mapping[str, str]) -> bool:
        from huggingface_hub.errors import RevisionNotFoundError

        with self.plain_errors():
            try:
                return self.api.model_info(self.repository, revision=version).sha == state
            except RevisionNotFoundError:
                return False


class ModelScope:
    def __init__(self, repository: str, private: bool, reading: bool = False) -> None:
        os.environ.setdefault("MODELSCOPE_LOG_LEVEL", "WARNING")  # it logs each step and prints a table in addition to its progress bars
        from modelscope_hub import HubApi, HubConfig

        self.repository, self.private, self.place = repository, private, f"ModelScope {repository}"
        # A separate configuration: the default one keeps the endpoint it was first created with.
        self.config = HubConfig(token=token("MODELSCOPE_API_TOKEN", "ModelScope", reading) or None)
        self.api = HubApi(self.config)

    def plain_errors(self) -> AbstractContextManager[None]:
        from modelscope_hub.errors import HubError

        return plain_errors(self.place, "MODELSCOPE_API_TOKEN", HubError)

    def released(self, version: str) -> bytes | None:
        from modelscope_hub.errors import NotExistError

        with self.plain_errors(), tempfile.TemporaryDirectory() as folder:
            self.api.whoami()
            if not self.api.repo_exists(self.repository, "model") or not self.has(version):
                return None
            try:
                file: Path = self.api.download_file(self.repository, "model", MANIFEST, revision=version, local_dir=folder)
                return file.read_bytes()
            except NotExistError:
                return b""

    def has(self, version: str) -> bool:
        return version in {revision.get("Revision") for revision in self.api.list_repo_revisions(self.repository, "model")}

    def upload(self, folder: Path, version: str) -> str:
        from modelscope_hub import Visibility

        with self.plain_errors():
            if not self.api.repo_exists(self.repository, "model"):
                self.api.create_repo(self.repository, "model", visibility=Visibility.PRIVATE if self.private else Visibility.PUBLIC)
            check_foreign_files(self.place, self.contents("master"), self.at_head, folder)
            # use_cache=False: with its record of an earlier upload the client would upload nothing to a repository that has been
            # emptied since. Files that the hub already has are not uploaded again in either case.
            self.api.upload_folder(
                self.repository, "model", folder, commit_message=f"Release {version}", use_cache=False, sync_remote_repo=True
            )
            return self.refs().get("refs/heads/master", "master")

    def refs(self) -> dict[str, str]:
        """The commit of each branch and tag, by its git server: the API of this hub does not tell. Empty where neither does."""
        import requests

        user = ("oauth2", key) if (key := token("MODELSCOPE_API_TOKEN", "ModelScope", reading=True)) else None
        address = f"{self.config.endpoint.rstrip('/')}/{self.repository}.git/info/refs"
        answer = requests.get(address, params={"service": "git-upload-pack"}, auth=user, timeout=60)
        if answer.status_code == 429 or answer.status_code >= 500:
            answer.raise_for_status()
        lines = re.findall(r"(?m)(?:^|[0-9a-f]{4})([0-9a-f]{40}) (refs/[^\s\0]+)", answer.text if answer.ok else "")
        return {name: commit for commit, name in lines}

    def contents(self, revision: str) -> dict[str, str]:
        """The SHA-256 of each file, as the hub has it."""
        listed = self.api.list_repo_files(self.repository, "model", revision=revision)
        return {file.path: file.sha256 or "" for file in listed if file.type != "tree"}

    def at_head(self, path: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            file: Path = self.api.download_file(self.repository, "model", path, local_dir=folder)
            return file.read_bytes()

    def download(self, state: str, into: Path) -> Path:
        with self.plain_errors():
            self.api.download_repo(self.repository, "model", revision=state, local_dir=into)
        return into

    def name(self, state: str, version: str) -> None:
        with self.plain_errors():
            if not self.has(version):  # the answer to an earlier try may have been lost
                self.api.create_repo_tag(self.repository, "model", version, revision=state)

    def named(self, version: str, state: str, files: Mapping[str, str]) -> bool:
        """By the hashes of its files, and by its commit where the hub tells it."""
        with self.plain_errors():
            if not self.has(version):
                return False
            there, refs = self.contents(version), self.refs()
        tag = f"refs/tags/{version}"
        if refs.get(f"{tag}^{{}}", refs.get(tag, state)) != state and state != "master":
            return False
        return all(there.get(path) == digest for path, digest in files.items()) and not there.keys() - files.keys() - HUBS_OWN


def token(variable: str, hub: str, reading: bool = False) -> str:
    """The token of a hub, from the environment only: one saved by an earlier login may belong to someone else. Reading may go without."""
    value = os.environ.get(variable, "").strip()
    if not value and not reading:
        raise StageError(f"{variable} is not set. Set it to a {hub} token with write access. Nothing was released.")
    return value


def check_foreign_files(place: str, there: Mapping[str, str], read: Callable[[str], bytes], folder: Path) -> None:
    """Raises StageError if the newest state of the repository holds anything that no release put there: uploading would replace it.

    there: the SHA-256 of each of its files. Ours is what its own manifest names, or what this release sends: an upload may have broken off.
    Beside nothing else, what a hub writes into a new repository is nobody's.
    """
    ours = list(expected_files(folder).items())
    if MANIFEST in there:
        from lingyu.release.lineage import listed_in

        ours += listed_in(content := read(MANIFEST))
        ours += [(MANIFEST, there[MANIFEST])] if listed_in(content) else []
        ours += [(name, digest) for name, digest in there.items() if name == "model.sig"] if listed_in(content) else []
    foreign = sorted(path for path, digest in there.items() if (path, digest) not in ours and path != ".gitattributes")
    if foreign and not there.keys() <= HUBS_OWN:
        raise StageError(
            f"{place} contains files that are not from a release: {', '.join(foreign[:5])} ({len(foreign)} in total). "
            "Choose an empty repository (params.yaml, section release). Nothing was uploaded."
        )


@contextmanager
def plain_errors(place: str, variable: str = "", *kinds: type[Exception]) -> Iterator[None]:
    """Convert errors of the disk or of a client into one StageError, a Passing where a further try may help."""
    failures: tuple[type[Exception], ...] = (OSError, *kinds)
    try:
        yield
    except failures as error:
        links = list(chain(error))
        status = next((code for link in links if (code := status_of(link))), None)
        if status in {401, 403}:
            raise StageError(
                f"{place} rejected the token in {variable} (HTTP {status}). Use a token with write access to this repository. "
                "The new version was not set."
            ) from error
        said = without_secrets(": ".join(dict.fromkeys(str(link) for link in links)))
        if any(isinstance(link, OSError) and disk_is_full(link) for link in links):
            raise StageError(
                f"the disk is full, so {place} could not be written or compared: {said}\nFree some space and run the release again. "
                "The new version was not set. 磁盘已满，新版本未设置。"
            ) from error
        message = f"the transfer of {place} was interrupted: {said}\nThe new version was not set. Run the release again: files already "
        message += "uploaded are not sent again."
        if "E1003" in said:  # the client of ModelScope then does not tell what the hub answered
            message += f" If it fails again, see whether the token in {variable} may write to this repository."
        if may_pass(status, links):
            raise Passing(message, next((wait for link in links if (wait := wait_of(link)) is not None), None)) from error
        raise StageError(message) from error


def may_pass(status: int | None, links: list[BaseException]) -> bool:
    """Whether a further try may succeed: the hub is busy or out of order, or the connection was cut."""
    if status is not None:
        return status in {408, 409, 425, 429} or status >= 500
    return any(
        getattr(link, "retryable", False) or isinstance(link, ConnectionError | TimeoutError) or is_transport(link) for link in links
    )


def is_transport(error: BaseException) -> bool:
    """An error of either HTTP library that no answer of the hub caused."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"TransportError", "ChunkedEncodingError", "Timeout", "IncompleteRead"})


def wait_of(error: BaseException) -> float | None:
    """The seconds that the hub asks to wait (Retry-After)."""
    own: Any = getattr(error, "retry_after", None)
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    value = own if own is not None else headers.get("Retry-After")
    try:
        return max(0.0, float(value)) if value is not None else None
    except (TypeError, ValueError):  # a date: the usual waits do
        return None


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
