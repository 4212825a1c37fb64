"""Work that threads do ahead of the one that takes its results."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Loaded = TypeVar("_Loaded")


def prefetch(
    items: Iterable[_Item], load: Callable[[_Item], _Loaded], *, ahead: int, readers: ThreadPoolExecutor
) -> Iterator[tuple[_Item, Future[_Loaded]]]:
    """Each item and its loaded value, in order, while the readers load at most so many items ahead."""
    waiting: deque[tuple[_Item, Future[_Loaded]]] = deque()
    for item in items:
        waiting.append((item, readers.submit(load, item)))
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


Given = TypeVar("Given")
Made = TypeVar("Made")

# A request to gs:// takes some 50 ms, of which a thread does nothing but wait. So many images are in memory at once.
THREADS = 8
ITEMS = 16


def map_ahead(work: Callable[[Given], Made], items: Iterable[Given], pool: ThreadPoolExecutor) -> Iterator[Made]:
    """What map gives, in its order, up to THREADS ahead of what is taken.

    Nothing is done before the first is asked for. An error of the work comes where its result would have come.
    """
    for _, made in prefetch(items, work, ahead=THREADS - 1, readers=pool):
        yield made.result()


def start_ahead(items: Iterator[Made], pool: Executor) -> Iterator[Made]:
    """The items; a thread makes the first ITEMS of them from now on, and so many more while those before are taken."""
    return _blocks(items, pool, pool.submit(_block, items))


def _blocks(items: Iterator[Made], pool: Executor, coming: Future[list[Made]]) -> Iterator[Made]:
    while block := coming.result():
        coming = pool.submit(_block, items)
        yield from block


def _block(items: Iterator[Made]) -> list[Made]:
    return list(itertools.islice(items, ITEMS))
