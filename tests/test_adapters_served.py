"""Several LoRA adapters over one model in memory: each answers as PEFT would, and the router says which one did."""

import asyncio
import json

import pytest
from serving import ANSWERED
from test_serve import PAGES, send

from lingyu.serve.app import make_app
from lingyu.serve.assistant import Assistant
from lingyu.serve.choosing import Sampling
from lingyu.serve.engine import load, start_all
from lingyu.serve.lora import laid_on

QUESTION = ANSWERED[0][0]
# PEFT asks for it by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def adapter(model_folder, folder, seed: int, spread: float = 0.2, **options):
    """An adapter of PEFT with weights that change the replies."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    made = get_peft_model(load(model_folder), LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], **options))
    for name, weight in made.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(weight, std=spread)
    made.save_pretrained(folder)
    return made.eval()


@pytest.fixture(scope="module")
def served(content, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    for name in ("model", "knowledge"):
        (folder / name).symlink_to(content / name)
    settings = json.loads((content / "settings.json").read_text())
    questions = {"first": ["云雀X3怎么折叠？"], "second": ["How is the glider trimmed?"]}
    (folder / "settings.json").write_text(json.dumps({**settings, "adapters": questions}))
    for number, name in enumerate(questions):
        adapter(content / "model", folder / "adapters" / name, number, spread=2.0)
    engine, adapters = start_all(folder / "model", {name: folder / "adapters" / name for name in questions}, at_once=1)
    return Assistant(folder, engine, adapters)


def ask(served, question=QUESTION, model="tiny", **fields):
    body = {"model": model, "messages": [{"role": "user", "content": question}], **fields}
    return asyncio.run(send(make_app(lambda: served, PAGES), "POST", "/v1/chat/completions", json=body)).json()


def content_of(reply):
    return reply["choices"][0]["message"]["content"]


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}])
def test_an_adapter_computes_what_peft_does_and_shares_all_tensors_of_the_model(content, tmp_path, options):
    import torch

    model, peer = load(content / "model"), adapter(content / "model", tmp_path / "a", 7, **options)
    ids = torch.arange(3, 40)[None]

    made = laid_on(model, tmp_path / "a")

    with torch.inference_mode():
        plain, ours, theirs = (one(ids).logits for one in (model, made, peer))
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert not torch.allclose(ours, plain, atol=1e-2)
    own = {weight.data_ptr() for weight in model.parameters()}
    new = [name for name, weight in made.named_parameters() if weight.data_ptr() not in own]
    assert new
    assert all(name.endswith((".down", ".up")) for name in new)


def test_each_adapter_answers_under_its_name_and_the_model_as_before(served):
    plain, first, second = (content_of(ask(served, model=name)) for name in ("tiny", "tiny:first", "tiny:second"))

    assert plain == ANSWERED[0][1]
    assert len({plain, first, second}) == 3
    assert {"tiny:first", "tiny:second"} <= set(served.names())


@pytest.mark.parametrize(
    ("question", "model", "chosen"),
    [
        ("云雀X3怎么折叠？", "tiny", "first"),
        ("How is the glider trimmed?", "tiny", "second"),
        ("你好！", "tiny", None),
        ("你好！", "tiny:second", "second"),
    ],
)
def test_the_router_says_which_adapter_answered(served, question, model, chosen):
    reply = ask(served, question, model, mode="router")

    assert reply["adapter"] == chosen
    if reply["mode"] == "plain":
        assert content_of(reply) == content_of(ask(served, question, f"tiny:{chosen}" if chosen else "tiny"))


def test_adapters_answer_together_as_they_do_one_by_one(content, tmp_path):
    adapter(content / "model", tmp_path / "a", 3, spread=2.0)

    (plain, one), (same, many) = (start_all(content / "model", {"a": tmp_path / "a"}, at_once) for at_once in (1, 4))
    try:
        assert (one["a"].name, many["a"].name) == ("one-by-one", "continuous-batching")
        for first, second in ((plain, same), (one["a"], many["a"])):
            assert asyncio.run(tokens(first)) == asyncio.run(tokens(second))
    finally:
        for engine in (plain, same, *one.values(), *many.values()):
            engine.close()


async def tokens(engine):
    return [token.id async for token in engine.tokens(list(range(3, 20)), Sampling(12, 0.0, 1.0, None))]


def test_a_service_without_adapters_says_nothing_of_them(content):
    plain = Assistant(content, start_all(content / "model", {}, at_once=1)[0])

    assert "adapter" not in ask(plain, "你好！", mode="router")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda config: {**config, "use_dora": True}, "use_dora"),
        (lambda config: {**config, "peft_type": "IA3"}, "IA3"),
    ],
)
def test_an_adapter_that_would_lose_something_is_refused(content, tmp_path, spoil, says):
    adapter(content / "model", tmp_path / "a", 1)
    file = tmp_path / "a" / "adapter_config.json"
    file.write_text(json.dumps(spoil(json.loads(file.read_text()))))

    with pytest.raises(ValueError, match=says):
        laid_on(load(content / "model"), tmp_path / "a")


def test_an_adapter_of_another_base_is_refused(content, tmp_path):
    from safetensors.torch import load_file, save_file

    adapter(content / "model", tmp_path / "a", 1)
    weights = load_file(tmp_path / "a" / "adapter_model.safetensors")
    save_file(
        {name.replace("layers.1.", "layers.9."): value for name, value in weights.items()}, tmp_path / "a" / "adapter_model.safetensors"
    )

    with pytest.raises(ValueError, match=r"no layer model\.layers\.9"):
        laid_on(load(content / "model"), tmp_path / "a")
