"""The model on a worker: our own Beam ModelHandler over ``tf.saved_model.load``.

Beam's TensorFlow handlers cannot read a SavedModel of TensorFlow 2.21, and a bad image fails their whole batch.
TensorFlow is imported when a model is loaded and not before: the launcher needs none.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from detection import signatures
from detection.errors import ContractError
from inference.model_folder import read_manifest
from inference.rows import Outcome

_OUTPUTS = (
    signatures.BOXES,
    signatures.SCORES,
    signatures.CLASSES,
    signatures.COUNT,
    signatures.IMAGE_SIZE,
    signatures.STATUS,
)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model in memory; ``loaded`` owns the variables that ``serve`` reads, so both live together."""

    loaded: Any
    serve: Callable[..., Mapping[str, Any]]


def load_model(folder: str, *, model_hash: str) -> LoadedModel:
    """Loads the SavedModel of an export folder.

    Args:
      folder: local or gs://.
      model_hash: ModelManifest.model_hash as the launcher saw it.

    Raises:
      ContractError: another model lies there by now, or the SavedModel lacks our signature.
    """
    found = read_manifest(folder).model_hash
    if found != model_hash:
        raise ContractError(f"{folder} holds model {found[:12]}…, but the run began with {model_hash[:12]}…")
    # TensorFlow's C++ notes about this machine's CPU are no news to a person who scores images.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    # Several processes may share a GPU: take memory as it is needed, not all of it at once.
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    try:
        loaded = tf.saved_model.load(folder)
    except (OSError, tf.errors.OpError) as error:
        raise ContractError(f"{folder} holds no SavedModel that this TensorFlow can load: {error}") from error
    serve = loaded.signatures.get(signatures.SERVING)
    _check_signature(folder, serve)
    return LoadedModel(loaded=loaded, serve=serve)


def predict(model: LoadedModel, images: Sequence[bytes]) -> list[Outcome]:
    """One Outcome per encoded image, in order; the images may differ in size.

    Args:
      model: from load_model.
      images: upright JPEG or PNG bytes (detection.images.normalise_image).
    """
    import tensorflow as tf

    answer = model.serve(**{signatures.IMAGE_BYTES: tf.constant(list(images), tf.string)})
    values = {name: answer[name].numpy() for name in _OUTPUTS}
    return [_outcome({name: value[index] for name, value in values.items()}) for index in range(len(images))]


class DetectorHandler(ModelHandler[bytes, Outcome, LoadedModel]):
    """RunInference over encoded images. It pickles: it holds names, and the model is loaded on the worker."""

    def __init__(self, *, folder: str, model_hash: str, batch_size: int) -> None:
        # Beam would grow the batch step by step; the whole batch from the start is what the model does best.
        super().__init__(min_batch_size=batch_size, max_batch_size=batch_size)
        self._folder = folder
        self._model_hash = model_hash

    def load_model(self) -> LoadedModel:
        return load_model(self._folder, model_hash=self._model_hash)

    def run_inference(
        self,
        batch: Sequence[bytes],
        model: LoadedModel,
        inference_args: dict[str, Any] | None = None,  # noqa: ARG002 - Beam's interface
    ) -> Iterable[Outcome]:
        return predict(model, batch)

    def get_num_bytes(self, batch: Sequence[bytes]) -> int:
        """Beam's own answer pickles every batch."""
        return sum(map(len, batch))

    def get_metrics_namespace(self) -> str:
        return "inference"


def _check_signature(folder: str, serve: Any) -> None:
    if serve is None:
        raise ContractError(f"{folder}: the SavedModel has no signature {signatures.SERVING!r}")
    inputs = set(serve.structured_input_signature[1])
    missing = ({signatures.IMAGE_BYTES} - inputs) | (set(_OUTPUTS) - set(serve.structured_outputs))
    if missing:
        raise ContractError(f"{folder}: signature {signatures.SERVING!r} lacks {', '.join(sorted(missing))}")


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
