"""lingyu.train.data: what is in a block, what of it is learnt, and that no text sees another where it must not."""

import pytest
from chat_templates import FAMILIES, tokenizer_of
from rows import dialogue
from training import ASKED

from lingyu.model.chat import Chat
from lingyu.model.load import load_model, load_tokenizer
from lingyu.records import Message
from lingyu.stage import StageError
from lingyu.train.data import NOT_LEARNT, Padding, conversations, dialogues, grouped, packed, stored

PLAIN = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" + (
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXTS = ["abc", "defgh", "", "ijklmnopqrst"]


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return load_tokenizer(tiny_model)


@pytest.fixture
def plain(tiny_model):
    """A tokenizer whose template writes every turn alike."""
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.chat_template = PLAIN
    return tokenizer


def conversation(*turns):
    row = dialogue(1, "", "")
    row.messages[:] = [Message(role=("user", "assistant")[i % 2], content=text) for i, text in enumerate(turns)]
    return row


def learnt(example, tokenizer):
    return tokenizer.decode([token for token in example["labels"] if token != NOT_LEARNT])


def test_a_long_text_is_split_and_every_token_stands_in_one_block(tokenizer):
    whole = [token for text in TEXTS for token in [*tokenizer(text)["input_ids"], tokenizer.pad_token_id]]

    for separate in (False, True):
        blocks = list(packed(iter(TEXTS), tokenizer, 4, separate))
        assert [token for block in blocks for token in block["input_ids"]] == whole
        assert {len(block["input_ids"]) for block in blocks[:-1]} == {4}


def test_positions_begin_anew_with_each_text_and_each_block(tokenizer):
    blocks = list(packed(["abc", "de", "f" * 7], tokenizer, 6, separate=True))

    assert [block["position_ids"] for block in blocks] == [[0, 1, 2, 3, 0, 1], [0, 0, 1, 2, 3, 4], [0, 1, 2]]
    for block in blocks:
        assert [label == NOT_LEARNT for label in block["labels"]] == [position == 0 for position in block["position_ids"]]


@pytest.mark.parametrize("longest", [64, 512], ids=["eager", "sdpa"])
@pytest.mark.parametrize("flat", [False, True])
def test_no_token_of_one_text_changes_the_logits_of_another(tiny_model, tokenizer, longest, flat):
    import torch

    def logits(*texts):
        batch = Padding(0, flat)(list(packed(texts, tokenizer, 20, separate=True)))
        assert "attention_mask" not in batch
        with torch.no_grad():
            return model(batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits.flatten(0, 1)

    model = load_model(tiny_model, longest).eval()
    one, other = logits("fly low", "land soon"), logits("sit top", "land soon")
    alone = logits("land soon")

    assert not torch.allclose(one[:7], other[:7], atol=1e-3)
    assert torch.allclose(one[8:18], other[8:18], atol=1e-6)
    assert torch.allclose(one[8:18], alone[:10], atol=1e-5)


def test_joined_texts_do_see_what_stands_before_them(tiny_model, tokenizer):
    import torch

    model = load_model(tiny_model, 64).eval()
    batches = [Padding(0)(list(packed([text, "land soon"], tokenizer, 20))) for text in ("fly low", "sit top")]
    with torch.no_grad():
        one, other = (model(**{name: batch[name] for name in ("input_ids", "attention_mask")}).logits[0] for batch in batches)

    assert not torch.allclose(one[8:18], other[8:18], atol=1e-4)


@pytest.mark.parametrize(
    ("family", "begin", "end"),
    [
        ("chatml", [], "<|endoftext|>"),
        ("llama2", ["<s>"], "</s>"),
        ("llama3", ["<|begin_of_text|>"], "<|end_of_text|>"),
        ("gemma", ["<bos>"], "<eos>"),
    ],
)
def test_the_marks_around_a_text_are_the_model_s_own(family, begin, end):
    tokenizer = tokenizer_of(FAMILIES[family])

    [example] = packed(["a"], tokenizer, 64)

    tokens = tokenizer.convert_ids_to_tokens(example["input_ids"])
    assert tokens[: len(begin)] == begin
    assert tokens[-1] == end
    assert len(tokens) == len(begin) + len(tokenizer("a", add_special_tokens=False)["input_ids"]) + 1


def test_every_reply_is_learnt_behind_the_prompt_that_service_sends(tokenizer):
    row = conversation("up?", "no", "far?", "a bit")

    examples = list(dialogues([row], tokenizer, 200))

    assert [learnt(example, tokenizer) for example in examples] == ["no<|im_end|>", "a bit<|im_end|>"]
    for example, end in zip(examples, (1, 3), strict=True):
        prompt = Chat.of(tokenizer).render(row.messages[:end], add_generation_prompt=True)
        ids = tokenizer(prompt)["input_ids"]
        assert example["input_ids"][: len(ids)] == ids


def test_replies_of_a_template_that_writes_every_turn_alike_share_one_text(plain):
    row = conversation("up?", "no", "far?", "a bit")

    [example] = dialogues([row], plain, 200)

    assert learnt(example, plain) == "no<|im_end|>a bit<|im_end|>"
    assert example["input_ids"] == plain(Chat.of(plain).render(row.messages).removesuffix("\n"))["input_ids"]


@pytest.mark.parametrize(
    ("loss_on", "what"),
    [
        ("last", "a bit<|im_end|>"),
        (
            "all",
            "<|im_start|>user\nup?<|im_end|>\n<|im_start|>assistant\nno<|im_end|>\n"
            "<|im_start|>user\nfar?<|im_end|>\n<|im_start|>assistant\na bit<|im_end|>",
        ),
    ],
)
def test_what_is_learnt_can_be_chosen(plain, loss_on, what):
    [example] = dialogues([conversation("up?", "no", "far?", "a bit")], plain, 200, loss_on)

    assert learnt(example, plain) == what


def test_an_earlier_reply_is_learnt_with_its_own_reasoning(tokenizer):
    row = conversation("up?", "no", "far?", "a bit")
    row.messages[1].reasoning = "wind"

    first, second = dialogues([row], tokenizer, 200)

    assert learnt(first, tokenizer) == "<think>\nwind\n</think>\n\nno<|im_end|>"
    assert "wind" not in tokenizer.decode(second["input_ids"])


def test_rows_that_the_template_refuses_are_named(plain):
    plain.chat_template = "{{ raise_exception('no system here') }}"

    with pytest.raises(StageError, match=r"2 of 2 rows cannot be written by the model's chat template(.|\n)*no system here"):
        list(dialogues([dialogue(1, "a", "b"), dialogue(2, "a", "b")], plain, 100))


def test_a_row_that_does_not_end_in_a_reply_is_named(tokenizer):
    row = conversation("up?", "no", "far?")

    with pytest.raises(StageError, match=rf"1 of 1 rows cannot .*\n{row.id} .*must end in an assistant's turn"):
        list(dialogues([row], tokenizer, 100))


def test_tokens_weigh_what_their_task_weighs(tokenizer):
    rows = [dialogue(1, "up?", "no"), dialogue(2, "up?", "no").model_copy(update={"task": "classify"})]

    plain, twice = dialogues(rows, tokenizer, 100, weights={"classify": 2.0})

    assert set(plain["weights"]) == {1.0}
    assert twice["weights"] == [2.0] * len(twice["input_ids"])


def test_grouped_rows_stand_together_as_closely_as_they_fit_and_none_is_lost(tokenizer):
    lengths = [7, 5, 4, 3, 1]
    examples = [{"input_ids": [length] * length, "labels": [length] * length} for length in lengths]

    groups = list(grouped(examples, 10))

    assert [group["input_ids"] for group in groups] == [[7] * 7 + [3] * 3, [5] * 5 + [4] * 4 + [1]]
    assert groups[1]["position_ids"] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 0]
    assert groups[1]["labels"] == [NOT_LEARNT, 5, 5, 5, 5, NOT_LEARNT, 4, 4, 4, NOT_LEARNT]


@pytest.mark.parametrize("flat", [False, True])
def test_grouped_rows_have_the_loss_of_rows_apart(tiny_model, tokenizer, tmp_path, flat):
    import torch
    from training import TRAINING

    from lingyu.train.run import causal_trainer
    from lingyu.train.settings import Training

    rows = [dialogue(i, *pair) for i, pair in enumerate(ASKED)]
    rows[0] = rows[0].model_copy(update={"task": "classify"})
    apart = list(dialogues(rows, tokenizer, 100, weights={"classify": 3.0}))
    together = list(grouped(apart, 100))
    trainer = causal_trainer(load_model(tiny_model, 64), tokenizer, apart, apart, Training(**TRAINING), tmp_path, "test", tmp_path)

    with torch.no_grad():
        losses = [trainer.compute_loss(trainer.model, Padding(0, flat)(examples)).item() for examples in (apart, together)]

    assert len(together) == len(apart) / 2
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_examples_are_kept_on_disk_and_taken_from_there_again(tokenizer, tmp_path):
    examples = list(packed(TEXTS, tokenizer, 4, separate=True))

    kept = stored(iter(examples), tmp_path / "a.arrow")
    again = stored(iter([]), tmp_path / "a.arrow")

    assert [{name: row[name] for name in examples[0]} for row in kept] == examples
    assert list(again) == list(kept)
    assert kept["length"][:] == [len(example["input_ids"]) for example in examples]
    assert len(stored(iter([]), tmp_path / "none.arrow")) == 0


def test_what_was_not_written_to_its_end_is_written_again(tokenizer, tmp_path):
    def broken():
        yield {"input_ids": [1], "labels": [1]}
        raise StageError("no more")

    with pytest.raises(StageError):
        stored(broken(), tmp_path / "a.arrow")

    assert not (tmp_path / "a.arrow").exists()
    assert len(stored(packed(TEXTS, tokenizer, 4), tmp_path / "a.arrow")) == 6


def test_a_conversation_without_a_reply_is_refused(plain):
    with pytest.raises(ValueError, match="must end in an assistant's turn"):
        list(conversations([], Chat.of(plain), "replies"))
