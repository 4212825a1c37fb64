"""The model on a worker: our own Beam ModelHandler.

Beam's TensorFlow handlers cannot read a SavedModel of TensorFlow 2.21, and a bad image fails their whole batch.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler

from inference.model.batching import capacity, weight
from inference.model.loading import load_scorer
from inference.model.options import ModelOptions
from inference.model.outcome import Failure, ModelOutput
from inference.model.scorer import Calls, Scorer
from inference.model.third_party import SignatureMap
from retinanet_odm.imaging.images import EncodedImage

_NAMESPACE = "inference"


class DetectorHandler(ModelHandler[EncodedImage, ModelOutput | Failure, Scorer]):
    """RunInference over encoded images. It pickles: it holds names, and the model is loaded on the worker."""

    def __init__(
        self,
        *,
        folder: str,
        model_hash: str,
        options: ModelOptions,
        nms_iou: float,
        signature_map: SignatureMap | None = None,
    ) -> None:
        # Beam would grow the batch step by step; the whole batch from the start is what the model does best. Batches
        # are measured in bytes of decoded pixels.
        super().__init__(
            min_batch_size=capacity(options),
            max_batch_size=capacity(options),
            element_size_fn=functools.partial(_keyed_weight, options=options),
        )
        self._folder = folder
        self._model_hash = model_hash
        self._options = options
        self._nms_iou = nms_iou
        self._signature_map = signature_map

    def load_model(self) -> Scorer:
        return load_scorer(
            self._folder,
            model_hash=self._model_hash,
            options=self._options,
            nms_iou=self._nms_iou,
            signature_map=self._signature_map,
        )

    def run_inference(
        self,
        batch: Sequence[EncodedImage],
        model: Scorer,
        inference_args: dict[str, Any] | None = None,  # noqa: ARG002 - Beam's interface
    ) -> Iterable[ModelOutput | Failure]:
        answers, calls = model.score(batch)
        _count(calls)
        return answers

    def get_num_bytes(self, batch: Sequence[EncodedImage]) -> int:
        """Beam's own answer pickles every batch."""
        return sum(len(image.data) for image in batch)

    def get_metrics_namespace(self) -> str:
        return _NAMESPACE


def _keyed_weight(element: tuple[bytes, EncodedImage], options: ModelOptions) -> int:
    """KeyedModelHandler hands on what Beam batches, the key included."""
    return weight(element[1], options)


def _count(calls: Calls) -> None:
    """Beam's own distributions tell of its batches; a batch that is split, or cut into tiles, is many calls."""
    for size, milliseconds in zip(calls.sizes, calls.milliseconds, strict=True):
        Metrics.distribution(_NAMESPACE, "model_call_images").update(size)
        Metrics.distribution(_NAMESPACE, "model_call_milliseconds").update(milliseconds)
    Metrics.counter(_NAMESPACE, "model_calls_failed").inc(calls.failed)
    Metrics.counter(_NAMESPACE, "model_calls_split").inc(calls.split)
