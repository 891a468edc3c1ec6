"""Names told by a model of the user's own: a tiny one, taught here by what stands before a name."""

import json
import random

import pytest

from lingyu.clean import ner
from lingyu.clean.pii import mask
from lingyu.stage import StageError

OUTSIDE, BEGINS, INSIDE = range(3)
FIRST, SECOND = "云岚溪苒", "舟禾柚棠"
PLAIN = "昨天又去了机库检查电池然后起飞今明早晚和说要看，。"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that takes a character of FIRST and one of SECOND for a name, wherever they stand."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast, set_seed

    set_seed(0)
    path = tmp_path_factory.mktemp("ner")
    words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FIRST, *SECOND, *PLAIN])}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.post_processor = processors.BertProcessing(("[SEP]", words["[SEP]"]), ("[CLS]", words["[CLS]"]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]", model_max_length=40)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16, "max_position_embeddings": 40}
    model = BertForTokenClassification(
        BertConfig(vocab_size=len(words), id2label={OUTSIDE: "O", BEGINS: "B-PER", INSIDE: "I-PER"}, hidden_dropout_prob=0.0, **shape)
    )
    draw, learn = random.Random(0), torch.optim.Adam(model.parameters(), 0.02)
    for step in range(80):
        texts, labels = [], []
        for _ in range(8):
            text, label = "，" * (step % 2), [OUTSIDE] * (1 + step % 2)  # so that no name stands at a place of its own
            while len(text) < 36:
                name = draw.random() < 0.2
                text += draw.choice(FIRST) + draw.choice(SECOND) if name else "".join(draw.choices(PLAIN, k=2))
                label += [BEGINS, INSIDE] if name else [OUTSIDE, OUTSIDE]
            texts.append(tokenizer(text)["input_ids"])
            labels.append([*label, OUTSIDE])
        model(torch.tensor(texts), labels=torch.tensor(labels)).loss.backward()
        learn.step()
        learn.zero_grad()
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_a_name_in_the_middle_of_a_sentence_is_found_by_the_model_and_the_rest_by_rules(folder):
    text = "昨天云舟又去了机库，和溪禾说电池。致电13800138000，昨天云舟。"

    assert mask(text, "zh", ["mobile", "name"], str(folder)) == (
        "昨天[姓名]又去了机库，和[姓名2]说电池。致电[手机号]，昨天[姓名]。",
        {"name": 3, "mobile": 1},
    )
    assert mask(text, "zh", ["mobile", "name"])[1] == {"mobile": 1}


def test_a_text_longer_than_the_model_reads_is_read_in_windows(folder):
    text = "昨天又去了机库检查" * 20
    places = [*range(7, 170, 23)]
    for place in places:
        text = text[:place] + "云舟" + text[place + 2 :]

    assert list(ner.tagger(str(folder)).finds(text, "name")) == [(place, place + 2) for place in places]


def test_a_folder_that_cannot_be_used_says_why(folder, tmp_path):
    with pytest.raises(StageError, match=r"clean\.ner: .* has no config\.json, tokenizer\.json"):
        ner.tagger(str(tmp_path))

    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    other = config | {"id2label": {"0": "O", "1": "B-LOC", "2": "I-LOC"}, "label2id": {"O": 0, "B-LOC": 1, "I-LOC": 2}}
    (tmp_path / "config.json").write_text(json.dumps(other), encoding="utf-8")
    with pytest.raises(StageError, match=r"no label.*B-LOC, I-LOC, O\. Known.*PER"):
        ner.Tagger(tmp_path)

    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(StageError, match=r"no \*\.safetensors.*not loaded"):
        ner.Tagger(tmp_path)
