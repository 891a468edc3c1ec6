"""teacher: requests a second against an endpoint that takes 200 ms, as a share of what the concurrency allows. `python -m bench.teacher`

Writes  docs/benchmarks.md   what stands between the marks <!-- teacher --> and <!-- /teacher -->

The endpoint is tests/openai_server.py in a process of its own, and it has the clock: from the first request to the last reply.
The best that N requests at once can do is N each 200 ms.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lingyu.files import short_hash
from lingyu.generate.llm.checks import Limits
from lingyu.generate.llm.client import Settings
from lingyu.generate.llm.method import Learn
from lingyu.generate.llm.run import Counts, Lesson, ask_all
from lingyu.records import Document
from stages import generate

OPENED, CLOSED = "<!-- teacher -->", "<!-- /teacher -->"
PAGE = Path("docs/benchmarks.md")
LATENCY = 0.2
TRIES = 3
CONCURRENCIES = (4, 8, 16, 32)
SECONDS = 20  # about, a try: the last requests of a run, which nothing follows, then count little


def main() -> None:
    section = generate.Params.load("generate").model_dump()
    lines = [
        "| requests at once | requests | seconds, best of three | requests a second | of what is possible, all three |",
        "|" + " --- |" * 5,
    ]
    for concurrency in CONCURRENCIES:
        count = int(SECONDS / LATENCY * concurrency)
        tries = [tried(section, concurrency, count // 2) for _ in range(TRIES)]
        shares = sorted(requests * LATENCY / concurrency / seconds for requests, seconds in tries)
        requests, seconds = min(tries, key=lambda each: each[1])
        cells = [
            str(concurrency),
            f"{requests:.0f}",
            f"{seconds:.2f}",
            f"{requests / seconds:.1f}",
            ", ".join(f"{share:.1%}" for share in shares),
        ]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    page = PAGE.read_text(encoding="utf-8")
    head, tail = page.partition(OPENED)[0], page.partition(CLOSED)[2]
    PAGE.write_text(f"{head}{OPENED}\n" + "\n".join(lines) + f"\n{CLOSED}{tail}", encoding="utf-8")


def tried(section: dict, concurrency: int, records: int) -> list[float]:
    """Requests and seconds of one run over so many passages, a question each."""
    changes = {"kind": "openai", "model": "bench", "concurrency": concurrency, "requests_a_minute": 10**6}
    asked = section["asked"] | {"reliable": {"records": records, "questions": 1, "verify": False}}
    learn = Learn([passage(number) for number in range(records)], [], [], [], seed=1)
    lesson = Lesson(learn, Counts.model_validate(asked), Limits.model_validate(section["checks"]), [], lambda _: "")
    timed: list[float] = []
    with tempfile.TemporaryDirectory() as folder, endpoint(timed) as url:
        settings = Settings.model_validate(section["teacher"] | changes | {"base_url": url, "budget": {"tokens": 10**9, "money": 1.0}})
        done = ask_all(lesson, settings, Path(folder, "journal.jsonl"), Path(folder, "teacher.jsonl"))
        if len(done.rows) != records:
            raise SystemExit(f"{records - len(done.rows)} rows are missing: {done.drops[0]}")
    return timed


def passage(number: int) -> Document:
    """Short, and like no other."""
    words = " ".join(short_hash("bench", str(number), str(place))[:6] for place in range(8))
    text = f"值班员{number}检查{words}。"
    return Document(
        id=str(number), source="a.md", place=str(number), licence="CC0", scope="domain", language="zh", title="", section="", text=text
    )


@contextmanager
def endpoint(timed: list[float]) -> Iterator[str]:
    """The address of the endpoint; once it has ended, `timed` has what it counted."""
    command = [sys.executable, "tests/openai_server.py", str(LATENCY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield process.stdout.readline().strip()
        process.stdin.close()
        timed += map(float, process.stdout.read().split())


if __name__ == "__main__":
    main()
