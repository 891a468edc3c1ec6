"""scale: time and memory of ingest, clean and split as the rows grow. `python -m bench.scale 10000 100000 [1000000]`

Makes so many rows (half of them sections of about 200 characters, the rest questions with answers) in a temporary folder, runs
each stage in a process of its own with the values of params.yaml, and prints the time and the most memory that it held.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path

STAGES = ("ingest", "clean", "split")
FILES = 40
HAN = [chr(point) for point in range(0x4E00, 0x4E00 + 2500)]


def main() -> None:
    print("| rows | " + " | ".join(f"{stage}: seconds, MB" for stage in STAGES) + " | in train, dev, test, left out |")
    print("|" + " --- |" * (len(STAGES) + 2))
    for count in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            write_rows(Path(folder) / "data", count)
            cells = []
            for stage in STAGES:
                start = time.monotonic()
                told = subprocess.run([sys.executable, "-m", "bench.scale", stage, folder], capture_output=True, text=True, check=True)
                cells.append(f"{time.monotonic() - start:.1f}, {told.stdout.splitlines()[-1]}")
            total = json.loads((Path(folder) / "split/ledger.json").read_text(encoding="utf-8"))["total"]
            went = [total["changed"].get(f"to {part}", 0) for part in ("train", "dev", "test")]
            print(f"| {count} | " + " | ".join(cells) + f" | {', '.join(map(str, went))}, {sum(total['dropped'].values())} |", flush=True)


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
    paths = {
        "ingest": [folder / "data", folder / "ingest"],
        "clean": [folder / "ingest/tables", Path("lingyu/corpus/words.yaml"), folder / "validated", folder / "clean"],
        "split": [folder / "clean/tables", folder / "split"],
    }
    module.run(module.Params.load(stage), *paths[stage])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


if __name__ == "__main__":
    run_stage(sys.argv[1], Path(sys.argv[2])) if sys.argv[1] in STAGES else main()
