"""Faults between a release and the hubs, on local servers of both protocols: `python -m bench.release_faults` prints the table of
docs/release.md, and ends with status 1 where one was neither survived nor found.
"""

import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

os.environ.update(HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
warnings.simplefilter("ignore")
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from hub_faults import Case, cases, outcome  # noqa: E402  (lies in tests)
from hub_servers import TOKEN, HuggingFaceServer, ModelScopeServer  # noqa: E402  (lies in tests)

from lingyu.release import hubs  # noqa: E402  (after the settings of the hub that it reads)

HUBS = {
    "huggingface": (HuggingFaceServer, "HF_ENDPOINT", "HF_TOKEN"),
    "modelscope": (ModelScopeServer, "MODELSCOPE_ENDPOINT", "MODELSCOPE_API_TOKEN"),
}


def measured(kind: str) -> Iterator[tuple[Case, str]]:
    server_of, endpoint, variable = HUBS[kind]
    for case in cases(kind):
        with server_of() as server, tempfile.TemporaryDirectory() as folder:
            os.environ.update({endpoint: server.url, variable: TOKEN})
            os.environ.update({name: f"{folder}/{name}" for name in ("HF_HOME", "MODELSCOPE_HOME", "MODELSCOPE_CACHE")})
            yield case, outcome(case, kind, server, Path(folder))


def main() -> int:
    hubs.WAITS[:] = [0.0, 0.0]
    waits = time.sleep
    time.sleep = lambda seconds: waits(min(seconds, 0.01))  # of the clients between their own tries, up to three minutes
    found = {kind: dict(measured(kind)) for kind in HUBS}
    rows: dict[str, dict[str, str]] = {}
    wrong = 0
    for kind, outcomes in found.items():
        for case, came in outcomes.items():
            wrong += came != case.outcome
            rows.setdefault(case.about, {})[kind] = came if came == case.outcome else f"**{came}**"
    print("| fault | Hugging Face | ModelScope |\n| --- | --- | --- |")
    for about, came in rows.items():
        print(f"| {about} | {came['huggingface']} | {came['modelscope']} |")
    total = sum(map(len, found.values()))
    print(f"\n{total - wrong} of {total} as they should be.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
