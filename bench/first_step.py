"""sft up to the end of its first step, and then no further: the seconds after which each part of its start was done.

`bench.startup` runs it, by itself or in a fork of the warm process. Where the stage was started is in FIRST_STEP_BEGAN, of time.monotonic.
"""

import functools
import json
import os
import runpy
import sys
import time
from collections.abc import Callable
from typing import Any

from lingyu.runtime.warm import handed_over

BEGAN = "FIRST_STEP_BEGAN"
PARTS: dict[str, tuple[float, float]] = {}


def report(part: str) -> None:
    """Note when a part was done the first time, in seconds of the clock and of the processor."""
    PARTS.setdefault(part, (time.monotonic() - float(os.environ[BEGAN]), time.process_time()))


def noting(part: str, act: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(act)
    def noted(*arguments: Any, **more: Any) -> Any:
        result = act(*arguments, **more)
        report(part)
        return result

    return noted


def main() -> None:
    from lingyu.model import load
    from lingyu.train import run

    report("Python, our own modules")
    load.prepare = noting("torch, transformers", load.prepare)
    load.load_tokenizer = noting("tokenizer", load.load_tokenizer)
    load.load_model = noting("rows tokenised, model", load.load_model)
    run.boards = lambda *_: [ending()]
    runpy.run_module("stages.sft", run_name="__main__", alter_sys=True)


def ending() -> Any:
    """A callback that ends the process behind the first step."""
    from transformers import TrainerCallback

    class End(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            report("training begins")

        def on_step_end(self, *_: Any, **__: Any) -> None:
            report("first step")
            print(json.dumps(PARTS), flush=True)
            sys.exit()

    return End()


if __name__ == "__main__":
    if (status := handed_over("bench.first_step")) is not None:
        sys.exit(status)
    if sys.argv[1:] != ["--nothing"]:
        main()
