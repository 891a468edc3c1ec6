"""A GGUF file of a small Qwen3, written as llama.cpp's converter writes one."""

from pathlib import Path

import numpy as np


def write_gguf(model: Path, file: Path, template: str | None = None, quantised: bool = False) -> Path:
    """The model of a folder (tests/tiny.py) as one file. quantised: its feed-forward matrices in 8 bits; template: its chat template."""
    import gguf
    from safetensors.numpy import load_file
    from transformers import AutoConfig, AutoTokenizer

    config, tokenizer = AutoConfig.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    writer = gguf.GGUFWriter(file, "qwen3")
    writer.add_name("Small Qwen3")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if quantised else gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    added = tokenizer.added_tokens_decoder
    known = {number: token for token, number in tokenizer.get_vocab().items()}
    zero = known[len(tokenizer) - 1]  # a file has merges: here one, of the same byte twice
    known[len(tokenizer)] = zero + zero
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([known.get(number, f"[PAD{number}]") for number in range(config.vocab_size)])
    kinds = gguf.TokenType
    plain = {number: kinds.NORMAL if number in known else kinds.UNUSED for number in range(config.vocab_size)}
    marks = {number: kinds.CONTROL if token.special else kinds.USER_DEFINED for number, token in added.items()}
    writer.add_token_types([int({**plain, **marks}[number]) for number in range(config.vocab_size)])
    writer.add_token_merges([f"{zero} {zero}"])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    if template:
        writer.add_chat_template(template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config.num_hidden_layers)
    for name, weight in load_file(model / "model.safetensors").items():
        called = names.get_name(name, try_suffixes=(".weight",))
        assert called, name
        if quantised and ".mlp." in name:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(called, gguf.quantize(weight.astype(np.float32), kind), raw_dtype=kind)
        else:
            writer.add_tensor(called, weight.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
