"""Where a release comes from: what its manifest holds besides the model, and whether that agrees with itself and with git.

`out/package` holds nothing that changes with the commit or the machine, otherwise two clones with the same models would have different
dvc.lock files; a release adds it. Nothing here names the endpoint, key or address of a teacher.
"""

import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lingyu.release.private import public

# Paths that do not change the model: dvc.lock, which follows from the rest, and files for people or tests only.
ASIDE = ("dvc.lock", "docs", "tests", "bench", "flows", ".ci", ":(glob)*.md")
FLOWS = {"retrain", "release"}  # sections that do not affect the content of a package
RELEASE = "out/package/release"
KEYS = ("git", "data", "stages", "inputs", "parameters", "seeds", "base", "template", "machine")


def lineage(top: Path, seeds: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The commit, the data, the inputs and outputs of all stages, the parameters and the machine. top: the project folder."""
    parameters = yaml.safe_load((top / "params.yaml").read_text(encoding="utf-8"))
    locked = stages_of(top / "dvc.lock", top / "dvc.yaml", parameters)
    template = top / RELEASE / "chat_template.jinja"
    source = (parameters.get("base") or {}).get("model") or {}
    return {
        "git": commit(top),
        "data": data_of(top / "data.dvc"),
        "stages": {name: hashes_of(entry, "outs") for name, entry in locked.items()},
        "inputs": {name: hashes_of(entry, "deps") for name, entry in locked.items()},
        "parameters": public({section: values for section, values in parameters.items() if section not in FLOWS}),
        "seeds": dict(seeds or {}),
        "base": public({key: source.get(key, "") for key in ("kind", "name", "revision")}),
        "template": hashlib.sha256(template.read_bytes()).hexdigest() if template.is_file() else "",
        "machine": machine(),
    }


def commit(repository: Path) -> dict[str, Any]:
    """The last commit that can change the model, and whether such files were changed since. Both are null without git."""
    paths = [".", *(f":(exclude,{kind}){path}" for kind, path in map(magic, ASIDE))]
    last = git(repository, "log", "-1", "--format=%H", "--", *paths)
    changed = git(repository, "status", "--porcelain", "--", *paths)
    return {"commit": last or None, "changed_since": None if changed is None else bool(changed)}


def magic(path: str) -> tuple[str, str]:
    return ("glob", path.removeprefix(":(glob)")) if path.startswith(":(glob)") else ("top", path)


def git(repository: Path, *arguments: str) -> str | None:
    """What git prints; None where there is no git, no repository, or it fails."""
    try:
        done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def data_of(tracked: Path) -> dict[str, Any]:
    """The hash, size and number of files of the corpus, without the place that it came from."""
    if not tracked.is_file():
        return {}
    outs = yaml.safe_load(tracked.read_text(encoding="utf-8")).get("outs", [])
    return {out["path"]: {key: out[key] for key in ("md5", "size", "nfiles") if key in out} for out in outs}


def stages_of(lock: Path, stages: Path, parameters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What dvc.lock has of each stage, without stages that no longer exist."""
    if not lock.is_file():
        return {}
    defined = yaml.safe_load(stages.read_text(encoding="utf-8"))["stages"]
    found = {}
    for name, entry in sorted(yaml.safe_load(lock.read_text(encoding="utf-8")).get("stages", {}).items()):
        stage, _, key = name.partition("@")
        if stage in defined and (not key or key in parameters.get(stage, {}).get("candidates", {})):
            found[name] = entry
    return found


def hashes_of(entry: Mapping[str, Any], kind: str) -> dict[str, str]:
    return {each["path"]: each.get("md5", "") for each in entry.get(kind, [])}


def machine() -> dict[str, Any]:
    """What the machine of the release is, as far as results depend on it: processors of another kind compute other last digits."""
    import torch

    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpus": [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())],
    }


def processor() -> str:
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", told, re.MULTILINE)
    return found[1].strip() if found else platform.processor()


def contradictions(manifest: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """What the lineage in a manifest lacks, and where it does not fit itself or the files of the release."""
    if lacking := [key for key in KEYS if key not in manifest]:
        yield f"the manifest has no {', '.join(lacking)}"
        return
    if manifest["git"].get("commit") is None:
        yield "the commit is not known: it was released outside of git"
    elif manifest["git"].get("changed_since") is not False:
        yield f"there were changes beside commit {manifest['git']['commit'][:12]} when it was released"
    made: dict[str, str] = {path: digest for outs in manifest["stages"].values() for path, digest in outs.items()}
    made |= {path: entry.get("md5", "") for path, entry in manifest["data"].items()}
    for stage, inputs in manifest["inputs"].items():
        for path, digest in inputs.items():
            if made.get(path, digest) != digest:
                yield f"{stage} read {path} {digest[:12]}, which is not what was made ({made[path][:12]})"
    if manifest["template"] != manifest["files"].get("chat_template.jinja", ""):
        yield "the hash of the chat template is not that of chat_template.jinja"
    packaged = manifest["stages"].get("package", {}).get(RELEASE)
    if packaged and not manifest.get("weights") and packaged != folder_hash(folder, manifest):
        yield f"the files are not those that the stage package made ({packaged[:12]})"


def folder_hash(folder: Path, manifest: Mapping[str, Any]) -> str:
    """The hash that DVC gave the package which this release was made from: its files, and its manifest without the lineage."""
    own = {key: value for key, value in manifest.items() if key not in {*KEYS, "weights", "signer"}}
    digests = {path: md5(folder / path) for path in manifest["files"] if (folder / path).is_file()}
    digests["manifest.json"] = hashlib.md5((json.dumps(own, ensure_ascii=False, indent=2) + "\n").encode()).hexdigest()
    return dvc_hash(digests)


def dvc_hash(digests: Mapping[str, str]) -> str:
    """The hash of a folder as DVC has it, from the MD5 of each of its files."""
    listed = sorted(({"md5": digest, "relpath": path} for path, digest in digests.items()), key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode()).hexdigest() + ".dir"


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def differs_from_git(manifest: Mapping[str, Any], repository: Path) -> Iterator[str] | None:
    """Where data.dvc, params.yaml or code at the commit are others than the lineage says; None where the commit is not known here."""
    at = manifest["git"].get("commit")
    if not at or git(repository, "cat-file", "-e", f"{at}^{{commit}}") is None:
        return None
    return differences_from_git(manifest, repository, at)


def differences_from_git(manifest: Mapping[str, Any], repository: Path, at: str) -> Iterator[str]:
    if (written := git(repository, "show", f"{at}:params.yaml")) is not None:
        parameters = {section: values for section, values in yaml.safe_load(written).items() if section not in FLOWS}
        if public(parameters) != manifest["parameters"]:
            yield f"params.yaml at {at[:12]} has other values"
    if (written := git(repository, "show", f"{at}:data.dvc")) is not None:
        outs = {out["path"]: out.get("md5") for out in yaml.safe_load(written).get("outs", [])}
        if outs != {path: entry.get("md5") for path, entry in manifest["data"].items()}:
            yield f"data.dvc at {at[:12]} names other data"
    tree = [line.split("\t", 1) for line in (git(repository, "ls-tree", "-r", at) or "").splitlines()]
    blobs = {path: told.split()[2] for told, path in tree}
    wanted = {path: digest for inputs in manifest["inputs"].values() for path, digest in inputs.items()}
    for path, digest in sorted(wanted.items()):
        inside = {name: blob for name, blob in blobs.items() if name == path or name.startswith(f"{path}/")}
        if inside and hash_in_git(repository, path, inside) != digest:
            yield f"{path} at {at[:12]} is another"


def hash_in_git(repository: Path, path: str, blobs: Mapping[str, str]) -> str:
    asked = subprocess.run(
        ["git", "-C", str(repository), "cat-file", "--batch"], input="\n".join(blobs.values()).encode(), capture_output=True, check=True
    )
    rest, digests = asked.stdout, {}
    for name in blobs:
        head, _, rest = rest.partition(b"\n")
        size = int(head.split()[2])
        digests[name] = hashlib.md5(rest[:size]).hexdigest()
        rest = rest[size + 1 :]
    return digests[path] if path in blobs else dvc_hash({name[len(path) + 1 :]: digest for name, digest in digests.items()})


def listed_in(content: bytes) -> list[tuple[str, str]]:
    """The files that a manifest names, with their SHA-256; none if it is not one of ours."""
    try:
        told = json.loads(content)
        files = told["files"] if "metrics" in told else {}
        return [(str(path), str(digest)) for path, digest in files.items()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
