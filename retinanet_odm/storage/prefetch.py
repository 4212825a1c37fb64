"""Reading ahead: threads work on the next items while the caller handles the ones before.

`map_ahead` works on several items at once; `start_ahead` runs an iterator in one thread, before anybody asks for it.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# A request to gs:// takes some 50 ms, during which its thread only waits. As many images are in memory at once.
THREADS = 8
ITEMS = 16


def map_ahead(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    pool: Executor,
    *,
    ahead: int = THREADS - 1,
    at_once: bool = False,
) -> Iterator[_Result]:
    """Yield what `map` would, in its order; the pool works on the next items meanwhile.

    An exception is raised in place of the result.

    Args:
      work: The function; threads call it.
      items: Its arguments, which are taken only as needed.
      pool: Runs the work. Several iterators may share it.
      ahead: The number of items that are worked on before their results are requested; bounds the memory.
      at_once: Whether the first items are worked on from now on; otherwise, nothing is done before the first result is
        requested.
    """
    left = iter(items)
    # A generator would do nothing before it is asked: what is done at once is done here.
    first = [pool.submit(work, item) for item in itertools.islice(left, ahead if at_once else 0)]
    return _results(work, left, pool, deque(first), ahead)


def _results(
    work: Callable[[_Item], _Result],
    items: Iterator[_Item],
    pool: Executor,
    waiting: deque[Future[_Result]],
    ahead: int,
) -> Iterator[_Result]:
    # Results wait in the order of their items, so one slow item holds up at most `ahead` others.
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def start_ahead(items: Iterator[_Item], pool: Executor) -> Iterator[_Item]:
    """Yield the items of an iterator; a thread takes the first ITEMS of them at once, the next while those are used.

    An exception of the iterator is raised when its block of items is requested.
    """
    # The first block is submitted here, not at the first request: `_blocks` is a generator, which runs only when asked.
    return _blocks(items, pool, pool.submit(_take_block, items))


def _blocks(items: Iterator[_Item], pool: Executor, pending: Future[list[_Item]]) -> Iterator[_Item]:
    while len(block := pending.result()) == ITEMS:
        # Only one block is taken at a time, so no two threads ever advance the iterator together.
        pending = pool.submit(_take_block, items)
        yield from block
    yield from block  # a short one is the last, and needs no thread to find that out


def _take_block(items: Iterator[_Item]) -> list[_Item]:
    return list(itertools.islice(items, ITEMS))
