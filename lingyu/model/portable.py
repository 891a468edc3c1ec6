"""A saved model folder that the transformers of before 5 and engines built on it read as those of today do."""

from pathlib import Path
from typing import Any

from lingyu.files import read_json, write_json

# What the tokenizer was loaded with here says nothing of the tokenizer.
LEFTOVERS = ("backend", "is_local", "local_files_only", "name_or_path", "tokenizer_file", "added_tokens_file", "special_tokens_map_file")


def make_portable(folder: Path) -> None:
    """Rewrite tokenizer_config.json and config.json of the folder, where they are of transformers 5 alone."""
    for name, rewritten in (("tokenizer_config.json", tokenizer_settings), ("config.json", model_settings)):
        path = folder / name
        if path.exists() and (new := rewritten(old := read_json(path))) != old:
            write_json(path, new)


def tokenizer_settings(settings: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in settings.items() if key not in LEFTOVERS}
    if kept.get("tokenizer_class") == "TokenizersBackend":
        # Its name since 2020, which transformers 5 still reads. Of that name 4.57 also returns token types, which no decoder takes.
        kept |= {"tokenizer_class": "PreTrainedTokenizerFast"}
        kept.setdefault("model_input_names", ["input_ids", "attention_mask"])
    if isinstance(kept.get("extra_special_tokens"), list):  # 4.57 takes a list under this name only
        kept["additional_special_tokens"] = kept.pop("extra_special_tokens")
    return kept


def model_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Rotary positions as 4.57 reads them, too: it passes over rope_parameters, and computes with its own default."""
    rope = settings.get("rope_parameters")
    if not isinstance(rope, dict) or "rope_theta" not in rope:  # nested by kind of layer: those models keep their old keys as well
        return settings
    scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
    old = {"rope_theta": rope["rope_theta"]}
    if scaling.get("rope_type", "default") != "default":
        old["rope_scaling"] = scaling
    return {**old, **settings}
