"""One of each tuning method, small enough for a test; the bench of docs/training.md trains the same."""

PROJECTIONS = ["q_proj", "v_proj", "down_proj"]
LOW_RANK = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "use_rslora": False, "use_dora": False, "target_modules": PROJECTIONS}
LORA = {"name": "lora", **LOW_RANK, "init_lora_weights": True}
BEFORE = {"num_virtual_tokens": 4, "prompt_tuning_init_text": ""}

MERGED = {
    "full": {"name": "full"},
    "freeze": {"name": "freeze", "layers": 1},
    "lora": LORA,
    "rslora": {**LORA, "use_rslora": True},
    "dora": {**LORA, "use_dora": True},
    "pissa": {**LORA, "init_lora_weights": "pissa"},
    "ia3": {"name": "ia3", "target_modules": PROJECTIONS, "feedforward_modules": ["down_proj"]},
    "oft": {"name": "oft", "oft_block_size": 8, "module_dropout": 0.0, "target_modules": PROJECTIONS},
}
ATTACHED = {
    "prompt": {"name": "prompt", **BEFORE},
    "ptuning": {"name": "ptuning", **BEFORE, "encoder_reparameterization_type": "MLP", "encoder_hidden_size": 16},
    "ptuning-lstm": {"name": "ptuning", **BEFORE, "encoder_reparameterization_type": "LSTM", "encoder_hidden_size": 8},
    "prefix": {"name": "prefix", **BEFORE, "prompt_tuning_init_text": "fly low"},
    "ptuning_v2": {"name": "ptuning_v2", **BEFORE, "encoder_hidden_size": 16},
    "bottleneck": {"name": "bottleneck", "size": 8, "activation": "gelu", "after": ["attention", "feedforward"]},
}
METHODS = {**MERGED, **ATTACHED}


def method(name: str, trainable_tokens: str = "none") -> dict:
    return {**METHODS[name], **({} if name == "full" else {"trainable_tokens": trainable_tokens})}
