"""The retrieval set as a gate: a question whose passage an earlier run found must find it still."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lingyu import last_run
from lingyu.files import read_json, write_json

ORDER = ("lost", "not found", "found")


def outcomes(now: Path, kept: Path) -> list[dict[str, Any]]:
    """Those of `now`, written by index, beside those of the last run, and kept for the next. Those that people must look at first."""
    before = last_run.left(kept)
    found = against(read_json(before) if before else [], read_json(now))
    write_json(kept, found)
    return sorted(found, key=lambda one: ORDER.index(one["outcome"]))


def against(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A question that was found once stays one that must be found, also after the run that lost it."""
    once = {key_of(one) for one in before if one["outcome"] != "not found"}
    return [{**one, "outcome": "found" if one["found"] else "lost" if key_of(one) in once else "not found"} for one in now]


def key_of(one: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(one[name]) for name in ("question", "source", "section", "text"))


def refusal(found: Sequence[Mapping[str, Any]]) -> str:
    """Why nothing may be released; empty if no question is lost."""
    lost = [one for one in found if one["outcome"] == "lost"]
    if not lost:
        return ""
    lines = [f"  {one['question']} – {', '.join(filter(None, (one['source'], one['section'])))}: {reason(one)}" for one in lost]
    return "\n".join(
        [
            f"the index no longer finds the passages of {len(lost)} questions that an earlier run found:",
            *lines,
            "Change section index or the documents. To give a passage up, delete its line in the corpus' retrieval_set.jsonl.",
        ]
    )


def reason(one: Mapping[str, Any]) -> str:
    return {"refused": "not answered, its best passage scores too low", "other passages": f"found {one['instead']} first"}.get(
        one["why"], "not in the corpus"
    )
