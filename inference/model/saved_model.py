"""An exported model in memory. TensorFlow is imported when it is loaded and not before: the launcher needs none."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from inference.model.batching import CallError, MemoryShortError
from inference.model.outcome import ModelOutput
from inference.model.tiling import Pixels
from retinanet_odm import exported_model
from retinanet_odm.errors import ContractError
from retinanet_odm.imaging.images import EncodedImage

_OUTPUTS = (
    exported_model.BOXES,
    exported_model.SCORES,
    exported_model.CLASSES,
    exported_model.COUNT,
    exported_model.IMAGE_SIZE,
    exported_model.STATUS,
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
        self._serve = _signature(loaded, folder, exported_model.SERVING, exported_model.IMAGE_BYTES)
        if with_pixels:
            self._serve_pixels = _signature(loaded, folder, exported_model.IMAGE_TENSOR, exported_model.IMAGES)

    def score(self, images: Sequence[EncodedImage]) -> list[ModelOutput]:
        """One Outcome per image, in order; the images may differ in size, and there is at least one."""
        import tensorflow as tf

        with call_errors():
            encoded = tf.constant([image.data for image in images], tf.string)
            return _outcomes(self._serve(**{exported_model.IMAGE_BYTES: encoded}))

    def decode(self, image: EncodedImage) -> Pixels:
        """RGB [height, width, 3]."""
        return decode_image(image)

    def score_pixels(self, pixels: Pixels) -> list[ModelOutput]:
        """One Outcome per picture of RGB [N, height, width, 3], in order; boxes are in pixels of each."""
        import tensorflow as tf

        with call_errors():
            return _outcomes(self._serve_pixels(**{exported_model.IMAGES: tf.constant(pixels)}))


def decode_image(image: EncodedImage) -> Pixels:
    """RGB uint8 [height, width, 3], decoded as the graph of our models does (trainer.data.preprocess.decode)."""
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
        why = ", which --tile needs: export it again" if name == exported_model.IMAGE_TENSOR else ""
        raise ContractError(f"{folder}: the SavedModel has no signature {name!r}{why}")
    inputs = set(serve.structured_input_signature[1])
    missing = ({argument} - inputs) | (set(_OUTPUTS) - set(serve.structured_outputs))
    if missing:
        raise ContractError(f"{folder}: signature {name!r} lacks {', '.join(sorted(missing))}")
    return serve


def _outcomes(answer: Mapping[str, Any]) -> list[ModelOutput]:
    values = {name: answer[name].numpy() for name in _OUTPUTS}
    count = len(values[exported_model.STATUS])
    return [_outcome({name: value[index] for name, value in values.items()}) for index in range(count)]


def _outcome(values: Mapping[str, np.ndarray]) -> ModelOutput:
    count = int(values[exported_model.COUNT])
    height, width = values[exported_model.IMAGE_SIZE].tolist()
    return ModelOutput(
        status=int(values[exported_model.STATUS]),
        height=height,
        width=width,
        boxes=values[exported_model.BOXES][:count],
        scores=values[exported_model.SCORES][:count],
        classes=values[exported_model.CLASSES][:count],
    )
