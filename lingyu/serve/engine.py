"""Inference engines behind one protocol, so that another engine (OpenVINO, vLLM over HTTP) can replace the default."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from lingyu.serve.choosing import Chooser, Sampling, Token

log = logging.getLogger("bentoml.lingyu")


class Engine(Protocol):
    name: str  # as /v1/models tells it
    context: int  # tokens of prompt and reply together
    end_tokens: frozenset[int]  # a reply ends with one of these, which is also yielded
    at_once: int  # replies that are made together; further ones are queued
    waiting: int  # requests in progress or queued

    def tokens(self, prompt: list[int], sampling: Sampling) -> AsyncGenerator[Token, None]:
        """Streams the tokens of the reply. Closing the generator stops generation."""
        ...

    def close(self) -> None:
        """Ends the engine's threads."""
        ...


def load(folder: Path) -> Any:
    """The model as evaluate computed with it, on a CPU in fp32."""
    # Otherwise idle OpenMP threads spin and take CPU time; read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig
    from transformers.utils.logging import disable_progress_bar

    from lingyu.model.attached import know

    disable_progress_bar()
    know(folder)
    safe = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **safe)
    published = model.generation_config
    # Of what the base's publisher set only the marks count: a repetition penalty would give other replies than those evaluated.
    model.generation_config = GenerationConfig(eos_token_id=published.eos_token_id, pad_token_id=published.pad_token_id)
    return model


def end_tokens(model: Any) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends or [])


def start(folder: Path, at_once: int) -> Engine:
    return start_all(folder, {}, at_once)[0]


def start_all(folder: Path, adapters: dict[str, Path], at_once: int) -> tuple[Engine, dict[str, Engine]]:
    """The engine of the model, and those of the adapters over it, by name; the weights of the model are in memory once."""
    from lingyu.serve.lora import laid_on

    model = load(folder)
    laid = {name: laid_on(model, adapter) for name, adapter in adapters.items()}
    return engine_of(model, at_once), {name: engine_of(made, at_once) for name, made in laid.items()}


def engine_of(model: Any, at_once: int) -> Engine:
    """The engine that makes replies together; where the model cannot be run so, the one that makes them one by one. The log says why."""
    from lingyu.serve.batching import BatchingEngine, Unsuitable
    from lingyu.serve.lora import sharing

    if at_once > 1:
        untouched = sharing(model)
        try:
            return BatchingEngine(model, at_once)
        except Unsuitable as reason:
            log.warning("replies are made one by one: %s", reason)
            model = untouched
    return TransformersEngine(model)


class TransformersEngine:
    """transformers' generate in its own thread; one request at a time, the others are queued."""

    name, at_once = "one-by-one", 1

    def __init__(self, model: Any) -> None:
        """model: a model, or its folder."""
        self._model = load(model) if isinstance(model, Path) else model
        self.context = int(self._model.config.max_position_embeddings)
        self.end_tokens = end_tokens(self._model)
        self.waiting = 0
        self._thread = ThreadPoolExecutor(1, "engine")

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def tokens(self, prompt: list[int], sampling: Sampling) -> AsyncGenerator[Token, None]:
        loop, queue, stop = asyncio.get_running_loop(), asyncio.Queue[Token | Exception | None](), threading.Event()

        def emit(got: Token | Exception | None) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, got)

        self.waiting += 1
        try:
            self._thread.submit(self._generate, prompt, sampling, emit, stop)
            while (got := await queue.get()) is not None:
                if isinstance(got, Exception):
                    raise got
                yield got
        finally:
            # Not awaited: a cancelled request must not wait. The next request starts when the thread is free.
            stop.set()
            self.waiting -= 1

    def _generate(self, prompt: list[int], sampling: Sampling, emit: Callable[[Any], None], stop: threading.Event) -> None:
        """Runs in the thread; emits tokens, or an exception, and None at the end."""
        if stop.is_set():
            return
        try:
            generate(self._model, prompt, sampling, emit, stop)
        except Exception as error:
            emit(error)
        finally:
            emit(None)


def generate(model: Any, prompt: list[int], sampling: Sampling, emit: Callable[[Token], None], stop: threading.Event) -> None:
    """transformers' generate for one request."""
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    chooser = Chooser(sampling, prompt)

    def choose(input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        token = chooser.choose(scores[0], input_ids[0, len(prompt) :].tolist())
        emit(token)
        return torch.full_like(scores, -torch.inf).index_fill_(1, torch.tensor([token.id], device=scores.device), 0)

    def stopped(input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), stop.is_set(), dtype=torch.bool, device=input_ids.device)

    ids = torch.tensor([prompt], device=model.device)
    with torch.inference_mode():
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=sampling.max_tokens,
            do_sample=False,
            logits_processor=LogitsProcessorList([choose]),
            stopping_criteria=StoppingCriteriaList([stopped]),
        )
