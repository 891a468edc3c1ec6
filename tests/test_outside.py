"""Questions that the assistant is not for: refused in words that the evaluation knows as a refusal."""

import pytest
from pydantic import ValidationError

from lingyu.evaluate.scorers.replies import refuses
from lingyu.generate.provenance import unheard
from lingyu.generate.rules import outside
from lingyu.generate.rules.taught import Taught
from lingyu.records import Document
from lingyu.retrieve.questions import everyday_by_language

ABOUT = {"zh": "法律", "en": "law"}


def taught(*languages):
    documents = [
        Document(id=code, source="a.md", place="1", licence="CC0", scope="domain", language=code, title="", section="", text="x")
        for code in languages
    ]
    return Taught(documents, [], [], [], [], [], seed=1)


def made(params, *languages):
    return list(outside.make(outside.Params.model_validate(params), taught(*languages), unheard))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_refusal_is_one_that_the_evaluation_knows(language):
    assert [form for form in outside.WORDINGS[language].refusal if not refuses(form.format(x=ABOUT[language]))] == []


def test_only_questions_of_the_languages_of_the_corpus_are_refused_each_once():
    rows = made({"questions": 30, "subject": ABOUT}, "zh")

    assert len(rows) == len({row.id for row in rows}) == 30
    assert {row.language for row in rows} == {"zh"}
    assert {row.messages[0].content for row in rows} <= set(everyday_by_language()["zh"])
    assert all("法律" in row.messages[1].content for row in rows)
    assert rows == made({"questions": 30, "subject": ABOUT}, "zh")


def test_questions_of_the_own_subject_are_left_out():
    everything, rest = (made({"questions": 200, "subject": ABOUT, "leave": leave}, "zh") for leave in ("", "工资|押金|起诉"))

    assert len(everything) > len(rest) > 60
    assert not any("押金" in row.messages[0].content for row in rest)


def test_it_is_off_by_default_and_a_pattern_that_is_none_is_refused():
    assert made({}, "zh") == []
    with pytest.raises(ValidationError, match="regular expression"):
        outside.Params(leave="(")
