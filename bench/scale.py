"""scale: time and memory of ingest, validate, clean and split as the rows grow. `python -m bench.scale 10000 100000 [1000000]`

Makes so many rows (half of them sections of about 200 characters, the rest questions with answers) in a temporary folder, runs
each stage by itself with the values of params.yaml, and prints the processor's seconds, the most memory that all its processes held
together, and whether the ledgers agree.
"""

import json
import random
import subprocess
import sys
import tempfile
from itertools import accumulate
from pathlib import Path

from bench.duplicates import watched

STAGES = ("ingest", "validate", "clean", "split")
FILES = 40
HAN = [chr(point) for point in range(0x4E00, 0x4E00 + 2500)]


def main() -> None:
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


def write_rows(folder: Path, count: int) -> None:
    """Words of two characters drawn as often as words are (a Zipf law); one row in fifty nearly repeats one of another file."""
    folder.mkdir()
    draw = random.Random(11)
    words = ["".join(draw.choices(HAN, k=2)) for _ in range(20000)]
    reach = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
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
    run_stage(sys.argv[1], Path(sys.argv[2])) if sys.argv[1] in STAGES else main()
