"""align: align with people's preferences by the candidate's method, from pairs (DPO) or from the reward model (GRPO).

Reads   out/${item.start}/model            the fine-tuned model to start from
        out/reward/model                   scores the replies that GRPO samples
        out/mix/train                      preference.parquet, prompts.parquet
        out/mix/dev                        preference.parquet
Writes  out/align/${key}/model             the aligned model
        out/align/${key}/curves.csv        losses and rewards by step
        out/align/${key}/metrics.json      parameters, rows, best loss or reward
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from lingyu.files import read_table, write_json
from lingyu.model.chat import render
from lingyu.model.load import load_model, load_scorer, load_tokenizer, prepare, save
from lingyu.model.scoring import ended, scores
from lingyu.records import Preference, Question
from lingyu.stage import StageError, StageParams, start
from lingyu.train.run import arguments, optimised, progress, resumable, train, workplace, write_curves
from lingyu.train.settings import Training


class Dpo(StageParams):
    """Direct preference optimisation (Rafailov et al. 2023). sft_weight: share of plain likelihood of the better reply in the loss."""

    name: Literal["dpo"]
    beta: PositiveFloat
    sft_weight: NonNegativeFloat


class Grpo(StageParams):
    """Group-relative policy optimisation (Shao et al. 2024) with the reward model. beta: weight of the KL to the start."""

    name: Literal["grpo"]
    beta: NonNegativeFloat
    generations: int = Field(ge=2)
    max_new_tokens: PositiveInt
    temperature: PositiveFloat
    dev_prompts: PositiveInt


class Params(Training):
    start: str
    method: Annotated[Dpo | Grpo, Field(discriminator="name")]

    @model_validator(mode="after")
    def whole_groups(self) -> "Params":
        if isinstance(self.method, Grpo) and self.batch_size % self.method.generations:
            raise ValueError(f"batch_size {self.batch_size} is no multiple of method.generations {self.method.generations}")
        return self


def run(params: Params, models: Path, reward: Path, train_folder: Path, dev_folder: Path, work: Path, out: Path) -> None:
    label, model = f"align@{out.name}", models / params.start / "model"
    prepare(params.threads, params.seed)
    tokenizer = load_tokenizer(model)
    place = workplace(
        work,
        params,
        [model, reward, train_folder / "preference.parquet", train_folder / "prompts.parquet", dev_folder / "preference.parquet"],
    )
    if isinstance(params.method, Dpo):
        trainer, rows, curves = dpo(params, params.method, model, tokenizer, train_folder, dev_folder, place, label)
    else:
        trainer, rows, curves = grpo(params, params.method, model, reward, tokenizer, train_folder, place, label)
    metrics = train(trainer, label)

    save(trainer.model, tokenizer, out / "model")
    write_curves(trainer.state.log_history, out / "curves.csv", curves)
    write_json(out / "metrics.json", {**metrics, "rows": rows})


def dpo(
    params: Params, method: Dpo, model: Path, tokenizer: Any, train_folder: Path, dev_folder: Path, place: Path, label: str
) -> tuple[Any, int, list[str]]:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    pairs, held = (list(read_table(folder / "preference.parquet", Preference)) for folder in (train_folder, dev_folder))
    if not pairs:
        raise StageError("mix left no preference pair to align with. Bring some, or let generate make them (generate.preferences).")
    losses = (
        {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, method.sft_weight]} if method.sft_weight else {"loss_type": ["sigmoid"]}
    )
    trainer = optimised(DPOTrainer, params)(
        model=load_model(model, params.max_length),
        args=DPOConfig(
            **arguments(params, place, len(pairs)), **losses, beta=method.beta, max_length=params.max_length, precompute_ref_log_probs=True
        ),
        train_dataset=Dataset.from_list([as_text(pair, tokenizer, params.max_length) for pair in pairs]),
        eval_dataset=Dataset.from_list([as_text(pair, tokenizer, params.max_length) for pair in held or pairs[:1]]),
        processing_class=tokenizer,
        callbacks=[progress(label)],
    )
    return trainer, len(pairs), ["rewards/accuracies", "eval_rewards/accuracies"]


def grpo(
    params: Params, method: Grpo, model: Path, reward: Path, tokenizer: Any, train_folder: Path, place: Path, label: str
) -> tuple[Any, int, list[str]]:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    prompts = [prompt_of(row, tokenizer) for row in read_table(train_folder / "prompts.parquet", Question)]
    if len(prompts) <= method.dev_prompts:
        raise StageError(
            f"mix left {len(prompts)} prompts; GRPO keeps {method.dev_prompts} of them to measure by (dev_prompts) and needs more."
        )
    held, prompts = prompts[: method.dev_prompts], prompts[method.dev_prompts :]
    judge, judge_tokenizer = load_scorer(reward, params.max_length), load_tokenizer(reward)

    def reward_of(prompts: list[str], completions: list[str], **others: Any) -> list[float]:
        texts = [ended(prompt, reply, judge_tokenizer) for prompt, reply in zip(prompts, completions, strict=True)]
        return scores(judge, judge_tokenizer, texts, batch=params.batch_size)

    settings = arguments(params, place, len(prompts) * method.generations)
    trainer = resumable(optimised(GRPOTrainer, params))(
        model=load_model(model, params.max_length),
        reward_funcs=[reward_of],
        args=GRPOConfig(
            **{**settings, "metric_for_best_model": "eval_reward", "greater_is_better": True},
            beta=method.beta,
            num_generations=method.generations,
            steps_per_generation=1,
            max_completion_length=method.max_new_tokens,
            temperature=method.temperature,
        ),
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        eval_dataset=Dataset.from_list([{"prompt": prompt} for prompt in held]),
        processing_class=tokenizer,
        callbacks=[progress(label)],
    )
    return trainer, len(prompts), ["reward", "eval_reward", "kl"]


def as_text(pair: Preference, tokenizer: Any, longest: int) -> dict[str, str]:
    """Prompt and replies. Raises StageError for a pair over `longest` tokens, which the trainer would cut without a word."""
    end = str(tokenizer.eos_token)
    prompt = render(pair.messages, tokenizer.chat_template, add_generation_prompt=True)
    replies = [pair.chosen + end, pair.rejected + end]
    if max(len(ids) for ids in tokenizer([prompt + reply for reply in replies], add_special_tokens=False)["input_ids"]) > longest:
        raise StageError(f"preference pair {pair.id} is longer than {longest} tokens. Raise max_length, or lower mix.max_tokens.")
    return {"prompt": prompt, "chosen": replies[0], "rejected": replies[1]}


def prompt_of(row: Question, tokenizer: Any) -> str:
    return render(row.messages, tokenizer.chat_template, add_generation_prompt=True)


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
