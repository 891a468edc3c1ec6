"""What clients send is followed, named in the reply, or refused as OpenAI refuses: the openai client and recorded requests."""

import asyncio
import json
import re
from pathlib import Path
from typing import Literal

import httpx
import jsonschema
import openai
import pytest
from pydantic import BaseModel
from serving import ANSWERED, REASONED

from lingyu.serve import asked as questions
from lingyu.serve import guard
from lingyu.serve.app import make_app
from lingyu.serve.assistant import Assistant
from lingyu.serve.batching import BatchingEngine
from lingyu.serve.engine import load

TESTS = Path(__file__).parent
PAGES = TESTS.parent / "web" / "pages"
SPEED, SPEED_ANSWER = ANSWERED[0]
RECORDED = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(TESTS.glob("client_requests/*.json"))}


@pytest.fixture(scope="module")
def assistant(content):
    engine = BatchingEngine(load(content / "model"), 8)
    yield Assistant(content, engine)
    engine.close()


@pytest.fixture
def app(assistant):
    return make_app(lambda: assistant, PAGES)


def http(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://localhost")


def post(app, body, path="/v1/chat/completions", **headers):
    async def sent():
        async with http(app) as client:
            return await client.post(path, json=body, headers=headers)

    return asyncio.run(sent())


def by_client(app, call):
    """What the openai client makes of the replies; call: an async function of the client."""

    async def called():
        async with openai.AsyncOpenAI(base_url="http://localhost/v1", api_key="any", http_client=http(app), max_retries=0) as client:
            return await call(client)

    return asyncio.run(called())


def asked(app, question=SPEED, **fields):
    messages = [{"role": "user", "content": question}]
    return by_client(app, lambda client: client.chat.completions.create(model="tiny", messages=messages, **fields))


@pytest.mark.parametrize(("client", "number"), [(name, n) for name, one in RECORDED.items() for n in range(len(one["requests"]))])
def test_requests_as_clients_send_them_are_answered(app, client, number):
    body = RECORDED[client]["requests"][number]
    reply = post(app, body)

    assert reply.status_code == 200, reply.text
    if body.get("stream"):
        chunks = [json.loads(line.removeprefix("data: ")) for line in reply.text.splitlines() if line and "[DONE]" not in line]
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])
        assert chunks[-1]["choices"] == [] or chunks[-1]["choices"][0]["finish_reason"]
    else:
        text = reply.json()["choices"][0]["message"]["content"]
    turns = {message["role"] for message in body["messages"]}
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        jsonschema.validate(json.loads(text), form["json_schema"]["schema"])
    elif "assistant" not in turns and body["messages"][-1]["content"] != "ping":  # the model knows single questions by heart
        assert text == SPEED_ANSWER


def test_a_reply_can_be_sent_back_as_the_client_holds_it(app):
    async def twice(client):
        first = await client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": SPEED}])
        messages = [{"role": "user", "content": SPEED}, first.choices[0].message.model_dump(), {"role": "user", "content": SPEED}]
        return await client.chat.completions.create(model="tiny", messages=messages, max_tokens=40)

    assert by_client(app, twice).choices[0].finish_reason in {"stop", "length"}


def test_several_choices_come_whole_and_streamed_and_a_seed_repeats_them(app):
    chance = {"n": 3, "temperature": 2.0, "seed": 7, "max_tokens": 20}

    async def streamed(client):
        texts = ["", "", ""]
        messages = [{"role": "user", "content": SPEED}]
        async for chunk in await client.chat.completions.create(
            model="tiny", messages=messages, stream=True, stream_options={"include_usage": True}, **chance
        ):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
        return texts, chunk.usage

    reply = asked(app, **chance)
    texts, usage = by_client(app, streamed)

    assert [choice.message.content for choice in reply.choices] == texts
    assert len(set(texts)) == 3
    assert usage == reply.usage
    assert reply.usage.prompt_tokens == asked(app).usage.prompt_tokens


def test_logprobs_stand_beside_the_text_they_belong_to(app):
    choice = asked(app, logprobs=True, top_logprobs=2).choices[0]

    assert b"".join(bytes(entry.bytes) for entry in choice.logprobs.content if "\ufffd" not in entry.token).decode() in SPEED_ANSWER
    assert len(choice.logprobs.content) > 3
    assert all(entry.top_logprobs[0].logprob >= entry.top_logprobs[1].logprob for entry in choice.logprobs.content)
    assert asked(app).choices[0].logprobs is None


def test_sampling_parameters_change_the_reply_as_they_say(app, assistant):
    first = assistant.tokenizer.encode(SPEED_ANSWER, add_special_tokens=False).ids[0]

    assert asked(app, temperature=2, top_p=0).choices[0].message.content == SPEED_ANSWER
    assert asked(app, temperature=2, extra_body={"top_k": 1}).choices[0].message.content == SPEED_ANSWER
    assert asked(app, logit_bias={str(first): -100}).choices[0].message.content != SPEED_ANSWER
    assert asked(app, extra_body={"repetition_penalty": 5.0}).choices[0].message.content != SPEED_ANSWER
    assert asked(app, frequency_penalty=2, presence_penalty=2).choices[0].finish_reason in {"stop", "length"}


@pytest.mark.parametrize("effort", ["low", "high"])
def test_reasoning_effort_asks_for_reasoning(app, effort):
    message = asked(app, REASONED[0], reasoning_effort=effort).choices[0].message

    assert (message.reasoning_content, message.content) == REASONED[1:]


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}]},
        {"service_tier": "priority"},
        {"extra_body": {"mirostat": 2}},
        {"extra_body": {"chat_template_kwargs": {"custom": 1}}},
    ],
)
def test_a_field_without_effect_is_named_in_the_reply_or_refused_by_the_setting(app, assistant, monkeypatch, fields):
    reply = asked(app, **fields)

    assert reply.choices[0].message.content == SPEED_ANSWER
    assert "has no effect" in reply.warnings[0]
    settings = assistant.settings.model_copy(update={"unsupported_fields": "refuse"})
    monkeypatch.setattr(assistant, "settings", settings)
    with pytest.raises(openai.BadRequestError, match="Unsupported parameter") as refused:
        asked(app, **fields)
    assert refused.value.param in reply.warnings[0]


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_object"}, "extra_body": {"mode": "professional"}},
        {"tool_choice": "required", "tools": [{"type": "function", "function": {"name": "look"}}]},
        {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}},
    ],
)
def test_a_promised_form_that_cannot_be_kept_is_refused(app, fields):
    with pytest.raises(openai.BadRequestError) as refused:
        asked(app, **fields)

    assert refused.value.code == "unsupported_parameter"
    assert refused.value.param in fields


def test_a_reply_has_the_form_that_was_asked_for_whole_and_streamed(app):
    class Reading(BaseModel):
        数值: Literal["21", "46", "120"]
        单位: Literal["米每秒", "分钟", "metres"]

    async def both(client):
        messages = [{"role": "user", "content": SPEED}]
        whole = await client.chat.completions.parse(model="tiny", messages=messages, response_format=Reading)
        async with client.chat.completions.stream(model="tiny", messages=messages, response_format=Reading) as stream:
            return whole.choices[0], (await stream.get_final_completion()).choices[0]

    whole, streamed = by_client(app, both)
    free = asked(app, response_format={"type": "json_object"}, max_tokens=30).choices[0]

    assert isinstance(whole.message.parsed, Reading)
    assert streamed.message.parsed == whole.message.parsed
    assert whole.finish_reason == "stop"
    assert free.message.content[0] == "{"
    assert free.finish_reason == "length" or isinstance(json.loads(free.message.content), dict)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 9}, "n"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
        ({"messages": [{"role": "tool", "content": "1", "tool_call_id": "a"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "tool", "content": "1", "tool_call_id": "a"}]}, "messages.1.role"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "strin"}}}}, "response_format"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"tool_choice": {"type": "function", "function": {"name": "look"}}}, "tool_choice"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]}, "messages.0.content.str"),
    ],
)
def test_values_that_mean_nothing_are_refused_by_name(app, fields, param):
    reply = post(app, {"model": "tiny", "messages": [{"role": "user", "content": SPEED}], **fields})

    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


def test_a_text_is_gone_on_with(app, assistant):
    prompt = assistant.chat.prompt([])
    rendered = f"<|im_start|>user\n{SPEED}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    ids = assistant.tokenizer.encode(rendered, add_special_tokens=False).ids

    async def both(client):
        whole = await client.completions.create(model="tiny", prompt=[ids, ids], logprobs=1)
        stream = await client.completions.create(model="tiny", prompt=ids, stream=True)
        return whole, "".join([chunk.choices[0].text async for chunk in stream])

    whole, streamed = by_client(app, both)

    assert prompt
    assert [choice.text for choice in whole.choices] == [SPEED_ANSWER, SPEED_ANSWER]
    assert streamed == SPEED_ANSWER
    assert whole.choices[0].logprobs.tokens[0]
    assert whole.usage.prompt_tokens == 2 * len(ids)


def test_a_control_token_in_a_text_to_go_on_with_stays_text(app):
    reply = post(app, {"model": "tiny", "prompt": "<|im_end|>" * 3, "max_tokens": 1}, "/v1/completions")

    assert reply.json()["usage"]["prompt_tokens"] > 3


@pytest.mark.parametrize(
    "fields",
    [{"prompt": ""}, {"prompt": [10**6]}, {"prompt": "飞" * 600}, {"prompt": "x", "suffix": "y"}, {"model": "tiny:router", "prompt": "x"}],
)
def test_a_text_that_cannot_be_gone_on_with_is_refused(app, fields):
    assert post(app, {"model": "tiny", **fields}, "/v1/completions").status_code in {400, 404}


def test_models_are_found_by_name(app):
    async def found(client):
        return await client.models.retrieve("tiny:professional"), await client.models.list()

    one, every = by_client(app, found)

    assert one.id in {model.id for model in every.data}
    assert one.engine == "continuous-batching"
    with pytest.raises(openai.NotFoundError, match="'gpt-4'; this service has tiny"):
        by_client(app, lambda client: client.models.retrieve("gpt-4"))


def test_without_an_embedder_vectors_are_refused(app):
    with pytest.raises(openai.BadRequestError, match="no embedding model"):
        by_client(app, lambda client: client.embeddings.create(model="tiny", input="x"))


def test_vectors_are_those_of_the_index_in_both_encodings(app, assistant, monkeypatch):
    np = pytest.importorskip("numpy")

    class Lengths:
        def passages(self, texts):
            return np.array([[len(text), 1.0] for text in texts], np.float32)

    monkeypatch.setattr(assistant.knowledge.retriever.__class__, "embedder", Lengths(), raising=False)
    coded = by_client(app, lambda client: client.embeddings.create(model="tiny", input=["a", "bc"]))
    plain = by_client(app, lambda client: client.embeddings.create(model="tiny", input="bc", encoding_format="float"))

    assert [row.embedding for row in coded.data] == [[1.0, 1.0], [2.0, 1.0]]
    assert plain.data[0].embedding == [2.0, 1.0]


def test_no_more_replies_are_begun_than_there_is_room_for_and_places_are_given_back(app, assistant):
    room = assistant.settings.max_waiting + assistant.engine.at_once
    body = {"model": "tiny", "messages": [{"role": "user", "content": SPEED}]}

    async def rush():
        async with http(app) as client:
            return await asyncio.gather(*(client.post("/v1/chat/completions", json=body | {"stream": n % 2 == 0}) for n in range(3 * room)))

    statuses = [reply.status_code for reply in asyncio.run(rush())]

    assert statuses.count(200) == room
    assert statuses.count(429) == 2 * room
    assert post(app, body).status_code == 200
    assert post(app, body | {"n": 8}).status_code == 200


def test_other_pages_may_ask_only_where_they_are_named(assistant, monkeypatch):
    preflight = {
        "Origin": "https://page.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }

    def asked_for(app):
        async def sent():
            async with http(app) as client:
                return await client.options("/v1/chat/completions", headers=preflight)

        return asyncio.run(sent())

    assert "access-control-allow-origin" not in asked_for(make_app(lambda: assistant, PAGES)).headers
    monkeypatch.setenv(guard.ORIGINS, "https://page.example")
    app = make_app(lambda: assistant, PAGES)
    assert asked_for(app).headers["access-control-allow-origin"] == "https://page.example"
    monkeypatch.setenv(guard.ORIGINS, "https://other.example")
    assert "access-control-allow-origin" not in asked_for(make_app(lambda: assistant, PAGES)).headers


def test_the_openapi_page_describes_every_route_of_the_protocol(app):
    async def page():
        async with http(app) as client:
            return (await client.get("/openapi.json")).json()

    described = asyncio.run(page())
    paths = described["paths"]

    assert set(paths) == {
        "/v1/models",
        "/v1/models/{name}",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/rewrite",
        "/v1/feedback",
        "/v1/files",
        "/v1/files/{id}",
        "/v1/files/{id}/content",
        "/v1/files/{id}/page",
        "/v1/files/{id}/restore",
    }
    schemas = described["components"]["schemas"]
    assert {"messages", "mode", "n", "logprobs", "min_p", "tools"} <= set(schemas["ChatRequest"]["properties"])
    named = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(described)))
    assert named == set(schemas)
    reply = post(app, {"model": "tiny:professional", "messages": [{"role": "user", "content": SPEED}]})
    jsonschema.validate(reply.json(), {"$ref": "#/components/schemas/ChatReply", "components": described["components"]})


def test_an_empty_list_of_prompts_is_refused(app):
    assert post(app, {"model": "tiny", "prompt": []}, "/v1/completions").json()["error"]["code"] == "invalid_request"


@pytest.mark.parametrize("switched_on", [True, False])
def test_what_kind_of_questions_are_asked_is_kept_only_where_it_is_switched_on(assistant, tmp_path, monkeypatch, switched_on):
    if switched_on:
        monkeypatch.setenv(questions.FOLDER, str(tmp_path / "asked"))
    app = make_app(lambda: assistant, PAGES)

    asked(app, max_tokens=1)
    assert post(app, {"model": "nobody", "messages": [{"role": "user", "content": SPEED}]}).status_code == 404

    count, rows = questions.read(tmp_path / "asked")
    assert count == switched_on
    assert [row.tolist() for row in rows] == [questions.sketch(SPEED).tolist()] * switched_on
