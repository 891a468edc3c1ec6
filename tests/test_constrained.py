"""A promised form is kept: fifty schemas in both engines, streamed, behind reasoning; tools of templates that know them."""

import asyncio
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest
from families import BASES, build
from response_schemas import SCHEMAS
from tiny import build_tiny_model
from tokenizers import Tokenizer

from lingyu.model.chat import Chat
from lingyu.serve.batching import BatchingEngine
from lingyu.serve.choosing import Sampling
from lingyu.serve.constrained import Forms, NoForm
from lingyu.serve.engine import TransformersEngine, load
from lingyu.serve.tools import split_calls, template_knows_tools

TEMPLATES = Path(find_spec("trl").origin).parent / "chat_templates"
CHANCE = Sampling(400, 1.0, 1.0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def forms(folder):
    return Forms(Tokenizer.from_file(str(folder / "tokenizer.json")), frozenset([2]))


async def written(engine, tokenizer, sampling, prompt=(9, 8, 7)):
    """The text of a reply, and whether it ended by itself."""
    ids = [token.id async for token in engine.tokens(list(prompt), sampling)]
    ended = ids[-1] in engine.end_tokens
    return tokenizer.decode(ids[: len(ids) - ended], skip_special_tokens=False), ended


def test_every_reply_is_valid_against_its_schema_together_and_one_by_one(folder, forms):
    tokenizer, together = Tokenizer.from_file(str(folder / "tokenizer.json")), BatchingEngine(load(folder), 16)
    asked = [replace(CHANCE, form=forms.of_schema(schema, False), seed=number) for number, schema in enumerate(SCHEMAS)]

    async def all_of(engine, some):
        return await asyncio.gather(*(written(engine, tokenizer, one) for one in some))

    replies = asyncio.run(all_of(together, asked))
    together.close()
    alone = TransformersEngine(folder)

    assert len(SCHEMAS) == 50
    for schema, (text, ended) in zip(SCHEMAS, replies, strict=True):
        if ended:
            jsonschema.validate(json.loads(text), schema)
    assert sum(ended for _, ended in replies) >= 48
    assert asyncio.run(all_of(alone, asked[::10])) == replies[::10]


def test_a_reply_cut_by_its_limit_is_the_beginning_of_the_form(folder, forms):
    engine, tokenizer = TransformersEngine(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    sampling = replace(CHANCE, form=forms.of_schema(SCHEMAS[0], False), max_tokens=8)

    assert asyncio.run(written(engine, tokenizer, sampling)) == ('{"answer', False)


def test_behind_reasoning_the_form_begins_where_the_answer_does(folder, forms):
    engine, tokenizer = TransformersEngine(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    thinks = tokenizer.token_to_id("</think>")
    form = forms.of_schema(SCHEMAS[2], True)

    text, ended = asyncio.run(written(engine, tokenizer, replace(CHANCE, form=form, logit_bias={thinks: 6.0})))

    thought, _, answer = text.partition("</think>")
    assert ended
    assert thought
    jsonschema.validate(json.loads(answer), SCHEMAS[2])


@pytest.mark.parametrize(
    ("schema", "what"),
    [
        ({"type": "strin"}, "strin"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "string", "pattern": "(?=a)b"}, "regex"),
        ({"$ref": "#/nowhere"}, "nowhere"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "."),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "incompatible"),
        ({"enum": ["x" * 70_000]}, "characters"),
    ],
)
def test_a_schema_that_cannot_be_followed_is_named(forms, schema, what):
    with pytest.raises(NoForm, match=what):
        forms.of_schema(schema, False)


@pytest.mark.parametrize("name", BASES)
def test_the_tokenizer_of_every_family_can_be_held_to_a_form(name, tmp_path):
    tokenizer = Chat.read(build(tmp_path, name)).tokenizer
    end = tokenizer.token_to_id(next(token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special))
    following = Forms(tokenizer, frozenset([end])).of_schema(SCHEMAS[1], False).begun()
    ids = tokenizer.encode('x{"回答": "无人机", "可信": true}', add_special_tokens=False).ids

    begin = next(at for at in range(len(ids)) if tokenizer.decode(ids[at:]).startswith("{"))
    for id in ids[begin:]:
        following.take(id, [])
    following.take(end, [])


def test_templates_with_calls_as_json_are_known():
    known = {path.stem for path in TEMPLATES.glob("*.jinja") if template_knows_tools(path.read_text(encoding="utf-8"))}

    assert {"qwen2_5", "qwen3", "qwen3_instruct_2507"} <= known
    assert not known & {"llama3_1", "gemma3", "deepseek_r1_distill", "phi3", "qwen3_6"}


@pytest.mark.parametrize(
    ("held", "text", "names", "rest"),
    [
        ("好 <tool_", "好 ", [], "<tool_"),
        ('查 <tool_call>\n{"name": "a", "arguments": {"x": "</think>"}}\n</tool_call>', "查", ["a"], ""),
        ('<tool_call>{"name": "a"}</tool_call>\n<tool_call>{"name": "b", "arg', "", ["a"], '<tool_call>{"name": "b", "arg'),
        ("<tool_call>no JSON</tool_call> x", "<tool_call>no JSON</tool_call> x", [], ""),
    ],
)
def test_calls_are_taken_out_of_a_text(held, text, names, rest):
    told, calls, left = split_calls(held)

    assert (told, [call["function"]["name"] for call in calls], left) == (text, names, rest)
