"""Each scorer on the shortest reply that shows what it counts, and the results of others reproduced from their counts."""

import math

import pytest
from predictions import prediction
from test_evaluate import question

from lingyu.evaluate import ask, metrics, overlap, predict
from lingyu.evaluate.scorers import citations, exams, inquiries, replies, values_of
from lingyu.select.names import name_of


@pytest.mark.parametrize(
    ("reply", "answer", "language", "expected"),
    [
        ("风速不得超过六级", "风速不得超过六级", "zh", dict.fromkeys(overlap.NAMES, 1.0)),
        ("", "六级", "zh", dict.fromkeys(overlap.NAMES, 0.0)),
        # Unigrams 5 of 6, bigrams 3 of 5; the longest common subsequence has 5 of 6.
        ("the cat sat on the mat", "the cat is on the mat", "en", {"rouge_1": 5 / 6, "rouge_2": 3 / 5, "rouge_l": 5 / 6, "word_f1": 5 / 6}),
        ("the cat sat on the mat", "the cat is on the mat", "en", {"bleu_1": 5 / 6, "bleu_2": math.sqrt(5 / 6 * 3 / 5)}),
        # A reply half as long as the reference: precision one, brevity penalty exp(1 - 2).
        ("风速", "风速六级", "zh", {"bleu_1": math.exp(-1), "rouge_1": 2 * 2 / 6, "rouge_l": 2 * 2 / 6}),
        ("六级风速", "风速六级", "zh", {"rouge_1": 1, "rouge_2": 2 / 3, "rouge_l": 0.5}),
        ("无人机起飞", "无人机降落", "zh", {"word_f1": 0.5}),
    ],
)
def test_overlap_with_the_reference(reply, answer, language, expected):
    found = overlap.overlaps(reply, answer, language)

    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_tasks_are_compared_by_overlap_where_it_was_measured():
    asked = question("recall", "《消防法》第五条规定了什么？", "任何单位都有义务。")

    rows = [predict.judged(asked, "", "任何单位都有义务。", [], compared=["recall"]), predict.judged(question(), "", "红色", [])]

    found = metrics.measured(rows, 10, 0)
    assert {f"recall_{name}": found[f"recall_{name}"]["value"] for name in overlap.NAMES} == {f"recall_{name}": 1 for name in overlap.NAMES}
    assert not any(name.startswith("fact_bleu") for name in found)
    assert metrics.named("recall_bleu_4").value == "bleu_4"
    assert name_of("recall_rouge_l").en == "recall: ROUGE-L"


EXAM = "这道题怎么选？\n起飞前要检查什么？\nA. 桨叶\nB. 电池\u00a0电量\nC．天气\nD. 心情"


@pytest.mark.parametrize(
    ("reply", "exact", "partial"),
    [
        ("A. 桨叶、B. 电池 电量", 1, 1),
        ("AB", 1, 1),
        ("答案：A、B。", 1, 1),
        ("B.电池电量、A.桨叶", 1, 1),
        ("Ａ", 0, 0.5),
        ("A. 桨叶", 0, 0.5),
        ("ABD", 0, 0),
        ("桨叶和电池电量", 1, 1),
        ("不知道", 0, 0),
        ("", 0, 0),
    ],
)
def test_an_exam_item_is_right_when_exactly_the_right_options_are_chosen(reply, exact, partial):
    asked = question("choice", EXAM, "A. 桨叶、B. 电池 电量")

    assert exams.score(asked, reply) == {"exact": exact, "partial": partial}


@pytest.mark.parametrize(("answer", "right"), [("B", "B"), ("A. 桨叶", "A"), ("天气", "C"), ("A、C", "AC"), ("E", ""), ("月亮", "")])
def test_the_right_options_are_those_that_the_answer_names(answer, right):
    assert exams.right_options(question("choice", EXAM, answer)) == frozenset(right)


def test_the_likeliest_option_is_that_of_the_model(tiny_model):
    checkpoint = ask.load(tiny_model, batch_tokens=256, precision="fp32")
    texts = {"A": "桨叶", "B": "电池", "C": "天气"}
    listed = "".join(f"\n{letter}. {text}" for letter, text in texts.items())
    prompt = checkpoint.chat.prompt(question("choice", f"检查什么？{listed}").messages)
    means = ask.token_means(checkpoint, [(prompt, f"{letter}. {text}") for letter, text in texts.items()])
    best = max(texts, key=lambda letter: means[list(texts).index(letter)])
    lengths = {"other": 2}

    asked = [question("choice", f"检查什么？{listed}", answer) for answer in texts]
    rows = predict.answers(checkpoint, asked, lengths)

    assert [row.values["likeliest"] for row in rows] == [float(letter == best) for letter in texts]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("出自《消防法》第五条。", {}),
        ("《消防法》第六条", {"wrong_number"}),
        ("《消防法》第九十九条", {"invented"}),
        ("《道路法》第五条", {"wrong_title"}),
        ("《道路法》第五条、第九十九条", {"wrong_title", "invented"}),
        ("不清楚", {"uncited"}),
    ],
)
def test_what_is_wrong_with_a_citation(reply, expected):
    asked = question("cite", "“任何单位”出自《消防法》哪一条？", "第五条", ["第六条", "第七条"])

    assert {name for name, value in citations.score(asked, reply).items() if value} == set(expected)


@pytest.mark.parametrize(
    ("reply", "share"),
    [
        ("起飞前检查桨叶和电池", 0),
        ("红色红色红色红色", 1 - 2 / 5),
        ("不得飞行。" * 10, 1 - 4 / 37),
        ("a b c d a b c d", 1 - 4 / 5),
        ("短", 0),
        ("", 0),
    ],
)
def test_repetition_is_the_share_of_four_grams_that_come_again(reply, share):
    assert replies.repeated(reply) == pytest.approx(share)


def test_refusals_count_against_a_model_inside_the_domain_and_for_it_outside():
    no = "抱歉，我无法回答这个问题。"
    inside, outside = question(), question("outside", "今天吃什么？", no)

    rows = [predict.judged(asked, "", reply, []) for asked in (inside, outside) for reply in (no, "红色")]

    found = metrics.measured(rows, 10, 0)
    assert {name: (found[name]["value"], found[name]["count"]) for name in ("wrong_refusals", "outside_refused")} == {
        "wrong_refusals": (0.5, 2),
        "outside_refused": (0.5, 2),
    }


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("您今年多大？发烧几天了？", {"asked": 1, "complete": 1, "needless": 0}),
        ("请问您多大年龄？", {"asked": 0.5, "complete": 0, "needless": 0}),
        ("您喜欢什么颜色？多大了？", {"asked": 0.5, "complete": 0, "needless": 1}),
        ("多喝水。", {"asked": 0, "complete": 0}),
    ],
)
def test_asking_back_counts_what_is_needed_and_what_is_not(reply, expected):
    found = inquiries.score(question("inquire", "我发烧了", "年龄/多大/几岁\n几天/多久/什么时候"), reply)

    assert {name: found[name] for name in expected} == expected
    assert ("needless" in found) == ("needless" in expected)


def labelled(cells: dict[tuple[str, str], int]) -> list:
    """Classified items, so many of each (actual, called)."""
    rows = []
    for (actual, called), count in cells.items():
        for _ in range(count):
            place = str(len(rows))
            rows.append(
                prediction(
                    "classify", id=place, group=place, answer=actual, label=called, options=["有风险", "无风险"], exact=actual == called
                )
            )
    return rows


def test_the_results_of_roadsafety_follow_from_its_confusion_matrix():
    rows = labelled({("有风险", "有风险"): 303, ("有风险", "无风险"): 20, ("无风险", "有风险"): 20, ("无风险", "无风险"): 136})

    found = metrics.measured(rows, 200, 0)

    first, second = 2 * 303 / (2 * 303 + 40), 2 * 136 / (2 * 136 + 40)
    assert found["classify_accuracy"]["value"] == pytest.approx(439 / 479, abs=1e-6)
    assert found["classify_macro_f1"]["value"] == pytest.approx((first + second) / 2, abs=1e-6)
    assert found["classify_weighted_f1"]["value"] == pytest.approx((323 * first + 156 * second) / 479, abs=1e-6)
    assert metrics.confusion_rows(rows)[:2] == [("有风险", "有风险", 303), ("有风险", "无风险", 20)]


def test_its_mcnemar_against_glm_4_is_not_significant():
    """418 items are right by both, 32 by GLM-4 alone, 21 by RoadSafety alone, 8 by neither."""
    both = [(1, 1)] * 418 + [(1, 0)] * 32 + [(0, 1)] * 21 + [(0, 0)] * 8
    glm, road = ([prediction("classify", id=str(i), group=str(i), exact=pair[side]) for i, pair in enumerate(both)] for side in (0, 1))

    change = metrics.change(metrics.named("classify_accuracy"), road, glm, 200, 0)

    assert round(change["chance"], 2) == 0.17
    assert change["after_value"] == pytest.approx(450 / 479, abs=1e-6)
    assert change["before_value"] == pytest.approx(439 / 479, abs=1e-6)


def test_every_question_has_the_values_of_its_scorers_and_those_of_any_reply():
    assert {"repeated", "refused", "exact"} <= set(values_of(question("poem", "写诗", "春眠不觉晓"), "春眠"))
