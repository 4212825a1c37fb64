"""ahead: the results of map, in its order; not one after the other, and never far ahead."""

import threading
import time
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.ahead import THREADS, ahead


@given(st.lists(st.integers(), max_size=40))
def test_the_results_of_map(items: list[int]) -> None:
    assert list(ahead(str, items)) == list(map(str, items))


def test_work_is_done_side_by_side() -> None:
    """Each of two waits for the other; one after the other would never end."""
    both = threading.Barrier(2)
    assert sorted(ahead(lambda _: both.wait(timeout=30), range(2))) == [0, 1]


def test_an_archive_without_end_is_not_read_to_memory() -> None:
    taken: list[int] = []
    results = ahead(taken.append, count())
    for _ in range(3):
        next(results)
    time.sleep(0.05)  # threads that ran further would show
    assert len(taken) <= THREADS + 3
    results.close()  # type: ignore[attr-defined]


def test_an_error_comes_in_its_place() -> None:
    results = ahead(lambda value: 1 // value, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
