"""Reading ahead: the results of map, in its order, worked on concurrently, and never far ahead."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.storage.prefetch import ITEMS, THREADS, map_ahead, start_ahead


@given(st.lists(st.integers(), max_size=40))
def test_the_results_of_map(items: list[int]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(map_ahead(str, items, pool)) == list(map(str, items))
        assert list(map_ahead(str, items, pool, at_once=True)) == list(map(str, items))


def test_work_is_done_side_by_side() -> None:
    """Each of two waits for the other; one after the other would never end."""
    both = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        assert sorted(map_ahead(lambda _: both.wait(timeout=30), range(2), pool)) == [0, 1]


def test_an_archive_without_end_is_not_read_to_memory() -> None:
    taken: list[int] = []
    with ThreadPoolExecutor(THREADS) as pool:
        results = map_ahead(taken.append, count(), pool)
        for _ in range(3):
            next(results)
        time.sleep(0.05)  # threads that ran further would show
    assert len(taken) <= THREADS + 3


@pytest.mark.parametrize(("at_once", "expected"), [(True, 3), (False, 0)], ids=["at once", "when asked"])
def test_when_the_work_begins(at_once: bool, expected: int) -> None:
    taken: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        results = map_ahead(taken.append, count(), pool, ahead=3, at_once=at_once)
    assert taken == list(range(expected)), "as far ahead as allowed, or not at all"
    results.close()  # type: ignore[attr-defined] # a generator


def test_order_and_bound() -> None:
    running, peak, lock = 0, 0, threading.Lock()
    pulled: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            pulled.append(number)
            yield number

    def load(number: int) -> int:
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        with lock:
            running -= 1
        return number * number

    with ThreadPoolExecutor(3) as pool:
        for number, result in enumerate(map_ahead(load, items(), pool, ahead=3)):
            assert result == number * number
            assert len(pulled) <= number + 4, "a shard of any length must fit in memory"
    assert pulled == list(range(20))
    assert peak <= 3


def test_an_error_comes_in_its_place() -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        results = map_ahead(lambda value: 1 // value, [1, 0, 1], pool)
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)


@given(st.lists(st.integers(), max_size=3 * ITEMS))
def test_what_is_begun_comes_completely_and_in_order(items: list[int]) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert list(start_ahead(iter(items), pool)) == items


def test_what_is_begun_is_worked_on_before_it_is_taken() -> None:
    taken: list[int] = []
    third = threading.Event()

    def items() -> Iterator[int]:
        for number in count():
            taken.append(number)
            if number == 2 * ITEMS:
                third.set()
            yield number

    with ThreadPoolExecutor(1) as pool:
        begun = start_ahead(items(), pool)
        while len(taken) < ITEMS:
            time.sleep(0.01)
        assert not third.wait(0.05), "one block, and no more"
        assert [next(begun) for _ in range(ITEMS + 1)] == list(range(ITEMS + 1))
        assert third.wait(30), "the next while this one is taken"


def test_an_error_of_what_is_begun_comes_when_it_is_taken() -> None:
    with ThreadPoolExecutor(1) as pool:
        begun = start_ahead(map(lambda value: 1 // value, [0]), pool)  # noqa: C417 - an iterator that fails
        with pytest.raises(ZeroDivisionError):
            next(begun)
