"""Items a second of evaluate beside lm-evaluation-harness: the same model, prompts, options and threads, in turn.

    python -m bench.asking MODEL QUESTIONS.parquet --peer PYTHON [--items 300] [--rounds 2]

choice: each question with the right and the wrong answers as options, compared by likelihood. generate: greedy replies of 24 tokens at
most. Seconds are of the processor, without imports and loading. The harness gets the best of several batch sizes. Likelihoods and replies
must agree.
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from lingyu.evaluate import ask
from lingyu.files import read_json, read_table, write_json
from lingyu.model.load import prepare
from lingyu.records import Question

MOST, OPTIONS = 24, 4
PEER = """
import json, sys, time
import torch
torch.set_num_threads(1)
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
job = json.load(open(sys.argv[1]))
lm = HFLM(pretrained=job["model"], device="cpu", dtype="float32", batch_size=job["batch"])
lm.loglikelihood([Instance("loglikelihood", {}, ("a", " b"), 0)], disable_tqdm=True)
choice = [Instance("loglikelihood", {}, tuple(pair), place) for place, pair in enumerate(job["choice"])]
until = {"until": job["until"], "max_gen_toks": job["most"], "do_sample": False}
generate = [Instance("generate_until", {}, (prompt, dict(until)), place) for place, prompt in enumerate(job["generate"])]
begun = time.process_time()
likely = [one[0] for one in lm.loglikelihood(choice, disable_tqdm=True)]
middle = time.process_time()
replies = lm.generate_until(generate, disable_tqdm=True)
json.dump({"choice": likely, "generate": replies, "seconds": [middle - begun, time.process_time() - middle]}, open(sys.argv[2], "w"))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16, 32])
    args = parser.parse_args()
    prepare(1)
    checkpoint = ask.load(args.model, 4096, "fp32")
    asked = [row for row in read_table(args.questions, Question) if row.wrong][: args.items]
    prompts = [checkpoint.chat.prompt(row.messages) for row in asked]
    # The harness scores spaces at the end of a prompt with the option, so they are given as a part of it.
    heads = [(prompt.rstrip(), prompt[len(prompt.rstrip()) :]) for prompt in prompts]
    pairs = [(head, tail + text) for (head, tail), row in zip(heads, asked, strict=True) for text in [row.answer, *row.wrong][:OPTIONS]]
    end = checkpoint.tokenizer.convert_ids_to_tokens(sorted(checkpoint.ends))
    job = {"model": str(args.model.absolute()), "choice": pairs, "generate": prompts, "until": end, "most": MOST}
    checkpoint.model  # noqa: B018 – read before the clock starts
    mine, theirs = [], []
    for _ in range(args.rounds):
        mine.append(ours(checkpoint, pairs, prompts))
        theirs += [peer(args.peer, {**job, "batch": batch}) for batch in args.batches]
    for place, (name, count) in enumerate((("choice", len(asked)), ("generate", len(prompts)))):
        our, their = min(one["seconds"][place] for one in mine), min(one["seconds"][place] for one in theirs)
        print(f"{name}: {count / our:.1f} items/s, the harness {count / their:.1f}: {their / our:.2f} times as many ({count} items)")
    apart = max(abs(one - other) for one, other in zip(mine[0]["choice"], theirs[0]["choice"], strict=True))
    # The harness strips what a stop word leaves; a reply is the same where its text is.
    same = sum(one.strip() == other.strip() for one, other in zip(mine[0]["generate"], theirs[0]["generate"], strict=True))
    print(f"likelihoods within {apart:.1e} nats; {same} of {len(prompts)} replies are the same")


def ours(checkpoint: ask.Checkpoint, pairs: list[tuple[str, str]], prompts: list[str]) -> dict[str, Any]:
    begun = time.process_time()
    sequences = []
    for prompt, text in pairs:
        start = checkpoint.encode(prompt)
        sequences.append((checkpoint.encode(prompt + text), len(start)))
    likely = ask.log_likelihoods(checkpoint, sequences)
    middle = time.process_time()
    replies = [reply or "" for reply in ask.replies(checkpoint, prompts, [MOST] * len(prompts))]
    return {"choice": likely, "generate": replies, "seconds": [middle - begun, time.process_time() - middle]}


def peer(python: str, job: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        given, found = Path(place, "job.json"), Path(place, "found.json")
        write_json(given, job)
        subprocess.run([python, "-c", PEER, str(given), str(found)], check=True, capture_output=True)
        return dict(read_json(found))


if __name__ == "__main__":
    main()
