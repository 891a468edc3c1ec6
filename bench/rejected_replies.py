"""What a reward model learns from worse replies that a rule made, where nobody brought pairs: `python -m bench.rejected_replies`.

Needs a run of the default recipe (--out). People's pairs of --pairs are hidden: their better replies are taken for dialogues, of which
generate.pairs makes pairs in each of its ways. The reward model, trained on those from sft/full, then judges held-out pairs: people's
own, and with --facts the right against a wrong value. The share it tells right, mean and range over the seeds.
"""

import argparse
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from lingyu.files import read_table, write_table
from lingyu.generate.rules import corruption, given
from lingyu.generate.stable_choice import shuffled
from lingyu.model.load import load_scorer, load_tokenizer
from lingyu.records import Preference
from lingyu.stage import read_params
from stages import reward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="of the run whose sft/full is trained")
    parser.add_argument("--pairs", type=Path, default=Path("out/split"), help="folder with train, dev and test of people's pairs")
    parser.add_argument("--facts", type=Path, help="a table of pairs of a right and a wrong value")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--longest", type=int, default=400, help="characters of a pair that is used")
    parser.add_argument("--made", type=int, default=200, help="pairs that are made")
    parser.add_argument("--epochs", type=float, default=3, help="times that they are read")
    parser.add_argument("--ways", nargs="+", default=list(get_args(corruption.Rejected)), choices=get_args(corruption.Rejected))
    asked = parser.parse_args()
    parts = {part: list(read_table(asked.pairs / part / "preferences.parquet", Preference)) for part in ("train", "dev", "test")}
    parts = {part: [pair for pair in rows if length(pair) <= asked.longest] for part, rows in parts.items()}
    tests = {"people's pairs": [*parts["test"], *parts["dev"]]}
    if asked.facts:
        tests["facts"] = [pair for pair in read_table(asked.facts, Preference) if pair.method == corruption.METHOD]
    heads = [f"{name} ({len(pairs)})" for name, pairs in tests.items()]
    print("\n".join([f"| rejected | pairs | {' | '.join(heads)} |", "| --- | --- |" + " --- |" * len(heads)]), flush=True)
    dialogues = list(given.demonstrations(parts["train"]))
    for way in asked.ways:
        told = []
        for seed in range(asked.seeds):
            made = list(islice(corruption.other_answers(shuffled(dialogues, seed), way, seed), asked.made))
            with tempfile.TemporaryDirectory() as scratch:
                told.append(accuracies(asked, made, tests, seed, Path(scratch)))
        print(f"| {way} | {len(made)} | {' | '.join(shown([one[name] for one in told]) for name in tests)} |", flush=True)


def accuracies(
    asked: argparse.Namespace, made: list[Preference], tests: dict[str, list[Preference]], seed: int, scratch: Path
) -> dict[str, float]:
    sections = read_params()
    values: dict[str, Any] = {**sections["training"], **sections["reward"], "seed": seed, "num_train_epochs": asked.epochs}
    params = reward.Params(**values)
    for part, rows in (("train", made[len(made) // 8 :]), ("dev", made[: len(made) // 8])):
        write_table(scratch / part / "preference.parquet", rows, Preference)
    reward.run(params, asked.out, scratch / "train", scratch / "dev", scratch / "work", scratch / "reward")
    model, tokenizer = load_scorer(scratch / "reward/model", params.max_length), load_tokenizer(scratch / "reward/model")
    return {name: reward.accuracy(model, tokenizer, pairs) or 0.0 for name, pairs in tests.items()}


def length(pair: Preference) -> int:
    return sum(len(message.content) for message in pair.messages) + max(len(pair.chosen), len(pair.rejected))


def shown(shares: list[float]) -> str:
    return f"{sum(shares) / len(shares):.3f} ({min(shares):.3f}–{max(shares):.3f})"


if __name__ == "__main__":
    main()
