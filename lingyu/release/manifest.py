"""What the manifest of a package holds of its own; a release adds its lineage (lingyu/release/lineage.py)."""

import hashlib
import json
from importlib.metadata import version
from typing import Any

LIBRARIES = ("torch", "transformers", "tokenizers", "trl", "peft", "accelerate", "safetensors", "datasets", "dvc", "bentoml")


def libraries() -> dict[str, str]:
    """The versions without the build tag (+cpu), which can differ between machines with the same versions."""
    return {name: version(name).partition("+")[0] for name in LIBRARIES}


def digest(values: Any) -> str:
    """A hash of the values in twelve hexadecimal digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
