"""What a training will need, before it starts: memory by part, disk and time, from the shapes of its model (lingyu.train.trace).

Memory on a CPU is what the process holds at its peak. glibc keeps blocks under 32 MiB that are freed and gives larger ones back
(lingyu.runtime), so the peak is the most that small blocks ever needed plus the most of the large ones.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lingyu.launch import is_first, nodes
from lingyu.model.methods import Full, Lora, LowRank, Method, Qlora
from lingyu.stage import StageError
from lingyu.train import machine
from lingyu.train.machine import Room
from lingyu.train.settings import Training
from lingyu.train.work import MAPPED, Held, Loss, Pass, Setting, Traced

MIB, GIB = 2**20, 2**30
ERROR = 0.15  # of memory, at most: docs/benchmarks.md
LATE = 2.0  # times that a training may take longer than forecast, or be done sooner
# MiB of a process that has imported torch, transformers and its Trainer and taken a first step; what PEFT and TRL add.
PROCESS, PEFT, TRL = 620.0, 60.0, 60.0
# Share of the gaps that lingyu.train.heap finds: cut-off pieces stay apart while small blocks, autograd's nodes, lie in them, and these are
# few with checkpointing. From the trainings of docs/benchmarks.md.
GAPS, GAPS_CHECKPOINTED = 0.8, 0.1
CONTEXT, CACHED = 600.0, 1.05  # MiB of CUDA's context; blocks that its allocator keeps beyond what is alive
MASTER = 4  # bytes of a weight that learns, and of each where precision is fp32
FOUR_BITS, EIGHT_BITS = 0.516, 1.01  # bytes a weight under qlora, with the constants of its blocks
SMALL = 0.25  # of the memory that is there: what certainly needs less is not traced
RECORDS = 2**21  # bytes of a checkpoint or model beside its numbers: tokenizer, state, configuration


@dataclass(frozen=True)
class Rows:
    """Of an epoch: their number, the tokens of the longest and of all; of dev the number. exact: counted, not estimated."""

    count: int
    widest: int
    tokens: float
    held: int
    exact: bool = True


@dataclass(frozen=True)
class Job:
    """A training as its stage sets it up. rows_a_row: sequences that a row is (a pair is two). replied, sampled: tokens of a reply and
    sequences that are sampled at once. rollout, passes: rows of a step, and times that it learns from them (PPO). reference: whether the
    start stays in memory beside the model. scorer: config of the reward model. start_again: whether the start is loaded once more at the
    end. libraries: MiB of those that it imports."""

    label: str
    config: Any
    params: Training
    method: Method
    loss: Loss
    rows: Rows
    tokenizer: Any = None
    rows_a_row: int = 1
    replied: int = 0
    sampled: int = 0
    rollout: int = 0
    passes: int = 1
    reference: bool = False
    scorer: Any = None
    start_again: bool = False
    libraries: float = 0.0

    @property
    def batch(self) -> int:
        """Sequences of a forward pass in one process."""
        return self.params.per_device_train_batch_size * self.rows_a_row

    @property
    def steps(self) -> int:
        params = self.params.model_copy(update={"global_batch_size": self.rollout}) if self.rollout else self.params
        return params.steps(self.rows.count)

    @property
    def parts(self) -> int:
        """Forward passes with gradients of a step."""
        return self.params.gradient_accumulation_steps * self.updates

    @property
    def updates(self) -> int:
        return max(1, self.rollout * self.passes // self.params.global_batch_size)

    @property
    def setting(self) -> Setting:
        params, gpu = self.params, machine.on_gpu()
        own = str(getattr(self.config, "dtype", None) or "float32").removeprefix("torch.")
        weights = own if gpu and params.precision != "fp32" else "float32"
        return Setting(
            device="cuda" if gpu and machine.assumed is None else "cpu",
            weights=weights,
            product={"fp32": weights, "bf16": "bfloat16", "fp16": "float16"}[params.precision],
            attention="sdpa" if gpu or params.max_length > 256 else "eager",
            kernels=params.kernels == "auto" and not gpu,
            checkpointing=params.gradient_checkpointing,
            parts=params.gradient_accumulation_steps > 1,
            optim=params.optim,
        )


@dataclass(frozen=True)
class Forecast:
    """Bytes, and seconds. parts: of the peak of one process, and beside: how many share the memory; disk: at most at once. step: of one
    update; whole: of the training; not a number for a machine that is not here."""

    parts: dict[str, float]
    disk: dict[str, float]
    step: float
    whole: float
    steps: int
    beside: int = 1

    @property
    def needed(self) -> float:
        """Memory of all processes that share it."""
        return self.memory * self.beside

    @property
    def memory(self) -> float:
        return sum(self.parts.values())

    @property
    def stored(self) -> float:
        return sum(self.disk.values())


seen: dict[tuple[Any, ...], Traced] = {}  # what one process has traced: jobs differ in little


def traced_for(job: Job, its: Pass, config: Any = None, learns: bool = True) -> Traced:
    """config: of another model than the one that is trained."""
    of, method = config or job.config, job.method if config is None else Full()
    if isinstance(method, Qlora):
        method = Lora(name="lora", **method.model_dump(exclude={"name", "bits"}))
    from lingyu.train.trace import trace

    key = (of.to_json_string(use_diff=False), method.model_dump_json(), its, job.setting, learns)
    if key not in seen:
        seen[key] = trace(of, method, its, job.setting, job.tokenizer, learns)
    return seen[key]


def forecast(job: Job) -> Forecast:
    params, rows, gpu = job.params, job.rows, machine.on_gpu()
    its = Pass("whole" if job.loss == "tokens" and params.processes > 1 else job.loss, job.batch, rows.widest, job.replied)
    step = traced_for(job, its)
    state = step.state
    copies = copied(job, step)
    asked = asking(job, step)
    update = updating(params.optim, step, gpu)
    moments = [step.early + state, step.late + state, step.gradients + state + update, asked + state]
    alive = max(one.heap for one in moments)
    gaps = (GAPS_CHECKPOINTED if params.gradient_checkpointing else GAPS) * max(0.0, step.heap - alive)
    most = Held(alive + gaps, max(one.mapped for one in moments))
    weights = weights_of(job, step)
    loaded = weights if job.start_again else saved_weights(job, step)
    if gpu:
        parts = shared_out(job, {"weights": weights, "gradients": step.gradients.total, "optimizer": state.total})
        beyond = max(one.total for one in moments) - state.total - step.gradients.total
        if isinstance(job.method, Qlora):
            beyond += 2 * widest_linear(job.config)  # multiplied in 16 bits
        parts |= {"activations": max(0.0, beyond), "reference": copies}
        parts = {name: size * CACHED for name, size in parts.items()} | {"process": CONTEXT * MIB}
    else:
        # The best checkpoint, or the start, is read through a file's pages when gradients and activations are gone.
        most = replace(most, mapped=max(most.mapped, state.mapped + loaded))
        gradients = step.gradients.total
        parts = shared_out(job, {"weights": weights, "gradients": gradients, "optimizer": state.total})
        parts |= {"activations": max(0.0, most.total - state.total - gradients), "reference": copies}
        parts["process"] = (PROCESS + job.libraries) * MIB
    trained = saved_weights(job, step)
    once = trained + state.total + RECORDS
    disk = {
        "checkpoints": 3 * once,  # the best, the last, and for a moment the next
        "outputs": weights_on_disk(job, step) + (trained if trained < weights else 0.0) + RECORDS,
        "tokens": rows.count * 16 + rows.tokens * 8 if job.loss == "tokens" else 0.0,
    }
    seconds = seconds_of(job, step)
    mean = rows.tokens / max(1, rows.count) / rows.widest if rows.count else 1.0
    whole = job.steps * seconds * min(1.0, mean) + evaluating(job, step)
    return Forecast(parts, disk, seconds, whole, job.steps, 1 if gpu else max(1, params.processes // nodes()))


def shared_out(job: Job, parts: dict[str, float]) -> dict[str, float]:
    """What sharding divides over the processes; DDP holds the gradients once more, in the buckets that it sends."""
    params = job.params
    if params.processes == 1:
        return parts
    divided = {"none": (), "zero2": ("gradients", "optimizer")}.get(params.sharding, tuple(parts))
    if params.sharding == "none":
        parts = {**parts, "gradients": parts["gradients"] * 2}
    return {name: size / (params.processes if name in divided else 1) for name, size in parts.items()}


def widest_linear(config: Any) -> float:
    """Numbers of the largest matrix of a layer."""
    text = config.get_text_config()
    return float(text.hidden_size * max(getattr(text, "intermediate_size", None) or 0, text.hidden_size))


def updating(optim: str, step: Traced, gpu: bool) -> Held:
    """Bytes that an update needs for a moment."""
    from lingyu.train.muon import TOGETHER

    if optim == "adamw_torch":
        size = 2 * step.largest if not gpu else step.trained.total
    elif optim == "muon":
        size = 3.7 * min(step.alike, TOGETHER * 4)  # the matrices, normed, and as they become
    elif optim == "adafactor":
        size = 4 * step.largest
    else:
        size = 0.0
    return Held(0.0, size) if step.largest >= MAPPED or size >= 3 * MAPPED else Held(size)


def weights_of(job: Job, step: Traced) -> float:
    """Bytes of the weights in memory."""
    if not isinstance(job.method, Qlora):
        return step.weights.total
    text = job.config.get_text_config()
    held = 2 * text.vocab_size * text.hidden_size if not text.tie_word_embeddings else text.vocab_size * text.hidden_size
    linear = step.parameters - step.learnt - held
    return float(step.learnt * 4 + held * 2 + linear * (FOUR_BITS if job.method.bits == 4 else EIGHT_BITS))


def saved_weights(job: Job, step: Traced) -> float:
    """Bytes of the weights in a checkpoint: of an adapter or a part alone where that is all that learns."""
    return step.weights.total if isinstance(job.method, Full) else step.trained.total


def weights_on_disk(job: Job, step: Traced) -> float:
    return (step.parameters - step.learnt) * 2 if isinstance(job.method, Qlora) else step.weights.total


def copied(job: Job, step: Traced) -> float:
    """Bytes of other models that stay in memory, and of what is sampled."""
    found = step.parameters * (MASTER if job.setting.weights == "float32" else 2) if job.reference else 0.0
    if job.scorer is not None:
        found += traced_for(job, Pass("score", job.batch, job.rows.widest), job.scorer, learns=False).weights.total
    return found


def asking(job: Job, step: Traced) -> Held:
    """The most of the passes without gradients: over dev in batches of twice the size, and to sample replies."""
    held = min(2 * job.params.per_device_train_batch_size, max(1, job.rows.held)) * job.rows_a_row
    found = step.forward * (held / job.batch)
    if not job.sampled:
        return found
    cache = job.sampled * job.rows.widest * cache_of(job.config, job.setting)
    text = job.config.get_text_config()
    scores = 4 * job.sampled * text.vocab_size * 4  # of the last token: scores, their softmax, and as they are sorted or divided
    sampling = cache * (1 + 1 / text.num_hidden_layers) + scores
    return Held(max(found.heap, sampling), found.mapped)


def cache_of(config: Any, setting: Setting) -> float:
    """Bytes of keys and values of a token in all layers."""
    text = config.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    return float(2 * text.num_hidden_layers * heads * size * (4 if setting.product == "float32" else 2))


def seconds_of(job: Job, step: Traced) -> float:
    """Of one update of the widest rows."""
    params, setting = job.params, job.setting
    if machine.assumed is not None:
        return math.nan
    speed = machine.speed(setting.product, params.threads)

    def taken(flops: float, moved: float, operators: float) -> float:
        return flops / speed.products / PRODUCTS + moved / speed.bytes + operators * speed.operator

    one = taken(step.flops, step.moved, step.operators)
    sampling = 0.0
    if job.sampled:
        batches = max(1.0, job.rollout / job.batch)
        token = taken(step.forward_flops * batches / job.rows.widest, step.weights.total, step.forward_operators)
        asked = 2 * batches * taken(step.forward_flops, step.forward_moved, step.forward_operators)
        sampling = (job.replied * token + asked) * (1 if job.rollout else params.gradient_accumulation_steps)
    update = (2 * (step.trained + step.gradients + step.state).total) / speed.bytes
    if params.optim == "muon":
        update += 5 * 6 * step.hidden.total / 4 * min(job.config.get_text_config().hidden_size, 4096) / speed.products / PRODUCTS
    return one * job.parts + sampling + update * job.updates


PRODUCTS = 0.8  # of the speed of a square product that those of a step reach


def evaluating(job: Job, step: Traced) -> float:
    if machine.assumed is not None:
        return math.nan
    speed = machine.speed(job.setting.product, job.params.threads)
    one = step.forward_flops / speed.products / PRODUCTS + step.forward_moved / speed.bytes + step.forward_operators * speed.operator
    return job.params.evaluations * one * job.rows.held * job.rows_a_row / job.batch


def too_much(made: Forecast, there: Room) -> tuple[bool, bool]:
    """Whether memory and disk are short by more than the forecast may err."""
    memory = there.memory is not None and made.needed * (1 - ERROR) > there.memory
    return memory, made.stored * (1 - ERROR) > there.disk


def remedies(job: Job, there: Room, most: int = 3) -> list[tuple[str, Forecast]]:
    """Settings under which it fits, by their own forecast; the mildest first."""
    found: list[tuple[str, Forecast]] = []
    for text, other in changes(job):
        made = forecast(other)
        if not any(too_much(made, there)) and made.needed <= (there.memory or math.inf):
            found.append((text, made))
        if len(found) == most:
            break
    return found


def changes(job: Job) -> Iterator[tuple[str, Job]]:
    """Ways to need less, one by one and then together."""
    params = job.params
    options = [job]
    if not params.gradient_checkpointing:
        options.append(changed(job, gradient_checkpointing=True))
        yield "gradient_checkpointing: true", options[-1]
    for one in list(options):
        for parts in divisions(one):
            yield described(job, other := changed(one, gradient_accumulation_steps=parts)), other
            smallest = other
        if one.params.rows_at_once > 1 and next(divisions(one), None):
            options.append(smallest)
    least = options[-1]
    if params.precision == "fp32" and (machine.on_gpu() or bf16_here()):
        for one in (job, least):
            yield described(job, other := changed(one, precision="bf16")), other
    for optim in ("adafactor",) if params.optim.startswith("adamw_torch") else ():
        for one in (job, least):
            yield described(job, other := changed(one, optim=optim)), other
    if isinstance(job.method, Full) and job.loss == "tokens":
        for one in (job, least):
            yield described(job, other := replace(one, method=Lora(name="lora"))), other
    if machine.on_gpu() and not isinstance(job.method, Qlora) and job.loss == "tokens":
        more = job.method.model_dump(exclude={"name", "init_lora_weights"}) if isinstance(job.method, LowRank) else {}
        yield described(job, other := replace(least, method=Qlora(name="qlora", **more))), other
    for length in (job.rows.widest // 2, job.rows.widest // 4):
        if length >= 64:
            rows = replace(least.rows, widest=length)
            yield described(job, other := changed(replace(least, rows=rows), max_length=length)), other


def bf16_here() -> bool:
    from lingyu.train.checks import multiplies_bf16

    return multiplies_bf16()


def changed(job: Job, **more: Any) -> Job:
    return replace(job, params=job.params.model_copy(update=more))


def divisions(job: Job) -> Iterator[int]:
    """More parts for an update, twice as many each time, as far as a process still has a row, or a group of replies, in each."""
    params = job.params
    parts = params.gradient_accumulation_steps * 2
    group = getattr(getattr(params, "method", None), "num_generations", 1) if job.loss == "fused" and job.sampled else 1
    while params.global_batch_size % (params.processes * parts) == 0 and (params.global_batch_size // parts) % group == 0:
        yield parts
        parts *= 2


def described(job: Job, other: Job) -> str:
    """What is set otherwise in another job, as it is written in params.yaml."""
    names = ["gradient_checkpointing", "gradient_accumulation_steps", "precision", "optim", "max_length"]
    found = [
        f"{name}: {str(value).lower() if isinstance(value, bool) else value}"
        for name in names
        if (value := getattr(other.params, name)) != getattr(job.params, name)
    ]
    if other.method != job.method:
        found.append(f"method: {{name: {other.method.name}}}")
    return ", ".join(found)


NAMES = {
    "weights": "权重",
    "gradients": "梯度",
    "optimizer": "优化器",
    "activations": "激活值",
    "reference": "参考与奖励模型",
    "process": "进程",
    "checkpoints": "检查点",
    "outputs": "输出",
    "tokens": "词元表",
}


def size(value: float) -> str:
    return f"{value / GIB:,.1f} GiB" if value >= GIB else f"{value / MIB:,.0f} MiB"


def span(seconds: float) -> str:
    return f"{seconds / 3600:,.1f} h" if seconds >= 5400 else f"{seconds / 60:,.0f} min" if seconds >= 100 else f"{seconds:,.0f} s"


def shown(job: Job, made: Forecast, there: Room, lang: str) -> list[str]:
    """Lines for a person."""
    zh = lang == "zh"
    parts = "，" if zh else ", "

    def listed(sizes: dict[str, float]) -> str:
        return parts.join(f"{NAMES[name] if zh else name} {size(value)}" for name, value in sizes.items() if value >= MIB)

    least, most = (span(made.whole * factor) if math.isfinite(made.whole) else "?" for factor in (1 / LATE, LATE))
    has = size(there.memory) if there.memory is not None else "?"
    times = f"{made.beside} × " if made.beside > 1 else ""
    if zh:
        lines = [
            f"{job.label}  内存约 {times}{size(made.memory)}（可用 {has}）：{listed(made.parts)}",
            f"{job.label}  磁盘至多 {size(made.stored)}（可用 {size(there.disk)}）：{listed(made.disk)}",
        ]
        time = f"{job.label}  {made.steps:,} 步，约 {least} 至 {most}"
    else:
        lines = [
            f"{job.label}  memory about {times}{size(made.memory)} of {has}: {listed(made.parts)}",
            f"{job.label}  disk at most {size(made.stored)} of {size(there.disk)}: {listed(made.disk)}",
        ]
        time = f"{job.label}  {made.steps:,} steps in about {least} to {most}"
    if job.rows.count and math.isfinite(made.whole):
        lines.append(time)
    return lines


def refusal(job: Job, made: Forecast, there: Room) -> str:
    """Why it cannot run here, and what would make it fit; a line in English and one in Chinese."""
    memory, disk = too_much(made, there)
    needs, needed = [], []
    if memory:
        needs.append(f"about {size(made.needed)} of memory, and {size(there.memory or 0)} are there")
        needed.append(f"约 {size(made.needed)} 内存，可用 {size(there.memory or 0)}")
    if disk:
        needs.append(f"up to {size(made.stored)} of disk, and {size(there.disk)} are there")
        needed.append(f"至多 {size(made.stored)} 磁盘空间，可用 {size(there.disk)}")
    found = remedies(job, there)
    fits = "; or ".join(f"{text} ({size(other.needed)})" for text, other in found)
    zh = "；或 ".join(f"{text}（{size(other.needed)}）" for text, other in found)
    helps = f"It fits with {fits}" if found else "No setting of this stage makes it fit: take a smaller base, or a larger machine"
    zh_helps = f"以下设置可行：{zh}" if found else "本阶段的任何设置都不够：请换更小的基座或更大的机器"
    return (
        f"it needs {'; and '.join(needs)}. {helps}. To try nevertheless: on_shortage: warn.\n"
        f"需要{'；'.join(needed)}。{zh_helps}。仍要尝试：on_shortage: warn。"
    )


def foretell(job: Job, folder: Path) -> None:
    """Print what the training will need, and raise StageError where that is not there. folder: for its checkpoints.

    Where even a generous bound is a small part of what is there, nothing is traced.
    """
    if not is_first():
        return
    there = machine.room(folder)
    kept = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())  # of this training, which goes on from there
    there = replace(there, disk=there.disk + kept)
    if there.memory is not None and (bound := at_most(job)) < SMALL * there.memory and bound < there.disk:
        print(f"{job.label}  memory at most {size(bound)} of {size(there.memory)}", file=sys.stderr, flush=True)
        return
    made = forecast(job)
    for lang in ("en", "zh"):
        print(*shown(job, made, there, lang), sep="\n", file=sys.stderr, flush=True)
    if any(too_much(made, there)):
        if job.params.on_shortage == "refuse":
            raise StageError(refusal(job, made, there))
        print(f"{job.label}  {refusal(job, made, there)}", file=sys.stderr, flush=True)


def at_most(job: Job) -> float:
    """A bound of memory, and of disk, by sizes alone: weights twelve times, every tensor of a layer several times over, and the scores of
    all tokens in four copies."""
    text = job.config.get_text_config()
    tokens, hidden, heads = job.batch * job.rows.widest, text.hidden_size, text.num_attention_heads
    wide = getattr(text, "intermediate_size", None) or 4 * hidden
    inside = heads * (getattr(text, "head_dim", None) or hidden // heads)
    weights = 4.0 * (2 * text.vocab_size * hidden + text.num_hidden_layers * hidden * (4 * inside + 3 * wide))
    layer = 24 * hidden + 8 * wide + 8 * inside + 6 * heads * job.rows.widest
    kept = 4.0 * tokens * (text.num_hidden_layers * layer + 4 * text.vocab_size)
    beside = max(1, job.params.processes // nodes())
    return float((12 * weights + kept + (PROCESS + job.libraries) * MIB) * beside + 24 * job.rows.tokens)
