"""align: align with people's preferences by the candidate's method, from pairs (DPO and others) or by reward (GRPO, PPO and others).

Reads   out/${item.start}/model            the fine-tuned model to start from
        out/reward/model                   scores the replies that are sampled, where the method's rewards have `model`
        out/mix/train                      preference.parquet, prompts.parquet
        out/mix/dev                        preference.parquet
Writes  out/align/${key}/model             the aligned model
        out/align/${key}/curves.csv        losses and rewards by step
        out/align/${key}/metrics.json      parameters, rows, best loss or reward
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, model_validator

from lingyu.align.best_of import BestOf, best_of
from lingyu.align.context import Given, Ready
from lingyu.align.policy import Grpo, Ppo, Rloo, grpo
from lingyu.align.ppo import ppo
from lingyu.align.preference import Cpo, Dpo, Kto, Orpo, Simpo, dpo, kto, orpo, simpo
from lingyu.align.workload import job_of
from lingyu.files import write_json
from lingyu.model.load import is_model, load_config, load_model, load_tokenizer, prepare, save
from lingyu.stage import start
from lingyu.train.checkpoints import finish, restored, workplace
from lingyu.train.checks import check_machine, check_model
from lingyu.train.forecast import foretell
from lingyu.train.run import train, write_curves
from lingyu.train.settings import START, Training

WAYS: dict[type, Callable[[Given, Any], Ready]] = {
    Dpo: dpo,
    Kto: kto,
    Orpo: orpo,
    Simpo: simpo,
    Cpo: simpo,
    Grpo: grpo,
    Rloo: grpo,
    Ppo: ppo,
    BestOf: best_of,
}


class Params(Training):
    start: str = Field(description=START)
    start_share: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Share of the start's weights in those that are written (WARP, Ramé et al. 2024). On dev 0.5 kept DPO 1.83 of 1.97 "
        "gained in reward and GRPO 1.21 of 1.47, and gave back half of what plain answers had lost.",
    )
    weight_decay: NonNegativeFloat = Field(0.0, description="None: the weights should stay near the start's.")
    method: Annotated[Dpo | Kto | Orpo | Simpo | Cpo | Grpo | Rloo | Ppo | BestOf, Field(discriminator="name")] = Field(
        description="Alignment method: dpo, kto, orpo, simpo, cpo learn from pairs; grpo, rloo, ppo, best_of from sampled replies."
    )

    @model_validator(mode="after")
    def whole_batches(self) -> "Params":
        method, batch = self.method, self.global_batch_size
        if isinstance(method, Grpo | Rloo) and self.rows_at_once % method.num_generations:
            raise ValueError(
                f"global_batch_size {batch} divided by gradient_accumulation_steps {self.gradient_accumulation_steps} is no multiple of "
                f"method.num_generations {method.num_generations}"
            )
        if isinstance(method, Ppo) and method.rollout_batch_size % batch:
            raise ValueError(f"method.rollout_batch_size {method.rollout_batch_size} is no multiple of global_batch_size {batch}")
        if isinstance(method, Kto) and self.per_device_train_batch_size < 2:
            raise ValueError("kto compares with the other replies of a batch: with one row a process (global_batch_size) there is none")
        if isinstance(method, Ppo | BestOf) and self.processes > 1:
            raise ValueError(f"{method.name} samples in one process: processes {self.processes} is too many; grpo and rloo take several")
        return self


def run(params: Params, models: Path, reward: Path, train_folder: Path, dev_folder: Path, work: Path, out: Path) -> None:
    label, model = f"align@{out.name}", models / params.start / "model"
    check_machine(params)
    prepare(params.threads, params.seed)
    tokenizer = load_tokenizer(model)
    check_model(params, model, tokenizer)
    tables = [train_folder / "preference.parquet", train_folder / "prompts.parquet", dev_folder / "preference.parquet"]
    place = workplace(work, params, [model, reward, *tables], __file__)
    if restored(place, out):
        return
    judge = load_config(reward) if is_model(reward) else None
    foretell(job_of("align", label, load_config(model), params, train_folder, dev_folder, tokenizer, judge), place)
    given = Given(params, model, reward, tokenizer, train_folder, dev_folder, place, label, out)

    ready = WAYS[type(params.method)](given, params.method)
    metrics = train(ready.trainer, label, params.kernels)

    if params.start_share:
        go_back(ready.trainer.model, load_model(model, params.max_length), params.start_share)
    save(ready.trainer.model, tokenizer, out / "model", model)
    write_curves(ready.trainer.state.log_history, out / "curves.csv", ready.curves)
    write_json(out / "metrics.json", {**metrics, "rows": ready.rows, **ready.more})
    finish(place, out)


def go_back(trained: Any, begun: Any, share: float) -> None:
    """Move the trained weights back to those that training began with, by this share of the way.

    Alignment moves further than what it learns asks for; half of the way keeps most of the reward and forgets less (linear
    interpolation towards initialisation: Ramé et al. 2024, WARP).
    """
    import torch

    first = dict(begun.named_parameters())
    with torch.no_grad():
        for name, weight in trained.named_parameters():
            weight.lerp_(first[name].to(weight.device, weight.dtype), share)


if __name__ == "__main__":
    start(
        run,
        Params,
        heavy=True,
        models=Path("out"),
        reward=Path("out/reward/model"),
        train_folder=Path("out/mix/train"),
        dev_folder=Path("out/mix/dev"),
        work=Path(".lingyu/align-{item}"),
        out=Path("out/align/{item}"),
    )
