"""Loading and saving: safetensors only, no code from a model folder unless a person turned it on."""

import os
from pathlib import Path
from typing import Any

from lingyu.launch import WORKER
from lingyu.model.attached import know
from lingyu.stage import StageError


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder. Raises StageError where there is none, or none with a chat template."""
    from transformers import AutoTokenizer

    if not is_model(folder):
        raise StageError(f"there is no model in {folder}. `dvc repro` makes it; `dvc checkout` or `dvc pull` brings one back.")
    know(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise StageError(
            f"the tokenizer in {folder} has no chat template. Take an instruction-tuned base, or add chat_template.jinja to it."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def load_model(folder: Path, longest: int, **options: Any) -> Any:
    """The causal language model of a folder, in fp32 on a CPU and in the dtype it was saved in on a GPU.

    longest: tokens a row; below 256 eager attention beats SDPA on a CPU, forward and backward.
    """
    from transformers import AutoModelForCausalLM

    know(folder)
    return AutoModelForCausalLM.from_pretrained(folder, **loading_options(longest), **options)


def load_scorer(folder: Path, longest: int, **options: Any) -> Any:
    """The same weights with one score on top instead of the vocabulary: a reward model."""
    from transformers import AutoModelForSequenceClassification

    know(folder)
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, **loading_options(longest), **options)


def loading_options(longest: int) -> dict[str, Any]:
    import torch

    on_gpu = torch.cuda.is_available()
    return {
        "local_files_only": True,
        "use_safetensors": True,
        "dtype": "auto" if on_gpu else torch.float32,
        "attn_implementation": "sdpa" if on_gpu or longest > 256 else "eager",
    }


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write model and tokenizer so that the same weights give the same bytes, wherever they were trained."""
    model.config._name_or_path = ""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    for left in folder.rglob(".tmp*"):  # what safetensors was writing when an earlier run was killed
        left.unlink()


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
