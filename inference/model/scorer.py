"""What the model says about photographs, each failing alone; told with what the calls of the model took."""

import functools
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from PIL import Image

from inference.model.batching import BatchSplitter, CallError, MemoryShortError, make_batches, most_tiles
from inference.model.options import ModelOptions
from inference.model.outcome import Failure, ModelOutput
from inference.model.tiling import Piece, Pixels, Tiling, Window, cut_tiles, merge_tiles, plan_tiles
from retinanet_odm import exported_model
from retinanet_odm.errors import UsageError
from retinanet_odm.imaging.images import NOT_DECODABLE, EncodedImage, find_decode_error
from retinanet_odm.predictions.rows import MODEL_FAILED, MODEL_MEMORY_SHORT, MODEL_REFUSED

T = TypeVar("T")
R = TypeVar("R")

_GREY_SIDE, _GREY = 64, 128


class Detects(Protocol):
    """A model in memory (inference.model.saved_model); its methods raise CallError where TensorFlow gives an error."""

    def score(self, images: Sequence[EncodedImage]) -> list[ModelOutput]: ...

    def decode(self, image: EncodedImage) -> Pixels: ...

    def score_pixels(self, pixels: Pixels) -> list[ModelOutput]: ...


@dataclass
class Calls:
    """What calls of the model took.

    Attributes:
      sizes: photographs or tiles in each call that was answered; milliseconds: what it took.
      failed: calls that gave an error; split: those of them that were made again in halves.
    """

    sizes: list[int] = field(default_factory=list)
    milliseconds: list[int] = field(default_factory=list)
    failed: int = 0
    split: int = 0

    def timed(self, call: Callable[[Sequence[T]], Sequence[R]]) -> Callable[[Sequence[T]], Sequence[R]]:
        """The call, written down here each time."""

        def wrapped(items: Sequence[T]) -> Sequence[R]:
            start = time.monotonic()
            try:
                answers = call(items)
            except CallError:
                self.failed += 1
                self.split += len(items) > 1
                raise
            self.sizes.append(len(items))
            self.milliseconds.append(round(1000 * (time.monotonic() - start)))
            return answers

        return wrapped


class Scorer:
    """Asks a model about photographs, and their tiles; what it learns of the memory's size it keeps."""

    def __init__(self, model: Detects, *, name: str, options: ModelOptions, nms_iou: float) -> None:
        """name: of the model, for messages; nms_iou: from which overlap two boxes of a class are one animal's."""
        self._model = model
        self._name = name
        self._options = options
        self._nms_iou = nms_iou
        self._halving = BatchSplitter(options.most_images)
        self._halving_tiles = BatchSplitter(most_tiles(options))

    def score(self, photos: Sequence[EncodedImage]) -> tuple[list[ModelOutput | Failure], Calls]:
        """The answer for each photograph, in order, and what it took.

        Raises:
          UsageError: the model gives an error for all of them, and for a plain grey picture too: it is the model's
            fault, and failed rows would tell a hundred thousand times what one line tells.
        """
        calls = Calls()
        call = calls.timed(self._model.score)
        answers = [answer for batch in make_batches(photos, self._options) for answer in self._halving.run(call, batch)]
        if self._options.tiling is not None:
            cut = functools.partial(self._with_tiles, tiling=self._options.tiling, calls=calls)
            answers = [cut(photo, answer) for photo, answer in zip(photos, answers, strict=True)]
        if photos and all(isinstance(answer, CallError) for answer in answers):
            self._check_model()
        return [_explained(photo, answer) for photo, answer in zip(photos, answers, strict=True)], calls

    def _with_tiles(
        self, photo: EncodedImage, whole: ModelOutput | CallError, tiling: Tiling, calls: Calls
    ) -> ModelOutput | CallError:
        """The whole photograph's answer joined with those of its tiles: large animals are seen in it alone."""
        windows = plan_tiles(photo.height, photo.width, tiling)
        if isinstance(whole, CallError) or whole.status != exported_model.STATUS_OK or not windows:
            return whole
        try:
            found = self._score_tiles(photo, windows, calls)
        except CallError as error:  # a row made of some of its tiles would look like the whole
            return error
        pieces = [Piece(window=(0, 0, photo.height, photo.width), outcome=whole), *found]
        return merge_tiles(pieces, photo.height, photo.width, iou=self._nms_iou, how=tiling.merge)

    def _score_tiles(self, photo: EncodedImage, windows: Sequence[Window], calls: Calls) -> list[Piece]:
        pixels = self._model.decode(photo)

        def call(some: Sequence[Window]) -> list[ModelOutput]:
            return self._model.score_pixels(cut_tiles(pixels, some))

        pieces = []
        for window, answer in zip(windows, self._halving_tiles.run(calls.timed(call), windows), strict=True):
            if isinstance(answer, CallError):
                raise answer
            pieces.append(Piece(window=window, outcome=answer))
        return pieces

    def _check_model(self) -> None:
        try:
            self._model.score([_grey_picture()])
            if self._options.tiling is not None:
                self._model.score_pixels(np.full((1, _GREY_SIDE, _GREY_SIDE, 3), _GREY, np.uint8))
        except CallError as error:
            raise UsageError(
                f"--model: {self._name} gives an error for every photograph, and for a plain grey picture too: {error}"
            ) from error


def _explained(photo: EncodedImage, answer: ModelOutput | CallError) -> ModelOutput | Failure:
    """Where there is no answer, whether the photograph is to blame: before, perhaps only its header was looked at."""
    if isinstance(answer, ModelOutput) and answer.status == exported_model.STATUS_OK:
        return answer
    if isinstance(answer, MemoryShortError):
        return Failure(reason=MODEL_MEMORY_SHORT, why=f"memory runs short even with this photograph alone: {answer}")
    damage = find_decode_error(photo.data)
    if damage is not None:
        return Failure(reason=NOT_DECODABLE, why=damage)
    if isinstance(answer, CallError):
        return Failure(reason=MODEL_FAILED, why=f"the model gives an error with this photograph alone: {answer}")
    return Failure(reason=MODEL_REFUSED, why=f"the model gave status {answer.status}")


@functools.cache
def _grey_picture() -> EncodedImage:
    buffer = io.BytesIO()
    size = (_GREY_SIDE, _GREY_SIDE)
    Image.new("RGB", size, (_GREY, _GREY, _GREY)).save(buffer, "PNG")
    return EncodedImage(data=buffer.getvalue(), format="png", width=size[0], height=size[1], full_size=size)
