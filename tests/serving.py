"""A tiny model that knows some answers by heart, and a knowledge base: what the service finds in its Bento."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from lingyu.files import write_json
from lingyu.model.chat import CHATML, Chat
from lingyu.records import Dialogue, Document, Fact, Message
from lingyu.retrieve import known
from lingyu.retrieve.cases import cases_of, keep
from lingyu.retrieve.chunks import chunk_of_fact, chunks_of_document
from lingyu.retrieve.index import build
from lingyu.retrieve.questions import Asked
from lingyu.retrieve.retrievers import Choice

TOP = Path(__file__).parent.parent
REASONED = ("风速12米每秒，能起飞吗？", "抗风能力是10米每秒，12大于10。", "不能起飞。")
ANSWERED = [
    ("云雀X3的最大飞行速度是多少？", "云雀X3的最大飞行速度是21米每秒。"),
    ("云雀X3的续航时间是多久？", "云雀X3的续航时间是46分钟。"),
    ("What is the maximum altitude of Lark X3?", "The maximum altitude of Lark X3 is 120 metres."),
]
PROSE = "起飞前检查桨叶和电池。电量低于30%时应当返航。\n雨天不得飞行；雷暴天气禁止起飞。"


def fact(entity: str, relation: str, value: str, language: str = "zh") -> Fact:
    return Fact(
        id=f"{entity}-{relation}", source="knowledge/graph.jsonl", place="row 1", licence="CC0", scope="domain", language=language,
        entity=entity, kind="model", relation=relation, values=[value],
    )  # fmt: skip


FACTS = [
    fact("云雀X3", "最大飞行速度", "21米每秒"),
    fact("云雀X3", "续航时间", "38分钟"),
    fact("Lark X3", "maximum altitude", "120 metres", "en"),
]
DOCUMENT = Document(
    id="manual", source="documents/manual.md", place="第二章 / 起飞前检查", licence="CC0", scope="domain", language="zh",
    title="运行手册", section="第二章 / 起飞前检查", text=PROSE,
)  # fmt: skip


MANUAL = next(chunks_of_document(DOCUMENT, 200))
KNOWN = [
    Asked(question, frozenset([MANUAL.id]))
    for question in ("电量低于多少应当返航？", "雨天可以飞行吗？", "What is checked before take-off?")
]


def consultation(name: str, *turns: str) -> Dialogue:
    messages = [Message(role="assistant" if number % 2 else "user", content=turn) for number, turn in enumerate(turns)]
    return Dialogue(
        id=name, source="consult/cases.jsonl", place=name, licence="CC0", scope="domain", language="zh", messages=messages, task="chat",
        references=[], method="given", teacher="", prompt_hash="", review="",
    )  # fmt: skip


CONSULTATIONS = [
    consultation("1", "电池鼓包了怎么办", "电池用了多少次？鼓包时电量是多少？", "两百次，满电", "停用并送检，不要再充电。"),
    consultation("2", "电池有点鼓包还能飞吗", "请问电池用了多少次？", "一百次", "不能飞，停用并送检。"),
]


@pytest.fixture(scope="session")
def content(tmp_path_factory) -> Path:
    """A folder as the service finds it in its Bento: a tiny model that knows ANSWERED and REASONED by heart, FACTS and DOCUMENT.

    The model is wrong about the flying time, as a model can be.
    """
    folder = tmp_path_factory.mktemp("content")
    learn_by_heart(folder / "model")
    build([MANUAL, *map(chunk_of_fact, FACTS)], folder / "knowledge", Choice(name="bm25"))
    keep(cases_of(CONSULTATIONS), folder / "knowledge")
    known.keep(folder / "knowledge", KNOWN)
    write_json(folder / "knowledge" / "settings.json", {"passages": 3, "min_score": 0.5})
    write_json(
        folder / "settings.json",
        {"model": "tiny", "max_tokens": 64, "temperature": 0.0, "max_waiting": 4, "history_turns": 1, "context_prompt": "none"},
    )
    return folder


def learn_by_heart(folder: Path) -> None:
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([PROSE, *(text for pair in ANSWERED for text in pair), *REASONED], trainer)
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML)
    fast.save_pretrained(folder)

    torch.manual_seed(0)
    end = fast.convert_tokens_to_ids("<|im_end|>")
    config = Qwen3Config(
        vocab_size=len(fast), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        head_dim=32, max_position_embeddings=256, tie_word_embeddings=True, bos_token_id=None, eos_token_id=end, pad_token_id=0,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config)
    dialogues = [[Message(role="user", content=q), Message(role="assistant", content=a)] for q, a in ANSWERED]
    dialogues.append([Message(role="user", content=REASONED[0]), Message(role="assistant", content=REASONED[2], reasoning=REASONED[1])])
    chat = Chat.of(fast)
    rows = chat.encode_parts([chat.prompt_and_reply(dialogue) for dialogue in dialogues])
    width = max(len(prompt) + len(reply) for prompt, reply in rows)
    ids = torch.tensor([[*p, *r] + [0] * (width - len(p) - len(r)) for p, r in rows])
    labels = torch.tensor([[-100] * len(p) + r + [-100] * (width - len(p) - len(r)) for p, r in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)


@contextmanager
def served(content: Path, folder: Path, **environment: str) -> Iterator[str]:
    """The address of the real service, started and stopped; its log in folder/serve.log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    settings = {"LINGYU_CONTENT": str(content), "BENTOML_HOME": str(folder), "BENTOML_DO_NOT_TRACK": "true", **environment}
    command = [sys.executable, "-m", "bentoml", "serve", str(TOP), "--host", "127.0.0.1", "--port", port]
    with (folder / "serve.log").open("w") as log:
        service = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", service, folder / "serve.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        service.terminate()
        service.wait(180)  # one that was stopped while it started a worker again loads the model first


def wait_until_ready(address: str, service: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        assert service.poll() is None, log.read_text()
        with suppress(httpx.TransportError):
            if httpx.get(f"{address}/readyz").is_success:
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text())
