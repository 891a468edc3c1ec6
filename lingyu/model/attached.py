"""Models with a part that no plain weights can express, a prefix or bottleneck adapters: saved and loaded as a model of their own.

Their config.json names a model type of its own and what is attached, so that whoever does not know the part refuses the
folder instead of answering without it. `know` makes transformers know it, here and in whatever loads the folder after.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

OWN = "lingyu_"


def know(folder: Path) -> None:
    """Make transformers able to load the model of this folder, if it is one of ours."""
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", "")
    if kind.startswith(OWN):
        classes(kind.removeprefix(OWN))


def adopt(model: Any, told: dict[str, Any]) -> None:
    """The model, which has the part attached, becomes one that says so when it is saved."""
    ours = classes(model.config.model_type)
    model.__class__, model.config.__class__ = ours[type(model).__name__], ours["config"]
    model.config.attached = told


def is_attached(model: Any) -> bool:
    return str(model.config.model_type).startswith(OWN)


def attach(base: Any, told: dict[str, Any]) -> None:
    """Give a transformer the part, with weights still to be loaded."""
    if told["name"] == "prefix":
        from lingyu.model import prefix

        prefix.put(base, prefix.Constant(told["shapes"]))
    else:
        from lingyu.model import bottleneck

        bottleneck.put(base, told["size"], told["activation"], told["after"])


@cache
def classes(kind: str) -> dict[str, Any]:
    """Our classes beside those of a model type, by the name of the plain one, and `config`; transformers' Auto classes know them."""
    import transformers
    from transformers.models.auto import modeling_auto

    plain = transformers.CONFIG_MAPPING[kind]
    config = type(f"Lingyu{plain.__name__}", (plain,), {"model_type": OWN + kind})
    transformers.AutoConfig.register(OWN + kind, config)
    made: dict[str, Any] = {"config": config}
    for auto, mapping in (
        (transformers.AutoModel, modeling_auto.MODEL_MAPPING),
        (transformers.AutoModelForCausalLM, modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING),
        (transformers.AutoModelForSequenceClassification, modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING),
    ):
        if plain in mapping:
            made[mapping[plain].__name__] = ours = own_class(mapping[plain], config)
            auto.register(config, ours)
    return made


def own_class(plain: Any, config_class: Any) -> Any:
    def __init__(self: Any, config: Any, *others: Any, **more: Any) -> None:
        plain.__init__(self, config, *others, **more)
        # A classifier builds its transformer by the Auto class, which has attached the part already.
        if not is_attached_class(base := self.base_model) or base is self:
            attach(base, config.attached)

    return type(f"Lingyu{plain.__name__}", (plain,), {"config_class": config_class, "__init__": __init__})


def is_attached_class(model: Any) -> bool:
    return type(model).__name__.startswith("Lingyu")
