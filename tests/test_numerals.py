"""Numerals as corpora, retrieval, checks and metrics read them."""

import pytest

from lingyu.text.numerals import value

READ = {
    "5": 5,
    "12": 12,
    "〇": 0,
    "十": 10,
    "十二": 12,
    "二十": 20,
    "二十一": 21,
    "二〇": 20,
    "一〇五": 105,
    "一百零三": 103,
    "一千零七十六": 1076,
    "两千零一": 2001,
    "一万二": 10002,
    "三万五千": 35000,
}


@pytest.mark.parametrize(("numeral", "number"), READ.items())
def test_a_numeral_is_read(numeral, number):
    assert value(numeral) == number
