"""An exported model in memory. TensorFlow is imported when it is loaded and not before: the launcher needs none."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from detection import signatures
from detection.errors import ContractError
from detection.images import EncodedImage
from inference.halving import CallError, MemoryShortError
from inference.rows import Outcome
from inference.tiles import Pixels

_OUTPUTS = (
    signatures.BOXES,
    signatures.SCORES,
    signatures.CLASSES,
    signatures.COUNT,
    signatures.IMAGE_SIZE,
    signatures.STATUS,
)
_MESSAGE = 200  # characters of TensorFlow's own words


class Detector:
    """Answers for photographs. Calls raise CallError where TensorFlow gives an error."""

    def __init__(self, loaded: Any, *, folder: str, with_pixels: bool) -> None:
        """loaded: a SavedModel, which owns the variables that its signatures read; with_pixels: tiles will be scored.

        Raises:
          ContractError: it lacks a signature that will be called.
        """
        self._loaded = loaded
        self._serve = _signature(loaded, folder, signatures.SERVING, signatures.IMAGE_BYTES)
        if with_pixels:
            self._serve_pixels = _signature(loaded, folder, signatures.IMAGE_TENSOR, signatures.IMAGES)

    def score(self, images: Sequence[EncodedImage]) -> list[Outcome]:
        """One Outcome per image, in order; the images may differ in size, and there is at least one."""
        import tensorflow as tf

        with call_errors():
            encoded = tf.constant([image.data for image in images], tf.string)
            return _outcomes(self._serve(**{signatures.IMAGE_BYTES: encoded}))

    def decode(self, image: EncodedImage) -> Pixels:
        """RGB [height, width, 3]."""
        return decode(image)

    def score_pixels(self, pixels: Pixels) -> list[Outcome]:
        """One Outcome per picture of RGB [N, height, width, 3], in order; boxes are in pixels of each."""
        import tensorflow as tf

        with call_errors():
            return _outcomes(self._serve_pixels(**{signatures.IMAGES: tf.constant(pixels)}))


def decode(image: EncodedImage) -> Pixels:
    """RGB uint8 [height, width, 3], decoded as the graph of our models does (trainer.preprocess.decode)."""
    import tensorflow as tf

    with call_errors():
        return tf.io.decode_image(image.data, channels=3, expand_animations=False).numpy()


@contextmanager
def call_errors() -> Iterator[None]:
    """Says in words without TensorFlow what became of a call of the model."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryShortError(_words(error)) from error
    except tf.errors.OpError as error:
        raise CallError(_words(error)) from error


def _words(error: Any) -> str:
    """The kind of error and the line that says what is wrong: before it are headings, after it nodes of the graph."""
    lines = (line.strip() for line in str(error.message).splitlines() if line.strip())
    said = list(itertools.takewhile(lambda line: not line.startswith("[["), lines))
    return f"{type(error).__name__}: {said[-1] if said else 'no message'}"[:_MESSAGE]


def _signature(loaded: Any, folder: str, name: str, argument: str) -> Callable[..., Mapping[str, Any]]:
    serve = loaded.signatures.get(name)
    if serve is None:
        why = ", which --tile needs: export it again" if name == signatures.IMAGE_TENSOR else ""
        raise ContractError(f"{folder}: the SavedModel has no signature {name!r}{why}")
    inputs = set(serve.structured_input_signature[1])
    missing = ({argument} - inputs) | (set(_OUTPUTS) - set(serve.structured_outputs))
    if missing:
        raise ContractError(f"{folder}: signature {name!r} lacks {', '.join(sorted(missing))}")
    return serve


def _outcomes(answer: Mapping[str, Any]) -> list[Outcome]:
    values = {name: answer[name].numpy() for name in _OUTPUTS}
    count = len(values[signatures.STATUS])
    return [_outcome({name: value[index] for name, value in values.items()}) for index in range(count)]


def _outcome(values: Mapping[str, np.ndarray]) -> Outcome:
    count = int(values[signatures.COUNT])
    height, width = values[signatures.IMAGE_SIZE].tolist()
    return Outcome(
        status=int(values[signatures.STATUS]),
        height=height,
        width=width,
        boxes=values[signatures.BOXES][:count],
        scores=values[signatures.SCORES][:count],
        classes=values[signatures.CLASSES][:count],
    )
