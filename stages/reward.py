"""reward: train the reward model on preference pairs (Bradley–Terry: the better reply scores higher).

Reads   out/${reward.start}/model      whose weights and tokenizer the reward model starts from
        out/mix/train                  preference.parquet
        out/mix/dev                    preference.parquet, to keep the best checkpoint by
Writes  out/reward/model               a sequence classifier with one score; only a note where reward.enabled is false
        out/reward/curves.csv          losses and accuracy by step
        out/reward/metrics.json        parameters, pairs, best loss, share of held-out pairs told right
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from lingyu.align.preference import datasets, pairs_of, refuse_long
from lingyu.files import write_json
from lingyu.launch import is_first
from lingyu.model.chat import Chat
from lingyu.model.load import load_config, load_scorer, load_tokenizer, prepare, raise_what_learns, save
from lingyu.model.scoring import scored_text, scores
from lingyu.records import Preference
from lingyu.stage import start
from lingyu.train.checkpoints import finish, restored, workplace
from lingyu.train.checks import check_machine, check_model
from lingyu.train.forecast import foretell
from lingyu.train.jobs import counted, score_job
from lingyu.train.run import arguments, boards, optimised, progress, train, write_curves
from lingyu.train.settings import START, Training

CURVES = ["accuracy", "eval_accuracy"]


OFF = "No reward model: reward.enabled is false in params.yaml.\n没有奖励模型：params.yaml 中 reward.enabled 为 false。\n"


class Params(Training):
    enabled: bool = Field(True, description="false: no reward model is trained, and nothing scores replies.")
    start: str = Field(description=START)


def run(params: Params, models: Path, train_folder: Path, dev_folder: Path, work: Path, out: Path) -> None:
    from trl import RewardConfig, RewardTrainer

    if not params.enabled:
        if is_first():
            leave_out(out)
        return
    model = models / params.start / "model"
    check_machine(params)
    prepare(params.threads, params.seed)
    tokenizer = load_tokenizer(model)
    check_model(params, model, tokenizer)
    pairs, held = pairs_of(train_folder, dev_folder, "learn a reward from")

    place = workplace(work, params, [model, train_folder / "preference.parquet", dev_folder / "preference.parquet"], __file__)
    if restored(place, out):
        return
    rows, held_rows = (encoded(some, tokenizer, params.max_length) for some in (pairs, held or pairs[:1]))
    lengths = [max(map(len, row.values())) for row in rows]
    foretell(score_job(load_config(model), params, counted(lengths, len(held_rows)), tokenizer), place)
    trainer = optimised(RewardTrainer, params)(
        model=raise_what_learns(load_scorer(model, params.max_length, params.precision, pad_token_id=tokenizer.pad_token_id)),
        args=RewardConfig(**arguments(params, place, len(pairs)), max_length=None),
        **datasets(rows, held_rows),
        processing_class=tokenizer,
        callbacks=[progress("reward", out / "curves.csv", CURVES, params.divergence_factor), *boards(params, place, "reward")],
    )
    metrics: dict[str, Any] = train(trainer, "reward", params.kernels)

    metrics |= {"pairs": len(pairs), "dev_pairs": len(held), "dev_accuracy": accuracy(trainer.model, tokenizer, held)}
    save(trainer.model, tokenizer, out / "model", model)
    write_curves(trainer.state.log_history, out / "curves.csv", CURVES)
    write_json(out / "metrics.json", metrics)
    finish(place, out)


def leave_out(out: Path) -> None:
    """The outputs of a run without a reward model: align and evaluate read them in any case."""
    print(OFF, end="", flush=True)
    (out / "model").mkdir(parents=True, exist_ok=True)
    (out / "model" / "NONE.txt").write_text(OFF, encoding="utf-8")
    write_curves([], out / "curves.csv", CURVES)
    write_json(out / "metrics.json", {"pairs": 0, "dev_pairs": 0, "dev_accuracy": None})


def encoded(pairs: Sequence[Preference], tokenizer: Any, longest: int) -> list[dict[str, list[int]]]:
    """Token ids of both conversations of each pair. Raises StageError naming those over `longest` tokens."""
    chat, rows = Chat.of(tokenizer), []
    for pair in pairs:
        chosen, rejected = chat.encode_all([scored_text(pair.messages, reply, chat) for reply in (pair.chosen, pair.rejected)])
        rows.append({"chosen_ids": chosen, "rejected_ids": rejected})
    refuse_long(pairs, [max(map(len, row.values())) for row in rows], longest)
    return rows


def accuracy(model: Any, tokenizer: Any, pairs: list[Preference]) -> float | None:
    """The share of pairs whose better reply scores higher; None without pairs."""
    if not pairs:
        return None
    chat = Chat.of(tokenizer)
    better = scores(model, tokenizer, [scored_text(pair.messages, pair.chosen, chat) for pair in pairs], batch=64)
    worse = scores(model, tokenizer, [scored_text(pair.messages, pair.rejected, chat) for pair in pairs], batch=64)
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
