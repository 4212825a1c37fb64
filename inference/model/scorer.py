"""Scores images with a model in memory, so that each bad image fails alone, and measures the calls of the model.

Begin with `Scorer`. `make_batches` forms its calls as Beam forms batches; `BatchSplitter` repeats a failed call in
halves.
"""

import dataclasses
import functools
import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from PIL import Image

from inference.model.options import ModelOptions
from inference.model.outcome import Failure, ModelOutput, drop_without_extent
from inference.model.tiling import Piece, RgbPixels, Tiling, cut_tiles, merge_tiles
from retinanet_odm import exported_model
from retinanet_odm.errors import UsageError
from retinanet_odm.imaging.images import EncodedImage
from retinanet_odm.imaging.tile_grid import Window
from retinanet_odm.predictions.rows import MODEL_FAILED, MODEL_MEMORY_SHORT, MODEL_REFUSED

_T = TypeVar("_T")
_R = TypeVar("_R")

_GREY_SIDE, _GREY = 64, 128
# RGB in uint8, as images are decoded.
_BYTES_PER_PIXEL = 3


class CallError(Exception):
    """A call of the model raised an error."""


class MemoryShortError(CallError):
    """A call of the model needs more memory than there is."""


class LoadedModel(Protocol):
    """A model in memory, such as inference.model.saved_model.Detector; its methods raise CallError."""

    def score(self, images: Sequence[EncodedImage]) -> list[ModelOutput]:
        """Return the output for each of one or more images, in order."""
        ...

    def decode(self, image: EncodedImage) -> RgbPixels:
        """Return RGB [height, width, 3]."""
        ...

    def score_pixels(self, pixels: RgbPixels) -> list[ModelOutput]:
        """Return the output for each image of RGB [N, height, width, 3], in order; boxes are in pixels of each."""
        ...


@dataclass
class CallStatistics:
    """Measurements of the calls of a model.

    Attributes:
      sizes: number of images or tiles in each successful call.
      milliseconds: duration of each successful call.
      failed: number of calls that raised an error.
      split: number of those that were repeated in halves.
    """

    sizes: list[int] = field(default_factory=list)
    milliseconds: list[int] = field(default_factory=list)
    failed: int = 0
    split: int = 0

    def measure(self, call: Callable[[Sequence[_T]], Sequence[_R]]) -> Callable[[Sequence[_T]], Sequence[_R]]:
        """Wrap a function that calls the model, and measure each call."""

        def measured(items: Sequence[_T]) -> Sequence[_R]:
            start = time.monotonic()
            try:
                results = call(items)
            except CallError:
                self.failed += 1
                self.split += len(items) > 1
                raise
            self.sizes.append(len(items))
            self.milliseconds.append(round(1000 * (time.monotonic() - start)))
            return results

        return measured


class Scorer:
    """Calls a model on images and their tiles. It remembers the batch sizes that fit into memory."""

    def __init__(self, model: LoadedModel, *, name: str, options: ModelOptions, nms_iou: float) -> None:
        """Prepare the calls.

        Args:
          model: to be called.
          name: of the model, for messages.
          options: batches and tiles.
          nms_iou: minimum IoU at which two boxes of a class are the same object.
        """
        self._model = model
        self._name = name
        self._options = options
        self._nms_iou = nms_iou
        # Two splitters, because an image and a tile take different amounts of memory.
        self._images = BatchSplitter(options.max_images)
        self._tiles = BatchSplitter(max_tiles(options))

    def score(self, images: Sequence[EncodedImage]) -> tuple[list[ModelOutput | Failure], CallStatistics]:
        """Return the result for each image, in order, and measurements of the calls.

        Raises:
          UsageError: the model fails on all images, and on a plain grey image too. Then the model is at fault, and the
            run ends with one line instead of a failed row for every image.
        """
        calls = CallStatistics()
        call = calls.measure(self._detect)
        # Beam has formed batches already, but detect has not, and memory may allow less than what Beam was told.
        results = [result for batch in make_batches(images, self._options) for result in self._images.run(call, batch)]
        if self._options.tiling is not None:
            add_tiles = functools.partial(self._add_tiles, tiling=self._options.tiling, calls=calls)
            results = [add_tiles(image, result) for image, result in zip(images, results, strict=True)]
        if images and all(isinstance(result, CallError) for result in results):
            self._check_model()
        return [_explain(result) for result in results], calls

    def _detect(self, images: Sequence[EncodedImage]) -> list[ModelOutput]:
        return [drop_without_extent(output) for output in self._model.score(images)]

    def _add_tiles(
        self, image: EncodedImage, untiled: ModelOutput | CallError, tiling: Tiling, calls: CallStatistics
    ) -> ModelOutput | CallError:
        """Merge the result of an image with those of its tiles; large objects are complete in the image alone."""
        windows = tiling.plan(image.height, image.width)
        # Most images need no more: small ones have no tiles, and a failed one stays failed.
        if isinstance(untiled, CallError) or untiled.status != exported_model.STATUS_OK or not windows:
            return untiled
        try:
            tiles = self._score_tiles(image, windows, calls)
        except CallError as error:  # a row made from some of the tiles would look complete
            return error
        pieces = [Piece(window=(0, 0, image.height, image.width), output=untiled), *tiles]
        merged = merge_tiles(pieces, image.height, image.width, iou=self._nms_iou, how=tiling.merge)
        # Of the complete image: so the training images were seen, too.
        return dataclasses.replace(merged, novelty=untiled.novelty)

    def _score_tiles(self, image: EncodedImage, windows: Sequence[Window], calls: CallStatistics) -> list[Piece]:
        pixels = self._model.decode(image)  # once per image; tiles are cut from these pixels

        def call(some: Sequence[Window]) -> list[ModelOutput]:
            # Before tiles are merged: a line at the edge of a tile is no part of an object.
            return [drop_without_extent(output) for output in self._model.score_pixels(cut_tiles(pixels, some))]

        pieces = []
        for window, result in zip(windows, self._tiles.run(calls.measure(call), windows), strict=True):
            if isinstance(result, CallError):
                raise result
            pieces.append(Piece(window=window, output=result))
        return pieces

    def _check_model(self) -> None:
        try:
            self._model.score([_grey_image()])
            if self._options.tiling is not None:
                self._model.score_pixels(np.full((1, _GREY_SIDE, _GREY_SIDE, 3), _GREY, np.uint8))
        except CallError as error:
            raise UsageError(
                f"--model: {self._name} fails on every image, and on a plain grey image too: {error}"
            ) from error


def _explain(result: ModelOutput | CallError) -> ModelOutput | Failure:
    """Turn an error into a Failure. The texts become part of the row: changing them changes files of users."""
    if isinstance(result, ModelOutput) and result.status == exported_model.STATUS_OK:
        return result
    # The order matters: first what no image is to blame for, then the image, and only then the model.
    if isinstance(result, MemoryShortError):
        return Failure(reason=MODEL_MEMORY_SHORT, why=f"memory runs short even with this image alone: {result}")
    if isinstance(result, CallError):
        return Failure(reason=MODEL_FAILED, why=f"the model gives an error with this image alone: {result}")
    return Failure(reason=MODEL_REFUSED, why=f"the model gave status {result.status}")


@functools.cache
def _grey_image() -> EncodedImage:
    buffer = io.BytesIO()
    size = (_GREY_SIDE, _GREY_SIDE)
    Image.new("RGB", size, (_GREY, _GREY, _GREY)).save(buffer, "PNG")
    return EncodedImage(data=buffer.getvalue(), format="png", width=size[0], height=size[1], full_size=size)


# --- Batches, and calls that survive a bad image and a lack of memory ---


class BatchSplitter:
    """Calls a function on batches; retries a failing batch in halves to isolate the failing item.

    Attributes:
      max_items: maximum number of items in one call. It is reduced for good when memory is exhausted.
    """

    def __init__(self, max_items: int) -> None:
        self.max_items = max_items

    def run(self, call: Callable[[Sequence[_T]], Sequence[_R]], items: Sequence[_T]) -> list[_R | CallError]:
        """Return the result for each item, in order, or the error of a call with that item alone.

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
    """Return the maximum weight of a batch: batch_megabytes, rounded up to a multiple of max_images."""
    return options.max_images * _min_weight(options)


def weight(image: EncodedImage, options: ModelOptions) -> int:
    """Return the weight of an image: the bytes of its decoded pixels, within two bounds.

    It is at least the share of one image in a batch, so that a batch never holds more than max_images; and at most the
    whole batch, because Beam emits an empty batch before an element that fits into none.
    """
    return min(max(_BYTES_PER_PIXEL * image.width * image.height, _min_weight(options)), capacity(options))


def _min_weight(options: ModelOptions) -> int:
    return -(-options.batch_bytes // options.max_images)


def make_batches(images: Iterable[EncodedImage], options: ModelOptions) -> Iterator[list[EncodedImage]]:
    """Yield the images, in order, in batches as Beam forms them: each is filled before the next one begins."""
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
    """Return the maximum number of tiles in one call of the model."""
    if options.tiling is None:
        return options.max_images
    return min(options.max_images, max(1, options.batch_bytes // (_BYTES_PER_PIXEL * options.tiling.side**2)))
