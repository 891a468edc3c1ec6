"""release: publish the winner to a folder, Hugging Face or ModelScope. The version is set after the upload has been verified.

Reads   out/package/release       the model, its card (README.md), and manifest.json with the sha256 of each file
        out/select/test           what the winner made of each test item
Writes  releases/<version>        the release itself, if published to a folder
        releases/released.json    all releases with their metrics; flows/champion.py compares with the last one
        releases/answers          what each released model made of each test item, NAME.parquet, for that comparison
"""

import argparse
import re
import shutil
import time
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import Field, ValidationError

from flows import dag, start
from flows.champion import RECORD, scoring
from lingyu.files import read_json, sha256, write_json
from lingyu.release import lineage as about
from lingyu.release.hubs import Hub, Kind, deliver, open_hub, plain_errors
from lingyu.release.staging import MANIFEST, Weights, staged
from lingyu.retrain.champion import KEPT as ANSWERS
from lingyu.stage import StageError, StageParams, faults, read_params

PACKAGE = Path("out/package/release")
TEST_ANSWERS = Path("out/select/test")


class Params(StageParams):
    to: list[Kind] = Field(["folder"], description="Where to: folder, huggingface, modelscope, in this order.")
    folder: Path = Field(Path("releases"), description="For `folder`.")
    huggingface: str = Field("", description="owner/name of the repository on Hugging Face.")
    modelscope: str = Field("", description="owner/name of the repository on ModelScope.")
    private: bool = Field(True, description="A repository that the release creates is private: what was published cannot be taken back.")
    signing_key: str = Field(
        "",
        description="Path of a private key (ECDSA, PEM) to sign releases with; its password, if any, is in LINGYU_SIGNING_PASSWORD. "
        "Empty: not signed.",
    )
    weights: Weights = Field(
        "all", description="all: as packaged. merged: without the adapter. adapter: only it, which needs a base that is on a hub."
    )


def named() -> str:
    return f"release {time.strftime('%Y-%m-%d')}"


@flow(flow_run_name=named)
def release(to: list[str] | None = None, version: str | None = None, weights: str | None = None, key: str | None = None) -> None:
    params = overlaid(Params.load("release"), to, weights, key)
    check_git()
    check_package(PACKAGE)
    private = Path(params.signing_key).expanduser() if params.signing_key else None
    with plain_errors(f"folder {params.folder}"), staged(PACKAGE, params.weights, params.folder, lineage_here(), private) as folder:
        version = checked(version or sha256(folder / MANIFEST)[:12])
        for kind in params.to:
            hub = open_hub(kind, str(getattr(params, kind)), params.private)
            give.with_options(task_run_name=hub.place)(hub, folder, version)
            remember(RECORD, hub.place, version, folder)
            create_markdown_artifact(key="release", markdown=f"**{version}** → {hub.place}")


def check_git() -> None:
    if shutil.which("git") is None:
        raise StageError("git is not installed, so the commit of the release cannot be written down. Install git. Nothing was released.")


def lineage_here() -> dict[str, Any]:
    found = about.lineage(Path(), seeds_in_force())
    git = found["git"]
    if not git["commit"] or git["changed_since"]:
        reason = "with changes that are not committed" if git["commit"] else "outside of a git repository"
        get_run_logger().warning(
            "Released %s: `lingyu rebuild` cannot make it again. 发布时有未提交的改动或不在 git 仓库中，无法用 lingyu rebuild 重建。",
            reason,
        )
    return found


def seeds_in_force() -> dict[str, int]:
    """The seed of each stage that has one, by its name, or the key that it stands under."""
    from stages.__main__ import items_of, params_of, stages_of

    sections, found = read_params(), dict[str, int]()
    for stage in [name for name in stages_of() if name in sections] if Path("dvc.yaml").exists() else []:
        for item in items_of(stage, sections):
            values = params_of(stage).load(stage, item).model_dump()
            name = f"{stage}@{item}" if item else stage
            places = {name: values, **{f"{name}.{key}": value for key, value in values.items() if isinstance(value, dict)}}
            found |= {place: inner["seed"] for place, inner in places.items() if "seed" in inner}
    return found


def check_package(package: Path) -> None:
    """Raises StageError if the package is not the one in dvc.lock, because its lineage would be that of another model."""
    if Path("dvc.lock").exists() and str(package) in dag.altered("package"):
        raise StageError(f"{package} is not the package that dvc.lock names. Run `dvc repro package`. Nothing was released.")


@task(cache_policy=NO_CACHE)
def give(hub: Hub, folder: Path, version: str) -> None:
    new = deliver(hub, folder, version)
    status = "released and verified 已发布并校验" if new else "already released with the same content 已发布过，内容相同"
    get_run_logger().info("%s at %s: %s", version, hub.place, status)


def remember(record: Path, place: str, version: str, folder: Path) -> None:
    """Add the release to the record atomically; an existing entry is left unchanged."""
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    entries = read_json(record) if record.exists() else []
    if any((entry["version"], entry["place"]) == (version, place) for entry in entries):
        return
    entry = {"version": version, "place": place, "manifest": sha256(folder / MANIFEST)}
    # What the next comparison needs (flows/champion.py).
    entry |= {key: manifest.get(key, {}) for key in ("metrics", "files", "stages")}
    entry |= {"winner": manifest.get("winner", ""), "scoring": scoring(manifest.get("winner", ""))}
    entry |= {"signer": manifest["signer"]} if "signer" in manifest else {}
    keep_answers(record.parent / ANSWERS, version, entry["winner"])
    record.parent.mkdir(parents=True, exist_ok=True)
    partial = record.with_suffix(".partial")
    write_json(partial, [*entries, entry])
    partial.replace(record)


def keep_answers(folder: Path, version: str, winner: str) -> None:
    """Copy what the released model made of the test, as long as DVC's cache or the remote may forget it."""
    answers = TEST_ANSWERS / f"{winner}.parquet"
    if answers.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{version}.partial"
        shutil.copyfile(answers, partial)
        partial.replace(folder / f"{version}.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flows.release", description="Release the packaged winner 发布模型")
    parser.add_argument(
        "--to", action="append", metavar="HUB[=WHERE]", help="folder, huggingface=owner/name, modelscope=owner/name; repeatable"
    )
    parser.add_argument("--version", help="default: a twelve-digit hash of the content")
    parser.add_argument("--key", metavar="PRIVATE.pem", help="sign with this key; default: params.yaml, release.signing_key · 签名私钥")
    parser.add_argument("--weights", choices=["all", "merged", "adapter"], help="default: params.yaml, release.weights")
    start("release", lambda: release(**vars(parser.parse_args())))


def overlaid(params: Params, to: list[str] | None, weights: str | None, key: str | None = None) -> Params:
    """The section of params.yaml, overridden by the command line."""
    values = params.model_dump()
    values |= {name: value for name, value in (("weights", weights), ("signing_key", key)) if value}
    if to:
        values["to"] = [hub.partition("=")[0] for hub in to]
        values |= {kind: place for kind, _, place in (hub.partition("=") for hub in to) if place}
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise StageError(
            "\n".join(
                ["the command line is not valid for the section release of params.yaml:", *faults(error, {"": ["release"]}, values, Params)]
            )
        ) from error


def checked(version: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", version):
        raise StageError(
            f"{version!r} is not a valid version: it is used as a tag and a folder name. Use letters, digits, '.', '-' and '_'."
        )
    return version


if __name__ == "__main__":
    main()
