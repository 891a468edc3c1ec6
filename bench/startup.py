"""startup: how long a training stage takes until the end of its first step. `python -m bench.startup [PROJECT] [--other TREE]`

Begins sft@full anew, again and again, on out/ and params.yaml of a project (this one, unless another is named): as a process of its own,
and in a fork of lingyu.runtime.warm. --other: the code of another checkout in turn with this one's. Prints the median seconds of the clock
after which each part was done, then those of the processor, and the shortest of all beside the last.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.first_step import BEGAN

HERE = Path(__file__).parents[1]
HOLD = "import os, sys; print(os.environ['LINGYU_WARM'], flush=True); sys.stdin.read()"

Parts = dict[str, tuple[float, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", nargs="?", type=Path, default=HERE)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    trees = {"this one": HERE, **({"the other": asked.other.resolve()} if asked.other else {})}
    for kind in ("by itself", "forked"):
        found: dict[str, list[Parts]] = {name: [] for name in trees}
        for _ in range(asked.times):
            for name, tree in trees.items():
                with warm(tree) if kind == "forked" else nothing() as more:
                    found[name].append(first_step(asked.project.resolve(), tree, more))
        for name, runs in found.items():
            print(f"\n{name}, {kind}, {asked.times} times\n\n| until | s | CPU s |\n| --- | --- | --- |")
            for part in runs[0]:
                clock, processor = zip(*(run[part] for run in runs), strict=True)
                print(f"| {part} | {statistics.median(clock):.2f} | {statistics.median(processor):.2f} |")
            print(
                f"| shortest | {min(run['first step'][0] for run in runs):.2f} | {min(run['first step'][1] for run in runs):.2f} |",
                flush=True,
            )


@contextmanager
def nothing() -> Iterator[dict[str, str]]:
    yield {}


@contextmanager
def warm(tree: Path) -> Iterator[dict[str, str]]:
    """What the environment has to say for a stage to be forked from a warm process of this code, which has imported all."""
    environment = {**os.environ, "PYTHONPATH": f"{tree}:{HERE}"}
    command = [sys.executable, "-m", "lingyu.runtime.warm", sys.executable, "-c", HOLD]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdin
        assert server.stdout
        more = {"LINGYU_WARM": server.stdout.readline().strip()}
        subprocess.run([sys.executable, "-m", "bench.first_step", "--nothing"], cwd=folder, env={**environment, **more}, check=True)
        yield more
        server.stdin.close()


def first_step(project: Path, tree: Path, more: dict[str, str]) -> Parts:
    """The seconds of one start, in a folder of its own that has the project's inputs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "params.yaml").symlink_to(project / "params.yaml")
        for path in ("mix", "pretrain"):
            (folder / "out" / path).parent.mkdir(exist_ok=True)
            (folder / "out" / path).symlink_to(project / "out" / path)
        environment = {**os.environ, "PYTHONPATH": f"{tree}:{HERE}", **more, BEGAN: str(time.monotonic())}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-m", "bench.first_step", "full"]
        told = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True).stdout
    parts: Parts = json.loads(told.splitlines()[-1])
    return parts


if __name__ == "__main__":
    main()
