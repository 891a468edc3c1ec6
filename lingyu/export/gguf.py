"""A model folder as one GGUF file, which llama.cpp, Ollama and others serve: tensors by the gguf package's own map of names.

Known are Llama, Qwen2 and Qwen3 with a tokenizer of byte pairs whose split is one that llama.cpp has; anything else is refused by name, for
a file that reads text otherwise answers otherwise.
"""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lingyu.errors import StageError
from lingyu.files import read_json

Quantize = Literal["none", "q8_0", "q4_0"]
ARCHITECTURES = {"LlamaForCausalLM": "LLAMA", "Qwen2ForCausalLM": "QWEN2", "Qwen3ForCausalLM": "QWEN3"}
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|{digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
# llama.cpp's names of ways to split a text before pairs are merged. The tiny base splits Han characters, too, which no pair joins anyway.
SPLITS = {
    SHORT + WORDS.replace("{digits}", r"\p{N}"): "qwen2",
    SHORT + WORDS.replace("{digits}", r"\p{N}{1,3}"): "llama-bpe",
    r"\p{Han}|[^\r\n\p{L}\p{N}]?[^\P{L}\p{Han}]+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
}


def write(model: Path, file: Path, name: str, quantize: Quantize) -> None:
    """Raises StageError for a model that llama.cpp would run or read otherwise."""
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, GGUFWriter, get_tensor_name_map

    config = read_json(model / "config.json")
    architecture = MODEL_ARCH[known_architecture(config)]
    writer = GGUFWriter(file, MODEL_ARCH_NAMES[architecture])
    writer.add_name(name)
    add_shape(writer, config)
    add_tokenizer(writer, model, config)
    names = get_tensor_name_map(architecture, config["num_hidden_layers"])
    for tensor, value in tensors(model):
        if tensor == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        called = names.get_name(tensor, try_suffixes=(".weight", ".bias"))
        if called is None:
            raise refused(f"GGUF has no name for the tensor {tensor}")
        kind = type_of(value, config, quantize)
        writer.add_tensor(called, encoded(rotated(tensor, value, config), kind), raw_dtype=kind)
    if (factors := rope_factors(config)) is not None:
        writer.add_tensor("rope_freqs.weight", factors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def refused(why: str) -> StageError:
    return StageError(f"package.export: gguf: {why}. Remove gguf from package.export in params.yaml.")


def known_architecture(config: dict[str, Any]) -> str:
    there = (config.get("architectures") or [""])[0]
    if there not in ARCHITECTURES:
        raise refused(f"{there or config.get('model_type')} is not known ({', '.join(ARCHITECTURES)} are)")
    rope = (config.get("rope_parameters") or {}).get("rope_type", "default")
    if rope not in {"default", "llama3"}:
        raise refused(f"rope_type {rope} is not known (default and llama3 are)")
    if config.get("use_sliding_window"):
        raise refused("the sliding window of its attention is not written")
    return ARCHITECTURES[there]


def add_shape(writer: Any, config: dict[str, Any]) -> None:
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base((config.get("rope_parameters") or {}).get("rope_theta", 10_000.0))
    writer.add_vocab_size(config["vocab_size"])


def add_tokenizer(writer: Any, model: Path, config: dict[str, Any]) -> None:
    from gguf import TokenType
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    written = json.loads(tokenizer.to_str())
    split = split_of(written)
    added = tokenizer.get_added_tokens_decoder()
    tokens, kinds = list[str](), list[int]()
    for number in range(config["vocab_size"]):
        token = tokenizer.id_to_token(number)
        own = added.get(number)
        tokens.append(f"[PAD{number}]" if token is None else token)
        kind = TokenType.NORMAL if own is None else TokenType.CONTROL if own.special else TokenType.USER_DEFINED
        kinds.append(int(TokenType.UNUSED if token is None else kind))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in written["model"]["merges"]])
    marks = {**config, **(read_json(model / "generation_config.json") if (model / "generation_config.json").is_file() else {})}
    for name, add in (("bos", writer.add_bos_token_id), ("eos", writer.add_eos_token_id), ("pad", writer.add_pad_token_id)):
        mark = marks.get(f"{name}_token_id")
        if (mark := mark[0] if isinstance(mark, list) else mark) is not None:
            add(mark)
    writer.add_add_bos_token(tokenizer.encode("a").ids != tokenizer.encode("a", add_special_tokens=False).ids)
    writer.add_chat_template(answering_at_once((model / "chat_template.jinja").read_text(encoding="utf-8")))


def answering_at_once(template: str) -> str:
    """The template as the service uses it: without reasoning unless asked. llama.cpp always says enable_thinking to a template."""
    if "enable_thinking" not in template:
        return template
    return "{%- set enable_thinking = reasoning is defined and reasoning %}\n" + template


def split_of(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name of the pre-tokenizer. Raises StageError where it has none."""
    if tokenizer["model"]["type"] != "BPE" or tokenizer["model"].get("byte_fallback"):
        raise refused("its tokenizer is not one of byte pairs (GPT-2, Llama 3 and Qwen have those)")
    kind = tokenizer["pre_tokenizer"] or {}
    parts = kind.get("pretokenizers", [kind])
    if [part.get("type") for part in parts] == ["ByteLevel"] and parts[0].get("use_regex", True) and not parts[0].get("add_prefix_space"):
        return "gpt-2"
    patterns = [part["pattern"].get("Regex", "") for part in parts if part.get("type") == "Split"]
    if len(patterns) != 1 or patterns[0] not in SPLITS:
        raise refused(f"llama.cpp would split a text otherwise than its tokenizer does ({'; '.join(patterns) or kind.get('type')})")
    return SPLITS[patterns[0]]


def tensors(model: Path) -> Any:
    """Name and value of each in fp32, one at a time."""
    from safetensors import safe_open

    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            for name in sorted(opened.keys()):
                yield name, opened.get_tensor(name).float().numpy()


def type_of(value: NDArray[np.float32], config: dict[str, Any], quantize: Quantize) -> Any:
    """Vectors stay exact; a matrix whose rows are no whole blocks stays as the model has it."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    own = {"bfloat16": "BF16", "float16": "F16"}.get(config.get("dtype") or config.get("torch_dtype") or "", "F32")
    kind = GGMLQuantizationType[own if quantize == "none" else quantize.upper()]
    if value.ndim == 1:
        return GGMLQuantizationType.F32
    return kind if value.shape[-1] % GGML_QUANT_SIZES[kind][0] == 0 else GGMLQuantizationType[own]


def encoded(value: NDArray[np.float32], kind: Any) -> NDArray[Any]:
    from gguf.quants import quantize

    made: NDArray[Any] = quantize(np.ascontiguousarray(value), kind)
    return made


def rotated(name: str, value: NDArray[np.float32], config: dict[str, Any]) -> NDArray[np.float32]:
    """Llama's queries and keys: GGUF has the two numbers that turn together side by side, transformers half a head apart."""
    part = next((part for part in ("q_proj", "k_proj") if part in name), None)
    if part is None or known_architecture(config) != "LLAMA":
        return value
    heads = config["num_attention_heads"]
    heads = heads if part == "q_proj" else config.get("num_key_value_heads") or heads
    return value.reshape(heads, 2, -1, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)


def rope_factors(config: dict[str, Any]) -> NDArray[np.float32] | None:
    """What Llama 3 divides its frequencies by; None where they are plain."""
    if (config.get("rope_parameters") or {}).get("rope_type", "default") != "llama3":
        return None
    from transformers import AutoConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    kept = {key: value for key, value in config.items() if key != "model_type"}
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](AutoConfig.for_model(config["model_type"], **kept), "cpu")
    size = 2 * len(scaled)
    plain = config["rope_parameters"]["rope_theta"] ** -(np.arange(0, size, 2) / size)
    factors: NDArray[np.float32] = (plain / scaled.numpy()).astype(np.float32)
    return factors
