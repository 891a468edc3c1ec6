"""The whole road of docs/retraining.md and docs/release.md, as an operator goes it: `python -m bench.road FOLDER`.

A small corpus beside a clone of this repository; a first run, pushed, and released to a folder and to local servers of both hubs; the
schedule with a cron of every two minutes; a runner of the pool gpu in a clone of its own; a file that is added to the corpus; a person
who approves; `lingyu verify` of all three places, and `lingyu rebuild` from the git remote and the DVC remote. Each step prints what it
showed; the first that does not hold ends the road with status 1.
"""

import argparse
import csv
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from bench.kills import POOL, Place, client_of, ready, wait_until

SAMPLE = Path("samples/drone")
# Of each file so many lines, so that the first model knows little of the reports, and the second more.
CORPUS = {
    "general/prose.zh.md": 100,
    "general/qa.jsonl": 60,
    "incidents/reports.csv": 60,
    "knowledge/graph.jsonl": 120,
    "preference/pairs.jsonl": 60,
    "reasoning/questions.jsonl": 60,
}
DOCUMENTS = ("zh-01*", "zh-02*", "zh-03*", "en-01*")
ASKED = {"taught": 100, "documents": 60, "classify": 150, "given": 20, "exams": 20}
ONCE: dict[str, Any] = {"threads": 1, "num_train_epochs": 1, "evaluations": 1}
OWN: dict[str, Any] = {
    "generate": {"test": ASKED, "choose": {name: count // 2 for name, count in ASKED.items()}},
    "base": {
        "model": {"kind": "tiny", "name": "", "revision": ""},
        "shape": {
            "vocab_size": 800,
            "hidden_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 32,
            "intermediate_size": 128,
        },
        "training": ONCE,
    },
    "select": {"primary": ["classify_accuracy"], "max_general_rise": 1.0, "resamples": 100},
    "index": {"check_items": 20},
    "retrain": {"pools": {"gpu": POOL}},
    "release": {"to": ["folder", "huggingface", "modelscope"], "huggingface": "team/drone", "modelscope": "team/drone"},
}
SERVERS = """
import sys
sys.path.insert(0, "tests")
from hub_servers import TOKEN, HuggingFaceServer, ModelScopeServer
with HuggingFaceServer() as one, ModelScopeServer() as other:
    print(one.url, other.url, TOKEN, flush=True)
    sys.stdin.read()
"""


def corpus(source: Path) -> list[str]:
    """Write the small corpus; the lines of a file of reports to add later."""
    for name in (*CORPUS, *(str(path.relative_to(SAMPLE)) for each in DOCUMENTS for path in SAMPLE.glob(f"documents/{each}"))):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        with (SAMPLE / name).open(encoding="utf-8") as file:
            (source / name).write_text("".join(islice(file, CORPUS.get(name))), encoding="utf-8")
    with (SAMPLE / "incidents/reports.csv").open(encoding="utf-8", newline="") as file:
        reports = [line for line in file if line.strip()]
    return [reports[0], *reports[CORPUS["incidents/reports.csv"] :]]


def own(text: str) -> str:
    """params.yaml of the operator."""
    values = yaml.safe_load(text)
    values |= OWN
    values["ingest"]["sources"].insert(0, {"pattern": "incidents/*", "licence": "CC-BY-4.0", "scope": "domain", "task": "risk"})
    values["training"]["threads"] = 1
    values["pretrain"] |= ONCE
    values["sft"] = {
        "common": {**values["sft"]["common"], "num_train_epochs": 4, "learning_rate": 4.0e-3, "evaluations": 1},
        "candidates": {"full": {"start": "pretrain", "method": {"name": "full"}}},
    }
    values["reward"]["enabled"] = False
    values["align"]["candidates"] = {}
    asked = {**dict.fromkeys(values["evaluate"]["common"]["max_new_tokens"], 8), "classify": 10}
    values["evaluate"] = {
        "common": {**values["evaluate"]["common"], "max_new_tokens": asked, "resamples": 100},
        "candidates": {"base": {"checkpoint": "base"}, "sft-full": {"checkpoint": "sft/full"}},
    }
    return yaml.safe_dump(values, allow_unicode=True, sort_keys=False)


class Road(Place):
    def __init__(self, top: Path) -> None:
        super().__init__(top)
        self.hubs: dict[str, str] = {}
        self.begun = time.monotonic()

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1", **self.hubs, **more)

    def log(self, what: str) -> None:
        print(f"{time.monotonic() - self.begun:5.0f} s  {what}", flush=True)

    def python(self, folder: Path, *words: str) -> str:
        return self.ran(folder, sys.executable, "-m", *words)

    def served(self, stack: ExitStack) -> None:
        """Both hubs, in a process of their own."""
        server = subprocess.Popen([sys.executable, "-c", SERVERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.callback(server.kill)
        assert server.stdout
        one, other, token = server.stdout.readline().split()
        self.hubs = {"HF_ENDPOINT": one, "HF_TOKEN": token, "MODELSCOPE_ENDPOINT": other, "MODELSCOPE_API_TOKEN": token}

    def first(self) -> list[str]:
        """The first machine, up to the first release; what is to be added to the corpus later."""
        self.home.mkdir(parents=True)
        (self.home / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n")
        more, main = corpus(self.source), self.clones["schedule"]
        self.git(self.top, "clone", "--quiet", "--bare", str(Path.cwd()), "origin.git")
        head = self.git(self.top / "origin.git", "branch", "--show-current").strip()
        self.git(self.top / "origin.git", "branch", "--move", "--force", head, "main")
        self.git(self.top, "clone", "--quiet", "--branch", "main", "origin.git", str(main))
        self.dvc(main, "import-url", "--force", "--quiet", str(self.source), "data")
        (main / "params.yaml").write_text(own((main / "params.yaml").read_text(encoding="utf-8")), encoding="utf-8")
        self.python(main, "stages")
        self.python(main, "lingyu.runtime.warm", sys.executable, "-m", "dvc", "repro")
        self.dvc(main, "remote", "add", "--quiet", "--default", "store", str(self.top / "store"))
        self.kept_in_git(main, "Our corpus and first run")
        self.dvc(main, "push", "--quiet")
        self.python(main, "flows.release")
        deployments = (main / "prefect.yaml").read_text(encoding="utf-8")
        before = "parameters: {commit: true, release: true, approve: true}"
        assert before in deployments
        (main / "prefect.yaml").write_text(deployments.replace(before, before.replace("commit: true,", "commit: true, push: true,")))
        self.kept_in_git(main, "First release")
        return more

    def kept_in_git(self, clone: Path, message: str) -> None:
        self.git(clone, "add", "--all")
        self.git(clone, "commit", "--quiet", "--message", message)
        self.git(clone, "push", "--quiet")

    def started(self, stack: ExitStack) -> None:
        """The schedule and the runner, in the foreground of their machines."""
        self.git(self.top, "clone", "--quiet", "--branch", "main", "origin.git", str(self.clones["runner"]))
        for name, words, word in (
            ("schedule", ["flows.schedule", "--cron", "*/2 * * * *"], "schedule: --cron"),
            ("runner", ["flows.runners", POOL], "started!"),
        ):
            more = {} if name == "schedule" else {"PREFECT_API_URL": self.api}
            log = self.top / f"{name}.log"
            with log.open("w") as output:
                service = subprocess.Popen(
                    [sys.executable, "-m", *words],
                    cwd=self.clones[name],
                    env=self.environment(**more),
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            stack.callback(service.wait)
            stack.callback(service.send_signal, signal.SIGINT)
            if not wait_until(partial(ready, service, log, 0, word), 600) or service.poll() is not None:
                raise SystemExit(f"{' '.join(words)} did not start: {log}")

    def run_in(self, *states: str) -> Any:
        """The first run of the schedule that is in one of these states."""
        with client_of(self) as client:
            runs = [run for run in client.read_flow_runs() if run.auto_scheduled and run.state and run.state.name in states]
        return runs[0] if runs else None

    def approved(self) -> None:
        waiting = wait_until(partial(self.run_in, "Paused", "Suspended", "Failed", "Crashed"), 7200, 5)
        if not waiting or not waiting.state.is_paused():
            raise SystemExit(f"no run waited for a person: {waiting and waiting.state}; see {self.top / 'schedule.log'}")
        self.log(f"{waiting.name}: waits for a person")
        with client_of(self) as client:
            client.resume_flow_run(waiting.id, run_input={"release": True, "name": "Ada", "remark": "read it"})

            def ended() -> Any:
                state = client.read_flow_run(waiting.id).state
                return state if state and state.is_final() else None

            state = wait_until(ended, 3600, 2)
        if not state or not state.is_completed():
            raise SystemExit(f"the run ended as {state}; see {self.top / 'schedule.log'}")


def road(place: Road) -> int:
    with ExitStack() as stack:
        place.served(stack)
        main, more = place.clones["schedule"], place.first()
        place.log("first run, pushed and released")
        place.started(stack)
        place.log("schedule and runner are up")
        (place.source / "incidents/more.csv").write_text("".join(more), encoding="utf-8")
        place.log(f"{len(list(csv.reader(more))) - 1} reports added to the corpus")
        place.approved()
        entries = yaml.safe_load((main / "releases/released.json").read_text(encoding="utf-8"))
        version = entries[-1]["version"]
        place.log(f"released {version} to {', '.join(entry['place'] for entry in entries if entry['version'] == version)}")
        tags = place.git(place.top / "origin.git", "tag", "--list", "release-*").split()
        if len(entries) != 6 or f"release-{version}" not in tags:
            raise SystemExit(f"{len(entries)} entries, tags {tags}: expected two releases to three places, and a tag")
        for release in (f"releases/{version}", f"huggingface:team/drone@{version}", f"modelscope:team/drone@{version}"):
            place.log(f"verify {release}: {place.python(main, 'lingyu', 'verify', release, '--lang', 'en').splitlines()[-1]}")
    with ExitStack() as stack:
        stack.callback(place.ended)
        command = ["lingyu", "rebuild", f"releases/{version}", "--from", str(place.top / "origin.git"), "--into", str(place.top / "again")]
        done = subprocess.run(
            [sys.executable, "-m", *command, "--lang", "en"], cwd=main, env=place.environment(), text=True, capture_output=True
        )
        place.log(f"rebuild: {' '.join(done.stdout.splitlines()[-1:])}")
        return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.road", description="From a new file in the corpus to a rebuilt release")
    parser.add_argument("folder", type=Path, help="a new folder")
    folder = parser.parse_args().folder.resolve()
    if folder.exists():
        raise SystemExit(f"{folder} is there already")
    os.makedirs(folder)
    return road(Road(folder))


if __name__ == "__main__":
    sys.exit(main())
