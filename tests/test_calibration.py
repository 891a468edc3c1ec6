"""When to refuse, what known questions teach, and how signals are fused: each on numbers that show it."""

import numpy as np
import pytest

from lingyu.retrieve import calibration
from lingyu.retrieve.calibration import fitted
from lingyu.retrieve.fusion import gain, top
from lingyu.retrieve.questions import Asked, Keys, everyday, learnt, sampled, unit


def signals(meaning, elsewhere=0.0):
    return {"meaning": meaning, "elsewhere": elsewhere, "words": 0.0}


# 100 questions in each language; the English ones are all further from the passages.
ELSEWHERE = [
    *[(f"问{number}？", signals(number / 100)) for number in range(100)],
    *[(f"ask {number}?", signals(number / 100 - 1)) for number in range(100)],
]


def test_without_dev_questions_few_everyday_ones_pass_in_either_language():
    made, curve = fitted(ELSEWHERE, [])

    passed = [[made.probability(*one) >= made.threshold for one in ELSEWHERE[start : start + 100]] for start in (0, 100)]
    assert [sum(one) / 100 <= calibration.PASS + 0.01 for one in passed] == [True, True]
    assert made.probability("问？", signals(1.5)) > 0.9 > 0.5 > made.probability("问？", signals(0.5))
    assert made.probability("ask?", signals(0.5)) > 0.9
    assert [point["wrongly_answered"] for point in curve] == sorted((point["wrongly_answered"] for point in curve), reverse=True)


def test_a_question_close_to_everyday_ones_is_less_likely_to_be_answered():
    spread = [(question, signals(values["meaning"], number % 10 / 10)) for number, (question, values) in enumerate(ELSEWHERE)]
    made, _ = fitted(spread, [])

    assert made.probability("问？", signals(0.9, 0.9)) < made.probability("问？", signals(0.9, 0.1))


def test_dev_questions_choose_weights_and_threshold():
    inside = [(f"答{number}？", {**signals(0.5), "words": 5.0 + number % 3}) for number in range(60)]
    outside = [(question, {**values, "words": number % 5 / 5}) for number, (question, values) in enumerate(ELSEWHERE)]

    made, curve = fitted(outside, inside)

    assert made.weights["words"] > 0.5
    best = min(point["wrongly_refused"] + point["wrongly_answered"] for point in curve)
    chosen = next(point for point in curve if point["threshold"] == made.threshold)
    assert chosen["wrongly_refused"] + chosen["wrongly_answered"] == best < 0.05


def test_words_alone_are_calibrated_too():
    made, _ = fitted([(f"问{number}？", {"words": number / 100}) for number in range(100)], [])

    assert made.probability("问？", {"words": 2.0}) > 0.9 > made.threshold


def vectors(*angles):
    return np.array([[np.cos(angle), np.sin(angle), 0.3] for angle in angles], np.float32)


def test_a_passage_is_found_by_the_questions_it_is_known_to_answer(tmp_path):
    asked = [Asked("甲", frozenset({"a"})), Asked("乙", frozenset({"a"})), Asked("丙", frozenset({"c"}))]
    questions, passages = vectors(0.0, 0.2, 3.0), vectors(1.5, 1.6, 1.7)
    keys, left_out = learnt(asked, questions, passages, {"a": 0, "b": 1, "c": 2})
    keys.save(tmp_path / "keys")

    scores, closest = Keys.load(tmp_path / "keys").scores(vectors(0.1)[0], 3)

    assert np.argmax(scores) == 0
    assert scores[1] == 0
    assert closest > 0.9
    # Left out, the first question still leads to its passage, through the second, but less surely than when it is known.
    assert np.argmax(left_out[0]) == 0
    assert 0 < left_out[0][0] < keys.scores(questions[0], 3)[0][0]


def test_the_same_keys_have_the_same_bytes(tmp_path):
    asked = [Asked(str(number), frozenset({str(number % 3)})) for number in range(30)]
    rows = unit(np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32))
    for name in "ab":
        learnt(asked, rows, rows[:3], {"0": 0, "1": 1, "2": 2})[0].save(tmp_path / name)

    assert [
        (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in ("samples.npy", "coefficients.npy")
    ] == [
        True,
        True,
    ]


def test_everyday_questions_are_many_each_once_and_in_both_languages():
    found = everyday()

    assert len(set(found)) == len(found) > 100
    assert sum(question.isascii() for question in found) > 30


@pytest.mark.parametrize(
    ("values", "count", "places"), [([1, 3, 2], 2, [1, 2]), ([1, 1, 1], 2, [0, 1]), ([2, 1, 2, 2], 3, [0, 2, 3]), ([1], 0, [])]
)
def test_the_best_places_are_taken_the_first_of_equals_first(values, count, places):
    assert top(np.array(values, np.float32), count).tolist() == places


def test_the_gain_is_one_where_all_right_passages_come_first():
    order = np.array([5, 4, 3, 2, 1], np.float32)

    assert gain(order, [0, 1]) == pytest.approx(1.0)
    assert gain(order, [4]) == pytest.approx(1 / np.log2(6))


@pytest.mark.parametrize(("items", "most", "kept"), [(0, 3, []), (3, 3, [0, 1, 2]), (4, 3, [0, 2]), (10, 3, [0, 4, 8])])
def test_some_are_taken_evenly_over_the_whole(items, most, kept):
    assert sampled(list(range(items)), most) == kept
