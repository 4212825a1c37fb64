"""What the model says about photographs, each failing alone; told with what the calls of the model took."""

import functools
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from PIL import Image

from detection.errors import UsageError
from detection.images import EncodedImage
from detection.predictions import MODEL_FAILED, MODEL_MEMORY_SHORT
from inference.halving import CallError, Halving, MemoryShortError
from inference.rows import Failure, Outcome

T = TypeVar("T")
R = TypeVar("R")

_GREY_SIDE = 64


class Detects(Protocol):
    """A model in memory (inference.detector)."""

    def score(self, images: Sequence[EncodedImage]) -> list[Outcome]:
        """One Outcome per photograph, in order; raises CallError where the model gives an error."""


@dataclass
class Calls:
    """What calls of the model took.

    Attributes:
      sizes: photographs in each call that was answered; milliseconds: what it took.
      failed: calls that gave an error; split: those of them that were made again in halves.
    """

    sizes: list[int] = field(default_factory=list)
    milliseconds: list[int] = field(default_factory=list)
    failed: int = 0
    split: int = 0

    def timed(self, call: Callable[[Sequence[T]], list[R]]) -> Callable[[Sequence[T]], list[R]]:
        """The call, written down here each time."""

        def wrapped(items: Sequence[T]) -> list[R]:
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
    """Asks a model about photographs; what it learns of the memory's size it keeps."""

    def __init__(self, model: Detects, *, name: str, batch_size: int) -> None:
        """name: of the model, for messages; batch_size: the most photographs in one call."""
        self._model = model
        self._name = name
        self._halving = Halving(batch_size)

    def score(self, photos: Sequence[EncodedImage]) -> tuple[list[Outcome | Failure], Calls]:
        """The answer for each photograph, in order, and what it took.

        Raises:
          UsageError: the model gives an error for all of them, and for a plain grey picture too: it is the model's
            fault, and failed rows would tell a hundred thousand times what one line tells.
        """
        calls = Calls()
        answers = self._halving.run(calls.timed(self._model.score), photos)
        if photos and all(isinstance(answer, CallError) for answer in answers):
            self._check_model()
        return [_failure(answer) if isinstance(answer, CallError) else answer for answer in answers], calls

    def _check_model(self) -> None:
        try:
            self._model.score([_grey_picture()])
        except CallError as error:
            raise UsageError(
                f"--model: {self._name} gives an error for every photograph, and for a plain grey picture too: {error}"
            ) from error


def _failure(error: CallError) -> Failure:
    if isinstance(error, MemoryShortError):
        return Failure(reason=MODEL_MEMORY_SHORT, why=f"memory runs short even with this photograph alone: {error}")
    return Failure(reason=MODEL_FAILED, why=f"the model gives an error with this photograph alone: {error}")


@functools.cache
def _grey_picture() -> EncodedImage:
    buffer = io.BytesIO()
    size = (_GREY_SIDE, _GREY_SIDE)
    Image.new("RGB", size, (128, 128, 128)).save(buffer, "PNG")
    return EncodedImage(data=buffer.getvalue(), format="png", width=size[0], height=size[1], full_size=size)
