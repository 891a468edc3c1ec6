"""The service from a request to its reply: protocol, modes, streaming, refusals; the app itself, without BentoML round it."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from serving import ANSWERED, REASONED

from lingyu.records import Message
from lingyu.retrieve.support import known_terms, supported
from lingyu.serve.app import make_app
from lingyu.serve.assistant import Assistant
from lingyu.serve.engine import Sampling, TransformersEngine
from lingyu.serve.protocol import Refused, parsed
from lingyu.serve.text import Decoder, Parts

PAGES = Path(__file__).parent.parent / "web" / "pages"
SPEED, SPEED_ANSWER = ANSWERED[0]
FLYING_TIME = ANSWERED[1][0]
TERMS = known_terms({"云雀X3", "21米每秒", "46分钟", "Lark X3"})
SOURCE = "云雀X3\n最大飞行速度\n云雀X3的最大飞行速度是21米每秒。雨天不得飞行。"


@pytest.fixture(scope="module")
def assistant(content):
    return Assistant(content, TransformersEngine(content / "model"))


@pytest.fixture
def ask(assistant):
    """A request to the app, the reply."""
    app = make_app(lambda: assistant, PAGES)

    def post(question=SPEED, headers=None, **fields):
        body = {"model": "tiny", "messages": [{"role": "user", "content": question}], **fields}
        return asyncio.run(send(app, "POST", "/v1/chat/completions", headers, json=body))

    return post


async def send(app, method, path, headers=None, **more):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://localhost") as client:
        return await client.request(method, path, headers=headers, **more)


def events(response):
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_a_question_is_answered_as_openai_would(ask):
    reply = ask().json()

    assert reply["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": SPEED_ANSWER}, "logprobs": None, "finish_reason": "stop"}
    ]
    assert reply["object"] == "chat.completion"
    assert reply["usage"]["total_tokens"] == reply["usage"]["prompt_tokens"] + reply["usage"]["completion_tokens"] > 2
    assert "sources" not in reply


def test_a_stream_is_the_same_answer_in_whole_characters(ask):
    chunks = events(ask(stream=True, stream_options={"include_usage": True}))

    texts = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]]
    assert "".join(texts) == SPEED_ANSWER
    assert len(texts) > 5
    assert not any("\ufffd" in text for text in texts)
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == ask().json()["usage"]


def test_reasoning_comes_apart_from_the_answer(ask):
    question, reasoning, answer = REASONED
    for field in ({"reasoning": True}, {"chat_template_kwargs": {"enable_thinking": True}}):
        message = ask(question, **field).json()["choices"][0]["message"]
        assert (message["reasoning_content"], message["content"]) == (reasoning, answer)

    deltas = [chunk["choices"][0]["delta"] for chunk in events(ask(question, reasoning=True, stream=True))]

    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == reasoning
    assert "".join(delta.get("content", "") for delta in deltas) == answer


def test_the_professional_mode_shows_the_sources_that_hold_the_answer(ask):
    reply = ask(mode="professional").json()

    assert reply["supported"] is True
    assert reply["note"] is None
    assert reply["sources"][0].pop("file").startswith("index-")
    assert reply["sources"][0].pop("kind") == "fact"
    assert reply["sources"][0] | {"score": 1} == {
        "title": "云雀X3",
        "section": "最大飞行速度",
        "source": "knowledge/graph.jsonl",
        "place": "row 1",
        "licence": "CC0",
        "text": "云雀X3的最大飞行速度是21米每秒。",
        "score": 1,
    }


def test_an_answer_that_the_sources_contradict_is_replaced_by_what_they_say(ask):
    reply = ask(FLYING_TIME, mode="professional").json()

    content = reply["choices"][0]["message"]["content"]
    assert ask(FLYING_TIME).json()["choices"][0]["message"]["content"] == ANSWERED[1][1]
    assert "46" not in content
    assert content == "《云雀X3 / 续航时间》“云雀X3的续航时间是38分钟。” [1]"
    assert (reply["supported"], reply["answer_source"]) == (True, "quotation")
    assert "引用" in reply["note"]


def test_each_sentence_of_the_model_cites_the_sentence_it_follows_from(ask):
    reply = ask(mode="professional").json()

    cited, source = reply["citations"][0], reply["sources"][0]["text"]
    assert reply["choices"][0]["message"]["content"] == f"{SPEED_ANSWER} [1]"
    assert (reply["answer_source"], cited["source"]) == ("model", 1)
    assert source[cited["start"] : cited["end"]] == cited["text"] == "云雀X3的最大飞行速度是21米每秒。"


def test_knowledge_mode_prints_the_fact_it_looked_up_and_the_models_answer_only_if_the_fact_supports_it(ask):
    agreed, contradicted, unknown = (ask(q, mode="knowledge").json() for q in (SPEED, FLYING_TIME, "蜂鸟的重量是多少？"))

    assert agreed["choices"][0]["message"]["content"] == f"知识：云雀X3的最大飞行速度是21米每秒。 [1]\n{SPEED_ANSWER} [1]"
    assert agreed["answer_source"] == "model"
    assert contradicted["choices"][0]["message"]["content"].strip() == "知识：云雀X3的续航时间是38分钟。 [1]"
    assert contradicted["answer_source"] == "knowledge"
    assert (unknown["answer_source"], unknown["sources"]) == ("none", [])


@pytest.mark.parametrize(("question", "mode"), [(SPEED, "knowledge"), ("电量低于多少时应当返航？", "professional"), ("你好！", "plain")])
def test_the_router_says_which_mode_it_chose(ask, question, mode):
    reply, there = ask(question, mode="router").json(), ask(question, mode=mode).json()

    assert reply["mode"] == mode
    assert reply["choices"] == there["choices"]
    assert events(ask(question, mode="router", stream=True))[-1]["mode"] == mode


def test_a_consultation_asks_what_such_cases_asked_then_confirms_then_advises_with_a_similar_case(assistant):
    app = make_app(lambda: assistant, PAGES)
    told, said, messages = ["我的电池鼓包了怎么办", "用了三百次左右", "充到一半", "是的"], [], []
    for text in told:
        messages.append({"role": "user", "content": text})
        body = {"model": "tiny", "mode": "consult", "messages": messages}
        reply = asyncio.run(send(app, "POST", "/v1/chat/completions", json=body)).json()
        said.append(reply)
        messages.append({"role": "assistant", "content": reply["choices"][0]["message"]["content"]})

    contents = [reply["choices"][0]["message"]["content"] for reply in said]
    assert contents[:2] == ["电池用了多少次？", "鼓包时电量是多少？"]
    assert contents[2] == "我的理解是：我的电池鼓包了怎么办；用了三百次左右；充到一半。是否正确？如有遗漏请补充。"
    assert [reply["answer_source"] for reply in said[:3]] == ["question"] * 3
    assert said[3]["answer_source"] != "question"
    assert said[3]["sources"][-1]["text"] in {"停用并送检，不要再充电。", "不能飞，停用并送检。"}


def test_a_skill_is_a_system_prompt_behind_the_name_of_the_model(assistant, monkeypatch):
    monkeypatch.setattr(assistant, "settings", assistant.settings.model_copy(update={"skills": {"brief": "只用一句话回答。"}}))

    def planned(**fields):
        return assistant.plan(parsed(json.dumps({"messages": [{"role": "user", "content": SPEED}], **fields}).encode()))

    assert planned(model="tiny:brief").messages[0].content == "只用一句话回答。"
    assert planned(model="tiny:brief", mode="professional").mode == "professional"
    assert len(planned(model="tiny").messages) == 1
    assert "tiny:brief" in assistant.names()


def test_a_mode_can_be_named_behind_the_model(ask):
    assert ask(model="tiny:knowledge").json()["choices"] == ask(mode="knowledge").json()["choices"]


@pytest.mark.parametrize(("question", "says"), [("今天股票涨了吗？", "无法回答"), ("Who won the football match?", "cannot be answered")])
def test_the_professional_mode_says_when_the_documents_hold_nothing(ask, question, says):
    reply = ask(question, mode="professional").json()

    assert says in reply["choices"][0]["message"]["content"]
    assert reply["sources"] == []
    assert reply["supported"] is False
    assert reply["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def test_a_professional_stream_begins_with_sources_and_ends_with_the_check(ask):
    chunks = events(ask(FLYING_TIME, mode="professional", stream=True))

    assert chunks[1]["sources"][0]["title"] == "云雀X3"
    assert chunks[-1]["answer_source"] == "quotation"
    assert not any("46" in chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


def test_passages_are_put_before_the_question_as_far_as_they_fit(assistant, monkeypatch):
    monkeypatch.setattr(assistant, "settings", assistant.settings.model_copy(update={"context_prompt": "before"}))
    plan = assistant.plan(parsed(json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "起飞前检查什么？"}]}).encode()))
    passages = assistant.knowledge.chunks[:3]
    prompts = [assistant.with_passages(replace(plan, sampling=replace(plan.sampling, max_tokens=n)), passages) for n in (10, 150, 250)]

    shown = [assistant.tokenizer.decode(prompt).count("\n[") for prompt in prompts]
    assert shown[0] > shown[1] >= shown[2] == 0
    assert prompts[2] == plan.prompt


def test_the_earliest_turns_are_left_out_where_the_context_is_too_short(assistant):
    turns = [{"role": role, "content": "飞" * 40} for role in ("user", "assistant")] * 3
    body = {
        "model": "tiny",
        "max_tokens": 20,
        "messages": [{"role": "system", "content": "简短。"}, *turns, {"role": "user", "content": SPEED}],
    }
    plan = assistant.plan(parsed(json.dumps(body).encode()))

    assert [message.role for message in plan.messages] == ["system", "user", "assistant", "user"]
    assert len(plan.prompt) + 20 <= assistant.engine.context
    assert plan.question == SPEED


def test_the_served_prompt_has_the_token_ids_of_training(assistant):
    question, reasoning, answer = REASONED
    for thinking in (None, reasoning):
        dialogue = [Message(role="user", content=question), Message(role="assistant", content=answer, reasoning=thinking)]
        trained, _ = assistant.chat.prompt_and_reply(dialogue)

        served = assistant.encode(dialogue[:1], thinks=thinking is not None)

        assert served == assistant.tokenizer.encode(trained, add_special_tokens=False).ids


def test_the_prompt_is_that_of_the_model_folders_own_tokenizer(assistant, content):
    from transformers import AutoTokenizer

    whole = AutoTokenizer.from_pretrained(content / "model")
    for thinks in (False, True):
        theirs = whole.apply_chat_template([{"role": "user", "content": SPEED}], add_generation_prompt=True, enable_thinking=thinks)
        assert assistant.encode([Message(role="user", content=SPEED)], thinks) == theirs["input_ids"]


def test_a_temperature_next_to_zero_is_greedy(ask):
    assert ask(temperature=1e-300).json()["choices"][0]["message"]["content"] == SPEED_ANSWER


def test_a_seed_repeats_a_chance_answer(ask):
    chance = {"temperature": 2.0, "top_p": 0.9, "max_tokens": 30}
    texts = [ask(seed=seed, **chance).json()["choices"][0]["message"]["content"] for seed in (1, 1, 2, 3)]

    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_max_tokens_and_stop_words_end_an_answer(ask):
    assert ask(max_tokens=500).json()["choices"][0]["message"]["content"] == SPEED_ANSWER
    short = ask(max_tokens=3).json()
    stopped = ask(stop=["飞行", "速"]).json()

    assert short["usage"]["completion_tokens"] == 3
    assert short["choices"][0]["finish_reason"] == "length"
    assert stopped["choices"][0]["message"]["content"] == "云雀X3的最大"
    assert stopped["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"model": "gpt-4"}, 404, "'gpt-4'; this service has tiny, tiny:professional, tiny:knowledge, tiny:consult, tiny:router."),
        ({"question": "飞" * 600}, 400, "256 tokens"),
        ({"max_tokens": True}, 400, "max_tokens: Input should be a valid integer"),
        ({"temperature": 3}, 400, "temperature: Input should be less than or equal to 2 (found '3')"),
        ({"n": 0}, 400, "n: Input should be greater than or equal to 1"),
        ({"mode": "expert"}, 404, "'expert'; this service has plain, professional, knowledge, consult, router."),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "must be user or tool; found assistant"),
    ],
)
def test_what_cannot_be_served_is_refused_in_both_languages(ask, fields, status, says):
    reply = ask(**fields)

    error = reply.json()["error"]
    assert reply.status_code == status
    assert says in error["message"]
    assert any("\u4e00" <= character <= "\u9fff" for character in error["message"])
    assert error.keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_request_is_refused(body):
    with pytest.raises(Refused, match="Invalid request: "):
        parsed(body)


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 401), ("Bearer wrong", 401), ("Basic right", 401), ("Bearer right", 200), ("bearer other", 200), ("Bearer ключ", 401)],
)
def test_keys_in_the_environment_close_the_service(ask, monkeypatch, header, status):
    monkeypatch.setenv("LINGYU_API_KEYS", "right, other")

    reply = ask(max_tokens=1, headers={"Authorization": header.encode()} if header else None)

    assert reply.status_code == status


def test_the_model_list_tells_modes_and_context(assistant):
    reply = asyncio.run(send(make_app(lambda: assistant, PAGES), "GET", "/v1/models"))

    listed = reply.json()["data"]
    assert [model["id"] for model in listed] == ["tiny", "tiny:professional", "tiny:knowledge", "tiny:consult", "tiny:router"]
    assert listed[0] == {
        "id": "tiny",
        "object": "model",
        "created": 0,
        "owned_by": "lingyu",
        "context_length": 256,
        "history_turns": 1,
        "modes": ["plain", "professional", "knowledge", "consult", "router"],
        "skills": [],
        "engine": "one-by-one",
        "filters": True,
        "examples": [],
        "feedback": False,
        "report": False,
    }


def test_an_unknown_route_is_refused_in_openai_form(assistant):
    reply = asyncio.run(send(make_app(lambda: assistant, PAGES), "GET", "/v1/nothing"))

    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


def test_a_fault_inside_tells_nothing_of_the_inside():
    def broken():
        raise RuntimeError("secret path")

    reply = asyncio.run(send(make_app(broken, PAGES), "GET", "/v1/models"))

    assert reply.status_code == 500
    assert "secret" not in reply.text


def test_a_reply_that_is_given_up_frees_the_engine_for_the_next(assistant):
    async def first_token_only():
        prompt = assistant.encode([Message(role="user", content=SPEED)], False)
        tokens = assistant.engine.tokens(prompt, Sampling(200, 1.9, 1.0, 0))
        await anext(tokens)
        await tokens.aclose()
        return [token.id async for token in assistant.engine.tokens(prompt, Sampling(200, 0.0, 1.0, None))]

    rest = asyncio.run(first_token_only())

    assert assistant.tokenizer.decode(rest, skip_special_tokens=True).endswith(SPEED_ANSWER)
    assert assistant.engine.waiting == 0


def test_several_asked_at_once_each_get_their_own_answer(assistant):
    app = make_app(lambda: assistant, PAGES)

    async def all_at_once():
        bodies = [{"model": "tiny", "messages": [{"role": "user", "content": question}]} for question, _ in ANSWERED]
        return await asyncio.gather(*(send(app, "POST", "/v1/chat/completions", json=body) for body in bodies))

    replies = asyncio.run(all_at_once())

    assert [reply.json()["choices"][0]["message"]["content"] for reply in replies] == [answer for _, answer in ANSWERED]


@pytest.mark.parametrize(
    ("stops", "thinking", "texts", "reasoning", "content"),
    [
        ([], False, ["你", "好"], "", "你好"),
        ([], False, ["<thi", "nk>\n想", "一想\n</th", "ink>\n\n答"], "想一想", "答"),
        ([], False, ["<think>\n\n</think>\n\n答"], "", "答"),
        ([], True, ["想\n</think>", "答"], "想", "答"),
        ([], False, ["<think>没完"], "没完", ""),
        ([], False, ["a <", "b> </think>"], "", "a <b> </think>"),
        ([], False, ["<thi"], "", "<thi"),
        (["停"], False, ["走停", "走"], "", "走"),
        (["END"], False, ["a E", "N", "Z E", "ND z"], "", "a ENZ"),
        (["\n"], False, ["\n\n第一行", "\n第二行"], "", "第一行"),
        (["停"], False, ["<think>停</think>走停"], "停", "走"),
        ([], False, ["a\n", "\n", "b\n\n"], "", "a\n\nb"),
    ],
)
def test_a_reply_is_split_wherever_its_text_is_cut(stops, thinking, texts, reasoning, content):
    for cut in (texts, list("".join(texts))):
        parts, got = Parts(stops, thinking), {"reasoning": "", "content": ""}
        for text in cut:
            for kind, piece in parts.add(text) if not parts.stopped else []:
                got[kind] += piece
        for kind, piece in parts.rest():
            got[kind] += piece

        assert got == {"reasoning": reasoning, "content": content}


def test_no_half_character_leaves_the_decoder(assistant):
    text = "龘靐🚁 ok"
    ids = assistant.tokenizer.encode(text, add_special_tokens=False).ids
    decoder = Decoder(assistant.tokenizer, frozenset())

    pieces = [decoder.add(token) for token in ids]

    assert len(ids) > len(text)
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize(
    ("answer", "holds"),
    [
        ("云雀X3的最大飞行速度是21米每秒。", True),
        ("云雀X3的最大飞行速度是２１米每秒。", True),
        ("云雀X3的最大飞行速度是2米每秒。", False),
        ("云雀X3的最大飞行速度是121米每秒。", False),
        ("云雀X3的最大飞行速度是21.5米每秒。", False),
        ("Lark X3的最大飞行速度是21米每秒。", False),
        ("云雀X3的最大飞行速度是46分钟。", False),
        ("雨天不得飞行。", True),
        ("雨天可以飞行。", False),
        ("云雀X3的最大飞行速度不是21米每秒，不得超过。", False),
        ("请注意安全驾驶汽车。", False),
        ("云雀X3的最大飞行速度是21米每秒。它重900克。", False),
        ("", False),
    ],
)
def test_supported_is_what_one_source_says(answer, holds):
    assert supported(answer, ["别的来源说46分钟。", SOURCE], TERMS) is holds
