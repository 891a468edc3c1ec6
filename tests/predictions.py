"""Predictions as short as tests need them."""

from typing import Any

from lingyu.evaluate.scorer import Prediction


def prediction(task: str, **fields: Any) -> Prediction:
    """Fields of a prediction; all others are its values."""
    own = {name: value for name, value in fields.items() if name in Prediction.model_fields}
    values = {name: float(value) for name, value in fields.items() if name not in own}
    nothing = dict.fromkeys(("known", "prompt", "reply", "answer", "label"), "") | {
        "options": [],
        "language": "zh",
        "id": "1",
        "group": "1",
    }
    return Prediction.model_validate({**nothing, **own, "task": task, "values": values})
