"""A base model from a folder, Hugging Face or ModelScope, at a pinned revision, safetensors only."""

import json
import os
import shutil
from pathlib import Path

from lingyu.errors import Unavailable
from lingyu.stage import StageError

WANTED = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt", "LICENSE*"]


def fetch(kind: str, name: str, revision: str, out: Path) -> None:
    """Copy or download the model's weights, tokenizer and configuration to `out`. Raises StageError if that fails."""
    if kind == "folder":
        source = Path(name)
        if not (source / "config.json").is_file():
            raise StageError(
                f"base.model.name is {name!r}, but that folder contains no model (no config.json). "
                "Correct the path in params.yaml, or set base.model.kind: tiny, which needs no download."
            )
        copied = [file for pattern in WANTED for file in source.glob(pattern)]
        out.mkdir(parents=True, exist_ok=True)
        for file in sorted(set(copied)):
            shutil.copy2(file, out / file.name)
    else:
        (from_huggingface if kind == "huggingface" else from_modelscope)(name, revision, out)
    if not list(out.glob("*.safetensors")):
        where = f"{name} at {revision}" if revision else name
        raise StageError(f"{where} has no safetensors files. Pickled weights are not loaded; choose another base.model.")


def from_huggingface(name: str, revision: str, out: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        snapshot_download(name, revision=revision, local_dir=out, allow_patterns=WANTED)
    except (RepositoryNotFoundError, HFValidationError):
        raise StageError(
            f"Hugging Face has no model {name!r} that this token can read. Correct base.model.name; a gated model needs HF_TOKEN."
        ) from None
    except RevisionNotFoundError:
        raise StageError(
            f"{name} on Hugging Face has no revision {revision!r}. Set base.model.revision to one of its commits or tags."
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise Unavailable(unreachable("Hugging Face", f"{name} at {revision}", "HF_ENDPOINT", error)) from error
    shutil.rmtree(out / ".cache", ignore_errors=True)


def from_modelscope(name: str, revision: str, out: Path) -> None:
    os.environ.setdefault("MODELSCOPE_LOG_LEVEL", "WARNING")  # it logs each step
    from modelscope_hub import HubApi

    try:
        HubApi().download_repo(name, "model", revision=revision, local_dir=out, allow_patterns=WANTED)
    except Exception as error:  # the client raises many types, all of which mean that the download failed
        raise Unavailable(unreachable("ModelScope", f"{name} at {revision}", "MODELSCOPE_ENDPOINT", error)) from error


def unreachable(hub: str, model: str, variable: str, error: Exception) -> str:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return (
        f"{model} could not be downloaded from {hub}: {first}. Check the network, base.model and {variable} "
        f"({os.environ.get(variable, 'not set')}). To work offline, copy the model into a folder and set base.model.kind: folder."
    )


def parameters(model: Path) -> int:
    """The number of parameters of a model folder, read from the headers of its safetensors files."""
    from safetensors import safe_open

    total = 0
    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as weights:
            for key in weights.keys():  # noqa: SIM118 – no dictionary, though it looks like one
                size = 1
                for length in weights.get_slice(key).get_shape():
                    size *= length
                total += size
    return total


def context(model: Path) -> int:
    """The context length of a model folder, in tokens."""
    return int(json.loads((model / "config.json").read_text(encoding="utf-8"))["max_position_embeddings"])
