"""Many replies at once: the same greedy answer as alone, on every family; own seeds; cancelling; faults of one request."""

import asyncio
import random

import pytest
from families import BASES, build
from tiny import build_tiny_model

from lingyu.serve import batching
from lingyu.serve.batching import BatchingEngine, Unsuitable
from lingyu.serve.choosing import Sampling
from lingyu.serve.engine import TransformersEngine, load, start

GREEDY = Sampling(24, 0.0, 1.0, None)


async def reply(engine, prompt, sampling=GREEDY):
    return [token.id async for token in engine.tokens(prompt, sampling)]


async def together(engine, prompts, sampling=GREEDY):
    return await asyncio.gather(*(reply(engine, prompt, sampling) for prompt in prompts))


def prompts(count, size, seed=0):
    chance = random.Random(seed)
    return [[chance.randrange(5, size) for _ in range(chance.choice([1, 3, 17, 60, 140]))] for _ in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("tiny"), initializer_range=0.2)


@pytest.fixture(scope="module")
def engine(folder):
    engine = BatchingEngine(load(folder), 8)
    yield engine
    engine.close()


@pytest.mark.parametrize("name", BASES)
def test_the_greedy_reply_is_the_same_at_every_load_and_as_one_by_one(name, tmp_path):
    build(tmp_path, name)
    asked = prompts(12, 200)
    many, alone = BatchingEngine(load(tmp_path), 8), TransformersEngine(tmp_path)

    at_once = asyncio.run(together(many, asked))

    assert at_once == asyncio.run(together(alone, asked))
    assert at_once[:3] == [asyncio.run(reply(many, prompt)) for prompt in asked[:3]]
    assert max(map(len, at_once)) > 5
    many.close()


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 0.9},
        {"temperature": 1.2, "top_p": 0.8, "top_k": 20, "min_p": 0.02},
        {"frequency_penalty": 1.5, "presence_penalty": 0.5, "repetition_penalty": 1.3},
        {"logit_bias": {7: 100.0}, "logprobs": 2},
    ],
)
def test_a_reply_with_a_seed_is_the_same_at_every_load_and_in_both_engines(engine, folder, more):
    sampling = Sampling(**{"max_tokens": 16, "temperature": 0.0, "top_p": 1.0, "seed": 5, **more})
    asked = prompts(10, 300, seed=1)

    at_once = asyncio.run(together(engine, asked, sampling))

    assert at_once[:2] == [asyncio.run(reply(engine, prompt, sampling)) for prompt in asked[:2]]
    assert at_once[:4] == asyncio.run(together(TransformersEngine(folder), asked[:4], sampling))


def test_requests_of_all_kinds_at_once_keep_to_their_own_parameters(engine):
    asked = prompts(6, 300, seed=2)
    kinds = [GREEDY, Sampling(24, 0.0, 1.0, None, logit_bias={9: 100.0}), Sampling(3, 1.0, 1.0, 1)]

    async def mixed():
        return await asyncio.gather(*(reply(engine, prompt, kinds[number % 3]) for number, prompt in enumerate(asked)))

    replies = asyncio.run(mixed())

    assert replies[0] == asyncio.run(reply(engine, asked[0]))
    assert set(replies[1]) == {9}
    assert len(replies[2]) <= 3


def test_logprobs_are_those_of_the_model(engine):
    async def listed():
        return [token async for token in engine.tokens([5, 6, 7], Sampling(4, 0.0, 1.0, None, logprobs=3))]

    for token in asyncio.run(listed()):
        assert token.top[0] == (token.id, token.logprob)
        assert token.logprob <= 0
        assert [logprob for _, logprob in token.top] == sorted((logprob for _, logprob in token.top), reverse=True)


def test_a_reply_that_is_given_up_leaves_no_trace(engine):
    async def given_up():
        streams = [
            engine.tokens(prompt, Sampling(300, 1.0, 1.0, 3, logit_bias=dict.fromkeys(engine.end_tokens, -100.0)))
            for prompt in prompts(8, 300)
        ]
        for stream in streams:
            await anext(stream)
            await stream.aclose()
        return await together(engine, prompts(8, 300))

    replies = asyncio.run(given_up())

    assert replies == asyncio.run(together(engine, prompts(8, 300)))
    assert engine.waiting == 0
    assert engine._jobs == {}


def test_a_fault_of_one_request_ends_that_one_alone(engine):
    async def one_bad():
        bad = Sampling(8, 0.0, 1.0, None, logit_bias={10**6: 1.0})
        return await asyncio.gather(reply(engine, [5, 6], bad), reply(engine, [5, 6]), return_exceptions=True)

    bad, good = asyncio.run(one_bad())

    assert isinstance(bad, IndexError)
    assert good == asyncio.run(reply(engine, [5, 6]))


def test_an_engine_that_broke_down_answers_again(engine, monkeypatch):
    good = asyncio.run(reply(engine, [5, 6]))
    with monkeypatch.context() as broken:
        broken.setattr(engine._manager.model, "forward", lambda **_: 1 / 0)
        with pytest.raises(RuntimeError, match="division"):
            asyncio.run(reply(engine, [5, 6]))

    assert asyncio.run(reply(engine, [5, 6])) == good


def test_a_prompt_as_long_as_the_context_is_answered(engine):
    long = [number % 290 + 5 for number in range(engine.context - 4)]

    assert len(asyncio.run(reply(engine, long, Sampling(4, 0.0, 1.0, None)))) <= 4


def test_a_model_that_cannot_be_batched_is_served_one_by_one_and_the_log_says_why(folder, monkeypatch, caplog):
    def unsuitable(model):
        raise Unsuitable("a part attached")

    monkeypatch.setattr(batching, "check_suitable", unsuitable)

    engine = start(folder, 8)

    assert (engine.name, engine.at_once) == ("one-by-one", 1)
    assert "a part attached" in caplog.text
    assert start(folder, 1).name == "one-by-one"
