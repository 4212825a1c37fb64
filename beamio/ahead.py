"""Work that threads do ahead of the one that takes its results."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
