"""Work that threads do ahead of the one that takes its results: images are read and decoded while the model runs."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

# A request to gs:// takes some 50 ms, of which a thread does nothing but wait. So many images are in memory at once.
THREADS = 8


def ahead(work: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
    """What map gives, in its order, up to THREADS items ahead of what is taken.

    An error of the work comes where its result would have come. Threads end with the iterator.
    """
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
