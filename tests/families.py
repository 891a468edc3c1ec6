"""Bases as people have them, with random weights of two layers: the shapes, tokenizers, templates and settings of the families.

Offline, from transformers' own classes. Baichuan's own code is in no release of transformers, so its weights come converted to Llama's
shape; InternLM 3 runs by Llama's code with a configuration of its own.
"""

from dataclasses import dataclass, field
from pathlib import Path

from chat_templates import FAMILIES, tokenizer_of

from lingyu.files import read_json, write_json

CONTEXT = 256
PLAIN = {"rope_type": "default", "rope_theta": 10_000.0}
LAYERS = ["sliding_attention", "full_attention"]
SAMPLED = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.05}


@dataclass(frozen=True)
class Base:
    """config: a class of transformers. template: of chat_templates. shape: what differs from SHAPE. padded: rows beyond the vocabulary.
    tokenizer: the class that its tokenizer_config.json names."""

    config: str
    template: str
    shape: dict = field(default_factory=dict)
    tokenizer: str = "PreTrainedTokenizerFast"
    padded: int = 0
    dtype: str = "bfloat16"


SHAPE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.1,  # wide enough that caps, norms and scales of a family matter
    "rope_parameters": PLAIN,
    "tie_word_embeddings": False,
}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
GEMMA = {"head_dim": 16, "tie_word_embeddings": True, "query_pre_attn_scalar": 16, "sliding_window": 16, "layer_types": LAYERS}
# Caps low enough to bite on random weights; Gemma 2's own are 30 and 50.
CAPS = {"final_logit_softcapping": 2.0, "attn_logit_softcapping": 1.0}
BASES = {
    "qwen2.5": Base("Qwen2Config", "qwen2.5", {"tie_word_embeddings": True}, "Qwen2Tokenizer", padded=37),
    "qwen3": Base("Qwen3Config", "chatml", {"tie_word_embeddings": True, "head_dim": 16}, "Qwen2Tokenizer", padded=37),
    "llama2": Base("LlamaConfig", "llama2", {"num_key_value_heads": 4}, "LlamaTokenizer", dtype="float16"),
    "llama3": Base(
        "LlamaConfig", "llama3", {"rope_parameters": LLAMA3 | {"original_max_position_embeddings": 64}, "tie_word_embeddings": True}
    ),
    "mistral": Base("MistralConfig", "mistral", {"sliding_window": 16}, "LlamaTokenizer"),
    "gemma2": Base("Gemma2Config", "gemma", GEMMA | CAPS, "GemmaTokenizer"),
    "gemma3": Base("Gemma3TextConfig", "gemma", GEMMA | {"rope_parameters": dict.fromkeys(LAYERS, PLAIN)}, "GemmaTokenizer", padded=64),
    "glm4": Base("Glm4Config", "glm4", {"head_dim": 16, "attention_bias": True, "rope_parameters": PLAIN | {"partial_rotary_factor": 0.5}}),
    "r1-qwen": Base("Qwen2Config", "r1", tokenizer="LlamaTokenizerFast"),
    "r1-llama": Base(
        "LlamaConfig", "r1", {"rope_parameters": LLAMA3 | {"original_max_position_embeddings": 64}}, tokenizer="LlamaTokenizerFast"
    ),
    "internlm3": Base("InternLM3Config", "internlm", {"head_dim": 16}),
    "baichuan": Base("LlamaConfig", "baichuan", {"num_key_value_heads": 4}, "LlamaTokenizer", dtype="float32"),
    "phi3": Base("Phi3Config", "phi", {"sliding_window": 64, "num_key_value_heads": 4}),
}


def build(folder: Path, name: str, seed: int = 0) -> Path:
    """Write the base as its publisher would."""
    import torch
    import transformers

    base = BASES[name]
    transformers.utils.logging.disable_progress_bar()
    tokenizer = tokenizer_of(FAMILIES[base.template])
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = getattr(transformers, base.config)(**{**SHAPE, **base.shape, **ids, "vocab_size": len(tokenizer) + base.padded})
    transformers.set_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for weight in model.parameters():
        if weight.dim() == 1:  # norms and biases as training leaves them, not all ones and zeros
            torch.nn.init.normal_(weight, float(weight.detach().mean()), 0.1)
    model.generation_config.update(**SAMPLED)
    model.to(getattr(torch, base.dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    write_json(
        path, {**read_json(path), "unk_token": "<unk>" if FAMILIES[base.template].metaspace else None, "tokenizer_class": base.tokenizer}
    )
    return folder
