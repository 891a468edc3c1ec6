"""Outputs of earlier runs as DVC's cache has them."""

import json
from pathlib import Path

from lingyu.last_run import config


def listed(md5: str) -> dict[str, tuple[str, Path]] | None:
    """The files of a folder by their path in it: the hash of each, and where its content would be. None if the cache has no such folder."""
    root = Path(config()["cache"].get("dir") or Path(".dvc", "cache")) / "files" / "md5"
    listing = root / md5[:2] / md5[2:]
    if not md5.endswith(".dir") or not listing.exists():
        return None
    entries = json.loads(listing.read_text(encoding="utf-8"))
    return {entry["relpath"]: (entry["md5"], root / entry["md5"][:2] / entry["md5"][2:]) for entry in entries}
