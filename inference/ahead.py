"""Work that threads do ahead of the one that takes its results: images are read and decoded while the model runs."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from beamio.ahead import prefetch

Given = TypeVar("Given")
Made = TypeVar("Made")

# A request to gs:// takes some 50 ms, of which a thread does nothing but wait. So many images are in memory at once.
THREADS = 8


def ahead(work: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
    """What map gives, in its order, up to THREADS items ahead of what is taken.

    An error of the work comes where its result would have come. Threads end with the iterator.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        for _, made in prefetch(items, work, ahead=THREADS - 1, readers=pool):
            yield made.result()
