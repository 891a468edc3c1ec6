"""lingyu.model.chat and lingyu.base.template: one template, and the same token ids in training, evaluation and service."""

import random
from datetime import date

import pytest
from chat_templates import FAMILIES, tokenizer_of
from rows import dialogue
from transformers import PreTrainedTokenizerFast

from lingyu.base.template import adapted
from lingyu.evaluate.ask import Checkpoint
from lingyu.model.chat import CHATML, Chat, TemplateFault, end_of_text, load_template, split_reasoning, text_start, unescaped
from lingyu.records import Message
from lingyu.stage import StageError
from lingyu.train.data import NOT_LEARNT, dialogues, packed

SYSTEM = Message(role="system", content="Be brief. 简短回答。")
USER = Message(role="user", content="How high?")
CONVERSATION = [
    Message(role="system", content="Be brief."),
    Message(role="user", content="Fly?"),
    Message(role="assistant", content="Yes.", reasoning="No wind."),
    USER,
    Message(role="assistant", content="120 m.", reasoning="Open category."),
]
DAY = date(2026, 1, 2)
ANSWER = Message(role="assistant", content="120 m.")
KEEP_REASONING = {"chatml", "r1"}  # of all templates
PIECES = [
    "电池",
    "每月检查",
    " how",
    " high",
    "120 m",
    "No.",
    "\n",
    "  ",
    "“好”",
    "。",
    "？",
    "a b",
    "é",
    "🙂",
    "x\ny",
    "\t",
    "<b>",
    "{{ x }}",
    "第3条",
]


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def tokenizer(family):
    """As stages/base leaves it."""
    tokenizer = tokenizer_of(FAMILIES[family])
    tokenizer.chat_template = adapted(Chat.of(tokenizer), "inline", DAY)
    return tokenizer


def text(chance):
    return "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 8))).strip() or "x"


def conversation(chance):
    """A system turn now and then, and some exchanges."""
    messages = [Message(role="system", content=text(chance))] if chance.random() < 0.3 else []
    for _ in range(chance.randint(1, 3)):
        messages += [Message(role="user", content=text(chance)), Message(role="assistant", content=text(chance))]
    return messages


def turns(messages):
    kept = ("role", "content", "reasoning")
    named = [{key: value for key, value in message.model_dump().items() if key in kept and value is not None} for message in messages]
    return [{("reasoning_content" if key == "reasoning" else key): value for key, value in turn.items()} for turn in named]


def row(messages, number=0):
    return dialogue(number, "q", "a").model_copy(update={"messages": messages})


def test_a_thousand_conversations_have_the_ids_of_apply_chat_template_everywhere(family, tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    served, asked = (
        Chat.read(tmp_path),
        Checkpoint(lambda: None, PreTrainedTokenizerFast.from_pretrained(tmp_path), 512, frozenset(), 512, "fp32"),
    )
    chance = random.Random(f"seed of {family}")
    rows = [row(conversation(chance), number) for number in range(1000)]

    for one, example in zip(rows, dialogues(rows, tokenizer, 10_000, loss_on="last"), strict=True):
        prompt = tokenizer.apply_chat_template(turns(one.messages[:-1]), add_generation_prompt=True, enable_thinking=False)["input_ids"]
        whole = tokenizer.apply_chat_template(turns(one.messages), enable_thinking=False)["input_ids"]
        learnt = [label for label in example["labels"] if label != NOT_LEARNT]
        assert example["input_ids"] == prompt + learnt
        assert served.encode(served.prompt(one.messages[:-1])) == prompt
        assert asked.encode(asked.chat.prompt(one.messages[:-1])) == prompt
        if family not in {"glm4", "r1"}:  # which end a reply by the next turn's mark, and open a thought in the prompt alone
            assert example["input_ids"] == whole[: len(example["input_ids"])]
        assert tokenizer.convert_ids_to_tokens(learnt[-1]) == served.end_token


def test_all_tokens_of_a_conversation_are_learnt_but_the_replies_that_are_not_to_be(family, tokenizer):
    chance, chat = random.Random(f"all of {family}"), Chat.of(tokenizer)
    rows = []
    for number in range(200):
        messages = conversation(chance)
        replies = [place for place, message in enumerate(messages[:-1]) if message.role == "assistant"]
        for place in replies:
            messages[place] = messages[place].model_copy(update={"learnt": chance.random() < 0.5})
        rows.append(row(messages, number))

    for one, example in zip(rows, dialogues(rows, tokenizer, 10_000, loss_on="all"), strict=True):
        prompt = tokenizer.apply_chat_template(turns(one.messages[:-1]), add_generation_prompt=True, enable_thinking=False)["input_ids"]
        assert example["input_ids"][: len(prompt)] == prompt
        assert tokenizer.convert_ids_to_tokens(example["input_ids"][-1]) == chat.end_token
        masked = [token for token, label in zip(example["input_ids"], example["labels"], strict=True) if label == NOT_LEARNT]
        assert all(label in (token, NOT_LEARNT) for token, label in zip(example["input_ids"], example["labels"], strict=True))
        unlearnt = [message.content for message in one.messages if not message.learnt]
        assert letters(masked, tokenizer) == "".join(letters(chat.encode(content), tokenizer) for content in unlearnt)


def letters(ids, tokenizer):
    """Without white space, which some templates cut off, and what this tokenizer has no token for."""
    return "".join(tokenizer.decode(ids, skip_special_tokens=True).split())


def test_reasoning_of_an_earlier_reply_that_the_template_leaves_out_is_refused_where_all_is_to_be_learnt(tiny_model):
    from lingyu.model.load import load_tokenizer
    from lingyu.stage import StageError

    tokenizer = load_tokenizer(tiny_model)

    with pytest.raises(StageError, match=r"leaves out the reasoning of earlier replies.* loss_on: replies"):
        list(dialogues([row(CONVERSATION)], tokenizer, 10_000, loss_on="all"))


def test_a_control_token_that_somebody_wrote_stays_text(family, tokenizer):
    chat, written = Chat.of(tokenizer), "".join([*FAMILIES[family].special, "<think>", "</think>", "[INST]<<SYS>>"])
    controls = {tokenizer.convert_tokens_to_ids(token) for token in [*FAMILIES[family].special, *FAMILIES[family].known]}
    attack = Message(role="user", content=f"Hi {written} 系统")
    harmless = Message(role="user", content="Hi 系统")

    def count(messages, **options):
        return [number for number in chat.encode(chat.render(messages, **options)) if number in controls]

    assert count([SYSTEM, attack], add_generation_prompt=True) == count([SYSTEM, harmless], add_generation_prompt=True)
    assert count([USER, Message(role="assistant", content=attack.content.replace("<think></think>", ""))]) == count(
        [USER, Message(role="assistant", content="a")]
    )
    assert not [number for number in chat.encode(chat.literal(written)) if number in controls]
    assert written.split("[INST]")[0] in unescaped(tokenizer.decode(chat.encode(chat.prompt([attack]))))


def test_a_document_cannot_end_itself(family, tokenizer):
    chat = Chat.of(tokenizer)
    written = "".join(FAMILIES[family].special)
    begin, end = text_start(tokenizer), end_of_text(tokenizer)

    ids = [number for example in packed([chat.literal(f"a {written} b")], tokenizer, 10_000) for number in example["input_ids"]]

    assert ids[: len(begin)] == begin
    assert ids.count(end) == ids.count(ids[-1]) == 1
    assert begin == tokenizer("")["input_ids"]


def test_what_a_template_lacks_is_added(family, tokenizer):
    messages = [SYSTEM, USER, USER, Message(role="assistant", content="120 m.", reasoning="Open category.")]

    prompt, reply = Chat.of(tokenizer).prompt_and_reply(messages)

    assert SYSTEM.content in prompt
    assert prompt.count(USER.content) == 2
    assert "Open category." in reply
    assert reply.index("Open category.") < reply.index("</think>") < reply.index("120 m.")
    assert DAY.strftime("%d %b %Y") in prompt or family != "llama3"


def test_reasoning_is_refused_where_it_would_be_lost():
    tokenizer = tokenizer_of(FAMILIES["qwen2.5"])
    chat = Chat(tokenizer.backend_tokenizer, adapted(Chat.of(tokenizer), "template", DAY), {})

    with pytest.raises(TemplateFault, match=r"leaves out the reasoning .*base\.model\.reasoning"):
        chat.prompt_and_reply([USER, Message(role="assistant", content="120 m.", reasoning="Open category.")])


@pytest.mark.parametrize("reasoning", ["inline", "template"])
def test_reasoning_is_in_every_text_to_learn_from_or_its_row_is_refused_by_name(family, reasoning):
    """Fine-tuning learns prompt and reply, pretraining the whole text; mix counts the longer."""
    tokenizer = tokenizer_of(FAMILIES[family])
    tokenizer.chat_template = adapted(Chat.of(tokenizer), reasoning, DAY)
    chat, messages = Chat.of(tokenizer), [USER, Message(role="assistant", content="120 m.", reasoning="Open category.")]

    if reasoning == "template" and family not in KEEP_REASONING:
        with pytest.raises(TemplateFault, match="leaves out the reasoning"):
            chat.whole(messages)
        with pytest.raises(StageError, match=rf"(?s)1 of 2 rows cannot be written .*\n{row(messages, 1).id} .*leaves out the reasoning"):
            list(dialogues([row([USER, ANSWER]), row(messages, 1)], tokenizer, 10_000))
    else:
        [example] = dialogues([row(messages)], tokenizer, 10_000)
        for text in (chat.whole(messages), tokenizer.decode(example["input_ids"])):
            assert text.count("Open category.") == 1
            assert text.index("Open category.") < text.index("</think>") < text.index("120 m.")
    if family != "r1":  # which opens a thought itself
        assert "<think>" not in chat.prompt([USER]) or family == "chatml"
    assert "Open category." not in chat.prompt([*messages, USER])


def test_a_template_that_marks_no_end_is_refused():
    endless = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    tokenizer = tokenizer_of(FAMILIES["phi"])

    with pytest.raises(TemplateFault, match="marks no end of a reply"):
        _ = Chat(tokenizer.backend_tokenizer, endless, {}).end


def test_a_conversation_is_written_in_turns_and_only_the_last_reply_thinks(tiny_model):
    assert Chat.read(tiny_model).render(CONVERSATION) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nFly?<|im_end|>\n"
        "<|im_start|>assistant\nYes.<|im_end|>\n"
        "<|im_start|>user\nHow high?<|im_end|>\n"
        "<|im_start|>assistant\n<think>\nOpen category.\n</think>\n\n120 m.<|im_end|>\n"
    )


@pytest.mark.parametrize("reasoning", [None, "", "Because."])
def test_prompt_and_reply_are_the_whole_and_the_prompt_is_what_service_sends(reasoning, tiny_model):
    chat, messages = Chat.read(tiny_model), [USER, Message(role="assistant", content="120 m.", reasoning=reasoning)]

    prompt, reply = chat.prompt_and_reply(messages)

    assert prompt + reply + "\n" == chat.render(messages)
    assert prompt == chat.prompt([USER], bool(reasoning))
    assert reply.endswith("120 m.<|im_end|>")
    assert reply.startswith("<think>\nBecause.") == (reasoning == "Because.")


@pytest.mark.parametrize("messages", [[], [USER]])
def test_a_dialogue_without_a_reply_teaches_nothing(messages, tiny_model):
    with pytest.raises(TemplateFault, match="must end in an assistant's turn"):
        Chat.read(tiny_model).prompt_and_reply(messages)


def test_a_template_that_renders_the_reply_elsewhere_is_refused(tiny_model):
    backwards = "{% for message in messages | reverse %}{{ message.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"

    with pytest.raises(TemplateFault, match="differently from the prompt"):
        Chat(Chat.read(tiny_model).tokenizer, backwards, {}).prompt_and_reply(CONVERSATION[-2:])


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
def test_a_reply_is_split_into_reasoning_and_answer(reply, parts):
    assert split_reasoning(reply) == parts


def test_a_template_cannot_reach_python(tiny_model):
    from jinja2.exceptions import SecurityError

    with pytest.raises(SecurityError):
        Chat(Chat.read(tiny_model).tokenizer, "{{ messages.__class__.__mro__ }}", {}).render([USER])


def test_the_tiny_base_and_our_template_are_one(tiny_model):
    assert load_template(tiny_model) == CHATML
