"""Muon: momentum whose every update is made orthogonal, so that rare directions are learnt as fast as common ones.

After K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks" (2024), with updates scaled to the size of
AdamW's as in J. Liu and others, "Muon is scalable for LLM training" (2025). torch.optim.Muon does the same one matrix at a time
in bf16, which took 2.8 times as long on a processor without bf16 units; here matrices of a shape go together, in fp32.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.adamw import adamw

MOMENTUM = 0.95
STEPS = 5
COEFFICIENTS = (3.4445, -4.775, 2.0315)  # Jordan's: singular values come between .7 and 1.2 in five steps
SCALE = 0.2  # the root mean square of an update at rate 1, about that of AdamW's
OTHERS_SHARE = 0.4  # of the matrices' rate for embeddings and vectors: docs/decisions/0008-muon-for-pretraining.md
TOGETHER = 1 << 26  # numbers of one shape at a time, which bounds memory


class Muon(torch.optim.Optimizer):
    """Muon for the hidden matrices of a model, AdamW at a lower rate for its embeddings, head, vectors and biases."""

    def __init__(self, model: Any, learning_rate: float, beta2: float, weight_decay: float) -> None:
        learnt = {name: value for name, value in model.named_parameters() if value.requires_grad}
        matrices = [value for name, value in learnt.items() if is_hidden_matrix(name, value)]
        others = [value for name, value in learnt.items() if not is_hidden_matrix(name, value)]
        groups = [
            {"params": matrices, "lr": learning_rate, "weight_decay": weight_decay, "orthogonal": True},
            {"params": others, "lr": learning_rate * OTHERS_SHARE, "weight_decay": 0.0, "orthogonal": False},
        ]
        super().__init__([group for group in groups if group["params"]], {"beta2": beta2})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = closure() if closure is not None else None
        with torch.no_grad():
            for group in self.param_groups:
                learnt = [value for value in group["params"] if value.grad is not None]
                move = self._orthogonal if group["orthogonal"] else self._adamw
                move(learnt, group)
        return loss

    def _orthogonal(self, matrices: list[Any], group: dict[str, Any]) -> None:
        shapes: dict[tuple[int, ...], list[Any]] = defaultdict(list)
        for matrix in matrices:
            shapes[tuple(matrix.shape)].append(matrix)
        for shape, alike in shapes.items():
            count = max(1, TOGETHER // (shape[0] * shape[1]))
            for start in range(0, len(alike), count):
                some = alike[start : start + count]
                updates = orthogonal(torch.stack([self._momentum(matrix) for matrix in some]))
                rate = group["lr"] * SCALE * max(shape) ** 0.5
                for matrix, update in zip(some, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(update.to(matrix.dtype), alpha=-rate)

    def _momentum(self, matrix: Any) -> Any:
        """Nesterov's: the momentum as it will be, had the next gradient been like this one."""
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix, dtype=torch.float32)
        gradient = matrix.grad.float()
        state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(state["momentum"], MOMENTUM)

    def _adamw(self, values: list[Any], group: dict[str, Any]) -> None:
        for value in values:
            if not self.state[value]:
                self.state[value].update(step=torch.tensor(0.0), mean=torch.zeros_like(value), square=torch.zeros_like(value))
        states = [self.state[value] for value in values]
        adamw(
            values,
            [value.grad for value in values],
            *([state[name] for state in states] for name in ("mean", "square")),
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=0.9,
            beta2=group["beta2"],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


def is_hidden_matrix(name: str, value: Any) -> bool:
    return value.ndim == 2 and not any(part in name for part in ("embed", "lm_head", "score"))


def orthogonal(matrices: Any) -> Any:
    """Matrices (count, rows, columns) with their singular values brought near 1, by Newton and Schulz's iteration."""
    tall = matrices.shape[1] > matrices.shape[2]
    wide = matrices.mT if tall else matrices
    wide = wide / (wide.norm(dim=(1, 2), keepdim=True) + 1e-7)
    first, third, fifth = COEFFICIENTS
    for _ in range(STEPS):
        square = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(square, square, square, beta=third, alpha=fifth), wide, beta=first)
    return wide.mT if tall else wide
