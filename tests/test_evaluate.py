"""A checkpoint is asked, and its replies and likelihoods are what the model alone would give, however they are batched."""

import csv
import dataclasses
import math
from pathlib import Path

import pytest
import torch

from lingyu.evaluate import ask, overlap, predict
from lingyu.evaluate.metrics import Prediction
from lingyu.evaluate.settings import NewTokens
from lingyu.files import hashes, read_json, read_table, write_table
from lingyu.records import Document, Message, Preference, Question
from lingyu.stage import StageError
from stages import evaluate

LENGTHS = NewTokens(fact=6, preferred=6, classify=4, reason=8, recall=8, cite=6, chat=6, other=6)
PARAMS = evaluate.Params(
    checkpoint="base", threads=1, seed=0, resamples=50, batch_tokens=256, precision="fp32", stride=16, max_new_tokens=LENGTHS
)

ROW = {"source": "s", "place": "1", "licence": "x", "scope": "domain", "language": "zh"}
MADE = {**ROW, "references": ["f1"], "method": "fact", "teacher": "rules", "prompt_hash": "", "review": ""}


def question(task="fact", asked="云雀的颜色是什么？", answer="红色", wrong=(), **fields) -> Question:
    fields = {"id": f"{task}-{asked}", "known": "", **MADE, **fields}
    return Question(task=task, messages=[Message(role="user", content=asked)], answer=answer, wrong=list(wrong), **fields)


def document(text: str) -> Document:
    return Document(**ROW, id=text[:9], title="", section="", text=text)


def preference(chosen: str, rejected: str) -> Preference:
    return Preference(**MADE, id=chosen, task="fact", messages=[Message(role="user", content="颜色？")], chosen=chosen, rejected=rejected)


@pytest.fixture
def checkpoint(tiny_model):
    return ask.load(tiny_model, batch_tokens=256, precision="fp32")


def write_items(folder: Path, questions=(), domain=(), general=(), preferences=()) -> Path:
    write_table(folder / "questions.parquet", questions, Question)
    write_table(folder / "domain.parquet", map(document, domain), Document)
    write_table(folder / "general.parquet", map(document, general), Document)
    write_table(folder / "preference.parquet", preferences, Preference)
    return folder


@pytest.fixture
def models(tmp_path, tiny_model):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model").symlink_to(tiny_model)
    return tmp_path


QUESTIONS = [
    question(known="taught"),
    question(asked="云雀的重量是多少？", known="documents"),
    question("classify", "文本：翻车", "低风险", ["高风险"]),
    question("classify", "文本：撞人", "高风险", ["低风险"]),
    question("reason", "还能飞多久？", "五分钟"),
    question("recall", "《消防法》第五条规定了什么？", "任何单位"),
    question("cite", "“任何单位”出自《消防法》哪一条？", "第五条", ["第六条"]),
    question("chat", "你好", "你好"),
    question("poem", "写诗", "春眠不觉晓"),
]


def test_every_item_is_predicted_in_order_and_measured(tmp_path, models, tiny_reward_model):
    test = write_items(tmp_path / "test", QUESTIONS, ["春天来了，" * 9], ["夜里下雨。"], [preference("红色", "白色")])

    evaluate.run(PARAMS, models, tiny_reward_model, test, out=tmp_path / "out")

    rows = list(read_table(tmp_path / "out" / "predictions.parquet", Prediction))
    found = read_json(tmp_path / "out" / "metrics.json")
    assert [row.id for row in rows[: len(QUESTIONS)]] == [question.id for question in QUESTIONS]
    assert [row.task for row in rows[len(QUESTIONS) :]] == ["domain", "general", "preference"]
    assert {row.task for row in rows if "reward" in row.values} == {"fact"}
    assert rows[4].prompt.endswith("<|im_start|>assistant\n")
    assert rows[0].prompt.endswith("</think>\n\n")
    assert {name: measure["count"] for name, measure in found.items()} == {
        **dict.fromkeys(["fact_exact", "fact_char_f1", "fact_chrf", "reward_mean"], 2),
        **dict.fromkeys(["classify_accuracy", "classify_macro_f1", "classify_weighted_f1"], 2),
        **dict.fromkeys(["fact_exact_taught", "fact_exact_documents", "reason_exact", "reason_format", "cite_exact"], 1),
        **dict.fromkeys(["recall_citation", "recall_char_f1", "recall_chrf", "chat_exact", "chat_char_f1"], 1),
        **dict.fromkeys(["repetition", "wrong_refusals"], len(QUESTIONS)),
        **dict.fromkeys(["cite_invented", "cite_wrong_number", "cite_wrong_title", "cite_uncited"], 1),
        **{f"recall_{name}": 1 for name in overlap.NAMES},
        **dict.fromkeys(["poem_exact", "poem_char_f1", "domain_bits_per_byte", "general_bits_per_byte", "preference_accuracy"], 1),
    }
    with (tmp_path / "out" / "confusion.csv").open(encoding="utf-8") as file:
        confusion = list(csv.DictReader(file))
    assert len(confusion) == 6
    assert sum(int(line["count"]) for line in confusion) == 2


def test_the_reward_model_judges_what_it_was_trained_on(tmp_path, models, tiny_reward_model):
    asked = question("preferred", "能放宽吗？", "不可放宽。", ["可以。"])
    test = write_items(tmp_path / "test", [*QUESTIONS, asked])

    evaluate.run(PARAMS, models, tiny_reward_model, test, out=tmp_path / "out")

    rows = list(read_table(tmp_path / "out" / "predictions.parquet", Prediction))
    assert [row.task for row in rows if "reward" in row.values] == ["preferred"]
    assert read_json(tmp_path / "out" / "metrics.json")["reward_mean"]["count"] == 1


def test_a_checkpoint_is_named_by_its_files_and_keeps_its_curve(tmp_path, models, tiny_reward_model):
    test = write_items(tmp_path / "test", QUESTIONS, [], [], [])
    (models / "base/curves.csv").write_text("step,train_loss,eval_loss,accuracy\n10,4.0,,\n20,3.0,3.5,.5\n")

    evaluate.run(PARAMS, models, tiny_reward_model, test, out=tmp_path / "out")

    asked = read_json(tmp_path / "out/checkpoint.json")
    assert (asked["checkpoint"], asked["rewarded"]) == ("base", True)
    assert asked["files"] == hashes(models / "base/model")
    assert asked["curve"] == [{"step": 10, "train_loss": 4, "eval_loss": None}, {"step": 20, "train_loss": 3, "eval_loss": 3.5}]


def test_without_a_reward_model_replies_have_no_reward(tmp_path, models):
    test = write_items(tmp_path / "test", QUESTIONS, [], [], [])
    (tmp_path / "reward").mkdir()

    evaluate.run(PARAMS, models, tmp_path / "reward", test, out=tmp_path / "out")

    assert "reward_mean" not in read_json(tmp_path / "out/metrics.json")
    assert read_json(tmp_path / "out/checkpoint.json")["rewarded"] is False


def test_two_runs_give_the_same_bytes(tmp_path, models, tiny_reward_model):
    test = write_items(tmp_path / "test", QUESTIONS, ["春天来了"], [], [preference("红色", "白色")])

    for name in ("one", "two"):
        evaluate.run(PARAMS, models, tiny_reward_model, test, out=tmp_path / name)

    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert set(one) == {"predictions.parquet", "confusion.csv", "checkpoint.json", "judge.jsonl", "metrics.json"}
    assert one == two


def test_tables_without_rows_leave_their_metrics_out(tmp_path, models, tiny_reward_model):
    test = write_items(tmp_path / "test", domain=["春天"])

    evaluate.run(PARAMS, models, tiny_reward_model, test, out=tmp_path / "out")

    assert list(read_json(tmp_path / "out" / "metrics.json")) == ["domain_bits_per_byte"]
    assert (tmp_path / "out" / "confusion.csv").read_text() == "actual,predicted,count\n"


def test_nothing_to_measure_is_said(tmp_path, models, tiny_reward_model):
    test = write_items(tmp_path / "test")

    with pytest.raises(StageError, match=r"questions, domain, general and preference of .* are empty.*section split"):
        evaluate.run(PARAMS, models, tiny_reward_model, test, out=tmp_path / "out")


@pytest.mark.parametrize("batch_tokens", [1, 100, 10_000])
def test_replies_do_not_depend_on_the_batch(tiny_model, batch_tokens):
    prompts, lengths = ["春", "夏天很热", "秋天 autumn leaves", "冬"], [9, 5, 7, 3]
    alone = ask.load(tiny_model, batch_tokens=1, precision="fp32")

    together = ask.replies(ask.load(tiny_model, batch_tokens=batch_tokens, precision="fp32"), prompts, lengths)

    assert together == [generated(alone, prompt, length) for prompt, length in zip(prompts, lengths, strict=True)]


def test_a_reply_ends_where_the_model_ends_it(checkpoint):
    prompt = checkpoint.encode("春")
    full = ask.greedy(checkpoint, [prompt], [8])[0]
    stop = full[3]

    ended = ask.greedy(dataclasses.replace(checkpoint, ends=frozenset({stop})), [prompt, checkpoint.encode("夏天")], [8, 8])[0]

    assert ended == full[: full.index(stop)]


def test_a_question_longer_than_the_context_gets_no_reply(checkpoint):
    assert ask.replies(checkpoint, ["长" * 200, "短"], [2, 2])[0] is None


def generated(checkpoint: ask.Checkpoint, prompt: str, length: int) -> str:
    """What transformers' own generate gives for one prompt."""
    ids = torch.tensor([checkpoint.encode(prompt)])
    made = checkpoint.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=length, do_sample=False)
    ids = [token for token in made[0, ids.shape[1] :].tolist() if token not in checkpoint.ends]
    return checkpoint.tokenizer.decode(ids)


def test_the_likelihood_of_a_text_counts_each_token_once(checkpoint):
    texts = ["春天来了", "a", "", "夜里下雨" * 5]

    together = ask.nats_of_texts(checkpoint, texts, stride=16)

    assert together == pytest.approx([loss_of(checkpoint, text) for text in texts], rel=1e-4)


@pytest.mark.parametrize("batch_tokens", [1, 60, 4096])
def test_options_that_begin_alike_are_as_likely_as_alone(tiny_model, batch_tokens):
    checkpoint = ask.load(tiny_model, batch_tokens, "fp32")
    sequences = []
    for prompt in ("起飞之前要检查哪些东西？", "夜里能不能飞？", "a"):
        begin = checkpoint.encode(prompt)
        sequences += [([*begin, *checkpoint.encode(option)], len(begin)) for option in ("桨叶", "电池和天气都要看", "心", "不")]

    together = ask.log_likelihoods(checkpoint, [*sequences, ([1, 2, 3], 1)])

    alone = [ask.likelihoods_of(checkpoint, [one])[0] for one in [*sequences, ([1, 2, 3], 1)]]
    assert together == pytest.approx(alone, abs=1e-4)
    # Those after "a" begin with too little to share.
    assert [len(group) for group in ask.beginning_alike(sequences, range(len(sequences)), 4096)] == [4, 4, 1, 1, 1, 1]


def test_as_many_tokens_are_computed_at_once_as_the_batch_allows(tiny_model):
    checkpoint, seen = ask.load(tiny_model, 300, "fp32"), []

    def watch(_, __, given):
        if given.get("attention_mask") is not None:  # else the head alone is asked
            seen.append(tuple(given["attention_mask"].shape))

    checkpoint.model.base_model.register_forward_pre_hook(watch, with_kwargs=True)
    begin = list(range(5, 45))
    ask.log_likelihoods(
        checkpoint, [([*begin, 1 + place % 300, 2, 3], 40) for place in range(100)] + [([place] * 30, 1) for place in range(50)]
    )

    assert max(rows * length for rows, length in seen) <= 300
    assert len(seen) > 20


def loss_of(checkpoint: ask.Checkpoint, text: str) -> float:
    """By the model's own loss, the mark between texts in front."""
    ids = torch.tensor([[checkpoint.tokenizer.pad_token_id, *checkpoint.encode(text)]])
    return float(checkpoint.model(ids, labels=ids).loss.detach()) * (ids.shape[1] - 1) if ids.shape[1] > 1 else 0.0


@pytest.mark.parametrize(("length", "size", "stride"), [(1, 8, 2), (8, 8, 2), (9, 8, 2), (50, 8, 2), (50, 8, 7), (51, 8, 0), (50, 8, 20)])
def test_windows_cover_every_token_once_after_the_first(length, size, stride):
    cut = list(ask.windows(length, size, stride))

    assert [place for _, end, first in cut for place in range(first, end)] == list(range(1, length))
    assert all(end - start <= size for start, end, _ in cut)
    assert all(first - start >= min(stride, size - 1) for start, _, first in cut[1:])


def test_bits_per_byte_of_an_untrained_model_are_those_of_guessing(tmp_path, models, tiny_reward_model):
    test = write_items(tmp_path / "test", domain=["春天来了，山花开了。" * 8])

    evaluate.run(PARAMS, models, tiny_reward_model, test, out=tmp_path / "out")

    # One token a byte, and nothing learnt: every one of the 320 tokens about as likely.
    assert read_json(tmp_path / "out" / "metrics.json")["domain_bits_per_byte"]["value"] == pytest.approx(math.log2(320), rel=0.05)


def test_a_preference_is_kept_when_the_chosen_reply_is_likelier_a_token(checkpoint):
    rows = predict.choices(checkpoint, [preference("红色", "白色"), preference("白色", "红色")])

    assert [row.correct for row in rows] in ([True, False], [False, True])
    assert rows[0].values["margin"] == pytest.approx(-rows[1].values["margin"], abs=1e-4)


@pytest.mark.parametrize(
    ("task", "reply", "answer", "wrong", "expected"),
    [
        ("fact", "云雀的颜色是红色。", "红色", ["白色"], {"exact": 1, "char_f1": 0.4}),
        ("fact", "云雀的颜色是白色。", "红色", ["白色"], {"exact": 0}),
        ("classify", "低风险", "低风险", ["高风险"], {"exact": 1, "label": "低风险"}),
        ("classify", "属于低风险", "低风险", ["高风险"], {"exact": 0, "label": "invalid"}),
        ("reason", "<think>\n红\n</think>\n\n红色", "红色", [], {"exact": 1, "format": 1, "char_f1": 1.0}),
        ("reason", "红色", "红色", [], {"exact": 1, "format": 0}),
        ("reason", "<think>红色</think>白色", "红色", [], {"exact": 0, "format": 1}),
    ],
)
def test_a_reply_is_judged_by_the_rules_of_its_task(task, reply, answer, wrong, expected):
    asked = question(task, answer=answer, wrong=wrong)

    row = predict.judged(asked, "", reply, predict.ordered_options([asked]))

    assert {name: row.values.get(name, row.label) for name in expected} == pytest.approx(expected)


def test_the_text_of_a_recalled_article_is_judged_without_its_citation():
    asked = question("recall", "《消防法》第五条规定了什么？", "任何单位都有义务。")

    row = predict.judged(asked, "", "根据《消防法》第五条：任何单位都有义务。", [])

    assert (row.values["cited"], row.values["exact"], row.values["char_f1"]) == (1, 1, 1)


def test_classes_keep_the_order_in_which_the_questions_list_them():
    classes = ["低", "中", "高"]
    asked = [question("classify", str(i), label, [other for other in classes if other != label]) for i, label in enumerate(classes[::-1])]

    assert predict.ordered_options(asked) == classes
