"""sft: fine-tune on instructions by the candidate's method; only the assistant's replies are learnt.

Reads   out/${item.start}/model          what the candidate starts from
        out/mix/train                    sft.parquet
        out/mix/dev                      sft.parquet, to keep the best checkpoint by
Writes  out/sft/${key}/model             the model, an adapter merged into it (and beside it, under adapter/)
        out/sft/${key}/curves.csv        losses by step
        out/sft/${key}/metrics.json      parameters, trained parameters, rows, best loss
"""

from pathlib import Path

from lingyu.files import read_table, write_json
from lingyu.model.load import load_model, load_tokenizer, prepare
from lingyu.model.tuning import Method, merge_and_save, tuned
from lingyu.records import Dialogue
from lingyu.stage import StageError, start
from lingyu.train.data import dialogues
from lingyu.train.run import causal_trainer, train, workplace, write_curves
from lingyu.train.settings import Training


class Params(Training):
    start: str
    method: Method


def run(params: Params, models: Path, train_folder: Path, dev_folder: Path, work: Path, out: Path) -> None:
    label, model = f"sft@{out.name}", models / params.start / "model"
    prepare(params.threads, params.seed)
    tokenizer = load_tokenizer(model)
    rows, held = (list(read_table(folder / "sft.parquet", Dialogue)) for folder in (train_folder, dev_folder))
    if not rows:
        raise StageError("mix left no dialogue to fine-tune on. See out/mix/ledger.json for the rows that were dropped, and why.")
    examples = dialogues(rows, tokenizer, params.max_length)
    dev = dialogues(held, tokenizer, params.max_length) or examples[-1:]

    place = workplace(work, params, [model, train_folder / "sft.parquet", dev_folder / "sft.parquet"])
    trainer = causal_trainer(tuned(load_model(model, params.max_length), params.method), tokenizer, examples, dev, params, place, label)
    metrics = train(trainer, label)

    merge_and_save(trainer.model, tokenizer, out / "model")
    write_curves(trainer.state.log_history, out / "curves.csv")
    write_json(out / "metrics.json", {**metrics, "rows": len(rows)})


if __name__ == "__main__":
    start(
        run,
        Params,
        heavy=True,
        models=Path("out"),
        train_folder=Path("out/mix/train"),
        dev_folder=Path("out/mix/dev"),
        work=Path(".lingyu/sft-{item}"),
        out=Path("out/sft/{item}"),
    )
