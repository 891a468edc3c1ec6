"""reward: train the reward model on preference pairs (Bradley–Terry: the better reply scores higher).

Reads   out/${reward.start}/model      whose weights and tokenizer the reward model starts from
        out/mix/train                  preference.parquet
        out/mix/dev                    preference.parquet, to keep the best checkpoint by
Writes  out/reward/model               a sequence classifier with one score
        out/reward/curves.csv          losses and accuracy by step
        out/reward/metrics.json        parameters, pairs, best loss, share of held-out pairs told right
"""

from pathlib import Path
from typing import Any

from lingyu.files import read_table, write_json
from lingyu.model.load import load_scorer, load_tokenizer, prepare, save
from lingyu.model.scoring import scored_text, scores
from lingyu.records import Preference
from lingyu.stage import StageError, start
from lingyu.train.run import arguments, optimised, progress, train, workplace, write_curves
from lingyu.train.settings import Training


class Params(Training):
    start: str


def run(params: Params, models: Path, train_folder: Path, dev_folder: Path, work: Path, out: Path) -> None:
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    model = models / params.start / "model"
    prepare(params.threads, params.seed)
    tokenizer = load_tokenizer(model)
    pairs, held = (list(read_table(folder / "preference.parquet", Preference)) for folder in (train_folder, dev_folder))
    if not pairs:
        raise StageError(
            "mix left no preference pair to learn a reward from. Bring some, or let generate make them (generate.preferences)."
        )

    place = workplace(work, params, [model, train_folder / "preference.parquet", dev_folder / "preference.parquet"])
    trainer = optimised(RewardTrainer, params)(
        model=load_scorer(model, params.max_length, pad_token_id=tokenizer.pad_token_id),
        args=RewardConfig(**arguments(params, place, len(pairs)), max_length=None),
        train_dataset=Dataset.from_list([encoded(pair, tokenizer, params.max_length) for pair in pairs]),
        eval_dataset=Dataset.from_list([encoded(pair, tokenizer, params.max_length) for pair in held or pairs[:1]]),
        processing_class=tokenizer,
        callbacks=[progress("reward")],
    )
    metrics: dict[str, Any] = train(trainer, "reward")

    save(trainer.model, tokenizer, out / "model")
    write_curves(trainer.state.log_history, out / "curves.csv", ["accuracy", "eval_accuracy"])
    write_json(
        out / "metrics.json",
        {**metrics, "pairs": len(pairs), "dev_pairs": len(held), "dev_accuracy": accuracy(trainer.model, tokenizer, held)},
    )


def encoded(pair: Preference, tokenizer: Any, longest: int) -> dict[str, list[int]]:
    """Token ids of both conversations. Raises StageError for a pair over `longest` tokens."""
    texts = [scored_text(pair.messages, reply, tokenizer) for reply in (pair.chosen, pair.rejected)]
    chosen, rejected = tokenizer(texts, add_special_tokens=False)["input_ids"]
    if max(len(chosen), len(rejected)) > longest:
        raise StageError(f"preference pair {pair.id} is longer than {longest} tokens. Raise max_length, or lower mix.max_tokens.")
    return {"chosen_ids": chosen, "rejected_ids": rejected}


def accuracy(model: Any, tokenizer: Any, pairs: list[Preference]) -> float | None:
    """The share of pairs whose better reply scores higher; None without pairs."""
    if not pairs:
        return None
    better = scores(model, tokenizer, [scored_text(pair.messages, pair.chosen, tokenizer) for pair in pairs], batch=64)
    worse = scores(model, tokenizer, [scored_text(pair.messages, pair.rejected, tokenizer) for pair in pairs], batch=64)
    return sum(b > w for b, w in zip(better, worse, strict=True)) / len(pairs)


if __name__ == "__main__":
    start(
        run,
        Params,
        heavy=True,
        models=Path("out"),
        train_folder=Path("out/mix/train"),
        dev_folder=Path("out/mix/dev"),
        work=Path(".lingyu/reward"),
        out=Path("out/reward"),
    )
