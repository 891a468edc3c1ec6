"""Every family of bases that people use goes the whole road, each stage on a few rows; weights are random, shapes and tokenizers are the
family's own (families.py)."""

import asyncio
import gc
import json
import math
import os
import shutil
import subprocess
import sys

import httpx
import pytest
import torch
from families import BASES, CONTEXT, SAMPLED, build
from rows import dialogue, document, preference
from serving import DOCUMENT, FACTS, TOP, served
from training import GRPO, LORA, SFT, TRAINING, curves, names, question

from lingyu.evaluate import ask
from lingyu.evaluate.settings import NewTokens
from lingyu.files import read_json, read_table, write_json, write_table, write_tables
from lingyu.model import load
from lingyu.model.chat import Chat
from lingyu.model.load import dtype_of, load_model, load_tokenizer, prepare
from lingyu.records import Dialogue, Document, Fact, Message, Preference, Question
from lingyu.retrieve.chunks import chunk_of_fact, chunks_of_document
from lingyu.retrieve.index import build as build_index
from lingyu.retrieve.retrievers import Choice
from lingyu.serve.app import make_app
from lingyu.serve.assistant import Assistant
from lingyu.serve.engine import Sampling, TransformersEngine
from lingyu.serve.protocol import parsed
from lingyu.stage import StageError
from lingyu.train.data import NOT_LEARNT, dialogues, grouped, packed
from lingyu.train.kernels import put_under
from stages import align, base, evaluate, extend, package, pretrain, reward, sft

TEXTS = [
    "飞行前检查电池和桨叶。飞行前确认天气。",
    "Check the battery before takeoff. Check the battery after landing.",
    "雨天不得飞行，电池低于 30% 返航。",
]
ASKED = [("up?", "no"), ("电池？", "每月检查"), ("high?", "30 m"), ("wind?", "land now")]
PAIRS = [("go?", "yes", "no no no"), ("飞吗？", "可以", "不不不"), ("up?", "yes", "no")]
THOUGHT = Message(role="assistant", content="不能起飞。", reasoning="风速12，上限10。")
SHORT = {**TRAINING, "max_length": 192, "num_train_epochs": 1, "learning_rate": 1e-3, "evaluations": 1, "divergence_factor": 100.0}
EXTEND = extend.Params(max_terms=4, min_count=2, min_tokens_saved=1, min_gain=0.0)
LENGTHS = NewTokens(fact=3, preferred=3, classify=3, reason=3, recall=3, cite=3, chat=3, other=3)
SIZES = {"threads": 1, "seed": 0, "resamples": 2, "batch_tokens": 2048, "precision": "fp32", "stride": 16, "max_new_tokens": LENGTHS}
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")]


@pytest.fixture(scope="module", params=BASES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def source(family, tmp_path_factory):
    """The base as its publisher wrote it."""
    prepare(threads=1)
    return build(tmp_path_factory.mktemp(family) / "source", family)


@pytest.fixture(scope="module")
def out(source):
    """out/ after every stage from base to evaluate."""
    out = source.parent / "out"
    mix, rows = out / "mix", [dialogue(number, *pair) for number, pair in enumerate(ASKED)]
    rows.append(rows[0].model_copy(update={"id": "reasoned", "task": "reason", "messages": [rows[1].messages[0], THOUGHT]}))
    asked = [question(number, text, answer).model_copy(update={"task": "fact"}) for number, (text, answer) in enumerate(ASKED)]
    for part in ("train", "dev"):
        write_table(mix / part / "pretrain.parquet", [document(number, text) for number, text in enumerate(TEXTS)], Document)
        write_table(mix / part / "sft.parquet", rows if part == "train" else rows[-1:], Dialogue)
        write_table(mix / part / "preference.parquet", [preference(number, *pair) for number, pair in enumerate(PAIRS)], Preference)
        write_table(mix / part / "facts.parquet", [], Fact)
    write_table(mix / "train" / "prompts.parquet", asked, Question)
    for name, row_type, some in (
        ("questions", Question, asked[:2]),
        ("domain", Document, [document(0, TEXTS[0])]),
        ("general", Document, [document(1, TEXTS[1])]),
        ("preference", Preference, [preference(0, *PAIRS[0])]),
    ):
        write_table(mix / "test" / f"{name}.parquet", some, row_type)

    folders = {"train_folder": mix / "train", "dev_folder": mix / "dev"}
    training = {**SHORT, "global_batch_size": 4}
    base.run(base.Params(model={"kind": "folder", "name": str(source)}), **folders, work=out / "w0", out=out / "base")
    extend.run(EXTEND, out / "base" / "model", [mix / "train"], **folders, out=out / "extend")
    pretrain.run(
        pretrain.Params(**{**training, "max_length": 64}), out / "extend" / "model", **folders, work=out / "w1", out=out / "pretrain"
    )
    lora = {name: value for name, value in LORA.items() if name != "target_modules"}
    sft.run(sft.Params(**training, **SFT, start="pretrain", method=lora), out, **folders, work=out / "w2", out=out / "sft" / "lora")
    reward.run(reward.Params(**training, start="sft/lora"), out, **folders, work=out / "w3", out=out / "reward")
    for name, method in (("dpo", {"name": "dpo"}), ("grpo", {**GRPO, "max_completion_length": 3})):
        params = align.Params(**training, start_share=0.5, start="sft/lora", method=method)
        align.run(params, out, out / "reward" / "model", **folders, work=out / "w4" / name, out=out / "align" / name)
    asked = evaluate.Params(checkpoint="align/grpo", **SIZES)
    evaluate.run(asked, out, out / "reward" / "model", mix / "test", out=out / "evaluate")  # any items will do
    gc.freeze()  # accelerate collects after each training, and would look through all that was imported
    return out


MODELS = ["base", "extend", "pretrain", "sft/lora", "reward", "align/dpo", "align/grpo"]


def test_the_whole_road_is_gone_and_measured(out, family):
    found = read_json(out / "evaluate" / "metrics.json")

    assert {"domain_bits_per_byte", "general_bits_per_byte", "preference_accuracy", "reward_mean"} <= set(found)
    assert all(math.isfinite(measure["value"]) for measure in found.values())
    assert read_json(out / "extend" / "metrics.json")["terms"] > 0
    learnt = read_json(out / "sft" / "lora" / "metrics.json")["trainable_parameters"]
    adapted = read_json(out / "sft" / "lora" / "model" / "adapter" / "adapter_config.json")["target_modules"]
    assert learnt > 0
    assert "down_proj" in adapted
    assert ("qkv_proj" in adapted) == (family == "phi3")
    assert ("gate_up_proj" in adapted) == (family in ("phi3", "glm4"))


def test_every_stage_writes_the_dtype_of_the_base_and_ties_what_was_tied(out, source, family):
    tied = bool(BASES[family].shape.get("tie_word_embeddings"))
    for name in MODELS:
        folder = out / name / "model"
        config = read_json(folder / "config.json")
        assert dtype_of(folder) == getattr(torch, BASES[family].dtype), name
        assert config["dtype"] == BASES[family].dtype
        assert (list(folder.glob("*.safetensors")), config["tie_word_embeddings"]) == ([folder / "model.safetensors"], tied)
        if name != "reward":
            assert ("lm_head.weight" in keys(folder)) == (not tied)
            assert SAMPLED.items() <= read_json(folder / "generation_config.json").items()
    assert {path.name for path in source.iterdir()} <= {path.name for path in (out / "align" / "dpo" / "model").iterdir()}


def keys(folder):
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        return set(weights.keys())


def test_the_adapter_over_its_base_is_the_merged_model(out, family):
    from peft import PeftModel

    ids = torch.tensor([load_tokenizer(out / "base" / "model")(TEXTS[0])["input_ids"]])
    merged = logits(plainly(out / "sft" / "lora" / "model"), ids)
    start = plainly(out / "pretrain" / "model")
    plain = logits(start, ids)
    adapted = logits(PeftModel.from_pretrained(start, out / "sft" / "lora" / "model" / "adapter").eval(), ids)

    rounded = {"float32": 1e-6, "float16": 4e-3, "bfloat16": 3e-2}[BASES[family].dtype]  # of weights, in their last bit
    assert apart(adapted, merged) < rounded
    assert apart(adapted, plain) > 0 if rounded > 1e-5 else apart(adapted, plain) > 10 * rounded


def test_a_longer_vocabulary_leaves_the_scores_of_the_old_one(out):
    before, after = (out / name / "model" for name in ("base", "extend"))
    old, longer = load_tokenizer(before), load_tokenizer(after)
    ids = torch.tensor([old(TEXTS[1])["input_ids"]])
    was, now = logits(plainly(before), ids), logits(plainly(after), ids)
    added = set(longer.get_vocab()) - set(old.get_vocab())
    kept = [number for number in range(was.shape[-1]) if number not in {longer.get_vocab()[term] for term in added}]

    assert len(added) == read_json(out / "extend" / "metrics.json")["terms"]
    assert torch.equal(was[..., kept], now[..., kept])
    assert longer.decode(longer(TEXTS[0])["input_ids"], skip_special_tokens=True).strip() == TEXTS[0]


def plainly(folder):
    """As a person loads it who does not know this project."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids).logits


def apart(one, other):
    return float((one - other).norm() / other.norm())


def test_bits_per_byte_are_those_of_a_plain_loop(out):
    folder, texts = out / "base" / "model", ["", *TEXTS, "电池 battery 120 m。\n" * 30]

    found = ask.nats_of_texts(ask.load(folder, 2048, "fp32"), texts, stride=16)

    assert [nats / math.log(2) for nats in found] == pytest.approx(plain_bits(folder, texts), rel=1e-4, abs=1e-4)


def plain_bits(folder, texts, stride=16):
    """The loop of transformers' guide to perplexity: windows of the context, each token once, with at least `stride` tokens before it."""
    from transformers import AutoTokenizer

    tokenizer, model, found = AutoTokenizer.from_pretrained(folder), plainly(folder), []
    for text in texts:
        ids, bare = tokenizer(text)["input_ids"], tokenizer(text, add_special_tokens=False)["input_ids"]
        if ids == bare:  # Qwen's and others put nothing before a text: it follows the end of another
            ids = [tokenizer.get_vocab().get("<|endoftext|>", tokenizer.eos_token_id), *ids]
        scored, nats = len(ids) - len(bare), 0.0
        while scored < len(ids):
            end = min(len(ids), CONTEXT if scored < CONTEXT else scored + CONTEXT - stride)
            window = torch.tensor([ids[max(0, end - CONTEXT) : end]])
            labels = window.clone()
            labels[:, : scored - max(0, end - CONTEXT)] = -100
            with torch.no_grad():
                nats += model(window, labels=labels).loss.item() * (end - scored)
            scored = end
        found.append(nats / math.log(2))
    assert len(ids) > CONTEXT
    return found


def rows_of(out):
    return list(read_table(out / "mix" / "train" / "sft.parquet", Dialogue))


def trainer_of(out, examples):
    from lingyu.train.run import causal_trainer

    folder = out / "base" / "model"
    model, tokenizer = load_model(folder, 192).train(), load_tokenizer(folder)
    params = sft.Params(**{**SHORT, "global_batch_size": 4}, **SFT, start="base", method={"name": "full"})
    return causal_trainer(model, tokenizer, examples, examples, params, out / "probe", "probe", out / "probe")


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


@pytest.fixture
def as_transformers_has_it(monkeypatch):
    from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

    monkeypatch.setattr(Qwen3DecoderLayer, "forward", getattr(Qwen3DecoderLayer.forward, "__wrapped__", Qwen3DecoderLayer.forward))


def test_kernels_and_the_loss_in_pieces_send_back_what_transformers_does(out, family, as_transformers_has_it):
    examples = list(dialogues(rows_of(out), load_tokenizer(out / "base" / "model"), 192))
    trainer = trainer_of(out, examples)
    batch = trainer.data_collator(examples)
    learnt = batch["labels"][:, 1:] != NOT_LEARNT
    plain = trainer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]).loss
    expected = gradients(trainer.model, plain)

    put_under()
    total, count = trainer.loss_of(trainer.model, batch)
    sent = names(total)
    found = gradients(trainer.model, total / count)

    assert count == learnt.sum() > 10
    assert "LossBackward" in sent
    assert ("LayerBackward" in sent) == (family == "qwen3")
    assert (total / count).item() == pytest.approx(plain.item(), rel=1e-5)
    assert apart(found, expected) < 1e-5


def test_texts_that_share_a_row_are_learnt_as_if_each_had_its_own(out, as_transformers_has_it):
    tokenizer = load_tokenizer(out / "base" / "model")
    alone = list(dialogues(rows_of(out), tokenizer, 192))
    shared = list(grouped(alone, 192))
    texts = [Chat.of(tokenizer).literal(text) for text in TEXTS]
    blocks = list(packed(texts, tokenizer, 1000, separate=True))
    documents = [packed([text], tokenizer, 1000, separate=True) for text in texts]
    trainer = trainer_of(out, alone)
    put_under()

    def summed(examples):
        total, count = trainer.loss_of(trainer.model, trainer.data_collator(examples))
        return float(total.detach()), int(count)

    assert len(shared) < len(alone)
    assert len(blocks) == 1
    for together, apart_from_others in ((shared, alone), (blocks, [example for one in documents for example in one])):
        each = [summed([example]) for example in apart_from_others]
        total, count = summed(together)
        assert count == sum(number for _, number in each)
        assert total == pytest.approx(sum(loss for loss, _ in each), rel=1e-5)


def test_the_losses_of_lora_are_those_of_a_plain_peft_loop(out):
    plain = plain_losses(out)
    training = {**SHORT, "global_batch_size": 8, "num_train_epochs": 3, "lr_scheduler_type": "constant", "learning_rate": 1e-2}
    lora = {name: value for name, value in LORA.items() if name != "target_modules"}

    sft.run(
        sft.Params(**{**training, "warmup_ratio": 0.0}, **SFT, start="base", method=lora),
        out,
        out / "mix" / "train",
        out / "mix" / "dev",
        work=out / "w5",
        out=out / "sft" / "beside",
    )

    found = [float(row["train_loss"]) for row in curves(out / "sft" / "beside") if row["train_loss"]]
    assert found == pytest.approx(plain, abs=1e-3)
    assert plain[2] < plain[0] - 0.01


def plain_losses(out):
    """Three steps over all rows as anybody would write them with transformers and PEFT."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoTokenizer

    folder = out / "base" / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prepare(1, TRAINING["seed"])
    model = plainly(folder)
    targets = sorted(
        {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)} - {"lm_head"}
    )
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=LORA["r"], lora_alpha=LORA["lora_alpha"], target_modules=targets))
    batch = []
    for row in rows_of(out):
        prompt, reply = Chat.of(tokenizer).prompt_and_reply(row.messages)
        begin, end = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, prompt + reply))
        batch.append((end, [-100] * len(begin) + end[len(begin) :]))
    width = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row, _ in batch])
    labels = torch.tensor([row + [-100] * (width - len(row)) for _, row in batch])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row, _ in batch])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.01)
    losses = []
    for _ in range(3):
        loss = model.train()(input_ids=ids, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("knowledge")
    build_index([*chunks_of_document(DOCUMENT, 200), *map(chunk_of_fact, FACTS)], folder, Choice())
    write_json(folder / "settings.json", {"passages": 3, "min_score": 0.55})
    return folder


SETTINGS = {"model": "tiny", "max_tokens": 4, "temperature": 0.0, "max_waiting": 4, "history_turns": 1, "context_prompt": "none"}


def test_the_service_answers_with_the_ids_that_training_and_evaluation_had(out, knowledge):
    content = out / "content"
    shutil.copytree(out / "align" / "grpo" / "model", content / "model")
    shutil.copytree(knowledge, content / "knowledge")
    write_json(content / "settings.json", SETTINGS)
    assistant = Assistant(content, TransformersEngine(content / "model"))
    app = make_app(lambda: assistant, TOP / "web" / "pages")
    tokenizer, checkpoint = load_tokenizer(content / "model"), ask.load(content / "model", 2048, "fp32")
    row = rows_of(out)[0]
    learnt = next(dialogues([row], tokenizer, 192))
    asked = [{"role": message.role, "content": message.content} for message in row.messages[:-1]]

    prompt = assistant.plan(parsed(json.dumps({"model": "tiny", "messages": asked}).encode())).prompt
    reply = asyncio.run(posted(app, {"model": "tiny", "messages": asked}))

    assert prompt == learnt["input_ids"][: learnt["labels"].count(NOT_LEARNT)]
    assert prompt == checkpoint.encode(checkpoint.chat.prompt(row.messages[:-1]))
    assert reply.status_code == 200, reply.text
    assert reply.json()["usage"]["prompt_tokens"] == len(prompt)
    assert 1 <= reply.json()["usage"]["completion_tokens"] <= 4
    said = asyncio.run(generated(assistant.engine, prompt))
    assert [token for token in said if token not in assistant.engine.end_tokens] == ask.greedy(checkpoint, [prompt], [4])[0]


async def generated(engine, prompt):
    return [token.id async for token in engine.tokens(prompt, Sampling(4, 0.0, 1.0, None))]


async def posted(app, body):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.post("/v1/chat/completions", json=body)


AGAIN = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits.flatten()[-50:].tolist()
def load(folder):
    return AutoModelForCausalLM.from_pretrained(f"{sys.argv[1]}/{folder}/model", dtype=torch.float32)
ids = torch.tensor([AutoTokenizer.from_pretrained(f"{sys.argv[1]}/extend/model")(sys.argv[2])["input_ids"]])
adapted = PeftModel.from_pretrained(load("pretrain"), f"{sys.argv[1]}/sft/lora/model/adapter")
print(json.dumps([*(logits(load(folder)) for folder in ("extend", "sft/lora", "align/dpo")), logits(adapted)]))
"""


@pytest.mark.parametrize("family", ["gemma3"], indirect=True)
def test_another_process_without_this_project_computes_the_same(out):
    ids = torch.tensor([load_tokenizer(out / "extend" / "model")(TEXTS[0])["input_ids"]])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}

    done = subprocess.run(
        [sys.executable, "-c", AGAIN, str(out), TEXTS[0]], cwd=out, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    *found, adapted = (torch.tensor(numbers) for numbers in json.loads(done.stdout.splitlines()[-1]))
    for numbers, name in zip(found, ("extend", "sft/lora", "align/dpo"), strict=True):
        assert apart(numbers, logits(load_model(out / name / "model", 192).eval(), ids).flatten()[-50:]) < 1e-5
    assert apart(adapted, found[1]) < 3e-2  # bf16's last bit


@pytest.mark.parametrize("family", ["gemma3"], indirect=True)
def test_the_bento_of_a_family_serves_it(out, knowledge, tmp_path):
    model = out / "align" / "grpo" / "model"
    write_json(tmp_path / "winner.json", {"checkpoint": "align-grpo"})
    (tmp_path / "leaderboard.csv").write_text("checkpoint,metric,value,low,high,count\nalign-grpo,fact_exact,0.1,0.0,0.2,2\n")
    write_tables(tmp_path / "tables", {"documents": [DOCUMENT], "facts": FACTS})
    params = package.Params(name="gemma-test", title="G", about_en="A.", about_zh="答。", base_model="google/gemma-3-270m", licence="gemma")
    paths = {"winner": tmp_path / "winner.json", "leaderboard": tmp_path / "leaderboard.csv", "tables": tmp_path / "tables"}
    (tmp_path / "report.html").write_text("<h1>Report</h1>")
    paths |= {"report": tmp_path / "report.html", "answers": tmp_path / "none", "evaluated": tmp_path / "none"}

    package.run(
        params, model=model, knowledge=knowledge, **paths, dev=tmp_path / "dev", ledgers=tmp_path, top=TOP, out=tmp_path / "package"
    )

    assert dtype_of(tmp_path / "package" / "release") == torch.bfloat16
    assert "google/gemma-3-270m" in (tmp_path / "package" / "release" / "README.md").read_text()
    with served(tmp_path / "package" / "bento" / "src", tmp_path) as address:
        body = {"model": "gemma-test", "messages": [{"role": "user", "content": "up?"}], "max_tokens": 4}
        reply = httpx.post(f"{address}/v1/chat/completions", json=body, timeout=60).json()
    assert 1 <= reply["usage"]["completion_tokens"] <= 4


@pytest.mark.parametrize("name", ["gemma2", "llama3"])
def test_soft_caps_of_attention_are_computed_whatever_the_length(name, tmp_path):
    folder = build(tmp_path / "source", name)
    ids = torch.tensor([load_tokenizer(folder)(TEXTS[1])["input_ids"]])
    short, long = load_model(folder, 64).eval(), load_model(folder, 512).eval()

    assert long.config._attn_implementation == ("eager" if name == "gemma2" else "sdpa")
    assert apart(logits(long, ids), logits(short, ids)) < 1e-5


def test_scores_that_no_scale_and_cap_explain_are_asked_of_the_model(tmp_path):
    from lingyu.train.kernels import Scores, scores_of

    gemma, llama = (load_model(build(tmp_path / name, name), 64) for name in ("gemma2", "llama3"))

    assert scores_of(gemma) == Scores(1.0, BASES["gemma2"].shape["final_logit_softcapping"])
    assert scores_of(llama) == Scores()
    llama.lm_head.register_forward_hook(lambda module, given, made: made)
    assert scores_of(llama) == Scores()
    plain = type(llama).forward
    llama.forward = lambda **inputs: plain(llama, **inputs) | {"logits": plain(llama, **inputs).logits.sin()}
    assert scores_of(llama) is None


@pytest.mark.parametrize("scale", [{"logits_scaling": 4.0}, {"logit_scale": 0.25}], ids=["granite", "cohere"])
def test_a_head_with_a_scale_is_learnt_with_it(scale):
    import transformers

    from lingyu.train.kernels import Scores, scores_of

    config = transformers.GraniteConfig if "logits_scaling" in scale else transformers.CohereConfig
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    model = transformers.AutoModelForCausalLM.from_config(
        config(vocab_size=50, pad_token_id=0, bos_token_id=1, eos_token_id=2, **sizes, **scale)
    )

    assert scores_of(model.train()) == Scores(0.25)
    assert model.training


def test_weights_over_the_limit_are_written_in_parts_that_load_again(tmp_path, monkeypatch):
    assert load.SHARD == "5GB"
    monkeypatch.setattr(load, "SHARD", "100KB")
    source = build(tmp_path / "source", "mistral")
    tokenizer, model = load_tokenizer(source), load_model(source, 64)
    ids = torch.tensor([tokenizer(TEXTS[1])["input_ids"]])

    load.save(model, tokenizer, tmp_path / "again", source)

    assert len(list((tmp_path / "again").glob("model-*.safetensors"))) > 1
    assert dtype_of(tmp_path / "again") == torch.bfloat16
    assert torch.equal(logits(plainly(tmp_path / "again"), ids), logits(plainly(source), ids))


def test_a_base_that_needs_code_of_its_folder_is_refused_and_its_code_not_run(tmp_path):
    source = build(tmp_path / "source", "baichuan")
    config = read_json(source / "config.json")
    auto = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    write_json(source / "config.json", {**config, "model_type": "baichuan", "auto_map": auto})
    (source / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")

    with pytest.raises(StageError, match=r"model type 'baichuan', which transformers .* never run \(no trust_remote_code\)"):
        base.run(base.Params(model={"kind": "folder", "name": str(source)}), tmp_path, tmp_path, work=tmp_path, out=tmp_path / "out")

    assert not (tmp_path / "ran").exists()
