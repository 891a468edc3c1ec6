"""lingyu.train.kernels: a layer and the loss as functions of ours come to what transformers and torch come to."""

import pytest
import torch
from tiny import build_tiny_model
from training import names

from lingyu.model.load import load_model
from lingyu.train import kernels
from lingyu.train.kernels import PIECE, heads_turned, product_type, put_under, summed_loss

IDS = torch.arange(3 * 20).view(3, 20) * 7 % 300
WHOLE = torch.ones(3, 20, dtype=torch.long)


@pytest.fixture
def model(tmp_path):
    """Heads in groups that share a key, and norms that are not all ones."""
    model = load_model(build_tiny_model(tmp_path / "model", num_attention_heads=4, num_key_value_heads=2), 64).train()
    for weight in model.parameters():
        if weight.dim() == 1:
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    return model


@pytest.fixture
def as_transformers_has_it(monkeypatch):
    """What a layer is until put_under is called, whatever other tests of this process did before."""
    from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

    forward = Qwen3DecoderLayer.forward
    monkeypatch.setattr(Qwen3DecoderLayer, "forward", forward)
    if hasattr(forward, "learns_at_once"):
        Qwen3DecoderLayer.forward = forward.__wrapped__.__wrapped__
        Qwen3DecoderLayer.__init_subclass__()  # with transformers' wrapper that checkpoints


def gradients(model, **inputs):
    """Loss, and what it sends back to every parameter."""
    model.zero_grad()
    hidden = model.model(**{"input_ids": IDS, **inputs}, use_cache=False).last_hidden_state
    loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[:, :-1]).float().flatten(0, 1), IDS[:, 1:].flatten())
    loss.backward()
    return hidden, loss.item(), torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def apart(one, other):
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize(
    "inputs",
    [
        {"attention_mask": WHOLE},
        {"attention_mask": (torch.arange(20) < torch.tensor([[20], [9], [1]])).long()},
        {"attention_mask": (torch.arange(20) >= torch.tensor([[0], [11], [19]])).long()},
        {"position_ids": torch.tensor([[*range(12), *range(8)], [*range(20)], [*range(3), *range(17)]])},
    ],
    ids=["whole rows", "padding behind", "padding before", "several texts in a row"],
)
def test_a_layer_sends_back_what_transformers_does(model, as_transformers_has_it, inputs):
    _, plain_loss, plain = gradients(model, **inputs)

    put_under()
    hidden, loss, ours = gradients(model, **inputs)

    assert "LayerBackward" in names(hidden)
    assert loss == pytest.approx(plain_loss, rel=1e-6)
    assert apart(ours, plain) < 1e-5


def test_in_bf16_a_layer_is_no_further_from_the_truth_than_transformers(model, as_transformers_has_it):
    _, _, exact = gradients(model, attention_mask=WHOLE)
    with torch.autocast("cpu", torch.bfloat16):
        _, _, plain = gradients(model, attention_mask=WHOLE)

    put_under()
    with torch.autocast("cpu", torch.bfloat16):
        hidden, _, ours = gradients(model, attention_mask=WHOLE)

    assert "LayerBackward" in names(hidden)
    assert 1e-4 < apart(ours, exact) < 1.2 * apart(plain, exact)


def test_a_checkpointed_layer_is_computed_twice_and_sends_back_the_same_bits(model, as_transformers_has_it, monkeypatch):
    put_under()
    _, _, plain = gradients(model, attention_mask=WHOLE)

    model.activation_checkpointing_enable()
    computed = []
    monkeypatch.setattr(kernels, "heads_turned", lambda *given: computed.append(1) or heads_turned(*given))
    _, _, ours = gradients(model, attention_mask=WHOLE)

    assert torch.equal(ours, plain)
    assert len(computed) == 2 * len(model.model.layers)


def test_a_layer_whose_weights_are_frozen_sends_back_to_what_is_below(model, as_transformers_has_it):
    for weight in model.model.layers[1].parameters():
        weight.requires_grad = False
    _, _, plain = gradients(model, attention_mask=WHOLE)

    put_under()
    hidden, _, ours = gradients(model, attention_mask=WHOLE)

    assert "LayerBackward" in names(hidden)
    assert all(weight.grad is None for weight in model.model.layers[1].parameters())
    assert apart(ours, plain) < 1e-5


def with_lora(model):
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(target_modules=["q_proj"])).get_base_model()


def with_a_hook(model):
    for layer in model.model.layers:
        layer.mlp.register_forward_hook(lambda module, given, made: made * 2)
    return model


def with_sdpa(model):
    model.set_attn_implementation("sdpa")
    return model


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT asks by the old name
@pytest.mark.parametrize("changed", [with_lora, with_a_hook, with_sdpa])
def test_a_layer_that_is_more_than_its_weights_is_left_to_transformers(model, as_transformers_has_it, changed):
    model = changed(model)
    _, plain_loss, plain = gradients(model, attention_mask=WHOLE)

    put_under()
    hidden, loss, same = gradients(model, attention_mask=WHOLE)

    assert "LayerBackward" not in names(hidden)
    assert loss == plain_loss
    assert torch.equal(same, plain)


def test_nothing_is_said_otherwise_when_nothing_is_learnt(model, as_transformers_has_it):
    plain = model.generate(IDS[:, :5], max_new_tokens=8, do_sample=False)

    put_under()
    put_under()

    assert torch.equal(model.generate(IDS[:, :5], max_new_tokens=8, do_sample=False), plain)


@pytest.mark.parametrize("weighed", [False, True])
def test_the_loss_of_more_tokens_than_a_piece_is_the_cross_entropy(weighed):
    tokens = 2 * PIECE["cpu"] + 3
    hidden, head = torch.randn(tokens, 8, requires_grad=True), torch.nn.Linear(8, 50, bias=False)
    labels, weights = torch.arange(tokens) % 50, torch.rand(tokens) if weighed else None
    losses = torch.nn.functional.cross_entropy(head(hidden), labels, reduction="none")
    plain = (losses * weights).sum() if weighed else losses.sum()
    expected = torch.autograd.grad(plain / 7, [hidden, head.weight])

    ours = summed_loss(hidden, head, labels, weights)
    made = torch.autograd.grad(ours / 7, [hidden, head.weight])

    assert "LossBackward" in names(ours)
    assert ours.item() == pytest.approx(plain.item(), rel=1e-6)
    assert all(apart(one, other) < 1e-5 for one, other in zip(made, expected, strict=True))


def test_a_head_that_is_more_than_its_weight_is_asked_itself():
    head = torch.nn.Linear(8, 50, bias=False)
    head.register_forward_hook(lambda module, given, made: made * 2)
    hidden, labels = torch.randn(6, 8), torch.arange(6)

    loss = summed_loss(hidden, head, labels)

    assert loss.item() == pytest.approx(torch.nn.functional.cross_entropy(head(hidden), labels, reduction="sum").item())


def test_a_loss_that_is_only_measured_sends_nothing_back():
    hidden, head = torch.randn(6, 8, requires_grad=True), torch.nn.Linear(8, 50, bias=False)

    with torch.no_grad():
        loss = summed_loss(hidden, head, torch.arange(6))

    assert not loss.requires_grad


def test_products_are_of_the_type_that_autocast_asks_for():
    assert product_type(torch.zeros(1)) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert product_type(torch.zeros(1)) == torch.bfloat16
