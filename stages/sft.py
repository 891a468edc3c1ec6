"""sft: fine-tune on instructions by the candidate's method.

Reads   out/${item.start}/model          what the candidate starts from
        out/mix/train                    sft.parquet
        out/mix/dev                      sft.parquet, to keep the best checkpoint by
Writes  out/sft/${key}/model             the model, an adapter merged into it (and beside it, under adapter/), or attached where none can be
        out/sft/${key}/curves.csv        losses by step
        out/sft/${key}/metrics.json      parameters, trained parameters, rows, best loss
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat

from lingyu.files import read_table, write_json
from lingyu.model.load import load_config, load_tokenizer, prepare
from lingyu.model.methods import Method
from lingyu.model.tuning import Tuning, check_method, summary
from lingyu.records import Dialogue
from lingyu.stage import StageError, start
from lingyu.train.checkpoints import finish, restored, workplace
from lingyu.train.checks import check_machine, check_model
from lingyu.train.data import LossOn, dialogues, grouped, stored
from lingyu.train.forecast import foretell
from lingyu.train.jobs import counted, tokens_job
from lingyu.train.run import causal_trainer, train, write_curves
from lingyu.train.settings import START, Training


class Params(Training):
    renamed: ClassVar = {**Training.renamed, "learn": "loss_on", "neftune": "neftune_noise_alpha"}

    start: str = Field(description=START)
    method: Method = Field(
        description="Tuning method: full, freeze, lora, qlora, ia3, oft, prompt, ptuning, prefix, ptuning_v2, bottleneck."
    )
    loss_on: LossOn = Field(
        "replies",
        description="Tokens that are learnt. replies: every reply of a dialogue, each after the prompt that the service would send. last: "
        "the last one. all: questions too.",
    )
    packing: bool = Field(
        False,
        description="Several short rows in one of max_length, none of which attends to another: for GPUs. Batches are of rows of similar "
        "length anyway.",
    )
    neftune_noise_alpha: NonNegativeFloat = Field(
        0.0, description="Noise on the embeddings (Jain et al. 2023: 5 to 15) helps long answers; 0 for answers that must be exact."
    )
    task_weights: dict[str, PositiveFloat] = Field(
        {}, description="Weight of a task's tokens in the loss, where it is not 1: {classify: 2.0}."
    )
    tasks: list[str] = Field([], description="Only rows of these tasks are learnt, to show what the others add; without entries, all rows.")


def run(params: Params, models: Path, train_folder: Path, dev_folder: Path, work: Path, out: Path) -> None:
    label, model = f"sft@{out.name}", models / params.start / "model"
    check_machine(params)
    check_method(params.method)
    prepare(params.threads, params.seed)
    tokenizer = load_tokenizer(model)
    check_model(params, model, tokenizer)
    tables = [folder / "sft.parquet" for folder in (train_folder, dev_folder)]
    tasks = Counter(row.task for row in read_table(tables[0], Dialogue))
    check_tasks(params, tasks)
    place = workplace(work, params, [model, *tables], __file__)
    if restored(place, out):
        return

    def examples(table: Path) -> Any:
        made = dialogues(
            chosen(read_table(table, Dialogue), params.tasks), tokenizer, params.max_length, params.loss_on, params.task_weights
        )
        return stored(grouped(made, params.max_length) if params.packing else made, place / f"{table.parent.name}.arrow")

    rows, dev = (examples(table) for table in tables)
    foretell(tokens_job(label, load_config(model), params, params.method, counted(rows["length"], len(dev)), tokenizer), place)
    tuning = Tuning(model, params.max_length, params.method, tokenizer, params.precision)
    trainer = causal_trainer(
        tuning.model,
        tokenizer,
        rows,
        dev or rows.select([len(rows) - 1]),
        params,
        place,
        label,
        out,
        neftune_noise_alpha=params.neftune_noise_alpha or None,
    )
    metrics = train(trainer, label, params.kernels)
    print(f"{label}  {summary(metrics)}", file=sys.stderr, flush=True)

    tuning.save(trainer.model, tokenizer, out / "model")
    write_curves(trainer.state.log_history, out / "curves.csv")
    write_json(out / "metrics.json", {**metrics, "rows": sum(count for task, count in tasks.items() if task in (params.tasks or tasks))})
    finish(place, out)


def chosen(rows: Iterable[Dialogue], tasks: Sequence[str]) -> Iterator[Dialogue]:
    return (row for row in rows if not tasks or row.task in tasks)


def check_tasks(params: Params, tasks: Counter[str]) -> None:
    """Raise StageError where there is no row, or a task of none is named."""
    if not tasks:
        raise StageError("mix left no dialogue to fine-tune on. See out/mix/ledger.json for the rows that were dropped, and why.")
    for name, wanted in (("task_weights", params.task_weights), ("tasks", params.tasks)):
        if unknown := sorted(set(wanted) - set(tasks)):
            raise StageError(f"sft.{name} names {', '.join(unknown)}, of which there is no row. Tasks here: {', '.join(sorted(tasks))}.")


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
