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
    with served(content, tmp_path_factory.mktemp("service"), LINGYU_API_KEYS="right") as address:
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
