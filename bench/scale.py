"""scale: time and memory of ingest, validate, clean and split as the rows grow. `python -m bench.scale 10000 100000 [1000000]`
`python -m bench.scale --gate 10000 100000 1000000`: of the leak gate of mix, and what it finds

Makes so many rows (half of them sections of about 200 characters, the rest questions with answers) in a temporary folder, runs
each stage by itself with the values of params.yaml, and prints the processor's seconds, the most memory that all its processes held
together, and whether the ledgers agree.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from bench.duplicates import watched
from lingyu.records import Dialogue, Message, Question, Row

STAGES = ("ingest", "validate", "clean", "split")
FILES = 40
HAN = [chr(point) for point in range(0x4E00, 0x4E00 + 2500)]


HELD = 5000
INSTRUCTED = 3  # every third row is of a pattern under the instruction, every third of a pattern, every third of words


def main() -> None:
    if sys.argv[1] == "--gate":
        print(
            "| training rows | gate: CPU s | its memory, MB | all of the process, MB | verbatim | framed | false alarms |\n"
            + "|"
            + " --- |" * 7
        )
        for count in sys.argv[2:]:
            subprocess.run([sys.executable, "-m", "bench.scale", "gate", count], check=True)
        return
    print("| rows | " + " | ".join(f"{stage}: CPU s, MB" for stage in STAGES) + " | in train, dev, test, left out | ledgers |")
    print("|" + " --- |" * (len(STAGES) + 3))
    for count in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            write_rows(Path(folder) / "data", count)
            cells = []
            for stage in STAGES:
                seconds, peak = watched([sys.executable, "-m", "bench.scale", stage, folder])
                cells.append(f"{seconds:.0f}, {peak / 2**20:.0f}")
            out = Path(folder) / "out"
            parts, left = went(out)
            agree = subprocess.run([sys.executable, "-m", "lingyu", "ledger", "--out", str(out)], stdout=subprocess.DEVNULL).returncode
            agree_too = sum(parts) + left == count
            print(
                f"| {count:,} | {' | '.join(cells)} | {', '.join(f'{part:,}' for part in parts)}, {left:,} | "
                f"{'agree' if agree == 0 and agree_too else 'DO NOT AGREE'} |",
                flush=True,
            )


def went(out: Path) -> tuple[list[int], int]:
    """How many rows each part has, and how many clean and split left out."""
    totals = [json.loads((out / stage / "ledger.json").read_text(encoding="utf-8"))["total"] for stage in ("clean", "split")]
    parts = [totals[-1]["changed"].get(f"to {part}", 0) for part in ("train", "dev", "test")]
    return parts, sum(sum(total["dropped"].values()) for total in totals)


def vocabulary(draw: random.Random) -> tuple[list[str], list[float]]:
    words = ["".join(draw.choices(HAN, k=2)) for _ in range(20000)]
    return words, list(accumulate(1 / rank for rank in range(1, len(words) + 1)))


def write_rows(folder: Path, count: int) -> None:
    """Words of two characters drawn as often as words are (a Zipf law); one row in fifty nearly repeats one of another file."""
    folder.mkdir()
    draw = random.Random(11)
    words, reach = vocabulary(draw)
    kept: list[str] = []
    for file in range(FILES):
        with (folder / f"{file:02}.jsonl").open("w", encoding="utf-8") as lines:
            for number in range(file * count // FILES, (file + 1) * count // FILES):
                if number % 50 or not kept:
                    said = "，".join("".join(draw.choices(words, cum_weights=reach, k=7)) for _ in range(14)) + "。"
                else:
                    said = draw.choice(kept)[:-8] + "".join(draw.choices(words, k=3)) + "。"
                if number % 500 == 1:
                    kept.append(said)
                row = {"text": said} if file % 2 else {"question": said[:40] + "？", "answer": said[40:80]}
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def gate(count: int) -> None:
    """Prints the line of a table: mix's gate over so many training rows."""
    from bench.leaks import FRAMES
    from lingyu.mix.leaks import leaking
    from stages.mix import ROW_TYPES, Params

    questions = list(distinct_questions(count + HELD))
    draw = random.Random(5)
    draw.shuffle(questions)
    held, rest = questions[:HELD], questions[HELD : HELD + count - 2 * HELD]
    planted = [*held, *(FRAMES[number % len(FRAMES)].format(text) for number, text in enumerate(held))]
    trained = [dialogue(str(number), text) for number, text in enumerate([*planted, *rest])]
    rows: dict[str, list[Row]] = {f"{part}/{name}": [] for part in ("train", "dev", "test") for name in ROW_TYPES}
    rows |= {"train/sft": [*trained], "test/questions": [asked(f"t{number}", text) for number, text in enumerate(held)]}
    before, started = resident(), os.times()
    found = {int(leak["id"]) for leak in leaking(rows, Params.load("mix").leaks)}
    ended = os.times()
    verbatim, framed = (sum(number in found for number in range(first, first + HELD)) for first in (0, HELD))
    false = sum(number >= 2 * HELD for number in found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"| {count:,} | {ended.user + ended.system - started.user - started.system:.0f} | {peak - before:.0f} | {peak:.0f} "
        f"| {verbatim / HELD:.4f} | {framed / HELD:.4f} | {false} of {len(rest):,} |",
        flush=True,
    )


def distinct_questions(count: int) -> Iterator[str]:
    from bench.leaks import PATTERNS_ZH, RULE

    draw = random.Random(11)
    words, reach = vocabulary(draw)
    seen: set[str] = set()
    while len(seen) < count:
        kind = len(seen) % INSTRUCTED
        if kind == 0:
            said = (
                "，".join("".join(draw.choices(words, cum_weights=reach, k=draw.randint(3, 9))) for _ in range(draw.randint(1, 4))) + "？"
            )
        else:
            said = draw.choice(PATTERNS_ZH).format("".join(draw.choices(HAN, k=draw.randint(3, 5))))
        said = f"{RULE}\n{said}" if kind == 2 else said
        if said not in seen:
            seen.add(said)
            yield said


def dialogue(own: str, question: str) -> Dialogue:
    messages = [Message(role="user", content=question), Message(role="assistant", content="应当登记。")]
    return Dialogue(**of_made(own), messages=messages)


def asked(own: str, question: str) -> Question:
    return Question(**of_made(own), messages=[Message(role="user", content=question)], answer="应当登记。", wrong=[], known="")


def of_made(own: str) -> dict[str, Any]:
    row = {"id": own, "source": "a.jsonl", "place": own, "licence": "MIT", "scope": "domain", "language": "zh"}
    return row | {"task": "chat", "references": [own], "method": "given", "teacher": "", "prompt_hash": "", "review": ""}


def resident() -> float:
    """MB of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def run_stage(stage: str, folder: Path) -> None:
    import importlib

    module = importlib.import_module(f"stages.{stage}")
    out, words = folder / "out", Path("lingyu/text/word_lists.yaml")
    tables = out / "ingest/tables"
    paths = {
        "ingest": [folder / "data"],
        "validate": [tables, Path("lingyu/validate"), words],
        "clean": [tables, words, out / "validate/metrics.json"],
        "split": [out / "clean/tables"],
    }
    module.run(module.Params.load(stage), *paths[stage], out / stage)


if __name__ == "__main__":
    if sys.argv[1] == "gate":
        gate(int(sys.argv[2]))
    else:
        run_stage(sys.argv[1], Path(sys.argv[2])) if sys.argv[1] in STAGES else main()
