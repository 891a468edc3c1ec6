"""The flow release gives the package to two hubs on loopback through their own clients, and a download by its tag has the same files."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from browsing import must
from hub_servers import TOKEN, HuggingFaceServer, ModelScopeServer

NAME, VERSION = "pilotwise/drone", "v1"


def main(folder: Path) -> str:
    with HuggingFaceServer() as face, ModelScopeServer() as scope, tempfile.TemporaryDirectory() as home:
        hubs = {"HF_ENDPOINT": face.url, "HF_TOKEN": TOKEN, "MODELSCOPE_ENDPOINT": scope.url, "MODELSCOPE_API_TOKEN": TOKEN}
        homes = {name: f"{home}/{name}" for name in ("HF_HOME", "MODELSCOPE_HOME", "MODELSCOPE_CACHE", "PREFECT_HOME")}
        quiet = {"HF_HUB_DISABLE_XET": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "DVC_NO_ANALYTICS": "1"}
        environment = {**os.environ, **hubs, **homes, **quiet, "PYTHONPATH": str(folder)}
        command = [sys.executable, "-m", "flows.release", "--version", VERSION]
        command += ["--to", f"huggingface={NAME}", "--to", f"modelscope={NAME}"]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        must(f"flows.release: {done.stdout[-500:]}{done.stderr[-1500:]}", done.returncode == 0)
        packaged = {
            path.relative_to(folder / "out/package/release") for path in (folder / "out/package/release").rglob("*") if path.is_file()
        }
        there = []
        for kind, hub in (("huggingface", face), ("modelscope", scope)):
            repository = hub.repositories[NAME]
            files = repository.commits[repository.tags[VERSION]]
            for path in packaged - {Path("manifest.json"), Path("README.md"), Path("configuration.json")}:
                content = files.get(path.as_posix())
                must(f"{kind}: {path} differs", content == (folder / "out/package/release" / path).read_bytes())
            for path in ("manifest.json", "README.md"):
                must(f"{kind} has no {path}", bool(files.get(path)))
            there.append(f"{kind} {NAME}@{VERSION}: {len(files)}")
    return ", ".join(there)


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
