"""Many replies at once: transformers' continuous batching, with a choice of tokens and an attention of our own.

transformers keeps the pages of the cache and decides who takes part in a step. Two things are replaced. Its processors know temperature,
top_k and top_p, with one seed for all: here each request has its Chooser, and the token it chose is the only one left in the scores. Its
attention on a CPU compares every token of a step with the cache of all requests and masks most of it: here each request is compared with
its own (docs/decisions/0072-many-replies-at-once.md).
"""

import asyncio
import itertools
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from lingyu.serve.choosing import Chooser, Sampling, Token
from lingyu.serve.engine import end_tokens, generate, log

PAGE = 32  # tokens
LEAST = 8192  # tokens of the cache, or as many as all requests can fill, if that is less
STEP = 512  # tokens of one step: a longer prompt is read in parts, between which the others get their tokens


class Unsuitable(Exception):
    """Why this model cannot make replies together."""


class Faults:
    """In place of the manager's queue of results: tokens have gone to their requests already, only what ended one early is left to tell."""

    def __init__(self, jobs: "dict[str, Job]") -> None:
        self._jobs = jobs

    def put(self, result: Any) -> None:
        job = self._jobs.get(result.request_id)
        if job and result.error:
            emit([(job, RuntimeError(result.error))])

    def empty(self) -> bool:
        return True


@dataclass
class Job:
    """A request in the engine. got: its tokens, or the error that ended it, taken by the loop of whoever asked."""

    chooser: Chooser
    prompt: int
    loop: asyncio.AbstractEventLoop
    got: "asyncio.Queue[Token | Exception]"


def emit(got: list[tuple[Job, Token | Exception]]) -> None:
    """To be called in the engine's thread: to wake a loop costs more than a token, so each is woken once a step."""
    for loop in {job.loop for job, _ in got}:
        with suppress(RuntimeError):  # the loop is closed, and whoever asked is gone
            loop.call_soon_threadsafe(deliver, [(job, one) for job, one in got if job.loop is loop])


def deliver(got: list[tuple[Job, Token | Exception]]) -> None:
    for job, one in got:
        job.got.put_nowait(one)


class BatchingEngine:
    name = "continuous-batching"

    def __init__(self, model: Any, at_once: int) -> None:
        """Raises Unsuitable if the model's replies are not those of generate."""
        self.at_once, self.waiting = at_once, 0
        self.context = int(model.config.max_position_embeddings)
        self.end_tokens = end_tokens(model)
        self._jobs: dict[str, Job] = {}
        self._names = map(str, itertools.count())
        self._restarting = threading.Lock()
        check_suitable(model)
        trials = [trial(model, length) for length in (5, 40)]
        try:
            self._manager = manager_of(model, self.context, at_once, self._jobs)
            self._start()
        except Exception as error:
            raise Unsuitable(f"transformers cannot batch {type(model).__name__} ({error})") from error
        try:
            made = self._tried([prompt for prompt, _ in trials], len(trials[0][1]))
        except Exception as error:
            self.close()
            raise Unsuitable(f"transformers cannot batch {type(model).__name__} ({error})") from error
        if made != [reply for _, reply in trials]:
            self.close()
            raise Unsuitable(f"the replies of {type(model).__name__} together differ from those one by one")

    def close(self) -> None:
        self._manager.stop(block=True, timeout=5, hard_stop=True)

    async def tokens(self, prompt: list[int], sampling: Sampling) -> AsyncGenerator[Token, None]:
        queue, name, left = asyncio.Queue[Token | Exception](), next(self._names), sampling.max_tokens
        self.waiting += 1
        self._jobs[name] = Job(Chooser(sampling, prompt), len(prompt), asyncio.get_running_loop(), queue)
        try:
            if not self._submit(prompt, name, left):
                await asyncio.to_thread(self._restart)
                if not self._submit(prompt, name, left):
                    raise RuntimeError("the engine takes no request")
            while left:
                got = await queue.get()
                if isinstance(got, Exception):
                    left = 0
                    raise got
                left = 0 if got.id in self.end_tokens else left - 1
                yield got
        finally:
            self.waiting -= 1
            del self._jobs[name]
            if left:
                self._manager.cancel_request(name)

    def _submit(self, prompt: list[int], name: str, limit: int) -> bool:
        """False where the engine's thread has ended, or is about to, after an error."""
        ends = list(self.end_tokens) or [-1]
        there = self._manager.is_running()
        return there and self._manager.add_request(prompt, name, max_new_tokens=limit, eos_token_id=ends) is not None

    def _restart(self) -> None:
        with self._restarting:
            if self._manager.is_running() and self._manager.background_thread_status.can_accept_new_requests() is None:
                return  # somebody else has
            log.error("the engine broke down and is started again")
            self._manager.stop(block=True, timeout=30, hard_stop=True)
            self._start()

    def _start(self) -> None:
        """A thread begun by a daemon is one, too: the process need not wait for it at its end."""
        use_own_attention(self._manager.model)
        starter = threading.Thread(target=self._manager.start, daemon=True)
        starter.start()
        starter.join()

    def _tried(self, prompts: list[list[int]], count: int) -> list[list[int]]:
        """The replies of `_together`, in a thread of their own: a service is made inside a running loop."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(self._together(prompts, count))).result()

    async def _together(self, prompts: list[list[int]], count: int) -> list[list[int]]:
        async def reply(prompt: list[int]) -> list[int]:
            return [token.id async for token in self.tokens(prompt, Sampling(count, 0.0, 1.0, None))]

        return list(await asyncio.gather(*map(reply, prompts)))


def check_suitable(model: Any) -> None:
    from lingyu.model.attached import is_attached

    if is_attached(model):
        raise Unsuitable("the model has a part attached that transformers cannot batch")


def trial(model: Any, length: int) -> tuple[list[int], list[int]]:
    """A prompt, and what generate replies to it."""
    size = int(model.config.get_text_config().vocab_size)
    prompt = [(7 * number + 11) % size for number in range(min(length, model.config.max_position_embeddings // 2))]
    got: list[int] = []
    generate(model, prompt, Sampling(8, 0.0, 1.0, None), lambda token: got.append(token.id), threading.Event())
    return prompt, got


def manager_of(model: Any, context: int, at_once: int, jobs: dict[str, Job]) -> Any:
    from transformers import ContinuousBatchingConfig

    tokens = max(context + STEP, min(context * at_once, LEAST))
    config = ContinuousBatchingConfig(
        page_size=PAGE,
        num_blocks=-(-tokens // PAGE) + 2,
        max_batch_tokens=STEP,
        max_requests_per_batch=at_once,
        use_async_batching=False,  # its steps overlap, so that the tokens of one are not known when the next begins
        use_cuda_graph=False,
    )
    manager = model.init_continuous_batching(continuous_batching_config=config)
    manager.output_router.output_queue = Faults(jobs)
    processors = manager.logit_processor
    processors.logits_processor.append(per_request(jobs))
    processors.tensors_required += 1
    processors.do_processing = True
    return manager


def use_own_attention(model: Any) -> None:
    """Unless a kernel for pages is there. Again at each start: the manager puts back what it found when it stops."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    from lingyu.serve.paged import attention

    if model.config._attn_implementation in {"sdpa", "eager", "paged|eager"}:
        ALL_ATTENTION_FUNCTIONS.register("lingyu_paged", attention)
        model.set_attn_implementation("lingyu_paged")


def per_request(jobs: dict[str, Job]) -> Any:
    """The processor by which each request chooses its token. A class here, so that only the engine imports transformers."""
    import torch
    from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessor

    class PerRequest(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]  # transformers is untyped
        supported_kwargs: ClassVar[dict[str, type]] = {}
        ignored_kwargs = ()

        def __init__(self) -> None:
            self.now: list[Any] = []

        def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
            int32_tensor.zero_()

        def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> torch.Tensor:
            self.now = requests_with_new_token
            return torch.zeros(len(requests_with_new_token), dtype=torch.int32)

        def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
            likeliest, chosen = scores.argmax(-1).tolist(), list[tuple[Job, Token | Exception]]()
            for row, request in enumerate(self.now):
                if job := jobs.get(request.state.request_id):
                    try:
                        chosen.append((job, self.token(job, request.state, scores[row], likeliest[row])))
                    except Exception as error:  # of one request: the others go on
                        chosen.append((job, error))
            emit(chosen)
            return scores

        @staticmethod
        def token(job: Job, state: Any, scores: torch.Tensor, likeliest: int) -> Token:
            if job.chooser.sampling.likeliest:
                return Token(likeliest)
            token = job.chooser.choose(scores, [*state.initial_tokens, *state.generated_tokens][job.prompt :])
            scores.fill_(-torch.inf)
            scores[token.id] = 0
            return token

    return PerRequest()
