"""An export of the trainer in memory. TensorFlow is imported when it is loaded, so that the launcher needs none."""

import dataclasses
import importlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inference.model.outcome import ModelOutput
from inference.model.scorer import CallError, MemoryShortError
from inference.model.tiling import RgbPixels
from retinanet_odm import exported_model
from retinanet_odm.cli.native_log import import_quietly
from retinanet_odm.cli.program import tune_gc
from retinanet_odm.errors import ContractError
from retinanet_odm.imaging.images import EncodedImage
from retinanet_odm.novelty import Reference
from retinanet_odm.storage.file_names import escape_glob
from retinanet_odm.systems import link_folder

OUTPUTS = (
    exported_model.BOXES,
    exported_model.SCORES,
    exported_model.CLASSES,
    exported_model.COUNT,
    exported_model.IMAGE_SIZE,
    exported_model.STATUS,
)
_MESSAGE_LENGTH = 200  # characters of a TensorFlow message
_KERAS_2 = "TF_USE_LEGACY_KERAS"


def load_saved_model(folder: str, *, on_cpu: bool = False) -> Any:
    """Load a SavedModel; TensorFlow takes no more memory of a GPU than it needs, and no GPU at all on the CPU.

    Raises:
      ContractError: TensorFlow cannot load it.
    """
    tune_gc()  # here too, because Beam's workers are not started by run_main
    tf = _import_tensorflow()
    # Several processes may share a GPU: allocate memory as it is needed, not all of it at once.
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if on_cpu and gpus:
        tf.config.set_visible_devices([], "GPU")
    try:
        with _without_wildcards(folder) as path:
            return tf.saved_model.load(path)
    except (OSError, tf.errors.OpError) as error:
        raise ContractError(f"{folder} holds no SavedModel that this TensorFlow can load: {error}") from error


@contextmanager
def _without_wildcards(folder: str) -> Iterator[str]:
    """Yield a path of a local folder without wildcards: TensorFlow takes the paths of variables for patterns."""
    if "://" in folder or escape_glob(folder) == folder:
        yield folder
        return
    # What Windows holds open stays there; it must not hide what the body raises.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as above:
        link = Path(above, "model")
        link_folder(link, Path(folder))
        yield str(link)


def _import_tensorflow() -> Any:
    """Import TensorFlow without Keras, which no SavedModel needs; that saves half a second in every process.

    TensorFlow imports Keras at its own end if it is installed, or Keras 2 instead if this variable is set. Later uses
    of tf.keras must find the installed one, so the variable is restored.
    """
    before = os.environ.get(_KERAS_2)
    os.environ[_KERAS_2] = "1"
    try:
        return import_quietly(lambda: importlib.import_module("tensorflow"))
    finally:
        if before is None:
            del os.environ[_KERAS_2]
        else:
            os.environ[_KERAS_2] = before


def decode_pixels(image: EncodedImage) -> RgbPixels:
    """Decode an image to RGB uint8 [height, width, 3], as the graph of an export does (trainer.data.preprocess)."""
    import tensorflow as tf

    with call_errors():
        pixels: RgbPixels = tf.io.decode_image(image.data, channels=3, expand_animations=False).numpy()
        return pixels


class Detector:
    """Detects objects in images. Its methods raise CallError for an error of TensorFlow."""

    decode = staticmethod(decode_pixels)

    def __init__(self, loaded: Any, *, folder: str, with_pixels: bool, reference: Reference | None = None) -> None:
        """Check the signatures.

        Args:
          loaded: SavedModel; it owns the variables that its signatures read, so it is kept.
          folder: its name in messages.
          with_pixels: score_pixels will be called.
          reference: of the training images; None if the export has none.

        Raises:
          ContractError: the SavedModel lacks a signature that will be called, or the features that a reference needs.
        """
        self._loaded = loaded  # the signatures alone do not keep its variables alive
        self._reference = reference
        # Only a reference needs the features, which an older export lacks.
        outputs = OUTPUTS if reference is None else (*OUTPUTS, exported_model.FEATURES)
        self._serve = find_signature(loaded, folder, exported_model.SERVING, [exported_model.IMAGE_BYTES], outputs)
        if with_pixels:
            self._serve_pixels = find_signature(loaded, folder, exported_model.IMAGE_TENSOR, [exported_model.IMAGES])

    def score(self, images: Sequence[EncodedImage]) -> list[ModelOutput]:
        """Return the output for each of one or more images, in order; they may differ in size."""
        import tensorflow as tf

        with call_errors():
            # Encoded: the graph decodes, as in the trainer's evaluation, so that pixels cannot differ.
            encoded = tf.constant([image.data for image in images], tf.string)
            return read_outputs(self._serve(**{exported_model.IMAGE_BYTES: encoded}), self._reference)

    def score_pixels(self, pixels: RgbPixels) -> list[ModelOutput]:
        """Return the output for each image of RGB [N, height, width, 3], in order; boxes are in pixels of each."""
        import tensorflow as tf

        with call_errors():
            return read_outputs(self._serve_pixels(**{exported_model.IMAGES: tf.constant(pixels)}))


@contextmanager
def call_errors() -> Iterator[None]:
    """Turn errors of TensorFlow into CallError, so that callers need not import it."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryShortError(_describe_error(error)) from error
    except tf.errors.OpError as error:
        raise CallError(_describe_error(error)) from error


def _describe_error(error: Any) -> str:
    """Return the kind of error and the line of its message that matters, between headings and nodes of the graph."""
    lines = (line.strip() for line in str(error.message).splitlines() if line.strip())
    before_nodes = list(itertools.takewhile(lambda line: not line.startswith("[["), lines))
    return f"{type(error).__name__}: {before_nodes[-1] if before_nodes else 'no message'}"[:_MESSAGE_LENGTH]


def find_signature(
    loaded: Any, folder: str, name: str, arguments: Sequence[str], outputs: Sequence[str] = OUTPUTS
) -> Callable[..., Mapping[str, Any]]:
    """Return a signature of a SavedModel, which takes and returns tensors by name.

    Raises:
      ContractError: there is none of this name, or it lacks an argument or output.
    """
    serve = loaded.signatures.get(name)
    if serve is None:
        why = ", which --tile needs: export it again" if name == exported_model.IMAGE_TENSOR else ""
        raise ContractError(f"{folder}: the SavedModel has no signature {name!r}{why}")
    inputs = set(serve.structured_input_signature[1])
    missing = ({*arguments} - inputs) | (set(outputs) - set(serve.structured_outputs))
    if missing:
        raise ContractError(f"{folder}: signature {name!r} lacks {', '.join(sorted(missing))}")
    checked: Callable[..., Mapping[str, Any]] = serve
    return checked


def read_outputs(result: Mapping[str, Any], reference: Reference | None = None) -> list[ModelOutput]:
    """Return the output for each image, from tensors by the names of the contract; with a reference, its novelty."""
    # Once for the batch: each conversion copies from the device.
    values = {name: result[name].numpy() for name in OUTPUTS}
    count = len(values[exported_model.STATUS])
    outputs = [_output({name: value[index] for name, value in values.items()}) for index in range(count)]
    if reference is None:
        return outputs
    novelties = reference.novelty_of(result[exported_model.FEATURES].numpy()).tolist()
    return [dataclasses.replace(output, novelty=novelty) for output, novelty in zip(outputs, novelties, strict=True)]


def _output(values: Mapping[str, Any]) -> ModelOutput:
    count = int(values[exported_model.COUNT])  # rows beyond it are padding
    height, width = values[exported_model.IMAGE_SIZE].tolist()
    return ModelOutput(
        status=int(values[exported_model.STATUS]),
        height=height,
        width=width,
        boxes=values[exported_model.BOXES][:count],
        scores=values[exported_model.SCORES][:count],
        classes=values[exported_model.CLASSES][:count],
    )
