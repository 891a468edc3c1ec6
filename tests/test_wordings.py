"""Wordings are files that people edit: all that the code needs is in them, and a slip is named with its file and key."""

from typing import Annotated

import pytest
import yaml

from lingyu.generate import wordings
from lingyu.generate.llm import entity, judged, nvc
from lingyu.generate.rules import articles, classify, definitions, exams, keywords, knowledge, outside, situations, turns
from lingyu.generate.wordings import FOLDER, Phrases, Wordings, blanks, blanks_of
from lingyu.stage import StageError

USED = {
    "articles": articles, "classify": classify, "definitions": definitions, "entity": entity, "exams": exams, "judged": judged,
    "keywords": keywords, "knowledge": knowledge, "nvc": nvc, "outside": outside, "situations": situations, "turns": turns,
}  # fmt: skip


class Forms(Phrases):
    asked: Annotated[tuple[str, ...], blanks("e", "r")]
    train: Annotated[dict[str, tuple[str, ...]], blanks_of(cite=("t",))]
    end: str


GOOD = {"asked": ["{e}的{r}？"], "train": {"cite": ["《{t}》"]}, "end": "。"}


def written(tmp_path, monkeypatch, zh: dict, **more) -> Wordings[Forms]:
    (tmp_path / "made.yaml").write_text(yaml.safe_dump({"zh": zh, "en": GOOD, **more}, allow_unicode=True), encoding="utf-8")
    monkeypatch.setattr(wordings, "FOLDER", tmp_path)
    return Wordings("made", Forms)


def test_every_file_is_used_and_has_both_languages():
    own = {path.stem for path in FOLDER.glob("*.yaml")}

    assert own == {*USED, "given", "retrieval"}
    for module in USED.values():
        assert list(module.WORDINGS) == ["zh", "en"]


def test_a_wording_is_what_the_file_says(tmp_path, monkeypatch):
    assert written(tmp_path, monkeypatch, GOOD)["zh"].asked == ("{e}的{r}？",)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"asked": ["{e}？"]}, ["zh.asked", "lacks {r}"]),
        ({"asked": ["{e}{r}{v}"]}, ["zh.asked", "{v}"]),
        ({"asked": ["{e}{r}}"]}, ["zh.asked", "}}"]),
        ({"asked": "{e}{r}"}, ["zh.asked"]),
        ({"end": None}, ["zh.end"]),
        ({"ende": "。"}, ["zh.ende", "unknown key"]),
        ({"train": {}}, ["zh.train", "cite"]),
        ({"train": {"cite": ["《》"]}}, ["zh.train", "lacks {t}"]),
        ({"train": {"cite": ["《{t}》"], "recall": ["{t}"]}}, ["zh.train", "recall"]),
    ],
)
def test_a_slip_is_named_with_its_file_and_key(tmp_path, monkeypatch, change, named):
    found = written(tmp_path, monkeypatch, GOOD | change)

    with pytest.raises(StageError) as error:
        found["en"]

    assert all(text in str(error.value) for text in ["made.yaml", *named])


def test_a_language_that_is_missing_is_named(tmp_path, monkeypatch):
    (tmp_path / "made.yaml").write_text(yaml.safe_dump({"zh": GOOD}), encoding="utf-8")
    monkeypatch.setattr(wordings, "FOLDER", tmp_path)

    with pytest.raises(StageError, match=r"made\.yaml(.|\n)*en: missing"):
        Wordings("made", Forms)["zh"]


def test_what_a_skill_says_is_there_in_both_languages(tmp_path, monkeypatch):
    written(tmp_path, monkeypatch, GOOD, skills={"fact": {"zh": "技能"}})
    wordings.skills.cache_clear()

    with pytest.raises(StageError, match=r"made\.yaml: skills\.fact lacks en"):
        wordings.skills()
