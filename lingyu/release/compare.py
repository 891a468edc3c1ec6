"""Metrics with their intervals in one line, and whether two releases hold the same model."""

from collections.abc import Mapping
from typing import Any


def with_interval(measure: Mapping[str, float] | None) -> str:
    """A value with its 95% confidence interval and count."""
    if measure is None:
        return "–"
    return f"{measure['value']:.3f} [{measure['low']:.3f}, {measure['high']:.3f}], n = {measure['count']}"


def weights(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The hashes of the weights, which identify a model regardless of its card."""
    return {path: digest for path, digest in manifest["files"].items() if path.endswith(".safetensors")}
