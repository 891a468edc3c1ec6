"""Corrected answers are taken into the corpus together, once there are enough of them."""

from pathlib import Path

import pytest

from lingyu.retrain import triggers
from lingyu.retrain.triggers import Feedback, Look
from lingyu.serve import feedback
from lingyu.stage import StageError


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "corpus").mkdir()
    return tmp_path / "corpus"


def corrected(folder: Path, *numbers: int) -> None:
    store = feedback.Store(folder)
    for number in numbers:
        messages = [{"role": "user", "content": f"问题{number}？"}]
        vote = {"rating": "down", "messages": messages, "answer": "错", "correction": f"答案{number}", "passage": {"source": "rules.md"}}
        store.keep(feedback.Feedback.model_validate(vote))


def test_corrections_wait_until_there_are_enough_and_are_taken_once(corpus, tmp_path):
    params = Feedback(folder=str(tmp_path / "feedback"), count=3)
    corrected(tmp_path / "feedback", 1, 2)

    assert triggers.taken(params, corpus, at_once=False) == Look("feedback 反馈", "2 of 3 corrected answers")
    assert not (corpus / triggers.TAKEN).exists()

    corrected(tmp_path / "feedback", 3)
    with (tmp_path / "feedback" / triggers.CORRECTED).open("ab") as file:
        file.write(b'{"question": "half a li')
    assert triggers.taken(params, corpus, at_once=False).fires
    taken = (corpus / triggers.TAKEN).read_bytes()
    assert taken.count(b"\n") == 3
    assert b"half" not in taken

    assert (corpus / "feedback" / "retrieval_set.jsonl").read_bytes().count(b'"source": "rules.md"') == 3

    assert triggers.taken(params, corpus, at_once=False).figure == "0 of 3 corrected answers"
    corrected(tmp_path / "feedback", 4)
    assert triggers.taken(params, corpus, at_once=True).fires
    assert (corpus / triggers.TAKEN).read_bytes().startswith(taken)


def test_without_any_vote_nothing_is_taken(corpus, tmp_path):
    assert not triggers.taken(Feedback(folder=str(tmp_path / "none"), count=1), corpus, at_once=True).fires
    assert list(corpus.iterdir()) == []


def test_a_folder_inside_the_corpus_is_refused(corpus):
    with pytest.raises(StageError, match=r"is inside the corpus .*LINGYU_FEEDBACK"):
        triggers.taken(Feedback(folder=str(corpus / "feedback")), corpus, at_once=False)
