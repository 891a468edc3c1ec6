"""What a step of training allocates and computes, counted on tensors that have shapes but no numbers (torch's FakeTensor).

The step is the real one: transformers' model or lingyu.train.kernels, PEFT's adapter, autocast, checkpointing, autograd. So a new
architecture needs no formula here. A deep model is traced with few layers, and what a layer adds is added for the rest.
"""

import copy
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lingyu.model.methods import Ia3, LowRank, Method, Oft
from lingyu.train.heap import grown
from lingyu.train.work import MAPPED, Held, Pass, Setting, Traced

DEEP = 6  # layers that are traced at most
SHALLOW = 4


class Tally(TorchDispatchMode):
    """Counts storages while they live, and the work of operators."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, int] = {}
        self.heap = self.mapped = 0
        self.most = Held()
        self.events: list[tuple[int, int]] = []
        self.numbers: dict[int, int] = {}
        self.flops = self.moved = self.operators = 0.0

    def __torch_dispatch__(self, function: Any, types: Any, words: Any = (), names: Any = None) -> Any:
        from torch.utils.flop_counter import flop_registry

        made = function(*words, **(names or {}))
        results = [value for value in tree_leaves(made) if isinstance(value, torch.Tensor)]
        for value in results:
            self.note(value)
        packet = function._overloadpacket
        if packet in flop_registry:
            self.flops += flop_registry[packet](*words, **(names or {}), out_val=made)
        elif "scaled_dot_product" in str(packet):
            self.flops += attention_flops(words, "backward" in str(packet))
        elif not function.is_view:
            read = [value for value in tree_leaves((words, names)) if isinstance(value, torch.Tensor)]
            self.moved += sum(value.numel() * value.element_size() for value in (*read, *results))
        self.operators += not function.is_view
        return made

    def note(self, value: Any) -> None:
        storage = value.untyped_storage()
        key = storage._cdata
        if key in self.live:
            return
        size = storage.nbytes()
        self.live[key] = size
        self.add(size)
        if 0 < size < MAPPED:
            self.numbers[key] = len(self.events)
            self.events.append((len(self.events), size))
        weakref.finalize(storage, self.gone, key)

    def know(self, values: list[Any]) -> None:
        """What was there before is counted by itself."""
        self.live.update((value.untyped_storage()._cdata, 0) for value in values)

    def add(self, size: int) -> None:
        if abs(size) >= MAPPED:
            self.mapped += size
        else:
            self.heap += size
        self.most = Held(max(self.most.heap, self.heap), max(self.most.mapped, self.mapped))

    def gone(self, key: int) -> None:
        self.add(-self.live.pop(key))
        if key in self.numbers:
            self.events.append((self.numbers.pop(key), 0))

    def begin(self) -> None:
        self.most = self.now
        self.flops = self.moved = self.operators = 0.0

    @property
    def now(self) -> Held:
        return Held(self.heap, self.mapped)


def attention_flops(words: Any, backward: bool) -> float:
    """Of one fused attention: two products forward; five back, for the shares are computed again."""
    query, key, value = words[1:4] if backward else words[:3]
    batch, heads, tokens, size = query.shape
    return float(2 * batch * heads * tokens * key.shape[2] * (size + value.shape[3]) * (2.5 if backward else 1))


def trace(config: Any, method: Method, its: Pass, setting: Setting, tokenizer: Any = None, learns: bool = True) -> Traced:
    """One step of a model of this config. learns: whether it is trained, or only asked, as a reference or reward model."""
    depth = config.get_text_config().num_hidden_layers
    if depth <= DEEP or "freeze" in method.name:
        return traced(config, method, its, setting, tokenizer, learns)
    few, more = (traced(with_layers(config, layers), method, its, setting, tokenizer, learns) for layers in (SHALLOW, DEEP))
    times = (depth - DEEP) / (DEEP - SHALLOW)
    return Traced(*(extended(getattr(few, field.name), getattr(more, field.name), field.name, times) for field in fields(Traced)))


def extended(few: Any, more: Any, name: str, times: float) -> Any:
    """A value at the whole depth, from two that are traced; the largest matrix stays what it is."""
    if name == "largest":
        return more
    return more + (more + few * -1) * times if isinstance(more, Held) else more + (more - few) * times


def with_layers(config: Any, count: int) -> Any:
    fewer = copy.deepcopy(config)
    text = fewer.get_text_config()
    text.num_hidden_layers = count
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:count]
    return fewer


def traced(config: Any, method: Method, its: Pass, setting: Setting, tokenizer: Any, learns: bool) -> Traced:
    from torch._subclasses.fake_tensor import FakeTensorMode

    from lingyu.train.kernels import put_under

    if setting.kernels and setting.device == "cpu" and learns:
        put_under()
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = built(config, method, its, setting, tokenizer)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device(setting.device):
        placed(model)
        if not learns:
            model.requires_grad_(False)
        values = list({id(value): value for value in (*model.parameters(), *model.buffers())}.values())
        with Tally() as tally:
            tally.know(values)
            forward = tally_of(lambda: loss_of(model.eval(), its, setting), tally)
            asked = Traced(bytes_of(values), numbers(values), forward, tally.flops, tally.moved, tally.operators)
            return replace(asked, **learning(model, its, setting, tally)) if learns else asked


def learning(model: Any, its: Pass, setting: Setting, tally: Tally) -> dict[str, Any]:
    """What Traced has of a pass with gradients. Those that were there before, of an earlier part of the update, count as such."""
    from lingyu.train.muon import is_hidden_matrix

    trained = [value for value in model.parameters() if value.requires_grad]
    model.train()
    tally.events.clear()
    tally.numbers.clear()
    if setting.parts:
        loss_of(model, its, setting).backward()
    before = tally.now + bytes_of(trained) * -1 if setting.parts else tally.now
    tally.begin()
    loss = loss_of(model, its, setting)
    kept = tally.now + before * -1
    halves = [tally.most]
    seen = watched(model, tally, halves)
    loss.backward()
    halves.append(tally.most)
    for handle in seen:
        handle.remove()
    early, late = (most + before * -1 for most in halves[-2:])
    learnt = {name: value for name, value in model.named_parameters() if value.requires_grad}
    hidden = [value for name, value in learnt.items() if is_hidden_matrix(name, value)]
    states = [size for name, value in learnt.items() for size in states_of(setting.optim, name, value)]
    small = [size for size in states if size < MAPPED]
    return {
        "trained": bytes_of(trained),
        "gradients": bytes_of(trained),
        "kept": kept,
        "early": early,
        "late": late,
        "state": Held(sum(small), sum(states) - sum(small)),
        "heap": grown(tally.events, small),
        "flops": tally.flops,
        "moved": tally.moved,
        "operators": tally.operators,
        "hidden": bytes_of(hidden),
        "alike": alike(hidden),
        "learnt": numbers(trained),
        "largest": largest(trained),
    }


def watched(model: Any, tally: Tally, halves: list[Held]) -> list[Any]:
    """When the gradients of the middle layer are there, the first half of backward has been."""
    layers = next((module for name, module in model.named_modules() if name.rpartition(".")[2] == "layers"), None)
    if layers is None or len(layers) < 2:
        return []
    middle = layers[len(layers) // 2]

    def passed(*_: Any) -> None:
        halves.append(tally.most)
        tally.most = tally.now

    return [middle.register_full_backward_pre_hook(passed)]


def tally_of(work: Callable[[], Any], tally: Tally) -> Held:
    """The most that was alive beside what was there before, without gradients."""
    tally.begin()
    before = tally.now
    with torch.no_grad():
        work()
    return tally.most + before * -1


def built(config: Any, method: Method, its: Pass, setting: Setting, tokenizer: Any) -> Any:
    """The model as the stage has it, with the method's own parameters."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    from lingyu.model.load import raise_what_learns
    from lingyu.model.tuning import tuned

    kind = AutoModelForSequenceClassification if its.loss == "score" else AutoModelForCausalLM
    config = copy.deepcopy(config)  # transformers writes the dtype into it
    if its.loss == "score":
        config.num_labels = 1
    model = kind.from_config(config, dtype=getattr(torch, setting.weights), attn_implementation=setting.attention)
    model.config.pad_token_id = 0
    model = raise_what_learns(tuned(model, method, tokenizer))
    if setting.checkpointing:
        model.activation_checkpointing_enable()
        if isinstance(method, LowRank | Ia3 | Oft):
            model.enable_input_require_grads()
    return model


def placed(model: Any) -> None:
    """Give the parameters and buffers of a model without numbers the device of this context; what is tied stays tied."""
    found: dict[int, Any] = {}

    def there(value: Any) -> Any:
        if id(value) not in found:
            like = torch.empty(value.shape, dtype=value.dtype)
            found[id(value)] = torch.nn.Parameter(like, value.requires_grad) if isinstance(value, torch.nn.Parameter) else like
        return found[id(value)]

    for module in model.modules():
        for kept in (module._parameters, module._buffers):
            kept.update({name: there(value) for name, value in kept.items() if value is not None})


def loss_of(model: Any, its: Pass, setting: Setting) -> Any:
    """The loss, computed as the trainer of this kind computes it; any labels will do, for their numbers change no shape."""
    ids = torch.ones(its.rows, its.width, dtype=torch.long)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
    mixed = setting.product != setting.weights
    with torch.autocast(setting.device, dtype=getattr(torch, setting.product)) if mixed else nullcontext():
        if its.loss == "score":
            return model(**inputs).logits.sum()
        if its.loss == "whole":
            logits = model(**inputs).logits[:, :-1].flatten(0, 1)  # a copy, as those that are picked out
            return torch.nn.functional.cross_entropy(logits.float(), ids.new_ones(len(logits)), reduction="none").sum()
        if its.loss == "logits":
            return from_logits(model(**inputs).logits, ids)
        causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        hidden, head = getattr(causal, causal.base_model_prefix)(**inputs).last_hidden_state, causal.get_output_embeddings()
        if its.loss == "replies":
            logits = head(hidden[:, -its.replied - 1 : -1]).float() / 0.9
            return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, -its.replied :].flatten(), reduction="none").sum()
        hidden, labels = hidden[:, :-1].reshape(-1, hidden.shape[-1]), ids[:, 1:].reshape(-1)
        if its.loss == "fused":
            return from_tiles(hidden, head, labels, setting.device)
        from lingyu.train.kernels import Scores, summed_loss

        cap = getattr(causal.config.get_text_config(), "final_logit_softcapping", None)
        return summed_loss(hidden, head, labels, scores=Scores(1.0, cap))


def from_logits(logits: Any, ids: Any) -> Any:
    """ORPO and CPO: the likelihood of the better half, and of every token of both."""
    from trl.trainer.utils import selective_log_softmax

    better, labels = logits[: len(logits) // 2, :-1].contiguous(), ids[: len(ids) // 2, 1:].contiguous()
    plain = torch.nn.functional.cross_entropy(better.view(-1, better.shape[-1]), labels.view(-1))
    return plain + selective_log_softmax(logits[:, :-1], ids[:, 1:]).sum()


def from_tiles(hidden: Any, head: Any, labels: Any, device: str) -> Any:
    """DPO, KTO, GRPO, RLOO. On a CPU only the columns of a tile that the vocabulary fills become memory."""
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction
    from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE

    tile = min(_CHUNKED_LOGPROB_CHUNK_SIZE, len(head.weight)) if device == "cpu" else _CHUNKED_LOGPROB_CHUNK_SIZE
    return ChunkedLogProbFunction.apply(hidden, head.weight, head.bias, labels, 1.0, tile, None, 1.0, ("entropy",))[0].sum()


def bytes_of(values: list[Any]) -> Held:
    sizes = [value.numel() * value.element_size() for value in values]
    return Held(sum(size for size in sizes if size < MAPPED), sum(size for size in sizes if size >= MAPPED))


def states_of(optim: str, name: str, value: Any) -> list[int]:
    """Bytes of each block that the optimizer keeps for a parameter."""
    from lingyu.train.muon import is_hidden_matrix

    size = value.numel() * value.element_size()
    if optim.startswith("adamw_torch"):
        return [size, size]
    if optim == "muon":
        return [value.numel() * 4] if is_hidden_matrix(name, value) else [size, size]
    if optim == "adafactor":
        return [size] if value.ndim < 2 else [4 * value.numel() // value.shape[-1], 4 * value.numel() // value.shape[-2]]
    a_number = {"lion_32bit": 4, "adamw_8bit": 2, "paged_adamw_8bit": 0, "lion_8bit": 1}  # paged: the GPU may leave it to the host
    return [value.numel() * a_number[optim]]


def alike(matrices: list[Any]) -> int:
    """Bytes of the matrices of the commonest shape."""
    of_shape = Counter[Any]()
    for value in matrices:
        of_shape[value.shape] += value.numel() * value.element_size()
    return max(of_shape.values(), default=0)


def numbers(values: list[Any]) -> int:
    return sum(value.numel() for value in values)


def largest(values: list[Any]) -> int:
    return max((value.numel() * value.element_size() for value in values), default=0)
