"""base: fetch the base model at a pinned revision, or build the tiny one and train it on the general sample.

Reads   out/split/train             general documents and dialogues, for the tiny base only
        out/split/dev               the same, to measure by
Writes  out/base/model              weights, tokenizer and chat template
        out/base/curves.csv         losses of the tiny base by step
        out/base/metrics.json       parameters, and what its training came to
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from lingyu.files import read_table, write_json
from lingyu.model import hub, tiny
from lingyu.model.chat import render
from lingyu.model.load import load_tokenizer, prepare, save
from lingyu.records import Dialogue, Document
from lingyu.stage import StageError, StageParams, start
from lingyu.train.checks import check_machine
from lingyu.train.data import packed, stored
from lingyu.train.run import causal_trainer, train, workplace, write_curves
from lingyu.train.settings import Training


class Source(BaseModel):
    """Where the base comes from: built here, a folder, or a hub with the revision that pins it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["tiny", "folder", "huggingface", "modelscope"]
    name: str
    revision: str

    @model_validator(mode="after")
    def pinned(self) -> "Source":
        if self.kind in {"huggingface", "modelscope"} and not (self.name and self.revision):
            raise ValueError("a base from a hub needs its name and a revision, so that the next run takes the same weights")
        return self


class Params(StageParams):
    model: Source
    shape: tiny.Shape
    training: Training

    @property
    def processes(self) -> int:
        return self.training.processes if self.model.kind == "tiny" else 1

    @model_validator(mode="after")
    def within_context(self) -> "Params":
        if self.model.kind == "tiny" and self.training.max_length > self.shape.context:
            raise ValueError(f"training.max_length {self.training.max_length} is more than shape.context {self.shape.context}")
        return self


def run(params: Params, train_folder: Path, dev_folder: Path, work: Path, out: Path) -> None:
    if params.model.kind != "tiny":
        hub.fetch(params.model.kind, params.model.name, params.model.revision, out / "model")
        complete(out / "model")
        write_curves([], out / "curves.csv")
        write_json(out / "metrics.json", {"parameters": hub.parameters(out / "model")})
        return

    check_machine(params.training)
    prepare(params.training.threads, params.training.seed)
    texts, held = general_texts(train_folder), general_texts(dev_folder)
    if not texts:
        raise StageError(
            "no general text to build the tiny base from: data/ holds no file of scope general. "
            "Add a folder general/ to your data, as samples/drone/general, or name a base under base.model in params.yaml."
        )
    tokenizer = tiny.build_tokenizer(texts, params.shape)
    model = tiny.build_model(tokenizer, params.shape, params.training.seed)

    place = workplace(work, params.training, [train_folder, dev_folder])
    examples, dev = (
        stored(packed(part, tokenizer, params.training.max_length), place / f"{name}.arrow")
        for name, part in (("train", texts), ("dev", held or texts[:1]))
    )
    trainer = causal_trainer(model, tokenizer, examples, dev, params.training, place, "base", out)
    metrics: dict[str, Any] = train(trainer, "base", params.training.kernels)

    save(trainer.model, tokenizer, out / "model")
    write_curves(trainer.state.log_history, out / "curves.csv")
    write_json(out / "metrics.json", {**metrics, "vocabulary": len(tokenizer)})


def complete(model: Path) -> None:
    """Tokenizer and chat template as the files that the next stages read. Raises StageError for a base without one of them."""
    tokenizer = load_tokenizer(model)
    if not all((model / name).is_file() for name in ("tokenizer.json", "chat_template.jinja")):
        tokenizer.save_pretrained(model)


def general_texts(folder: Path) -> list[str]:
    """General documents as they are, general dialogues as the chat template writes them."""
    documents = [row.text for row in read_table(folder / "documents.parquet", Document) if row.scope == "general"]
    dialogues = [render(row.messages) for row in read_table(folder / "dialogues.parquet", Dialogue) if row.scope == "general"]
    return documents + dialogues


if __name__ == "__main__":
    start(
        run,
        Params,
        heavy=True,
        train_folder=Path("out/split/train"),
        dev_folder=Path("out/split/dev"),
        work=Path(".lingyu/base"),
        out=Path("out/base"),
    )
