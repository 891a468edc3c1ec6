"""Prefect flows decide when and where to run what DVC defines; they hold no domain logic."""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from lingyu.stage import StageError

# Set before Prefect and DVC are imported, which read these at import. Telemetry is off.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DVC_NO_ANALYTICS", "1")
# On busy cores its temporary server takes longer than the default 20 s to start.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "600")
home = Path(".lingyu/prefect").resolve()
if "PREFECT_HOME" not in os.environ and ((home / "prefect.db").exists() or not (Path.home() / ".prefect").exists()):
    # Without a Prefect configuration of the user, runs are stored in the project instead of the home folder. Once they are, they stay
    # there: any command of Prefect makes a ~/.prefect, and the next run would find neither history nor schedule.
    home.mkdir(parents=True, exist_ok=True)
    os.environ["PREFECT_HOME"] = str(home)


def start(name: str, run: Callable[[], object]) -> None:
    """Run a flow from the command line. A StageError ends in one message and exit status 1."""
    for logger in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(logger).addFilter(without_traceback)
    from prefect.exceptions import CancelledRun

    try:
        run()
    except (StageError, CancelledRun) as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: stopped. Finished outputs are kept; run it again to continue.")


def without_traceback(record: logging.LogRecord) -> bool:
    """Keep every record, but without the traceback of a StageError."""
    if record.exc_info and isinstance(record.exc_info[1], StageError):
        record.exc_info = None
    return True
