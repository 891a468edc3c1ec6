"""Tuning: which parameters learn, and how what was learnt becomes a folder that `load_model` opens.

Where weights can say what was learnt they are merged, and an adapter is kept beside them (full, freeze, lora, qlora, ia3, oft).
Where they cannot, the part stays attached (lingyu.model.attached): a prefix, whatever it was learnt by, or bottleneck adapters.
"""

import re
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lingyu.model import adapters
from lingyu.model.attached import adopt, is_attached
from lingyu.model.load import device, load_model, raise_what_learns, save
from lingyu.model.methods import (
    Adapting,
    Bottleneck,
    Freeze,
    Full,
    Ia3,
    Lora,
    LowRank,
    Method,
    Oft,
    Prefix,
    Prompt,
    Ptuning,
    PtuningV2,
    Qlora,
)
from lingyu.stage import StageError

ATTACHING = (Prompt, Ptuning, Prefix, PtuningV2, Bottleneck)


class Tuning:
    """A model that learns by a method, from the folder it starts from to the folder it is saved in."""

    def __init__(self, folder: Path, longest: int, method: Method, tokenizer: Any, precision: str = "") -> None:
        self.folder, self.method = folder, method
        self.model = load_model(folder, longest, precision, **quantised(method))
        if faults := misfits(self.model, method):
            raise StageError("\n".join([f"method {method.name} does not fit the model in {folder}:", *faults]))
        self.model = raise_what_learns(tuned(self.model, method, tokenizer))
        self.first = adapters.first_of(self.model) if isinstance(method, Lora) and method.init_lora_weights == "pissa" else {}

    def save(self, model: Any, tokenizer: Any, out: Path) -> None:
        """The model as training left it, which need not be this object: several processes may have sharded and gathered it."""
        if isinstance(self.method, LowRank | Ia3 | Oft):
            model = adapters.merged(model, self.method, out / "adapter", self.folder, self.first)
        elif isinstance(self.method, Adapting):
            model._keys_to_ignore_on_save = set()
            if self.method.trainable_tokens == "new":
                from lingyu.model import rows

                rows.write_in(model)
            if isinstance(self.method, ATTACHING):
                finish(model, self.method)
        save(model, tokenizer, out, self.folder)


def tuned(model: Any, method: Method, tokenizer: Any) -> Any:
    """The model with what the method trains, and all else held."""
    if isinstance(method, Full):
        return model
    rows = new_rows(tokenizer, method)
    if isinstance(method, LowRank | Ia3 | Oft):
        return adapters.laid_on(model, method, rows)
    model.requires_grad_(False)
    put(model, method, tokenizer)
    learn_vocabulary(model, method, rows)
    # Checkpoints hold what learns, not the base once more.
    model._keys_to_ignore_on_save = frozen(model)
    return model


def check_method(method: Method) -> None:
    """Raise StageError where this machine cannot do it; asked before anything is loaded."""
    if not isinstance(method, Qlora):
        return
    import importlib.util

    import torch

    faults = []
    if not torch.cuda.is_available():
        faults.append("there is no CUDA GPU here")
    if importlib.util.find_spec("bitsandbytes") is None:
        faults.append("the package bitsandbytes is not installed (pip install 'lingyu[gpu]')")
    if faults:
        raise StageError(
            f"method qlora holds weights in {method.bits} bits, which needs a GPU and bitsandbytes: {'; '.join(faults)}. "
            "Run the stage on a GPU, or take method lora with the same numbers."
        )


def quantised(method: Method) -> dict[str, Any]:
    """How to load the weights; 4 bits as the paper has them, with the constants quantised too."""
    if not isinstance(method, Qlora):
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    if method.bits == 8:
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    four = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": torch.bfloat16}
    return {"quantization_config": BitsAndBytesConfig(load_in_4bit=True, **four)}


def misfits(model: Any, method: Method) -> list[str]:
    """A line for each reason why the method cannot work with this model."""
    found = []
    layers = layers_of(model)
    if isinstance(method, LowRank | Ia3 | Oft):
        linear, targets = adapters.linear_of(model), adapters.targets_of(model, method)
        if absent := [name for name in targets if name not in linear]:
            found.append(f"  target_modules: it has no {', '.join(absent)}. It has: {', '.join(sorted(linear))}.")
        if isinstance(method, Oft):
            widths = {name: linear[name] for name in targets if name in linear and linear[name] % method.oft_block_size}
            found += [
                f"  oft_block_size: {method.oft_block_size} does not divide the {width} inputs of {name}." for name, width in widths.items()
            ]
        if not isinstance(method, LowRank) and method.trainable_tokens == "all" and model.config.tie_word_embeddings:
            found.append(
                "  trainable_tokens: all would part its embeddings from its head. They are one matrix, "
                "and PEFT keeps it one for LoRA alone. Take new."
            )
    elif layers is None and not isinstance(method, Full):
        found.append(f"  {type(model).__name__} keeps its layers in no list named layers, so none can be told from another.")
    elif isinstance(method, Freeze) and method.layers > len(layers):
        found.append(f"  layers: {method.layers}, but it has {len(layers)}.")
    elif isinstance(method, Bottleneck):
        from lingyu.model.bottleneck import PARTS

        parts = sorted({part for part in method.after for layer in layers if not hasattr(layer, PARTS[part])})
        found += [f"  after: a layer has no {PARTS[part]}, which {part} stands for." for part in parts]
    if isinstance(method, Prompt | Ptuning | Prefix | PtuningV2):
        from lingyu.model.prefix import attentions

        if layers is not None and len(attentions(model.base_model)) != len(layers):
            found.append("  not every layer has attention with keys and values that a prefix could join.")
        if (attention := model.config._attn_implementation) not in ("eager", "sdpa"):
            found.append(f"  a prefix joins eager attention and SDPA, and this model computes {attention}.")
    if isinstance(method, ATTACHING) and is_attached(model):
        found.append(f"  it has a {model.config.attached['name']} already, and a second part would hide it. Tune it in full, or by lora.")
    return found


def layers_of(model: Any) -> Any:
    return getattr(model.base_model, "layers", None)


def new_rows(tokenizer: Any, method: Adapting) -> list[int]:
    if method.trainable_tokens != "new":
        return []
    from lingyu.model.rows import added

    return added(tokenizer)


def put(model: Any, method: Freeze | Prompt | Ptuning | Prefix | PtuningV2 | Bottleneck, tokenizer: Any) -> None:
    """Let the method's own parameters learn."""
    base = model.base_model
    if isinstance(method, Freeze):
        for layer in base.layers[-method.layers :]:
            layer.requires_grad_(True)
        return
    if isinstance(method, Bottleneck):
        from lingyu.model import bottleneck

        bottleneck.put(base, method.size, method.activation, method.after)
        return
    import torch

    from lingyu.model import prefix

    words = model.get_input_embeddings().weight.detach()[first_words(method, tokenizer, len(tokenizer))]
    if isinstance(method, Prompt):
        prefix.put(base, prefix.Words(words))
    elif isinstance(method, Ptuning):
        prefix.put(base, prefix.EncodedWords(words, method.encoder_reparameterization_type, method.encoder_hidden_size))
    else:
        with torch.no_grad():
            states = prefix.states_of(base, words)
        prefix.put(
            base, prefix.Constant.of(states) if isinstance(method, Prefix) else prefix.EncodedStates(states, method.encoder_hidden_size)
        )


def first_words(method: Prompt | Ptuning | Prefix | PtuningV2, tokenizer: Any, vocabulary: int) -> Any:
    """The ids of the words that the method's positions begin as."""
    import torch

    if not method.prompt_tuning_init_text:
        return torch.randint(vocabulary, (method.num_virtual_tokens,))
    ids = tokenizer(method.prompt_tuning_init_text, add_special_tokens=False)["input_ids"]
    return torch.tensor((ids * method.num_virtual_tokens)[: method.num_virtual_tokens])


def learn_vocabulary(model: Any, method: Adapting, rows: Sequence[int]) -> None:
    """Let rows of the embeddings and the head learn."""
    if method.trainable_tokens == "all":
        model.get_input_embeddings().requires_grad_(True)
        model.get_output_embeddings().requires_grad_(True)
    if rows:
        from lingyu.model.rows import lay_over

        lay_over(model, rows)


def frozen(model: Any) -> set[str]:
    """What of the state never changes: parameters that do not learn, under all their names."""
    return {name for name, value in model.named_parameters(remove_duplicate=False) if not value.requires_grad}


def finish(model: Any, method: Prompt | Ptuning | Prefix | PtuningV2 | Bottleneck) -> None:
    """What was learnt by a network, or as words, is kept as the keys and values that came of it."""
    if isinstance(method, Bottleneck):
        adopt(model, {"name": "bottleneck", "size": method.size, "activation": method.activation, "after": list(method.after)})
        return
    import torch

    from lingyu.model import prefix

    base = model.base_model
    with torch.no_grad():
        kept = prefix.Constant.of(base.prefix.states(base))
    prefix.put(base, kept)
    adopt(model, {"name": "prefix", "shapes": kept.shapes()})


def peak_memory() -> int:
    """Bytes that this process had at most. On Linux ru_maxrss would begin with what the process had that started it."""
    status = Path("/proc/self/status")
    if status.is_file() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="utf-8"))):
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def summary(metrics: dict[str, float]) -> str:
    """How many parameters learnt, and the most memory that was needed: told, not written, for no two runs need the same."""
    import torch

    learnt, all_of_them = int(metrics["trainable_parameters"]), int(metrics["parameters"])
    if device() != "cpu":
        where, peak = "GPU memory", torch.accelerator.max_memory_allocated()
    else:
        where, peak = "memory", peak_memory()
    return f"learnt {learnt:,} of {all_of_them:,} parameters ({learnt / all_of_them:.2%}), at most {peak / 2**20:,.0f} MiB of {where}"
