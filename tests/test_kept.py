"""What a checkpoint answered is asked once, whatever kills the run, and nothing else is ever taken for its answer."""

import dataclasses
import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest
from test_evaluate import LENGTHS, PARAMS, QUESTIONS, preference, question, write_items

from lingyu.evaluate import ask, kept, predict
from lingyu.evaluate.settings import NewTokens
from stages import evaluate


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "answers"


def checkpoint_of(model, folder, **settings):
    return ask.load(model, **{"batch_tokens": 256, "precision": "fp32", "kept": folder, "keep_mb": 8, **settings})


def unread(checkpoint):
    """The checkpoint of which nothing may be asked."""

    def refuse():
        raise AssertionError("the model was asked")

    return dataclasses.replace(checkpoint, read=refuse)


def answers(checkpoint, questions=QUESTIONS, lengths=LENGTHS):
    return predict.answers(checkpoint, questions, lengths.model_dump())


def rows_in(folder):
    found = 0
    for path in folder.glob("*.sqlite"):
        with sqlite3.connect(path) as base:
            found += base.execute("SELECT count(*) FROM answers").fetchone()[0]
    return found


def test_the_second_run_asks_nothing_and_writes_the_same_bytes(tmp_path, tiny_model, tiny_reward_model, folder, monkeypatch):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "model").symlink_to(tiny_model)
    items = write_items(tmp_path / "test", QUESTIONS, ["春天来了，" * 9], ["夜里下雨。"], [preference("红色", "白色")])

    evaluate.run(PARAMS, tmp_path, tiny_reward_model, items, out=tmp_path / "without")
    evaluate.run(PARAMS, tmp_path, tiny_reward_model, items, out=tmp_path / "first", kept=folder)
    monkeypatch.setattr(ask, "load_model", None)
    monkeypatch.setattr(predict, "load_scorer", None)
    evaluate.run(PARAMS, tmp_path, tiny_reward_model, items, out=tmp_path / "second", kept=folder)

    without, first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("without", "first", "second")
    )
    assert without == first == second
    # A reply to each question, the likelihoods of two texts and of two replies, the rewards of two replies.
    assert rows_in(folder) == len(QUESTIONS) + 2 + 2 + 2


def test_what_is_asked_twice_has_one_answer_with_and_without_what_is_kept(tiny_model, folder):
    texts = ["春天来了", "夜里下雨" * 5, "春天来了", "a", "春天来了"]
    checkpoint = checkpoint_of(tiny_model, folder)

    first = ask.nats_of_texts(checkpoint, texts, stride=16)

    assert first[0] == first[2] == first[4]
    assert ask.nats_of_texts(ask.load(tiny_model, 256, "fp32"), texts, 16) == first == ask.nats_of_texts(unread(checkpoint), texts, 16)


def test_a_new_item_asks_that_item_alone(tiny_model, folder):
    answers(checkpoint_of(tiny_model, folder))
    before = rows_in(folder)

    again = answers(checkpoint_of(tiny_model, folder), [*QUESTIONS, question(asked="新的问题？")])

    assert rows_in(folder) == before + 1
    assert again == answers(ask.load(tiny_model, 256, "fp32"), [*QUESTIONS, question(asked="新的问题？")])


def test_longer_replies_another_prompt_or_other_settings_ask_again(tiny_model, folder):
    checkpoint = checkpoint_of(tiny_model, folder)
    answers(checkpoint)

    answers(unread(checkpoint))
    longer, reworded = NewTokens(**{**LENGTHS.model_dump(), "fact": 7}), [question(asked="云雀是什么颜色？")]
    for asked, lengths in ((QUESTIONS, longer), (reworded, LENGTHS)):
        with pytest.raises(AssertionError, match="was asked"):
            answers(unread(checkpoint), asked, lengths)
    with pytest.raises(AssertionError, match="was asked"):
        answers(unread(checkpoint_of(tiny_model, folder, precision="bf16")))


def test_another_template_or_weight_is_another_checkpoint(tmp_path, tiny_model, folder):
    answers(checkpoint_of(tiny_model, folder))
    other = shutil.copytree(tiny_model, tmp_path / "other")
    answers(unread(checkpoint_of(other, folder)))

    (other / "README.md").write_text("other bytes")

    with pytest.raises(AssertionError, match="was asked"):
        answers(unread(checkpoint_of(other, folder)))


def test_an_entry_that_was_damaged_is_asked_again(tiny_model, folder):
    first = answers(checkpoint_of(tiny_model, folder))
    with sqlite3.connect(next(folder.glob("*.sqlite"))) as base:
        base.execute("UPDATE answers SET value = '\"wrong\"'")

    assert answers(checkpoint_of(tiny_model, folder)) == first
    answers(unread(checkpoint_of(tiny_model, folder)))


def test_a_file_that_cannot_be_read_is_replaced(tiny_model, folder, capsys):
    first = answers(checkpoint_of(tiny_model, folder))
    file = next(folder.glob("*.sqlite"))
    file.write_bytes(b"\0garbage" * 999)

    assert answers(checkpoint_of(tiny_model, folder)) == first
    assert str(file) in capsys.readouterr().out
    assert answers(checkpoint_of(tiny_model, folder)) == first
    answers(unread(checkpoint_of(tiny_model, folder)))


WRITER = """
import sys
from pathlib import Path
from lingyu.evaluate.kept import Kept
base, name = Kept(Path(sys.argv[1]), 2**30), sys.argv[2]
for number in range(10**9):
    base.keep((f"{name}-{number}-{place}", "x" * 99) for place in range(9))
    print(number, flush=True)
"""


def test_two_writers_killed_at_any_time_leave_whole_batches(tmp_path):
    file = tmp_path / "answers" / "one.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(file), name], stdout=subprocess.PIPE) for name in "ab"]
    said = []
    for writer in writers:
        for _ in range(20):
            line = writer.stdout.readline()
        said.append(int(line))
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()

    found = kept.Kept(file, 2**30)
    for name, last in zip("ab", said, strict=True):
        keys = [f"{name}-{number}-{place}" for number in range(last + 1) for place in range(9)]
        assert len(found.found(keys)) == len(keys)
    with sqlite3.connect(file) as base:
        assert base.execute("SELECT count(*) FROM answers").fetchone()[0] % 9 == 0


def test_what_was_used_longest_ago_is_removed_and_no_file_outgrows_its_room(tmp_path, tiny_model, folder):
    folder.mkdir()
    for age, name in enumerate(("new", "old", "oldest")):
        (folder / f"{name}.sqlite").write_bytes(bytes(400_000))
        os.utime(folder / f"{name}.sqlite", (1e9 - age, 1e9 - age))

    kept.of(tiny_model, folder, 1)

    assert sorted(path.name for path in folder.glob("*.sqlite")) == ["new.sqlite"]
    small = kept.Kept(folder / "small.sqlite", 1)
    small.keep([("a", 1)])
    small.keep([("b", 1)])
    assert small.found(["a", "b"]) == {}
    assert kept.Kept(folder / "small.sqlite", 1).found(["a", "b"]) == {"a": 1}


def test_nothing_is_kept_where_nothing_is_to_be_kept(tiny_model, folder):
    answers(checkpoint_of(tiny_model, folder, keep_mb=0))
    answers(ask.load(tiny_model, 256, "fp32"))

    assert not folder.exists()
