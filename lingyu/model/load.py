"""Loading and saving: safetensors only, no code from a model folder unless a person turned it on."""

import os
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

from lingyu.files import read_json
from lingyu.launch import WORKER
from lingyu.model.attached import know
from lingyu.model.portable import make_portable
from lingyu.stage import StageError

SHARD = "5GB"  # transformers' own default is 50 GB
ACCELERATORS = ("cuda", "npu")


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder. Raises StageError where there is none, or none with a chat template."""
    from transformers import AutoTokenizer

    if not is_model(folder):
        raise StageError(f"there is no model in {folder}. `dvc repro` makes it; `dvc checkout` or `dvc pull` brings one back.")
    know(folder)
    check_architecture(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise StageError(
            f"the tokenizer in {folder} has no chat template. Take an instruction-tuned base, or add chat_template.jinja to it, "
            "or name one under base.model.chat_template (params.yaml)."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def check_architecture(folder: Path) -> None:
    """Raise StageError where transformers itself has no code for the model of a folder: code from a folder is never run."""
    from transformers import CONFIG_MAPPING, __version__

    config = read_json(folder / "config.json")
    if (kind := config.get("model_type")) and kind not in CONFIG_MAPPING:
        raise StageError(
            f"{folder}: config.json names the model type {kind!r}, which transformers {__version__} does not know, and code from a model "
            "folder is never run (no trust_remote_code). Take a copy converted to a type that it knows, such as llama's, or another base."
        )


def load_config(folder: Path) -> Any:
    """The shapes of the model of a folder, without its weights."""
    from transformers import AutoConfig

    know(folder)
    return AutoConfig.from_pretrained(folder, local_files_only=True)


def load_model(folder: Path, longest: int, precision: str = "", **options: Any) -> Any:
    """The causal language model of a folder, in fp32 on a CPU and in the dtype it was saved in on an accelerator.

    longest: tokens a row; below 256 eager attention beats SDPA on a CPU, forward and backward. precision: of the training that it is
    loaded for; see raise_what_learns.
    """
    from transformers import AutoModelForCausalLM

    know(folder)
    return AutoModelForCausalLM.from_pretrained(folder, **loading_options(folder, longest, precision), **options)


def load_scorer(folder: Path, longest: int, precision: str = "", **settings: Any) -> Any:
    """The same weights with one score on top instead of the vocabulary: a reward model. settings: of its configuration."""
    know(folder)
    config, causal = classes_of(folder, num_labels=1, **settings)
    return scorer_class(config, causal).from_pretrained(folder, config=config, **loading_options(folder, longest, precision))


def scorer_class(config: Any, causal: Any) -> Any:
    """That of the model's own type, or of the type whose code it runs: InternLM3 is a Llama that has no classifier of its own."""
    import importlib

    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    if type(config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        return MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    name = str(getattr(causal, "__name__", "")).replace("ForCausalLM", "ForSequenceClassification")
    found = getattr(importlib.import_module(causal.__module__), name, None) if name else None
    if found is None:
        raise StageError(
            f"transformers has no sequence classifier of type {config.model_type}, so no reward model: set reward.enabled: false."
        )
    return found


def classes_of(folder: Path, **settings: Any) -> tuple[Any, Any]:
    """The configuration of a folder's model, and its class as a causal language model; None where it has none."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **settings)
    return config, MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)


def loading_options(folder: Path, longest: int, precision: str = "") -> dict[str, Any]:
    import torch

    accelerated = device() != "cpu"
    config, causal = classes_of(folder)
    # SDPA knows no soft cap on the attention's scores, as Gemma 2 has it.
    sdpa = getattr(causal, "_supports_sdpa", True) and not getattr(config, "attn_logit_softcapping", None)
    return {
        "local_files_only": True,
        "use_safetensors": True,
        "trust_remote_code": False,
        "dtype": "auto" if accelerated and precision != "fp32" else torch.float32,
        "attn_implementation": "sdpa" if sdpa and (accelerated or longest > 256) else "eager",
    }


def raise_what_learns(model: Any) -> Any:
    """The model with the weights that learn in fp32, whatever the rest is in.

    A step of 1e-5 is lost in bf16, which has three digits. Products stay in the precision of the training, by autocast.
    """
    import torch

    for weight in model.parameters():
        if weight.requires_grad and weight.is_floating_point():
            weight.data = weight.data.to(torch.float32)
    return model


def save(model: Any, tokenizer: Any, folder: Path, start: Path | None = None) -> None:
    """Write model and tokenizer so that the same weights give the same bytes, wherever they were trained.

    start: the folder whose model this one began as. Its dtype is that of the weights that are written, and of the model from then on,
    whatever they were trained in.
    """
    if start is not None and (dtype := dtype_of(start)) is not None:
        for weight in model.parameters():
            weight.grad = None
            weight.data = weight.data.to(dtype)
    model.config._name_or_path = ""
    model.save_pretrained(folder, max_shard_size=SHARD)
    tokenizer.save_pretrained(folder)
    make_portable(folder)
    (folder / "README.md").unlink(missing_ok=True)
    for left in folder.rglob(".tmp*"):  # what safetensors was writing when an earlier run was killed
        left.unlink()


def dtype_of(folder: Path) -> Any:
    """The dtype that most weights of a folder are stored in; None where it is none to compute in."""
    import torch
    from safetensors import safe_open

    names = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
    found: Counter[str] = Counter()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as weights:
            for key in weights.keys():  # noqa: SIM118 – no dictionary, though it looks like one
                part = weights.get_slice(key)
                found[part.get_dtype()] += prod(part.get_shape())
    return names.get(max(found, key=found.__getitem__)) if found else None


def device() -> str:
    """Where models are computed: cuda, npu (Ascend, by torch_npu) or cpu."""
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    return found.type if found is not None and found.type in ACCELERATORS else "cpu"


def prepare(threads: int, seed: int = 0) -> None:
    """Set how many CPU threads torch uses – with another number results differ bitwise – and leave the progress lines to us.

    seed: for what is drawn before the trainer sets its own, the first weights of an adapter or of a score.
    """
    import warnings

    import torch
    from transformers import set_seed
    from transformers.utils import logging

    torch.set_num_threads(threads)
    if WORKER in os.environ:  # else accelerate sets the machine's number where a node has but one process
        os.environ["OMP_NUM_THREADS"] = str(threads)
    set_seed(seed)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # PEFT and TRL still ask for it by its old name.
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
