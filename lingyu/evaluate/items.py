"""The items of dev or of the test, and a checkpoint's predictions of all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from lingyu.evaluate import ask, predict, similarity
from lingyu.evaluate.scorer import Prediction
from lingyu.evaluate.settings import Settings
from lingyu.files import read_table, sha256
from lingyu.model.load import is_model, prepare
from lingyu.records import Document, Preference, Question


@dataclass(frozen=True)
class Items:
    """What is asked. domain, general: texts whose likelihood is measured; preference: pairs of replies to choose from."""

    questions: list[Question]
    domain: list[Document]
    general: list[Document]
    preference: list[Preference]

    @classmethod
    def read(cls, folder: Path) -> "Items":
        return cls(**{name: list(read_table(folder / f"{name}.parquet", row_type)) for name, row_type in TYPES.items()})  # type: ignore[arg-type]  # by name

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


TYPES: Mapping[str, type[Question | Document | Preference]] = {
    "questions": Question,
    "domain": Document,
    "general": Document,
    "preference": Preference,
}


def hashes_of(folder: Path) -> dict[str, str]:
    """What the items are: the hash of each table."""
    return {name: sha256(folder / f"{name}.parquet") for name in TYPES}


def predictions(model: Path, reward: Path, items: Items, settings: Settings, kept: Path | None = None) -> list[Prediction]:
    """What the checkpoint makes of each item, in their order. reward: scores its replies, where it is a model. kept: where answers are
    kept, so that none is asked for twice."""
    prepare(settings.threads)
    checkpoint = ask.load(model, settings.batch_tokens, settings.precision, kept, settings.keep_mb)
    answered = predict.answers(checkpoint, items.questions, settings.max_new_tokens.model_dump(), settings.compared)
    if is_model(reward):
        answered = predict.with_rewards(answered, items.questions, reward, kept, settings.keep_mb)
    answered = similarity.add(answered, settings.compared, settings.similarity)
    texts = {"domain": items.domain, "general": items.general}
    likely = [row for scope, rows in texts.items() for row in predict.likelihoods(checkpoint, rows, scope, settings.stride)]
    return [*answered, *likely, *predict.choices(checkpoint, items.preference)]
