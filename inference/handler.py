"""The model on a worker: our own Beam ModelHandler.

Beam's TensorFlow handlers cannot read a SavedModel of TensorFlow 2.21, and a bad image fails their whole batch.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler

from detection.images import EncodedImage
from inference.detector import load_model
from inference.rows import Failure, Outcome
from inference.scorer import Calls, Scorer

_NAMESPACE = "inference"


class DetectorHandler(ModelHandler[EncodedImage, Outcome | Failure, Scorer]):
    """RunInference over encoded images. It pickles: it holds names, and the model is loaded on the worker."""

    def __init__(self, *, folder: str, model_hash: str, batch_size: int) -> None:
        # Beam would grow the batch step by step; the whole batch from the start is what the model does best.
        super().__init__(min_batch_size=batch_size, max_batch_size=batch_size)
        self._folder = folder
        self._model_hash = model_hash
        self._batch_size = batch_size

    def load_model(self) -> Scorer:
        detector = load_model(self._folder, model_hash=self._model_hash)
        return Scorer(detector, name=self._folder, batch_size=self._batch_size)

    def run_inference(
        self,
        batch: Sequence[EncodedImage],
        model: Scorer,
        inference_args: dict[str, Any] | None = None,  # noqa: ARG002 - Beam's interface
    ) -> Iterable[Outcome | Failure]:
        answers, calls = model.score(batch)
        _count(calls)
        return answers

    def get_num_bytes(self, batch: Sequence[EncodedImage]) -> int:
        """Beam's own answer pickles every batch."""
        return sum(len(image.data) for image in batch)

    def get_metrics_namespace(self) -> str:
        return _NAMESPACE


def _count(calls: Calls) -> None:
    """Beam's own distributions tell of its batches; a batch that is split, or cut into tiles, is many calls."""
    for size, milliseconds in zip(calls.sizes, calls.milliseconds, strict=True):
        Metrics.distribution(_NAMESPACE, "model_call_images").update(size)
        Metrics.distribution(_NAMESPACE, "model_call_milliseconds").update(milliseconds)
    Metrics.counter(_NAMESPACE, "model_calls_failed").inc(calls.failed)
    Metrics.counter(_NAMESPACE, "model_calls_split").inc(calls.split)
