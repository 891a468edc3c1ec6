"""What statutes, negations and sentences look like in a text: one home for each, read alike by every stage."""

import re
from pathlib import Path

import pytest

from lingyu.text.legal import cited, titles
from lingyu.text.negation import denials, denies, without_negation
from lingyu.text.numerals import figure
from lingyu.text.questions import asks
from lingyu.text.sentences import sentences

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("text", "articles"),
    [
        ("第五条和第 28 条", ["5", "28"]),
        ("第二十八条之一", ["28-1"]),
        ("第两百条", ["200"]),
        ("第５条", ["5"]),
        ("Article 5, Section 12a, art. 3", ["5", "12a", "3"]),
        ("第五章", []),
        ("particle 5", []),
    ],
)
def test_the_articles_that_a_text_names_have_one_form(text, articles):
    assert cited(text) == articles


def test_a_title_is_the_same_with_and_without_the_name_of_the_state():
    assert titles("《中华人民共和国消防法》和《消防法》") == {"消防法"}


@pytest.mark.parametrize(("text", "value"), [("1.2万", 12000), ("12,000", 12000), ("一万二千", 12000), ("3亿", 3e8), ("5百", 500)])
def test_a_figure_has_one_value(text, value):
    assert figure(text) == value


def test_a_sentence_denies_by_words_and_an_answer_by_characters():
    assert (denies("不同型号的续航"), denials("不同型号的续航")) == (False, 1)
    assert (denies("夜间不得飞行"), denials("并非六级，也不是五级")) == (True, 2)
    assert denials("无人机非常稳定") == 0


@pytest.mark.parametrize(
    ("text", "reversed_"), [("夜间不得飞行。", "夜间可以飞行。"), ("不得不飞。", None), ("Never fly.", "always fly."), ("应当飞行。", None)]
)
def test_a_rule_loses_its_first_negation(text, reversed_):
    assert without_negation(text) == reversed_


def test_sentences_together_are_the_text():
    text = "第一句。“第二句！”第三句 3.5 米; last. End"

    assert "".join(sentences(text)) == text
    assert len(sentences(text)) == 5


def test_a_question_ends_in_its_mark():
    assert [text for text in ("好吗？", "Really? ", "好。") if asks(text)] == ["好吗？", "Really? "]


def test_no_other_file_spells_the_number_of_an_article_or_a_chinese_numeral_for_itself():
    home = ROOT / "lingyu" / "text"
    spelt = re.compile("〇零一二|零一二三|一二三四五六七八九十百千|第\\[")
    others = [path for path in (ROOT / "lingyu").rglob("*.py") if path.parent != home]

    assert len(others) > 100
    assert [str(path.relative_to(ROOT)) for path in others if spelt.search(path.read_text(encoding="utf-8"))] == []
