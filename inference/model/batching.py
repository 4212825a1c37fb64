"""Calling a model on many items, so that one that cannot be scored fails alone, and short memory is lived with."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from inference.model.options import ModelOptions
from retinanet_odm.imaging.images import EncodedImage

T = TypeVar("T")
R = TypeVar("R")


class CallError(Exception):
    """The model gave an error in place of an answer."""


class MemoryShortError(CallError):
    """A call needs more memory than there is."""


class BatchSplitter:
    """Calls of at most ``most`` items; a call that fails is made again in two halves, down to the guilty item.

    Attributes:
      most: the most items in one call. It shrinks when memory runs short, and stays so.
    """

    def __init__(self, most: int) -> None:
        self.most = most

    def run(self, call: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R | CallError]:
        """The answer for each item, in order, or the error of a call with that item alone.

        Args:
          call: answers each item, in order, or raises CallError for all of them.
          items: any number.
        """
        answers: list[R | CallError] = []
        while len(answers) < len(items):  # the step may shrink on the way
            answers += self._ask(call, items[len(answers) : len(answers) + self.most])
        return answers

    def _ask(self, call: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R | CallError]:
        try:
            return list(call(items))
        except CallError as error:
            if len(items) == 1:
                return [error]
            half = (len(items) + 1) // 2
            answers = [*self._ask(call, items[:half]), *self._ask(call, items[half:])]
            # An item that does not fit even alone says nothing about how many others fit together.
            if isinstance(error, MemoryShortError) and not any(isinstance(a, MemoryShortError) for a in answers):
                self.most = min(self.most, half)
            return answers


_BYTES_PER_PIXEL = 3


def capacity(options: ModelOptions) -> int:
    """What the weights of a batch may add up to: batch_megabytes, rounded up to a multiple of most_images."""
    return options.most_images * _share(options)


def weight(image: EncodedImage, options: ModelOptions) -> int:
    """Bytes of a batch that an image takes up: its decoded pixels, within two bounds.

    No less than its share of the batch, so that there are at most most_images in one; and no more than the batch,
    because Beam makes an empty batch before an element that fits into none.
    """
    return min(max(_BYTES_PER_PIXEL * image.width * image.height, _share(options)), capacity(options))


def make_batches(images: Iterable[EncodedImage], options: ModelOptions) -> Iterator[list[EncodedImage]]:
    """The images, in order, in batches as Beam makes them: each is as full as can be."""
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


def most_tiles(options: ModelOptions) -> int:
    """The most tiles in one call of the model."""
    if options.tiling is None:
        return options.most_images
    return min(options.most_images, max(1, options.batch_bytes // (_BYTES_PER_PIXEL * options.tiling.side**2)))


def _share(options: ModelOptions) -> int:
    return -(-options.batch_bytes // options.most_images)
