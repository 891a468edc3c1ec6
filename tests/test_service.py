"""The real service: bentoml serves it, the openai client asks it."""

import asyncio

import httpx
import openai
import pytest
from serving import ANSWERED, REASONED, served
from teaching import SAMPLING, settings

from lingyu.generate.llm.client import request_of
from lingyu.generate.llm.endpoint import opened

pytestmark = pytest.mark.slow
SPEED, SPEED_ANSWER = ANSWERED[0]


@pytest.fixture(scope="module")
def address(content, tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    settings = {"LINGYU_API_KEYS": "right", "LINGYU_ADMIN_KEYS": "admin", "LINGYU_DOCUMENTS": str(folder / "documents")}
    with served(content, folder, **settings) as address:
        yield address


@pytest.fixture
def client(address):
    with openai.OpenAI(base_url=f"{address}/v1", api_key="right", max_retries=0) as client:
        yield client


def asked(client, question, **more):
    return client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": question}], **more)


def test_the_service_makes_replies_together(client):
    assert client.models.list().data[0].engine == "continuous-batching"


def test_the_client_gets_an_answer_in_chinese_and_english(client):
    for question, answer in (ANSWERED[0], ANSWERED[2]):
        assert asked(client, question).choices[0].message.content == answer


def test_the_client_gets_a_stream_with_its_usage(client):
    chunks = list(asked(client, SPEED, stream=True, stream_options={"include_usage": True}))

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SPEED_ANSWER
    assert chunks[-1].usage.completion_tokens > 3


def test_the_professional_mode_reaches_the_client(client):
    reply = asked(client, SPEED, extra_body={"mode": "professional"})
    refused = asked(client, "红烧肉怎么做", extra_body={"mode": "professional"})

    assert (reply.supported, reply.sources[0]["title"]) == (True, "云雀X3")
    assert (refused.supported, refused.sources) == (False, [])


def test_reasoning_reaches_the_client(client):
    message = asked(client, REASONED[0], extra_body={"reasoning": True}).choices[0].message

    assert (message.reasoning_content, message.content) == REASONED[1:]


def test_faults_reach_the_client_as_its_own_exceptions(client, address):
    with pytest.raises(openai.BadRequestError, match="256 tokens"):
        asked(client, "飞" * 600)
    with pytest.raises(openai.NotFoundError, match=r"'other'.*tiny"):
        client.chat.completions.create(model="other", messages=[{"role": "user", "content": "x"}])
    with openai.OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0) as stranger, pytest.raises(openai.AuthenticationError):
        asked(stranger, SPEED)


def test_a_client_that_leaves_a_stream_leaves_the_service_free(client):
    stream = asked(client, SPEED, stream=True, temperature=2.0, max_tokens=220)
    next(iter(stream))
    stream.close()

    assert asked(client, SPEED, timeout=20).choices[0].message.content == SPEED_ANSWER


def test_the_chat_page_is_served_to_anyone(address):
    page = httpx.get(address)

    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    for name in ("chat.js", "api.js", "view.js", "words.js", "markdown.js", "style.css", "favicon.svg"):
        assert httpx.get(f"{address}/static/chat/{name}").is_success
    assert httpx.get(f"{address}/static/chat/../../service.py").status_code == 404


def test_it_can_be_asked_as_a_teacher(address):
    teacher = settings(f"{address}/v1", model="tiny", answers="text", sampling=SAMPLING | {"max_tokens": 40})
    request = request_of(teacher, [{"role": "user", "content": SPEED}], None, variant=1, judge=True)

    async def answer():
        async with opened(teacher, "right") as endpoint:
            return await endpoint.answer(request)

    said = asyncio.run(answer())

    assert (said.content, said.finish) == (SPEED_ANSWER, "stop")
    assert said.answered_tokens > 3


def test_the_openai_client_lists_uploads_and_deletes_documents(client):
    given = ("领用.md", "# 领用制度\n\n## 钥匙\n\n钥匙由保管员领用，当日归还。\n".encode())
    question = "钥匙由谁领用？"
    with openai.OpenAI(base_url=client.base_url, api_key="right", max_retries=0) as reader, pytest.raises(openai.PermissionDeniedError):
        reader.files.create(file=given, purpose="assistants")

    with openai.OpenAI(base_url=client.base_url, api_key="admin", max_retries=0) as admin:
        file = admin.files.create(file=given, purpose="assistants", extra_body={"metadata": {"groups": ["crew"]}})
        assert admin.files.wait_for_processing(file.id, poll_interval=0.2).status == "processed"
        assert file.id in [one.id for one in admin.files.list(limit=1)]
        assert admin.files.content(file.id).text.startswith("# 领用制度")
        assert asked(admin, question, extra_body={"mode": "professional"}).sources[0]["file"] == file.id
        assert "领用制度" not in str(asked(client, question, extra_body={"mode": "professional"}).sources)
        assert admin.files.delete(file.id).deleted
        assert "领用制度" not in str(asked(admin, question, extra_body={"mode": "professional"}).sources)


def test_a_client_of_the_model_context_protocol_searches_and_asks(address):
    from httpx2 import AsyncClient
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    async def used(key):
        headers = {"Authorization": f"Bearer {key}"}
        async with (
            AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(f"{address}/mcp", http_client=http)) as client,
        ):
            tools = {tool.name for tool in (await client.list_tools()).tools}
            found = await client.call_tool("search", {"question": SPEED, "limit": 2})
            told = await client.call_tool("ask", {"question": SPEED})
            wrong = await client.call_tool("search", {"question": SPEED, "filter": {"branch": "x"}})
            return tools, found.structured_content, told.structured_content, wrong

    tools, found, told, wrong = asyncio.run(used("right"))

    assert tools == {"search", "ask"}
    assert (found["passages"][0]["title"], found["answerable"]) == ("云雀X3", True)
    assert told["sources"][0]["source"] == "knowledge/graph.jsonl"
    assert wrong.is_error
    assert "branch" in wrong.content[0].text
    assert httpx.post(f"{address}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).status_code == 401
