"""Whether the tests notice when a central rule is broken: `python -m bench.mutations [WORD…]`, all or those whose name has a word.

Each line of MUTATIONS breaks one rule in a copy of the working tree and runs the tests that should notice. A fragment of code that is
no longer there once ends the bench with its name: the rule moved, and the mutation has to follow it.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple


class Mutation(NamedTuple):
    """tests: words for pytest; with several, any of them may notice."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTATIONS = [
    Mutation("ledger: lost rows", "lingyu/ledger.py", '!= e["out"] + sum', '< e["out"] + sum', "tests/test_ledger.py"),
    Mutation("ledger: doubled rows", "lingyu/ledger.py", '!= e["out"] + sum', '> e["out"] + sum', "tests/test_ledger.py"),
    Mutation(
        "leak gate: near texts pass",
        "lingyu/split/leak.py",
        "if alike >= bounds.near_at(said)",
        "if alike > 1",
        "tests/test_corpus.py tests/test_split.py",
    ),
    Mutation(
        "leak gate: one bound for all lengths",
        "lingyu/split/leak.py",
        "(self.near_long - self.near) * way",
        "(self.near_long - self.near) * 0",
        "tests/test_corpus.py tests/test_split.py",
    ),
    Mutation("leak gate: found, not dropped", "lingyu/split/guard.py", 'reason if found else ""', '""', "tests/test_split.py"),
    Mutation(
        "leak gate of mix: found, not dropped",
        "stages/mix.py",
        "leaked = list(leaking(rows | tested, params.leaks))",
        "leaked = list(leaking(rows | tested, params.leaks))[:0]",
        "tests/test_mix.py",
    ),
    Mutation(
        "frozen items forgotten",
        "lingyu/split/frozen.py",
        'record["tables"] if record.get("seed") == seed',
        "{} if 1",
        "tests/test_split.py",
    ),
    Mutation(
        "frozen part not kept",
        "lingyu/split/parts.py",
        "(frozen or {}).get(number) or by_hash",
        "by_hash",
        "tests/test_split.py tests/test_corpus.py",
    ),
    Mutation("duplicates stay", "lingyu/clean/duplicates.py", "self._first.setdefault(same, id_)", "id_", "tests/test_clean.py"),
    Mutation(
        "PII counted, not masked",
        "lingyu/clean/pii.py",
        "self._placeholder(kind, text[start:stop])]",
        "text[start:stop]]",
        "tests/test_pii.py",
    ),
    Mutation(
        "PII: order numbers masked",
        "lingyu/clean/pii.py",
        "(is_resident_id(number) if",
        "(True if",
        "tests/test_pii.py tests/test_corpus.py",
    ),
    Mutation(
        "review: rejected rows pass", "stages/review.py", 'REJECTED if decision.decision == "reject"', "None if 1", "tests/test_review.py"
    ),
    Mutation(
        "review: edits not applied",
        "lingyu/review/rulings.py",
        "row = edited(row, decision.answer",
        "edited(row, decision.answer",
        "tests/test_review.py",
    ),
    Mutation("review: swaps not applied", "lingyu/review/rulings.py", "row = swapped(row)", "swapped(row)", "tests/test_review.py"),
    Mutation(
        "template: turns do not end",
        "lingyu/model/chat.py",
        "message.content + '<|im_end|>\\\\n'",
        "message.content + '\\\\n'",
        "tests/test_chat.py",
    ),
    Mutation("template: every turn thinks", "lingyu/model/chat.py", "== 'assistant' and loop.last", "== 'assistant'", "tests/test_chat.py"),
    Mutation("loss: prompts learnt", "lingyu/train/data.py", "ids if learnt else [NOT_LEARNT] * len(ids)", "ids", "tests/test_train.py"),
    Mutation(
        "loss: first token of a packed text learnt",
        "lingyu/train/data.py",
        '[NOT_LEARNT, *one["labels"][1:]]',
        'one["labels"]',
        "tests/test_data.py",
    ),
    Mutation(
        "packing: texts of a block see each other",
        "lingyu/train/data.py",
        "positions = [*range(first), *places[first:]]",
        "positions = [*range(len(places))]",
        "tests/test_data.py",
    ),
    Mutation(
        "packing: dialogues of a block see each other",
        "lingyu/train/data.py",
        '[*chain.from_iterable(one.get("position_ids", range(len(one["input_ids"]))) for one in group)]',
        '[*range(sum(len(one["input_ids"]) for one in group))]',
        "tests/test_data.py",
    ),
    Mutation(
        "packing: no mark after a text",
        "lingyu/train/data.py",
        "ids += [*start, *encoded, end]",
        "ids += [*start, *encoded]",
        "tests/test_train.py",
    ),
    Mutation(
        "loss: weights of tasks ignored",
        "lingyu/train/run.py",
        "labels[learnt], shares), learnt",
        "labels[learnt], None), learnt",
        "tests/test_train.py",
    ),
    Mutation(
        "best checkpoint not kept",
        "lingyu/train/run.py",
        '"load_best_model_at_end": True',
        '"load_best_model_at_end": False',
        "tests/test_train.py",
    ),
    Mutation(
        "best checkpoint: the worst is kept",
        "lingyu/train/run.py",
        '"metric_for_best_model": "eval_loss",',
        '"metric_for_best_model": "eval_loss", "greater_is_better": True,',
        "tests/test_train.py",
    ),
    Mutation(
        "resume: order of rows starts over",
        "lingyu/train/run.py",
        "lambda epoch: sampler.generator.manual_seed(self.args.seed + epoch)",
        "lambda epoch: None",
        "tests/test_resume.py -k full",
    ),
    Mutation(
        "resume: other inputs, same checkpoint",
        "lingyu/train/checkpoints.py",
        'if before["inputs"] == now["inputs"] else ["inputs"]',
        "if 1 else []",
        "tests/test_checkpoints.py",
    ),
    Mutation(
        "resume: other code unnoticed",
        "lingyu/train/checkpoints.py",
        "elif not set(old) & set(new):",
        "elif False:",
        "tests/test_checkpoints.py",
    ),
    Mutation(
        "resume: half a checkpoint taken",
        "lingyu/train/checkpoints.py",
        '["global_step"] == step',
        '["global_step"] > 0',
        "tests/test_checkpoints.py",
    ),
    Mutation(
        "a run removes another's checkpoint",
        "lingyu/train/checkpoints.py",
        "and not kept.checkpoints and not kept.progress",
        "",
        "tests/test_checkpoints.py",
    ),
    Mutation(
        "tuning: new means all (PEFT)",
        "lingyu/model/adapters.py",
        'if method.trainable_tokens == "all":',
        'if method.trainable_tokens != "none":',
        "tests/test_tuning.py -k lowers",
    ),
    Mutation(
        "tuning: new means all (ours)",
        "lingyu/model/tuning.py",
        'if method.trainable_tokens == "all":\n        model.get_input',
        'if method.trainable_tokens != "none":\n        model.get_input',
        "tests/test_tuning.py -k lowers",
    ),
    Mutation(
        "tuning: new means none",
        "lingyu/model/tuning.py",
        'if method.trainable_tokens != "new":',
        "if True:",
        "tests/test_tuning.py -k lowers",
    ),
    Mutation(
        "tied weights: untied by LoRA",
        "lingyu/model/adapters.py",
        "bool(model.config.tie_word_embeddings)",
        "False",
        "tests/test_tuning.py -k whole_vocabulary",
    ),
    Mutation(
        "tied weights: an untied head forgotten",
        "lingyu/model/rows.py",
        "if not model.config.tie_word_embeddings:",
        "if False:",
        "tests/test_tuning.py -k untied",
    ),
    Mutation(
        "new rows begin in the embeddings alone",
        "lingyu/model/vocabulary.py",
        "else [embeddings.weight, head.weight]",
        "else [embeddings.weight]",
        "tests/test_vocabulary.py tests/test_extend.py",
    ),
    Mutation(
        "pretrain: an adapter is not merged",
        "lingyu/model/adapters.py",
        "return model.merge_and_unload()\n\n\ndef first_of",
        "return model.unload()\n\n\ndef first_of",
        "tests/test_pretrain.py tests/test_tuning.py -k lora",
    ),
    Mutation(
        "alignment goes all the way back",
        "stages/align.py",
        "weight.device, weight.dtype), share)",
        "weight.device, weight.dtype), 1)",
        "tests/test_align.py",
    ),
    Mutation(
        "PPO: rewards forgotten behind a token", "lingyu/align/rollouts.py", "gamma * gae_lambda * later", "0 * later", "tests/test_ppo.py"
    ),
    Mutation(
        "select: general loss bars nobody",
        "stages/select.py",
        'after["value"] > before["value"] * (1 +',
        'after["value"] < 0 * (1 +',
        "tests/test_select.py",
    ),
    Mutation(
        "select: guarded pairs not guarded",
        "stages/select.py",
        "if pair.guarded and pair.after == name and pair.before != reference:",
        "if False:",
        "tests/test_select.py",
    ),
    Mutation(
        "select: unguarded pairs guarded", "stages/select.py", "if pair.guarded and pair.after", "if pair.after", "tests/test_select.py"
    ),
    Mutation(
        "gate: the better one wins whatever it lost",
        "lingyu/select/gate.py",
        '"lost" if lost else "not shown" if unshown else "promoted"',
        '"promoted"',
        "tests/test_gate.py",
    ),
    Mutation("Holm: no correction", "lingyu/statistics.py", "chance * (len(chances) - rank)", "chance", "tests/test_judge.py"),
    Mutation(
        "McNemar: one side",
        "lingyu/statistics.py",
        "abs(int((after - before).sum()))",
        "int((after - before).sum())",
        "tests/test_judge.py",
    ),
    Mutation(
        "evaluate: other numbers are right",
        "lingyu/evaluate/rules.py",
        "if not parts or not set(NUMBER",
        "if not parts or False and not set(NUMBER",
        "tests/test_judge.py",
    ),
    Mutation(
        "evaluate: a lost negation is right",
        "lingyu/evaluate/rules.py",
        "default=0) <= denials(right_rest)",
        "default=0) >= 0",
        "tests/test_judge.py",
    ),
    Mutation(
        "support: one claim is enough",
        "lingyu/retrieve/support.py",
        "if not all(contains(claim",
        "if not any(stands_in(claim",
        "tests/test_retrieve.py tests/test_serve.py",
    ),
    Mutation(
        "support: one sentence is enough",
        "lingyu/retrieve/support.py",
        "bool(claims) and all(any(",
        "bool(said) and any(any(",
        "tests/test_retrieve.py tests/test_serve.py",
    ),
    Mutation(
        "support: negation ignored",
        "lingyu/retrieve/support.py",
        "return denies(folded(sentence)) ==",
        "return True or",
        "tests/test_retrieve.py tests/test_serve.py",
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*", help="of the names of mutations; without words, all")
    asked = parser.parse_args().words
    wanted = [mutation for mutation in MUTATIONS if not asked or any(word in mutation.name for word in asked)]
    with tempfile.TemporaryDirectory(prefix="lingyu-mutations-") as folder:
        tree = copied(Path(folder) / "tree")
        if gone := [f"  {each.name}: {each.file} has {each.old!r} {times} times" for each in wanted if (times := count(tree, each)) != 1]:
            sys.exit("\n".join(["these fragments must be there once:", *gone]))
        broken = set[str]()
        missed = 0
        print("| broken rule | in | noticed by | seconds |\n| --- | --- | --- | --- |")
        for mutation in wanted:
            began = time.monotonic()
            failed = noticed(tree, mutation, broken)
            missed += not failed
            told = f"`{failed.removeprefix('tests/').partition('[')[0]}`" if failed else f"**nothing** in {mutation.tests}"
            print(f"| {mutation.name} | {mutation.file} | {told} | {time.monotonic() - began:.0f} |", flush=True)
        print(f"\n{len(wanted) - missed} of {len(wanted)} noticed")
    sys.exit(1 if missed else 0)


def copied(tree: Path) -> Path:
    """The files of the working tree that git knows or would add."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if Path(name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, tree / name)
    return tree


def count(tree: Path, mutation: Mutation) -> int:
    file = tree / mutation.file
    return file.read_text(encoding="utf-8").count(mutation.old) if file.exists() else 0


def noticed(tree: Path, mutation: Mutation, broken: set[str]) -> str | None:
    """The first test that fails with the mutation and passes without it. broken: those that fail anyway, to which more are added."""
    file = tree / mutation.file
    text = file.read_text(encoding="utf-8")
    while True:
        file.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
        try:
            failed = failures(tree, *mutation.tests.split(), *(f"--deselect={test}" for test in sorted(broken)))
        finally:
            file.write_text(text, encoding="utf-8")
        if not failed or not failures(tree, failed[0]):
            return next(iter(failed), None)
        print(f"fails without a mutation, and is left out: {failed[0]}", file=sys.stderr, flush=True)
        broken.add(failed[0].partition("[")[0])


def failures(tree: Path, *words: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "--exitfirst", "-q", "-p", "no:cacheprovider", "--tb=no", "-rfE", *words]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    lines = [line.split(" ", 1)[1].split(" - ")[0] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if done.returncode not in (0, 1) or (done.returncode and not lines):
        sys.exit(f"pytest {' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return lines


if __name__ == "__main__":
    main()
