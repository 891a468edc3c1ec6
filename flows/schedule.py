"""schedule: retrain on a schedule, on one machine: Prefect's server, a worker and the deployment `process` of prefect.yaml.

    python -m flows.schedule --cron "0 3 * * 1"    # Mondays at 03:00
    python -m flows.schedule --every 600           # looks every ten minutes; a run that finds nothing new ends in seconds

Stays in the foreground, and ends with all that it started. With PREFECT_API_URL set, that server is used. Reports of the runs are served
at the port after Prefect's, or at LINGYU_REPORTS_PORT, unless params.yaml names another address (retrain.reports).

Reads   prefect.yaml      the parameters of the flow
Writes  .lingyu/prefect   history and schedule, unless there is a ~/.prefect
"""

import argparse
import os
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from flows import start
from flows.artifacts import ADDRESS, REPORTS
from lingyu.runtime import supervised
from lingyu.stage import StageError, read_params

PORT = "LINGYU_REPORTS_PORT"
POOL, DEPLOYMENT = "lingyu", "process"
START_TIMEOUT = 180.0
AT_A_TIME = "2"  # the second ends at once, and says that the first is active


def keep(when: tuple[str, str]) -> None:
    port = os.environ.setdefault("PREFECT_SERVER_API_PORT", "4200")
    given = os.environ.get("PREFECT_API_URL")
    api = os.environ.setdefault("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    with ExitStack() as stack:
        parts = [] if given else [kept(stack, "server", "start", "--host", "127.0.0.1", "--port", port)]
        reports = served(stack, int(os.environ.get(PORT) or int(port) + 1))
        wait_for(api, parts)
        once("work-pool", "create", POOL, "--type", "process", "--overwrite")
        once("--no-prompt", "deploy", "--name", DEPLOYMENT, "--pool", POOL, *when)
        parts.append(kept(stack, "worker", "start", "--pool", POOL, "--type", "process", "--limit", AT_A_TIME))
        print(f"schedule: {' '.join(when)}; page: {api.removesuffix('/api')}; reports: {reports}. Ctrl-C ends it.", flush=True)
        print("定时运行中，按 Ctrl-C 结束。", flush=True)
        while all(part.poll() is None for part in parts):
            time.sleep(1)
    raise StageError("Prefect's server or worker ended; see its messages above. 服务器或 worker 已退出，见上文。")


def kept(stack: ExitStack, *words: str) -> subprocess.Popen[bytes]:
    """A command of Prefect that runs until the stack is closed."""
    command = supervised.started((sys.executable, "-m", "prefect", *words), environment(), output=None)
    stack.callback(command.wait)
    assert command.stdin is not None
    stack.callback(command.stdin.close)
    return command


def served(stack: ExitStack, port: int) -> str:
    """Serve the reports of the runs on this machine, unless they are served elsewhere; their address."""
    if address := (read_params().get("retrain") or {}).get("reports"):
        return str(address)
    REPORTS.mkdir(parents=True, exist_ok=True)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(Page, directory=str(REPORTS.resolve())))
    except OSError as error:
        raise StageError(f"the port {port} for reports: {error.strerror}. Choose another with {PORT}. 请用该变量更换端口。") from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.shutdown)
    os.environ[ADDRESS] = f"http://127.0.0.1:{server.server_port}"
    return os.environ[ADDRESS]


class Page(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Readers of reports are no news."""


def once(*words: str) -> None:
    command = (sys.executable, "-m", "prefect", *words)
    done = subprocess.run(command, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise StageError(f"`prefect {' '.join(words)}` failed:\n{done.stdout}")


def environment() -> dict[str, str]:
    return {**os.environ, "PWD": os.getcwd()}  # for prefect.yaml


def wait_for(api: str, parts: list[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + START_TIMEOUT
    while True:
        try:
            with urllib.request.urlopen(f"{api}/health", timeout=5):
                return
        except OSError as error:
            if time.monotonic() > end or any(part.poll() is not None for part in parts):
                raise StageError(
                    f"no Prefect server at {api} ({error}). Start one with `prefect server start`, or choose its port with "
                    "PREFECT_SERVER_API_PORT."
                ) from None
            time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flows.schedule", description="Retrain on a schedule, on this machine 在本机定时运行")
    when = parser.add_mutually_exclusive_group(required=True)
    when.add_argument("--cron", help='when to run, such as "0 3 * * 1"')
    when.add_argument("--every", metavar="SECONDS", help="how often to run")
    given: dict[str, Any] = vars(parser.parse_args())
    start("schedule", lambda: keep(("--cron", given["cron"]) if given["cron"] else ("--interval", given["every"])))


if __name__ == "__main__":
    main()
