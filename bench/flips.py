"""Whether greedy replies depend on the batch: the same questions in batches of 1, 8 and 32, in their order, hence of uneven lengths.

    python -m bench.flips MODEL QUESTIONS.parquet… [--items 1000] [--precision fp32 bf16]

A flip is an item whose reply is another than that of batch 1. The likelihoods of the right answers are compared as well.
"""

import argparse
import time
from pathlib import Path

from lingyu.evaluate import ask
from lingyu.evaluate.scorers import reasoning
from lingyu.evaluate.settings import NewTokens
from lingyu.files import read_table
from lingyu.model.load import prepare
from lingyu.records import Question

ROWS = (1, 8, 32)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("questions", type=Path, nargs="+")
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    args = parser.parse_args()
    prepare(1)
    asked = [row for path in args.questions for row in read_table(path, Question)][: args.items]
    most = NewTokens().model_dump()
    room = [most.get(row.task, most["other"]) for row in asked]
    for precision in args.precision:
        # No limit by tokens: the rows alone say what is computed together.
        checkpoint = ask.load(args.model, 1 << 40, precision)
        prompts = [checkpoint.encode(checkpoint.chat.prompt(row.messages, row.task == reasoning.TASK)) for row in asked]
        answers = [checkpoint.encode(row.answer) for row in asked]
        alone: tuple[list[list[int]], list[float]] | None = None
        for rows in ROWS:
            start = time.process_time()
            replies, nats = [], []
            for place in range(0, len(asked), rows):
                some = slice(place, place + rows)
                replies += ask.greedy(checkpoint, prompts[some], room[some])
            seconds = time.process_time() - start
            for place in range(0, len(asked), rows):
                pairs = zip(prompts[place : place + rows], answers[place : place + rows], strict=True)
                nats += ask.log_likelihoods(checkpoint, [(prompt + answer, len(prompt)) for prompt, answer in pairs])
            alone = alone or (replies, nats)
            flips = sum(one != other for one, other in zip(alone[0], replies, strict=True))
            apart = max(abs(one - other) for one, other in zip(alone[1], nats, strict=True))
            print(f"{precision} batch {rows:2}: {flips} flips of {len(asked)}; likelihoods within {apart:.1e} nats; {seconds:.1f} s")


if __name__ == "__main__":
    main()
