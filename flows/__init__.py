"""Prefect flows: they say when and where to run what DVC knows how to make, and hold no domain logic."""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from lingyu.stage import StageError

# Read by Prefect and DVC when they are imported or started, hence before either. A project that trains offline phones nobody.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DVC_NO_ANALYTICS", "1")
# Its temporary server takes longer than the 20 s it is given when the cores are busy.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "600")
if "PREFECT_HOME" not in os.environ and not (Path.home() / ".prefect").exists():
    # Who has no Prefect of their own keeps the runs in the project, and the home folder stays clean.
    home = Path(".lingyu/prefect").resolve()
    home.mkdir(parents=True, exist_ok=True)
    os.environ["PREFECT_HOME"] = str(home)


def start(name: str, run: Callable[[], object]) -> None:
    """Run a flow from the command line. What a person can put right ends in one message and exit status 1."""
    for logger in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(logger).addFilter(without_traceback)
    try:
        run()
    except StageError as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: stopped. What was made is kept; run it again to go on.")


def without_traceback(record: logging.LogRecord) -> bool:
    """Keep every record, but of a StageError only its message: it is for the person who must act."""
    if record.exc_info and isinstance(record.exc_info[1], StageError):
        record.exc_info = None
    return True
