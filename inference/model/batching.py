"""Batches of images, and calls of the model that survive a bad image and a lack of memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from inference.model.options import ModelOptions
from retinanet_odm.imaging.images import EncodedImage

_T = TypeVar("_T")
_R = TypeVar("_R")

_BYTES_PER_PIXEL = 3


class CallError(Exception):
    """A call of the model raised an error."""


class MemoryShortError(CallError):
    """A call of the model needs more memory than there is."""


class BatchSplitter:
    """Calls a function on batches; retries a failing batch in halves to isolate the failing item.

    Attributes:
      max_items: maximum number of items in one call. It is reduced for good when memory is exhausted.
    """

    def __init__(self, max_items: int) -> None:
        self.max_items = max_items

    def run(self, call: Callable[[Sequence[_T]], Sequence[_R]], items: Sequence[_T]) -> list[_R | CallError]:
        """Returns the result for each item, in order, or the error of a call with that item alone.

        Args:
          call: returns a result for each item, in order, or raises CallError for all of them.
          items: any number of items.
        """
        results: list[_R | CallError] = []
        while len(results) < len(items):  # a batch may reduce max_items for the next one
            results += self._call(call, items[len(results) : len(results) + self.max_items])
        return results

    def _call(self, call: Callable[[Sequence[_T]], Sequence[_R]], items: Sequence[_T]) -> list[_R | CallError]:
        try:
            return list(call(items))
        except CallError as error:
            if len(items) == 1:
                return [error]
            # Halving finds one bad item among n in about 2 log2(n) calls; all others still share a call.
            half = (len(items) + 1) // 2
            results = [*self._call(call, items[:half]), *self._call(call, items[half:])]
            # An item that does not fit even alone is no evidence of how many others fit together.
            if isinstance(error, MemoryShortError) and not any(isinstance(r, MemoryShortError) for r in results):
                self.max_items = min(self.max_items, half)
            return results


def capacity(options: ModelOptions) -> int:
    """Returns the maximum weight of a batch: batch_megabytes, rounded up to a multiple of max_images."""
    return options.max_images * _min_weight(options)


def weight(image: EncodedImage, options: ModelOptions) -> int:
    """Returns the weight of an image: the bytes of its decoded pixels, within two bounds.

    It is at least the share of one image in a batch, so that a batch never holds more than max_images; and at most the
    whole batch, because Beam emits an empty batch before an element that fits into none.
    """
    return min(max(_BYTES_PER_PIXEL * image.width * image.height, _min_weight(options)), capacity(options))


def _min_weight(options: ModelOptions) -> int:
    return -(-options.batch_bytes // options.max_images)


def make_batches(images: Iterable[EncodedImage], options: ModelOptions) -> Iterator[list[EncodedImage]]:
    """Yields the images, in order, in batches as Beam forms them: each is filled before the next one begins."""
    # Greedy, like beam.BatchElements with element_size_fn: detect and the job form the same batches.
    batch: list[EncodedImage] = []
    room = capacity(options)
    for image in images:
        if batch and weight(image, options) > room:
            yield batch
            batch, room = [], capacity(options)
        batch.append(image)
        room -= weight(image, options)
    if batch:
        yield batch


def max_tiles(options: ModelOptions) -> int:
    """Returns the maximum number of tiles in one call of the model."""
    if options.tiling is None:
        return options.max_images
    return min(options.max_images, max(1, options.batch_bytes // (_BYTES_PER_PIXEL * options.tiling.side**2)))
