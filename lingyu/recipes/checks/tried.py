"""What needs a browser or a hub: a script of tests/systems, run against the recipe's service and folder."""

import subprocess
import sys
from pathlib import Path
from typing import Literal

from lingyu.recipes.checks.check import Check, Run

ENDS = 300  # seconds that a script may take


class Script(Check):
    """A script of the project. It is started with the recipe's folder and, where it is served, the address of the service and what to ask
    there; what it prints last is what it found, and an exit status other than 0 means that the check does not hold."""

    kind: Literal["script"]
    path: Path
    served: bool = True
    asks: str = ""

    def look(self, run: Run) -> tuple[bool, str]:
        command = [sys.executable, str(self.path.resolve(strict=True)), str(run.folder.resolve())]
        if self.served:
            command += [run.service.address, *([self.asks] if self.asks else [])]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ENDS)
        except subprocess.TimeoutExpired:
            return False, f"{self.path} did not end within {ENDS} s"
        said = [line for line in (done.stdout if done.returncode == 0 else done.stderr).splitlines() if line.strip()]
        return done.returncode == 0 and bool(said), said[-1].strip()[:200] if said else f"{self.path}: -"
