"""The model on a Beam worker, as a ModelHandler for RunInference.

Beam's own TensorFlow handlers cannot read a SavedModel of TensorFlow 2.21, and with them a bad image fails its whole
batch.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler

from inference.model.loading import CheckedModel, load_scorer
from inference.model.options import ModelOptions
from inference.model.outcome import Failure, ModelOutput
from inference.model.scorer import CallStatistics, Scorer, capacity, weight
from retinanet_odm.imaging.images import EncodedImage

_NAMESPACE = "inference"


class DetectorHandler(ModelHandler[EncodedImage, ModelOutput | Failure, Scorer]):
    """Scores encoded images. It can be pickled, because the model itself is loaded on the worker."""

    def __init__(self, model: CheckedModel) -> None:
        # Beam would let the batch size grow step by step. The model is fastest with full batches from the start, so
        # minimum and maximum are the same. Sizes are weights in bytes of decoded pixels.
        super().__init__(
            min_batch_size=capacity(model.options),
            max_batch_size=capacity(model.options),
            element_size_fn=functools.partial(_keyed_weight, options=model.options),
        )
        self._model = model

    # Begin here: RunInference calls load_model once in a process, and run_inference for every batch.

    def load_model(self) -> Scorer:
        """Load the model, once per process."""
        return load_scorer(self._model)

    def run_inference(
        self,
        batch: Sequence[EncodedImage],
        model: Scorer,
        inference_args: dict[str, Any] | None = None,  # noqa: ARG002 - Beam's interface
    ) -> Iterable[ModelOutput | Failure]:
        """Score a batch; see Scorer."""
        results, calls = model.score(batch)
        _count(calls)
        return results

    def get_num_bytes(self, batch: Sequence[EncodedImage]) -> int:
        """Return the size of a batch for Beam's metrics. Beam's own implementation would pickle every batch."""
        return sum(len(image.data) for image in batch)

    def get_metrics_namespace(self) -> str:
        """Return the namespace of the counters."""
        return _NAMESPACE


def _keyed_weight(element: tuple[bytes, EncodedImage], options: ModelOptions) -> int:
    """Return the weight of an element; KeyedModelHandler passes it on with its key."""
    return weight(element[1], options)


def _count(calls: CallStatistics) -> None:
    """Count calls of the model. Beam counts its batches, but a batch that is split or tiled is many calls."""
    for size, milliseconds in zip(calls.sizes, calls.milliseconds, strict=True):
        Metrics.distribution(_NAMESPACE, "model_call_images").update(size)
        Metrics.distribution(_NAMESPACE, "model_call_milliseconds").update(milliseconds)
    Metrics.counter(_NAMESPACE, "model_calls_failed").inc(calls.failed)
    Metrics.counter(_NAMESPACE, "model_calls_split").inc(calls.split)
