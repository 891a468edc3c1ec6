"""lingyu.model.chat: one template, rendered alike in training and service."""

import pytest

from lingyu.model.chat import CHATML, load_template, prompt_and_reply, render, split_reasoning
from lingyu.model.load import load_tokenizer
from lingyu.records import Message

USER = Message(role="user", content="How high?")
CONVERSATION = [
    Message(role="system", content="Be brief."),
    Message(role="user", content="Fly?"),
    Message(role="assistant", content="Yes.", reasoning="No wind."),
    USER,
    Message(role="assistant", content="120 m.", reasoning="Open category."),
]


def test_a_conversation_is_written_in_turns_and_only_the_last_reply_thinks():
    assert render(CONVERSATION) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nFly?<|im_end|>\n"
        "<|im_start|>assistant\nYes.<|im_end|>\n"
        "<|im_start|>user\nHow high?<|im_end|>\n"
        "<|im_start|>assistant\n<think>\nOpen category.\n</think>\n\n120 m.<|im_end|>\n"
    )


@pytest.mark.parametrize("length", [2, 4, 5])
@pytest.mark.parametrize("options", [{}, {"add_generation_prompt": True}, {"add_generation_prompt": True, "enable_thinking": True}])
def test_text_is_what_transformers_makes_of_the_same_template(tiny_model, length, options):
    tokenizer = load_tokenizer(tiny_model)
    turns = [{"role": m.role, "content": m.content, "reasoning_content": m.reasoning} for m in CONVERSATION[:length]]

    theirs = tokenizer.apply_chat_template(turns, tokenize=False, **{"enable_thinking": False, **options})

    assert render(CONVERSATION[:length], load_template(tiny_model), **options) == theirs


@pytest.mark.parametrize("reasoning", [None, "", "Because."])
def test_prompt_and_reply_are_the_whole_and_the_prompt_is_what_service_sends(reasoning):
    dialogue = [USER, Message(role="assistant", content="120 m.", reasoning=reasoning)]

    prompt, reply = prompt_and_reply(dialogue)

    assert prompt + reply + "\n" == render(dialogue)
    assert prompt == render([USER], add_generation_prompt=True, enable_thinking=bool(reasoning))
    assert reply.endswith("120 m.<|im_end|>")
    assert reply.startswith("<think>\nBecause.") == (reasoning == "Because.")


@pytest.mark.parametrize("messages", [[], [USER]])
def test_a_dialogue_without_a_reply_teaches_nothing(messages):
    with pytest.raises(ValueError, match="must end in an assistant's turn"):
        prompt_and_reply(messages)


def test_a_template_that_renders_the_reply_elsewhere_is_refused():
    backwards = "{% for message in messages | reverse %}{{ message.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"

    with pytest.raises(ValueError, match="differently from the prompt"):
        prompt_and_reply(CONVERSATION[-2:], backwards)


@pytest.mark.parametrize(
    ("reply", "parts"),
    [
        ("<think>\nwhy\n</think>\n\nso", ("why", "so")),
        ("<think>\n\n</think>\n\nso", ("", "so")),
        ("why</think>so", ("why", "so")),
        (" so ", (None, "so")),
        ("<think>\nnever ends", (None, "<think>\nnever ends")),
        ("", (None, "")),
    ],
)
def test_a_reply_is_parted_into_reasoning_and_answer(reply, parts):
    assert split_reasoning(reply) == parts


def test_a_template_has_names_and_may_refuse():
    from jinja2.exceptions import TemplateError

    assert render([USER], "{{ bos_token }}{{ messages[0].content }}", bos_token="<s>") == "<s>How high?"
    with pytest.raises(TemplateError, match="no system"):
        render([USER], "{{ raise_exception('no system') }}")


def test_a_template_cannot_reach_python():
    from jinja2.exceptions import SecurityError

    with pytest.raises(SecurityError):
        render([USER], "{{ messages.__class__.__mro__ }}")


def test_the_tiny_base_and_our_template_are_one(tiny_model):
    assert load_template(tiny_model) == CHATML
