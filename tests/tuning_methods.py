"""One of each tuning method, small enough for a test; the bench of docs/training.md trains the same."""

PROJECTIONS = ["q_proj", "v_proj", "down_proj"]
LOW_RANK = {"rank": 4, "alpha": 8, "dropout": 0.1, "rank_stabilised": False, "decomposed": False, "targets": PROJECTIONS}
LORA = {"name": "lora", **LOW_RANK, "begin": "zero"}
BEFORE = {"tokens": 4, "text": ""}

MERGED = {
    "full": {"name": "full"},
    "freeze": {"name": "freeze", "layers": 1},
    "lora": LORA,
    "rslora": {**LORA, "rank_stabilised": True},
    "dora": {**LORA, "decomposed": True},
    "pissa": {**LORA, "begin": "pissa"},
    "ia3": {"name": "ia3", "targets": PROJECTIONS, "feedforward": ["down_proj"]},
    "oft": {"name": "oft", "block_size": 8, "dropout": 0.0, "targets": PROJECTIONS},
}
ATTACHED = {
    "prompt": {"name": "prompt", **BEFORE},
    "ptuning": {"name": "ptuning", **BEFORE, "encoder": "mlp", "encoder_size": 16},
    "ptuning-lstm": {"name": "ptuning", **BEFORE, "encoder": "lstm", "encoder_size": 8},
    "prefix": {"name": "prefix", **BEFORE, "text": "fly low"},
    "ptuning_v2": {"name": "ptuning_v2", **BEFORE, "encoder_size": 16},
    "bottleneck": {"name": "bottleneck", "size": 8, "activation": "gelu", "after": ["attention", "feedforward"]},
}
METHODS = {**MERGED, **ATTACHED}


def method(name: str, vocabulary: str = "none") -> dict:
    return {**METHODS[name], **({} if name == "full" else {"vocabulary": vocabulary})}
