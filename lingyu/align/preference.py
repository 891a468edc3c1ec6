"""Learning from pairs of a better and a worse reply: DPO and its variants, KTO, ORPO, SimPO, CPO, by TRL's trainers."""

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from lingyu.align.context import Given, Ready, watched
from lingyu.files import read_table
from lingyu.model.chat import Chat
from lingyu.records import Message, Preference
from lingyu.stage import StageError, StageParams
from lingyu.train.data import NOT_LEARNT
from lingyu.train.run import arguments, optimised

CURVES = ["rewards/accuracies", "eval_rewards/accuracies"]


BETA = "Strength of the bond to the start: a lower one lets the model move further."


class Dpo(StageParams):
    """Direct preference optimisation (Rafailov et al. 2023)."""

    renamed: ClassVar = {"loss": "loss_type"}

    name: Literal["dpo"]
    loss_type: Literal["sigmoid", "ipo", "hinge", "robust"] = Field(
        "sigmoid", description="sigmoid: DPO. Others: IPO (Azar et al. 2024), SLiC's hinge, robust DPO (Chowdhury et al. 2024)."
    )
    beta: PositiveFloat = Field(0.1, description=BETA)
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Share of pairs that may be the wrong way round; for loss_type robust alone."
    )
    sft_weight: NonNegativeFloat = Field(
        1.0, description="Weight of the plain likelihood of the better reply. DPO alone lowers the likelihood of right answers too."
    )

    @model_validator(mode="after")
    def smoothing_has_an_effect(self) -> "Dpo":
        if (self.label_smoothing > 0) != (self.loss_type == "robust"):
            raise ValueError(
                f"label_smoothing {self.label_smoothing} with loss_type {self.loss_type}: robust needs a share above 0, the others do not "
                "use one"
            )
        return self


class Kto(StageParams):
    """Kahneman–Tversky optimisation (Ethayarajh et al. 2024): each reply by itself, the better one desirable, the worse one not."""

    name: Literal["kto"]
    beta: PositiveFloat = Field(0.1, description=BETA)
    desirable_weight: PositiveFloat = Field(1.0, description="Weight of the losses of better replies.")
    undesirable_weight: PositiveFloat = Field(1.0, description="Weight of the losses of worse replies.")


class Orpo(StageParams):
    """Odds-ratio preference optimisation (Hong et al. 2024), which needs no reference model."""

    name: Literal["orpo"]
    beta: PositiveFloat = Field(0.1, description="Weight of the odds ratio beside the likelihood.")


class Simpo(StageParams):
    """SimPO (Meng et al. 2024): mean log-likelihood of a token, no reference model."""

    renamed: ClassVar = {"margin": "simpo_gamma", "sft_weight": "cpo_alpha"}

    name: Literal["simpo"]
    beta: PositiveFloat = Field(2.0, description="Scale of the difference; the paper uses 2 to 2.5.")
    simpo_gamma: NonNegativeFloat = Field(0.5, description="Margin by which the better reply should lead.")
    cpo_alpha: NonNegativeFloat = Field(0.0, description="Weight of the plain likelihood of the better reply; 0 in the paper.")


class Cpo(StageParams):
    """Contrastive preference optimisation (Xu et al. 2024): DPO without a reference model."""

    renamed: ClassVar = {"sft_weight": "cpo_alpha"}

    name: Literal["cpo"]
    beta: PositiveFloat = Field(0.1, description="Scale of the difference.")
    cpo_alpha: NonNegativeFloat = Field(1.0, description="Weight of the plain likelihood of the better reply.")


def dpo(given: Given, method: Dpo) -> Ready:
    from trl import DPOConfig, DPOTrainer

    pairs, held = pairs_of(given.train, given.dev, "align with")
    losses = (
        {"loss_type": [method.loss_type, "sft"], "loss_weights": [1.0, method.sft_weight]}
        if method.sft_weight
        else {"loss_type": [method.loss_type]}
    )
    settings = DPOConfig(
        **arguments(given.params, given.place, len(pairs)),
        **losses,
        beta=method.beta,
        label_smoothing=method.label_smoothing,
        max_length=given.params.max_length,
        precompute_ref_log_probs=True,
    )
    return over_pairs(with_ids(DPOTrainer), settings, pairs, held, given)


def kto(given: Given, method: Kto) -> Ready:
    from trl import KTOConfig, KTOTrainer

    pairs, held = pairs_of(given.train, given.dev, "align with")
    rows, held_rows = (apart(encoded(some, given), given.params.seed) for some in (pairs, held or pairs[:1]))
    settings = KTOConfig(
        **arguments(given.params, given.place, len(rows)),
        beta=method.beta,
        desirable_weight=method.desirable_weight,
        undesirable_weight=method.undesirable_weight,
        max_length=given.params.max_length,
        precompute_ref_log_probs=True,
    )
    curves = ["rewards/margins", "eval_rewards/margins", "kl"]
    watches = watched(given, curves, given.params.divergence_factor)
    return Ready(built(with_ids(KTOTrainer), settings, rows, held_rows, given, callbacks=watches), len(rows), curves)


def orpo(given: Given, method: Orpo) -> Ready:
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    return without_reference(given, ORPOTrainer, ORPOConfig, {"beta": method.beta})


def simpo(given: Given, method: Simpo | Cpo) -> Ready:
    """SimPO and CPO: one trainer of TRL, two losses."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    loss = {"loss_type": "simpo", "simpo_gamma": method.simpo_gamma} if isinstance(method, Simpo) else {"loss_type": "sigmoid"}
    return without_reference(given, CPOTrainer, CPOConfig, {**loss, "beta": method.beta, "cpo_alpha": method.cpo_alpha})


def without_reference(given: Given, trainer: Any, config: Any, losses: dict[str, Any]) -> Ready:
    """TRL's two older trainers, which would encode prompt and reply their own way."""

    class Encoded(trainer):
        def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, list[int]]:
            prompt, chosen, rejected = (feature[f"{name}_ids"] for name in ("prompt", "chosen", "rejected"))
            row = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
            for side, reply in (("chosen", chosen), ("rejected", rejected)):
                row |= {
                    f"{side}_input_ids": prompt + reply,
                    f"{side}_attention_mask": [1] * len(prompt + reply),
                    f"{side}_labels": [NOT_LEARNT] * len(prompt) + reply,
                }
            return row

        def create_model_card(self, *words: Any, **names: Any) -> None:
            """A checkpoint needs none."""

    pairs, held = pairs_of(given.train, given.dev, "align with")
    settings = config(
        **arguments(given.params, given.place, len(pairs)), **losses, max_length=given.params.max_length, remove_unused_columns=False
    )
    return over_pairs(Encoded, settings, pairs, held, given)


def over_pairs(trainer: Any, settings: Any, pairs: Sequence[Preference], held: Sequence[Preference], given: Given) -> Ready:
    rows, held_rows = (encoded(some, given) for some in (pairs, held or pairs[:1]))
    watches = watched(given, CURVES, given.params.divergence_factor)
    return Ready(built(trainer, settings, rows, held_rows, given, callbacks=watches), len(pairs), CURVES)


def built(trainer: Any, settings: Any, rows: Sequence[dict[str, Any]], held: Sequence[dict[str, Any]], given: Given, **more: Any) -> Any:
    """A trainer of TRL over these rows, that begins with the given model."""
    return optimised(trainer, given.params)(
        model=given.policy(),
        args=settings,
        **datasets(rows, held),
        processing_class=given.tokenizer,
        **more,
    )


def datasets(rows: Sequence[dict[str, Any]], held: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """As arguments of a trainer of TRL."""
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    return {"train_dataset": Dataset.from_list(list(rows)), "eval_dataset": Dataset.from_list(list(held))}


def pairs_of(train: Path, dev: Path, purpose: str) -> tuple[list[Preference], list[Preference]]:
    """The pairs to learn from and the held-out ones. Raises StageError where there is none to learn from."""
    pairs, held = (list(read_table(folder / "preference.parquet", Preference)) for folder in (train, dev))
    if not pairs:
        raise StageError(f"mix left no preference pair to {purpose}. Bring some, or let generate make them (generate.pairs).")
    return pairs, held


def refuse_long(pairs: Sequence[Preference], tokens: Sequence[int], longest: int) -> None:
    """Raises StageError naming the pairs of more tokens, which a trainer would cut without a word."""
    over = [pair.id for pair, count in zip(pairs, tokens, strict=True) if count > longest]
    if over:
        raise StageError(
            f"{len(over)} of {len(pairs)} preference pairs are longer than {longest} tokens, first {', '.join(over[:5])}. "
            "Raise max_length, or lower mix.max_tokens."
        )


def encoded(pairs: Sequence[Preference], given: Given) -> list[dict[str, Any]]:
    """Prompt, better and worse reply of each pair, as text and as token ids. Raises StageError naming those over max_length."""
    chat = Chat.of(given.tokenizer)
    texts = [as_text(pair, chat) for pair in pairs]
    parts = iter(chat.encode_parts([[text["prompt"], text[side]] for text in texts for side in ("chosen", "rejected")]))
    ids = [(*next(parts), next(parts)[1]) for _ in texts]
    refuse_long(pairs, [len(prompt) + max(len(chosen), len(rejected)) for prompt, chosen, rejected in ids], given.params.max_length)
    return [
        {**text, "prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}
        for text, (prompt, chosen, rejected) in zip(texts, ids, strict=True)
    ]


def as_text(pair: Preference, chat: Chat) -> dict[str, str]:
    """The prompt, and either reply behind it to the mark that ends it."""
    sides = {
        side: chat.prompt_and_reply([*pair.messages, Message(role="assistant", content=reply)])
        for side, reply in (("chosen", pair.chosen), ("rejected", pair.rejected))
    }
    return {"prompt": sides["chosen"][0], **{side: reply for side, (_, reply) in sides.items()}}


def apart(pairs: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Each reply by itself, in an order drawn once.

    KTO reads in this order every epoch, and takes the KL from replies to other prompts of the batch; the two of a pair beside each
    other would be no others.
    """
    rows = [
        {"prompt_ids": pair["prompt_ids"], "completion_ids": pair[f"{side}_ids"], "label": side == "chosen"}
        for pair in pairs
        for side in ("chosen", "rejected")
    ]
    random.Random(seed).shuffle(rows)
    return rows


def with_ids(trainer: Any) -> Any:
    """The class of TRL's DPO or KTO trainer over rows that are encoded.

    TRL would encode prompt and reply with BOS in front, which templates write themselves, and end every reply with eos_token.
    """

    class Encoded(trainer):
        calculate_KL: bool = False

        def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
            if not self.calculate_KL:
                return dataset
            replies, size = dataset["completion_ids"], args.per_device_train_batch_size
            batches = [replies[first : first + size] for first in range(0, len(replies), size)]
            other = [ids for batch in batches for ids in [batch[-1], *batch[:-1]]]  # each prompt with the reply to another one of its batch
            return dataset.add_column("KL_completion_ids", other)

    return Encoded
