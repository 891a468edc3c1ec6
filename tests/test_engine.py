"""Where work is done changes neither results nor their order."""

from functools import partial
from itertools import count, takewhile

import pytest

from lingyu.engine import AHEAD, in_order, mapped


@pytest.mark.parametrize("items", [0, 1, 2, 40])
def test_the_results_come_in_the_order_of_the_items(items):
    assert list(mapped("local", partial(pow, 2), range(items))) == [2**item for item in range(items)]


def test_no_more_is_begun_than_the_workers_need():
    begun = []

    results = in_order(lambda item: begun.append(item) or item, lambda job: job, takewhile(lambda _: True, count()), workers=3)

    assert [next(results), next(results)] == [0, 1]
    assert len(begun) == 3 * AHEAD + 1


def test_an_error_in_the_work_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(mapped("local", partial(divmod, 1), [1, 0, 2]))
