"""What can go wrong between a release and a hub, against the local servers of both protocols: faults to survive, and faults to find.

Each case makes one thing go wrong, and says what must come of it: "survived" (the release is there, whole, under its version) or "found"
(an error that says so, no version set, what stood there untouched).
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hub_servers import Fault, Repository

from lingyu.files import hashes, write_json
from lingyu.release.hubs import deliver, open_hub
from lingyu.stage import StageError

MODEL = {"model.safetensors": "weights", "config.json": "{}", "tokenizer.json": "{}", "README.md": "# card"}
# The address of each step, by hub: method and pattern.
STEPS = {
    "huggingface": {
        "log in": ("GET", "/api/whoami"),
        "create": ("POST", "/api/repos/create"),
        "list": ("GET", "/tree/"),
        "store": ("PUT", "/blob/"),
        "commit": ("POST", "/commit/"),
        "fetch": ("GET", "/resolve/[0-9a-f]{40}/model.safetensors"),
        "tag": ("POST", "/tag/"),
        "read back": ("GET", "/revision/v1$"),
    },
    "modelscope": {
        "log in": ("GET", "/users/me"),
        "create": ("POST", "/api/v1/models$"),
        "list": ("GET", "/repo/files"),
        "store": ("PUT", "/blob/"),
        "commit": ("POST", "/commit/"),
        "fetch": ("GET", "/models/lab/drone/repo$"),
        "tag": ("POST", "/repo/tag"),
        "read back": ("GET", "/revisions"),
    },
}
STATUSES = (429, 500, 503)


@dataclass(frozen=True)
class Case:
    """about: what goes wrong. outcome: "survived" or "found". said: what the error must name."""

    about: str
    prepare: Callable
    outcome: str
    said: str = ""


def cases(kind: str) -> list[Case]:
    steps = STEPS[kind]

    def fails(what: int | str, step: str, times: int = 1) -> Callable:
        return lambda server: server.faults.append(Fault(what, *steps[step], times))

    return [
        *(Case(f"{status} once, at: {step}", fails(status, step), "survived") for status in STATUSES for step in steps),
        *(Case(f"connection cut before the answer, at: {step}", fails("cut before", step), "survived") for step in steps),
        *(Case(f"answer lost though it was done, at: {step}", fails("cut after", step), "survived") for step in ("store", "commit", "tag")),
        Case("connection cut amid a file", fails("cut amid", "fetch"), "survived"),
        *(Case(f"500 for good, at: {step}", fails(500, step, 10**6), "found") for step in ("store", "commit", "fetch", "tag")),
        Case("403, at: commit", fails(403, "commit", 10**6), "found", "token"),
        Case("a byte comes back changed", lambda server: server.altered.add("config.json"), "found", "config.json"),
        Case("a large file comes back changed", lambda server: server.altered.add("model.safetensors"), "found"),
        Case("a tag is answered for and not set", lambda server: setattr(server, "mute_tags", True), "found", "v1"),
        Case("somebody pushes before the tag is set", lambda server: setattr(server, "before_tag", intrude), "survived"),
        Case("the tag is set on what somebody pushed", pushed_and_tagged, "found", "v1"),
        Case("files of others, without a manifest", lambda server: holding(server, {"notes.txt": b"mine"}), "found", "notes.txt"),
        Case(
            "files of others, with a manifest of theirs",
            lambda server: holding(server, {"manifest.json": b'{"files": []}', "data.bin": b"x"}),
            "found",
            "data.bin",
        ),
        Case("another model with files of the same names", lambda server: holding(server, other_model()), "found", "config.json"),
        Case(
            "a file that somebody added to a release",
            lambda server: holding(server, release_and({"notes.txt": b"mine"})),
            "found",
            "notes.txt",
        ),
        Case(
            "a card that somebody changed in a release",
            lambda server: holding(server, release_and({"README.md": b"mine"})),
            "found",
            "README",
        ),
        Case("the version is there with other content", version_taken, "found", "different content"),
    ]


def intrude(repository: Repository) -> None:
    repository.commit({**repository.commits[repository.head], "model.safetensors": b"of somebody"})


def pushed_and_tagged(server) -> None:
    server.before_tag, server.tag_head = intrude, True


def holding(server, files: dict[str, bytes]) -> Repository:
    repository = server.repositories["lab/drone"] = Repository()
    repository.commit(files)
    return repository


def other_model() -> dict[str, bytes]:
    return {"config.json": b"theirs", "model.safetensors": b"theirs", "tokenizer.json": b"theirs", "README.md": b"theirs"}


def release_and(files: dict[str, bytes]) -> dict[str, bytes]:
    content = {"model.safetensors": b"old weights", "README.md": b"# old card"}
    listed = {path: hashlib.sha256(value).hexdigest() for path, value in content.items()}
    return {**content, "manifest.json": json.dumps({"metrics": {}, "files": listed}).encode(), **files}


def version_taken(server) -> None:
    repository = holding(server, release_and({}))
    repository.tags["v1"] = repository.head


def outcome(case: Case, kind: str, server, folder: Path) -> str:
    """What came of it: "survived", "found", or what went wrong."""
    parcel = package(folder)
    case.prepare(server)
    stood = server.repositories.get("lab/drone")
    before = (stood.head, dict(stood.tags)) if stood else None
    try:
        deliver(open_hub(kind, "lab/drone", private=True), parcel, "v1")
    except StageError as error:
        repository = server.repositories.get("lab/drone")
        if before and (repository.head, repository.tags) != before:
            return "what stood there was changed"
        if not before and repository and "v1" in repository.tags and not server.tag_head:
            return "a version was set"
        return "found" if case.said in str(error) else f"found, and not said: {error}"
    if server.faults and not server.met:
        return "the fault did not occur"
    repository = server.repositories["lab/drone"]
    there = repository.commits[repository.tags["v1"]]
    whole = {path: (parcel / path).read_bytes() for path in hashes(parcel)}
    return "survived" if {path: there.get(path) for path in whole} == whole else "released something else"


def package(folder: Path) -> Path:
    made = folder / "package"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    for path, content in MODEL.items():
        (made / path).write_text(content)
    write_json(made / "manifest.json", {"metrics": {}, "files": hashes(made)})
    return made
