"""Which token comes next: the scores of the model and the sampling parameters of one request, the same for every engine.

Each request has a generator of random numbers of its own: with a seed, its reply is the same at every load.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from lingyu.serve.constrained import Form

COLD = 1e-3  # logits divided by less overflow


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters. A temperature below COLD is greedy decoding; seed None is not reproducible.

    logprobs: None, or how many of the likeliest tokens are told beside each.
    """

    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: dict[int, float] = field(default_factory=dict)
    logprobs: int | None = None
    form: "Form | None" = None  # that the reply must have

    @property
    def greedy(self) -> bool:
        return self.temperature < COLD or self.top_p == 0

    @property
    def likeliest(self) -> bool:
        """Whether the next token is simply the likeliest, and nothing is told of it."""
        weighs = self.frequency_penalty or self.presence_penalty or self.repetition_penalty != 1 or self.logit_bias
        return self.greedy and not weighs and self.logprobs is None and self.form is None


class Token(NamedTuple):
    """logprob, top: of the model's own distribution, where they were asked for; top: ids and their logprobs."""

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class Chooser:
    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self.sampling, self._prompt = sampling, list(prompt)
        if sampling.likeliest:
            return
        import torch
        from transformers.generation import logits_process as warp

        s = sampling
        self._following = s.form.begun() if s.form else None
        self._random = torch.Generator()
        if s.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(s.seed)
        self._warpers = [] if s.greedy else [warp.TemperatureLogitsWarper(float(s.temperature))]
        if not s.greedy and s.top_k:
            self._warpers.append(warp.TopKLogitsWarper(s.top_k))
        if not s.greedy and s.top_p < 1:
            self._warpers.append(warp.TopPLogitsWarper(s.top_p))
        if not s.greedy and s.min_p:
            self._warpers.append(warp.MinPLogitsWarper(s.min_p))
        self._repetition = warp.RepetitionPenaltyLogitsProcessor(float(s.repetition_penalty)) if s.repetition_penalty != 1 else None

    def choose(self, scores: "Tensor", replied: Sequence[int]) -> Token:
        """scores: of the vocabulary; replied: the tokens of the reply so far."""
        if self.sampling.likeliest:
            return Token(int(scores.argmax()))
        import torch

        own = scores.detach().to("cpu", torch.float32)
        weighed = self._weighed(own, replied)[None]
        if self._following is not None:
            self._following.leave_out(weighed[0])
        for warper in self._warpers:
            weighed = warper(None, weighed)
        if self.sampling.greedy:
            chosen = int(weighed.argmax())
        else:
            chosen = int(torch.multinomial(weighed.softmax(-1)[0], 1, generator=self._random))
        if self._following is not None:
            self._following.take(chosen, replied)
        if self.sampling.logprobs is None:
            return Token(chosen)
        logprobs = own.log_softmax(-1)
        best = logprobs.topk(min(self.sampling.logprobs, len(logprobs)))
        return Token(chosen, float(logprobs[chosen]), tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True)))

    def _weighed(self, scores: "Tensor", replied: Sequence[int]) -> "Tensor":
        """With the penalties of OpenAI (of the reply) and of transformers (of prompt and reply), and the biases."""
        import torch

        s, weighed = self.sampling, scores.clone()
        if self._repetition is not None:
            weighed = self._repetition(torch.tensor([[*self._prompt, *replied]]), weighed[None])[0]
        if replied and (s.frequency_penalty or s.presence_penalty):
            counts = Counter(replied)
            often = torch.tensor(list(counts.values()), dtype=weighed.dtype)
            weighed[list(counts)] -= often * s.frequency_penalty + s.presence_penalty
        if s.logit_bias:
            weighed[list(s.logit_bias)] += torch.tensor(list(s.logit_bias.values()), dtype=weighed.dtype)
        return weighed
