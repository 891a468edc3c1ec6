"""A step of training in numbers: what is computed, under which settings, and what that allocates (lingyu.train.trace counts it)."""

from dataclasses import dataclass
from typing import Literal

MAPPED = 1 << 25  # bytes from which glibc maps a block by itself (lingyu.runtime), and gives it back when it is freed

Loss = Literal["tokens", "whole", "score", "fused", "logits", "replies"]


@dataclass(frozen=True)
class Pass:
    """One pass through a model. rows, width: of the batch, in sequences and tokens; replied: the last tokens, where only these count.

    loss: how the trainer turns hidden states into a loss. tokens: lingyu.train.kernels, some tokens at a time. whole: the same of all
    tokens at once, in several processes. score: one number a row. fused: TRL's, in tiles. logits: the whole vocabulary of all tokens, as
    TRL's older trainers. replies: that of the replies, as PPO here.
    """

    loss: Loss
    rows: int
    width: int
    replied: int = 0


@dataclass(frozen=True)
class Setting:
    """What else decides how a model computes. weights: dtype; product: that of matrix products; parts: an update is accumulated of more
    than one, so gradients are there from the start."""

    device: str = "cpu"
    weights: str = "float32"
    product: str = "float32"
    attention: str = "eager"
    kernels: bool = True
    checkpointing: bool = False
    parts: bool = False
    optim: str = "adamw_torch_fused"


@dataclass(frozen=True)
class Held:
    """Bytes alive at once: in blocks that the heap keeps, and in blocks that are mapped by themselves."""

    heap: float = 0.0
    mapped: float = 0.0

    def __add__(self, other: "Held") -> "Held":
        return Held(self.heap + other.heap, self.mapped + other.mapped)

    def __mul__(self, times: float) -> "Held":
        return Held(self.heap * times, self.mapped * times)

    @property
    def total(self) -> float:
        return self.heap + self.mapped


@dataclass(frozen=True)
class Traced:
    """Of one model and one pass. Bytes beside weights and optimizer: kept for backward (activations), and the most there was, in the first
    half of the layers that go back and in the second. state: of the optimizer; heap: small blocks with their gaps, the optimizer's among
    them (lingyu.train.heap). flops: of products; moved: bytes that all other operators read and wrote; operators: their number. forward:
    the same of a pass without gradients. Of what learns: hidden matrices, which muon updates; alike: those of the commonest shape;
    largest: one matrix."""

    weights: Held
    parameters: float
    forward: Held
    forward_flops: float
    forward_moved: float
    forward_operators: float
    trained: Held = Held()
    gradients: Held = Held()
    kept: Held = Held()
    early: Held = Held()
    late: Held = Held()
    state: Held = Held()
    heap: float = 0.0
    flops: float = 0.0
    moved: float = 0.0
    operators: float = 0.0
    hidden: Held = Held()
    alike: float = 0.0
    learnt: float = 0.0
    largest: float = 0.0
