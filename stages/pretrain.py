"""pretrain: continue pretraining on the domain's text, packed into blocks, with general text replayed.

Reads   out/extend/model               the base with the domain's vocabulary
        out/mix/train                  pretrain.parquet: documents, statements of facts, general replay; and sft.parquet
        out/mix/dev                    pretrain.parquet: held-out text, to keep the best checkpoint by
Writes  out/pretrain/model             the pretrained model, an adapter merged into it; that of extend where there is no text, or where
                                       pretrain.enabled is false
        out/pretrain/curves.csv        losses by step
        out/pretrain/metrics.json      parameters, tokens, best loss
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from lingyu.files import read_table, write_json
from lingyu.launch import is_first
from lingyu.model.chat import Chat
from lingyu.model.load import load_config, load_model, load_tokenizer, prepare, save
from lingyu.model.methods import Adapting, Full, Method
from lingyu.model.tuning import ATTACHING, Tuning, check_method, summary
from lingyu.records import Dialogue, Document
from lingyu.stage import start
from lingyu.train.checkpoints import finish, restored, workplace
from lingyu.train.checks import check_machine, check_model
from lingyu.train.data import batches, packed, stored
from lingyu.train.forecast import foretell
from lingyu.train.jobs import counted, tokens_job
from lingyu.train.run import causal_trainer, train, write_curves
from lingyu.train.settings import Training


class Params(Training):
    enabled: bool = Field(True, description="false: the model is passed on as extend left it.")
    instructions: bool = Field(
        True,
        description="Also read the fine-tuning dialogues that fit a block, as text. A model that has met questions and answers while it "
        "reads can be asked for what it read; without them fine-tuning overwrote half of the knowledge. Facts of the test are not among "
        "them.",
    )
    packing: Literal["joined", "separate"] = Field(
        "joined",
        description="separate: no text of a block attends to the one before it. With blocks of 64 tokens most texts begin in the middle "
        "of one, and the documents of one corpus explain each other.",
    )
    method: Method = Field(
        Full(),
        description="Tuning method: full, freeze, lora, qlora, ia3 or oft, which end as plain weights. trainable_tokens is new here "
        "where it is not set: the words that extend added have not been trained yet.",
    )

    @field_validator("method")
    @classmethod
    def fits_the_stages_around(cls, method: Method) -> Method:
        if isinstance(method, ATTACHING):
            raise ValueError(
                f"{method.name} cannot be merged into the weights, and the stages after pretrain start from a whole model: "
                "full, freeze, lora, qlora, ia3 or oft"
            )
        if isinstance(method, Adapting) and "trainable_tokens" not in method.model_fields_set:
            return method.model_copy(update={"trainable_tokens": "new"})
        return method


def run(params: Params, model: Path, train_folder: Path, dev_folder: Path, work: Path, out: Path) -> None:
    check_machine(params)
    check_method(params.method)
    prepare(params.threads, params.seed)
    tokenizer = load_tokenizer(model)
    check_model(params, model, tokenizer)
    tables = [train_folder / "pretrain.parquet", train_folder / "sft.parquet", dev_folder / "pretrain.parquet"]
    place = workplace(work, params, [model, *tables], __file__)
    if restored(place, out):
        return
    chat, separate = Chat.of(tokenizer), params.packing == "separate"

    def texts() -> Iterator[str]:
        yield from (chat.literal(row.text) for row in read_table(tables[0], Document))
        if params.instructions:
            yield from short_dialogues(tables[1], chat, params.max_length)

    if not params.enabled or next(texts(), None) is None:
        if is_first():
            print(NOTHING if params.enabled else OFF, flush=True)
            save(load_model(model, params.max_length), tokenizer, out / "model", model)
            write_curves([], out / "curves.csv")
            write_json(out / "metrics.json", {"steps": 0, "tokens_an_epoch": 0})
        return
    examples = stored(packed(texts(), tokenizer, params.max_length, separate), place / "train.arrow")
    held = (chat.literal(row.text) for row in read_table(tables[2], Document))
    dev = stored(packed(held, tokenizer, params.max_length, separate), place / "dev.arrow")
    rows = counted(examples["length"], len(dev))
    foretell(tokens_job("pretrain", load_config(model), params, params.method, rows, tokenizer), place)

    tuning = Tuning(model, params.max_length, params.method, tokenizer, params.precision)
    trainer = causal_trainer(
        tuning.model,
        tokenizer,
        examples,
        dev or examples.select([len(examples) - 1]),
        params,
        place,
        "pretrain",
        out,
    )
    metrics = train(trainer, "pretrain", params.kernels)
    print(f"pretrain  {summary(metrics)}", file=sys.stderr, flush=True)

    tuning.save(trainer.model, tokenizer, out / "model")
    write_curves(trainer.state.log_history, out / "curves.csv")
    write_json(out / "metrics.json", {**metrics, "tokens_an_epoch": sum(examples["length"])})
    finish(place, out)


OFF = (
    "pretrain.enabled is false: the model is passed on as extend left it.\npretrain.enabled 为 false：模型按 extend 的输出原样传给下一步。"
)
NOTHING = (
    "nothing to pretrain on: out/mix/train has no document, no statement of a fact and no dialogue within pretrain.max_length. The model "
    "goes on as it came. Documents in data/ would change that; out/mix/dropped.jsonl has what mix left out.\n"
    "没有可供继续预训练的文本：out/mix/train 中没有文档、事实陈述，也没有 pretrain.max_length 以内的对话，模型原样传给下一步。"
)


def short_dialogues(table: Path, chat: Chat, block: int) -> Iterator[str]:
    """The dialogues of at most `block` tokens, as the chat template writes them; without those of which a reply is not to be learnt."""
    for rows in batches((row for row in read_table(table, Dialogue) if not row.is_masked), 1000):
        texts = [chat.whole(row.messages) for row in rows]
        lengths = [len(ids) for ids in chat.encode_all(texts)]
        yield from (text for text, length in zip(texts, lengths, strict=True) if length <= block)


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
