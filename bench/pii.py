"""pii: how much personal data is found, how much else is taken for it, and how fast. `python -m bench.pii`

Reads   bench/pii_set.py      the labelled set, made from a seed
        samples/              ordinary text, for speed
Prints  tables for docs/benchmarks.md. --peers PYTHON adds presidio, datatrove and scrubadub, run by that Python.
"""

import argparse
import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from scipy.stats import binomtest

from bench.pii_set import KINDS, Sample, blind_samples, samples
from lingyu.clean import pii
from lingyu.text.normalise import language_of, normal

# What the default of params.yaml has on.
NUMBERS = [kind for kind in KINDS if kind not in {"address", "name"}]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what lingyu.clean.pii finds.")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--count", type=int, default=1000, help="texts with a value, and near-misses, a kind")
    parser.add_argument("--peers", help="a Python that has presidio-analyzer, datatrove and scrubadub")
    arguments = parser.parse_args()

    made = list(samples(arguments.seed, arguments.count))
    print(f"Made from seed {arguments.seed}: {arguments.count} values and as many near-misses a kind; exact borders.\n")
    quality(made)
    print("\nSentences written by hand after the rules were done:\n")
    quality(blind_samples())

    texts = [normal(sample.text) for sample in made]
    prose = [normal(path.read_text(encoding="utf-8")) for path in sorted(Path("samples").rglob("*.md"))]
    print("\n| lingyu, MB/s a core | kinds of numbers | all kinds |\n| --- | --- | --- |")
    some_each = {
        "ordinary text (samples/**/*.md)": prose * 10,
        "the same with a text of the labelled set after every 200 characters": [mixed(text, texts) for text in prose * 10],
        "the labelled set alone, in documents of fifty texts": ["\n".join(texts[start : start + 50]) for start in range(0, len(texts), 50)],
    }
    for name, some in some_each.items():
        print(f"| {name} | {' | '.join(f'{speed(some, kinds):.1f}' for kinds in (NUMBERS, list(KINDS)))} |")
    if arguments.peers:
        beside_peers(arguments.peers, made, texts)


def quality(labelled: Iterable[Sample]) -> None:
    """A line a kind: values, how many were found and how many finds were right, with 95 % intervals."""
    right, values, found = Counter[str](), Counter[str](), Counter[str]()
    for sample in labelled:
        text = normal(sample.text)
        labels = Counter((kind, normal(value)) for kind, value in sample.labels)
        finds = Counter((find.kind, text[find.start : find.end]) for find in pii.finds(text, KINDS))
        for counter, some in ((right, labels & finds), (values, labels), (found, finds)):
            for (kind, _), count in some.items():
                counter[kind] += count
    print("| kind | values | recall | finds | precision |\n| --- | --- | --- | --- | --- |")
    for kind in KINDS:
        print(f"| {kind} | {values[kind]} | {share(right[kind], values[kind])} | {found[kind]} | {share(right[kind], found[kind])} |")


def share(count: int, of: int) -> str:
    if not of:
        return "–"
    interval = binomtest(count, of).proportion_ci(method="wilson")
    return f"{count / of:.3f} ({interval.low:.3f}–{interval.high:.3f})"


def mixed(prose: str, texts: list[str]) -> str:
    return "".join(prose[start : start + 200] + texts[start // 200 % len(texts)] for start in range(0, len(prose), 200))


def speed(texts: list[str], kinds: list[str]) -> float:
    return size(texts) / timed(lambda text: pii.mask(text, "zh", kinds)[0], texts)[1]


def size(texts: list[str]) -> float:
    """In megabytes of UTF-8."""
    return sum(len(text.encode()) for text in texts) / 1e6


def timed(mask: Callable[[str], str], texts: list[str]) -> tuple[list[str], float]:
    """The texts masked, and the processor's seconds: the best of three, for others use the machine too."""
    seconds = []
    for _ in range(3):
        started = time.process_time()
        masked = [mask(text) for text in texts]
        seconds.append(time.process_time() - started)
    return masked, min(seconds)


def beside_peers(python: str, made: list[Sample], texts: list[str]) -> None:
    """For each kind the share of values that no longer stand in the text, and of near-misses that were touched."""
    answer = subprocess.run([python, "bench/pii_peers.py"], input=json.dumps(texts), capture_output=True, text=True, check=True).stdout
    peers = json.loads(answer)
    masked, seconds = timed(lambda text: pii.mask(text, language_of(text), NUMBERS)[0], texts)
    results = {"lingyu": (masked, seconds)} | {
        f"{name} {peer['version']}": (peer["texts"], peer["seconds"]) for name, peer in peers.items()
    }
    print(f"\nValues masked / near-misses touched, in %:\n\n| kind | {' | '.join(results)} |\n| --- |{' --- |' * len(results)}")
    for kind in NUMBERS:
        cells = []
        for outputs, _ in results.values():
            rows = [(sample, text, output) for sample, text, output in zip(made, texts, outputs, strict=True) if sample.about == kind]
            hidden = [normal(sample.labels[0][1]) not in output for sample, _, output in rows if sample.labels]
            touched = [text != output for sample, text, output in rows if sample.near_miss]
            cells.append(f"{100 * sum(hidden) / len(hidden):.0f} / {100 * sum(touched) / len(touched):.0f}")
        print(f"| {kind} | {' | '.join(cells)} |")
    print(f"| MB/s a core | {' | '.join(f'{size(texts) / seconds:.2f}' for _, seconds in results.values())} |")


if __name__ == "__main__":
    main()
