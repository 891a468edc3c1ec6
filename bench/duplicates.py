"""Near-duplicate removal beside datatrove and data-juicer: the same planted Chinese documents, one tool after the other.

    python -m bench.duplicates FOLDER [--documents 100000] [--peer datatrove=PYTHON] [--peer data-juicer=PYTHON]

PYTHON is the interpreter of an environment that has the peer (pip install "datatrove[processing]" spacy jieba; pip install
py-data-juicer). A tenth of the documents are near-duplicates of others, a twentieth only look alike, one in a hundred is the same.
A pair counts as one to be found when the Jaccard similarity of its character trigrams, letters and digits alone, is .8 or more.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

LENGTH = 1000
THRESHOLD = 0.8
BATCH = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--run", choices=TOOLS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        measure(given.run, given.folder)
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    pairs = plant(given.folder / "documents.jsonl", given.documents)
    true = sum(similar >= THRESHOLD for _, similar in pairs.values())
    print(f"{given.documents:,} documents of {LENGTH:,} characters, {true:,} with a twin at {THRESHOLD} or more, {os.cpu_count()} cores\n")
    print("| tool | documents/s | CPU ms a document | recall | precision | peak MB |\n| --- | --- | --- | --- | --- | --- |")
    for name, python in [("lingyu", sys.executable), *(peer.split("=", 1) for peer in given.peer)]:
        cpu, peak = watched([python, __file__, str(given.folder), "--run", name])
        result = json.loads((given.folder / f"{name}.json").read_text())
        recall, precision = scores(pairs, set(result["kept"]), given.documents)
        speed = given.documents / result["seconds"]
        print(
            f"| {name} | {speed:,.0f} | {cpu / given.documents * 1000:.2f} | {recall:.4f} | {precision:.4f} | {peak / 2**20:,.0f} |",
            flush=True,
        )


def watched(command: list[str]) -> tuple[float, int]:
    """Run a command in a session of its own: the seconds of processor time and the most memory of all its processes together."""
    with subprocess.Popen(command, stdout=sys.stderr, cwd=Path(__file__).parent.parent, start_new_session=True) as process:
        spent, peak = dict[str, int](), 0
        while process.poll() is None:
            memory = 0
            for path in Path("/proc").glob("[0-9]*/stat"):
                try:
                    fields = path.read_text().rpartition(")")[2].split()
                except OSError:  # it has just ended
                    continue
                if int(fields[3]) == process.pid:
                    spent[path.parent.name] = int(fields[11]) + int(fields[12])
                    memory += int(fields[21]) * resource.getpagesize()
            peak = max(peak, memory)
            time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
    return sum(spent.values()) / os.sysconf("SC_CLK_TCK"), peak


def scores(pairs: dict[int, tuple[int, float]], kept: set[int], documents: int) -> tuple[float, float]:
    """Recall: of the true pairs, those not both kept. Precision: of what was removed, what has its true twin kept."""
    true = {copy: twin for copy, (twin, similar) in pairs.items() if similar >= THRESHOLD}
    other = true | {twin: copy for copy, twin in true.items()}
    removed = set(range(documents)) - kept
    return (
        sum(not {copy, twin} <= kept for copy, twin in true.items()) / len(true),
        sum(other.get(one) in kept for one in removed) / max(1, len(removed)),
    )


def plant(path: Path, documents: int) -> dict[int, tuple[int, float]]:
    """Write the documents; copy → (what it was made from, how similar they are)."""
    draw = random.Random(7)
    write, texts, pairs = writer(draw), list[str](), dict[int, tuple[int, float]]()
    fresh = [number for number in range(documents) if number < 100 or draw.random() >= 0.16]
    free = set(fresh)
    with path.open("w", encoding="utf-8") as file:
        for number in range(documents):
            if number in free:
                text = write(LENGTH)
            else:
                twin = draw.choice(fresh[: max(1, len(texts) * 4 // 5)])
                while twin >= number or twin not in free:
                    twin = draw.randrange(number)
                free.discard(twin)  # one copy each
                kind = draw.random()
                text = texts[twin].replace("，", ",") if kind < 0.06 else changed(texts[twin], draw, write, alike=kind < 0.7)
                pairs[number] = (twin, jaccard(text, texts[twin]))
            texts.append(text)
            file.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n")
    return pairs


def writer(draw: random.Random) -> Any:
    """Makes text of Chinese words as often as they are used, by the word list that jieba brings."""
    import jieba

    lines = (Path(jieba.__file__).parent / "dict.txt").read_text(encoding="utf-8").splitlines()
    words = [line.split(" ")[0] for line in lines]
    weights = list(accumulate(int(line.split(" ")[1]) + 1 for line in lines))

    def write(length: int) -> str:
        text = ""
        while len(text) < length:
            text += "".join(draw.choices(words, cum_weights=weights, k=draw.randint(4, 14))) + draw.choice("，，，。；")
        return text[:length]

    return write


def changed(text: str, draw: random.Random, write: Any, alike: bool) -> str:
    """A copy with characters changed here and there, a part written anew, or sentences in another order."""
    kind = draw.randrange(3)
    if kind == 0:
        characters = list(text)
        for _ in range(draw.randint(1, 40) if alike else draw.randint(50, 200)):
            characters[draw.randrange(len(characters))] = draw.choice(["", "的", "了", "乙", "丙新"])
        return "".join(characters)
    if kind == 1:
        part = draw.randint(20, 100) if alike else draw.randint(160, 500)
        start = draw.randrange(len(text) - part)
        return text[:start] + write(part) + text[start + part :]
    sentences = text.split("。")
    draw.shuffle(sentences)
    moved = "。".join(sentences)
    return moved if alike else moved[: draw.randint(500, 750)]


def jaccard(one: str, other: str) -> float:
    def grams(text: str) -> set[str]:
        letters = "".join(filter(str.isalnum, text.lower()))
        return {letters[start : start + 3] for start in range(len(letters) - 2)}

    shared = len(grams(one) & grams(other))
    return shared / (len(grams(one)) + len(grams(other)) - shared)


def measure(name: str, folder: Path) -> None:
    """Run one tool from file to the ids kept, and write what it took. What is imported before costs nothing."""
    work = TOOLS[name](folder)
    began = time.perf_counter()
    kept = work()
    (folder / f"{name}.json").write_text(json.dumps({"seconds": time.perf_counter() - began, "kept": kept}))


def batches(path: Path) -> Iterator[list[bytes]]:
    with path.open("rb") as file:
        while lines := list(islice(file, BATCH)):
            yield lines


def marked(lines: list[bytes]) -> Any:
    from lingyu.clean.minhash import signatures
    from lingyu.text.normalise import key

    keys = [key(json.loads(line)["text"]) for line in lines]
    return keys, signatures(keys)


def lingyu(folder: Path) -> Any:
    sys.path.insert(0, str(Path(__file__).parent.parent))
    import numpy as np

    from lingyu.clean.minhash import NearDuplicates
    from lingyu.workers import Workers

    def work() -> list[int]:
        near, kept, count = NearDuplicates(THRESHOLD, folder), list[int](), 0
        with Workers("local") as workers:
            for keys, signs in workers.mapped(marked, batches(folder / "documents.jsonl")):
                names = [str(count + place) for place in range(len(keys))]
                found = near.repeated(names, keys, np.zeros(len(keys), np.uint64), signs)
                kept += [count + place for place, name in enumerate(found) if not name]
                count += len(keys)
        near.close()
        return kept

    return work


def data_juicer(folder: Path) -> Any:
    from data_juicer.core.data import NestedDataset
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
    from datasets import disable_caching, load_dataset

    disable_caching()

    def work() -> list[int]:
        rows = load_dataset("json", data_files=str(folder / "documents.jsonl"), split="train", cache_dir=str(folder / "data-juicer"))
        tool = DocumentMinhashDeduplicator(
            tokenization="character", window_size=3, ignore_pattern=r"[\p{P}\s]", jaccard_threshold=THRESHOLD
        )
        hashed = NestedDataset(rows).map(tool.compute_hash, num_proc=os.cpu_count())
        return [int(id_) for id_ in tool.process(hashed)[0]["id"]]

    return work


def datatrove(folder: Path) -> Any:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import minhash
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    # Words of two characters on average: two in a row are as near to three characters as its settings come.
    settings = minhash.MinhashConfig(n_grams=2, num_buckets=14, hashes_per_bucket=8)
    home, cores = folder / "datatrove", os.cpu_count() or 1

    def work() -> list[int]:
        parts = home / "in"
        parts.mkdir(parents=True, exist_ok=True)
        lines = (folder / "documents.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        for part in range(cores):  # it works on a file a task
            (parts / f"{part}.jsonl").write_text("".join(lines[part::cores]), encoding="utf-8")
        reader = JsonlReader(str(parts))
        step = partial(LocalPipelineExecutor, skip_completed=False, logging_dir=str(home / "logs"))
        signs, buckets, removed, out = (str(home / name) for name in ("signs", "buckets", "removed", "out"))
        steps: list[tuple[Any, int]] = [
            ([reader, minhash.MinhashDedupSignature(output_folder=signs, config=settings, language="zho")], cores),
            ([minhash.MinhashDedupBuckets(input_folder=signs, output_folder=buckets, config=settings)], settings.num_buckets),
            ([minhash.MinhashDedupCluster(input_folder=buckets, output_folder=removed, config=settings)], 1),
            ([reader, minhash.MinhashDedupFilter(input_folder=removed), JsonlWriter(out, compression=None)], cores),
        ]
        for pipeline, tasks in steps:
            step(pipeline=pipeline, tasks=tasks, workers=cores).run()
        return [int(json.loads(line)["id"]) for path in Path(out).glob("*.jsonl") for line in path.open(encoding="utf-8")]

    return work


TOOLS = {"lingyu": lingyu, "datatrove": datatrove, "data-juicer": data_juicer}

if __name__ == "__main__":
    main()
