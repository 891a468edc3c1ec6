"""Inference engines behind one interface, so that another engine (OpenVINO, vLLM over HTTP) can replace the default."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

COLD = 1e-3  # logits divided by less overflow


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters. A temperature below COLD is greedy decoding; seed None is not reproducible."""

    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None


class Engine(Protocol):
    context: int  # tokens of prompt and reply together
    end_tokens: frozenset[int]  # a reply ends with one of these, which is also yielded
    waiting: int  # requests in progress or queued

    def tokens(self, prompt: list[int], sampling: Sampling) -> AsyncGenerator[int, None]:
        """Streams the tokens of the reply. Closing the generator stops generation."""
        ...


class TransformersEngine:
    """transformers' generate in its own thread; one request at a time, the others are queued."""

    def __init__(self, folder: Path) -> None:
        # Otherwise idle OpenMP threads spin and take CPU time; read when torch is first imported.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch
        from transformers import AutoModelForCausalLM, GenerationConfig
        from transformers.utils.logging import disable_progress_bar

        from lingyu.model.attached import know

        disable_progress_bar()
        know(folder)
        safe = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **safe)  # as evaluate computes on a CPU
        self.context = int(self._model.config.max_position_embeddings)
        published = self._model.generation_config
        ends = published.eos_token_id
        self.end_tokens = frozenset([ends] if isinstance(ends, int) else ends or [])
        # Of what the base's publisher set only the marks count: a repetition penalty would give other replies than those evaluated.
        self._model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=published.pad_token_id)
        self.waiting = 0
        self._thread = ThreadPoolExecutor(1, "engine")

    async def tokens(self, prompt: list[int], sampling: Sampling) -> AsyncGenerator[int, None]:
        loop, queue, stop = asyncio.get_running_loop(), asyncio.Queue[list[int] | Exception | None](), threading.Event()

        def emit(got: list[int] | Exception | None) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, got)

        self.waiting += 1
        try:
            self._thread.submit(self._generate, prompt, sampling, emit, stop)
            while (got := await queue.get()) is not None:
                if isinstance(got, Exception):
                    raise got
                for token in got:
                    yield token
        finally:
            # Not awaited: a cancelled request must not wait. The next request starts when the thread is free.
            stop.set()
            self.waiting -= 1

    def _generate(self, prompt: list[int], sampling: Sampling, emit: Callable[[Any], None], stop: threading.Event) -> None:
        """Runs in the thread; emits tokens, or an exception, and None at the end."""
        if stop.is_set():
            return
        import torch
        from transformers import StoppingCriteriaList

        def stopped(input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
            return torch.full((input_ids.shape[0],), stop.is_set(), dtype=torch.bool, device=input_ids.device)

        chosen: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if sampling.temperature >= COLD:
            chosen = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        try:
            if sampling.seed is not None:
                torch.manual_seed(sampling.seed)
            ids = torch.tensor([prompt], device=self._model.device)
            with torch.inference_mode():
                self._model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=sampling.max_tokens,
                    streamer=Streamer(emit),
                    stopping_criteria=StoppingCriteriaList([stopped]),
                    **chosen,
                )
        except Exception as error:
            emit(error)
        finally:
            emit(None)


class Streamer:
    """Emits each new token; generate passes the prompt first, which is skipped."""

    def __init__(self, emit: Callable[[Any], None]) -> None:
        self._emit, self._prompt_seen = emit, False

    def put(self, value: Any) -> None:
        if self._prompt_seen:
            self._emit(value.reshape(-1).tolist())
        self._prompt_seen = True

    def end(self) -> None:
        """Called by generate; the end is emitted by _generate, which also handles errors."""
