"""Memory of a release of large weights to local servers of both hubs: `python -m bench.release_memory [--gigabytes 2]`.

The servers, which keep all in memory, are processes of their own; what is measured is the process that uploads, downloads and compares.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SERVER = """
import sys
sys.path.insert(0, "tests")
from hub_servers import {name}
with {name}() as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""
CLIENT = """
import resource, sys, time
from pathlib import Path
from lingyu.release.hubs import deliver, open_hub
hub, begun = open_hub(sys.argv[1], "lab/large", True), time.monotonic()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert deliver(hub, Path(sys.argv[2]), "v1")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"| {sys.argv[1]} | {before // 1024} | {after // 1024} | {time.monotonic() - begun:.0f} |", flush=True)
"""
HUBS = {
    "huggingface": ("HuggingFaceServer", "HF_ENDPOINT", "HF_TOKEN"),
    "modelscope": ("ModelScopeServer", "MODELSCOPE_ENDPOINT", "MODELSCOPE_API_TOKEN"),
}
PIECE = 1 << 24


def written(folder: Path, size: int) -> Path:
    """A release whose weights are so many random bytes."""
    from lingyu.files import hashes, write_json

    folder.mkdir()
    with (folder / "model.safetensors").open("wb") as file:
        for _ in range(size // PIECE):
            file.write(os.urandom(PIECE))
    (folder / "config.json").write_text("{}")
    write_json(folder / "manifest.json", {"files": hashes(folder)})
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.release_memory", description="Memory of a release of large weights")
    parser.add_argument("--gigabytes", type=float, default=2.0)
    size = int(parser.parse_args().gigabytes * (1 << 30))
    print(f"{size / (1 << 30):g} GiB of weights\n\n| hub | MiB before | MiB at most | s |\n| --- | --- | --- | --- |", flush=True)
    for kind, (name, endpoint, token) in HUBS.items():
        with tempfile.TemporaryDirectory() as top:
            release = written(Path(top, "release"), size)
            server = subprocess.Popen(
                [sys.executable, "-c", SERVER.format(name=name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            try:
                assert server.stdout
                own = {endpoint: server.stdout.readline().strip(), token: "right-token", "HF_HUB_DISABLE_XET": "1", "TMPDIR": top}
                own |= {each: f"{top}/{each}" for each in ("HF_HOME", "MODELSCOPE_HOME", "MODELSCOPE_CACHE")}
                quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TQDM_DISABLE": "1"}
                subprocess.run([sys.executable, "-c", CLIENT, kind, str(release)], env={**os.environ, **own, **quiet}, check=True)
            finally:
                server.kill()
                server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
