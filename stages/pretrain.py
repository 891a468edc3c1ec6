"""pretrain: continue pretraining on the domain's text, packed into blocks, with general text replayed.

Reads   out/extend/model               the base with the domain's vocabulary
        out/mix/train                  pretrain.parquet: documents, statements of facts, general replay; and sft.parquet
        out/mix/dev                    pretrain.parquet: held-out text, to keep the best checkpoint by
Writes  out/pretrain/model             the pretrained model
        out/pretrain/curves.csv        losses by step
        out/pretrain/metrics.json      parameters, tokens, best loss
"""

from pathlib import Path
from typing import Any

from lingyu.files import read_table, write_json
from lingyu.model.chat import render
from lingyu.model.load import load_model, load_tokenizer, prepare, save
from lingyu.records import Dialogue, Document
from lingyu.stage import StageError, start
from lingyu.train.data import packed
from lingyu.train.run import causal_trainer, train, workplace, write_curves
from lingyu.train.settings import Training


class Params(Training):
    """instructions: read the fine-tuning dialogues that fit into a block as text, too."""

    instructions: bool


def run(params: Params, model: Path, train_folder: Path, dev_folder: Path, work: Path, out: Path) -> None:
    prepare(params.threads, params.seed)
    tokenizer = load_tokenizer(model)
    texts, held = ([row.text for row in read_table(folder / "pretrain.parquet", Document)] for folder in (train_folder, dev_folder))
    if not texts:
        raise StageError("mix left no text to pretrain on. See out/mix/ledger.json for the rows that were dropped, and why.")
    if params.instructions:
        texts += short_dialogues(train_folder / "sft.parquet", tokenizer, params.max_length)
    examples = packed(texts, tokenizer, params.max_length)
    dev = packed(held, tokenizer, params.max_length) or examples[-1:]

    place = workplace(
        work, params, [model, train_folder / "pretrain.parquet", train_folder / "sft.parquet", dev_folder / "pretrain.parquet"]
    )
    trainer = causal_trainer(load_model(model, params.max_length), tokenizer, examples, dev, params, place, "pretrain")
    metrics = train(trainer, "pretrain")

    save(trainer.model, tokenizer, out / "model")
    write_curves(trainer.state.log_history, out / "curves.csv")
    write_json(out / "metrics.json", {**metrics, "tokens_an_epoch": sum(len(example["input_ids"]) for example in examples)})


def short_dialogues(table: Path, tokenizer: Any, block: int) -> list[str]:
    """The dialogues of at most `block` tokens, as the chat template writes them."""
    texts = [render(row.messages, tokenizer.chat_template) for row in read_table(table, Dialogue)]
    lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []
    return [text for text, length in zip(texts, lengths, strict=True) if length <= block]


if __name__ == "__main__":
    start(
        run,
        Params,
        heavy=True,
        model=Path("out/extend/model"),
        train_folder=Path("out/mix/train"),
        dev_folder=Path("out/mix/dev"),
        work=Path(".lingyu/pretrain"),
        out=Path("out/pretrain"),
    )
