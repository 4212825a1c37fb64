"""Score thresholds: one for all classes, or one per class from the evaluation of the model."""

import argparse
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retinanet_odm.errors import UsageError
from retinanet_odm.exported_model import ModelManifest

_logger = logging.getLogger(__name__)

# Value of --threshold for the score of the best F1 of each class.
BEST = "best"


@dataclass(frozen=True, kw_only=True)
class ScoreThresholds:
    """Minimum scores of the detections that are kept.

    Attributes:
      score: minimum score of any class.
      by_id: minimum score by label id, of classes that have their own.
    """

    score: float
    by_id: Mapping[int, float] = field(default_factory=dict)

    def keeps(self, label_id: int, score: float) -> bool:
        """Returns whether a detection is kept."""
        return score >= self.by_id.get(label_id, self.score)


def resolve_threshold_flag(value: float | str | None, manifest: ModelManifest) -> ScoreThresholds:
    """Returns the thresholds that a value of --threshold means for a model.

    The model itself returns no detection below its own threshold.

    Args:
      value: a score for all classes; BEST for the thresholds in model.json; None for the model's own threshold.
      manifest: of the model.

    Raises:
      UsageError: value is BEST, but model.json has no thresholds.
    """
    own = manifest.score_threshold
    if isinstance(value, str):
        if not manifest.thresholds:
            raise UsageError(
                f"--threshold={value}: {manifest.FILE} has no thresholds per class, because the model was exported"
                " without an evaluation; give a score"
            )
        names = manifest.labels.name_by_id.items()
        # A class that the evaluation did not have keeps the model's own threshold.
        by_id = {label_id: max(own, manifest.thresholds.get(name, own)) for label_id, name in names}
        return ScoreThresholds(score=min(by_id.values()), by_id=by_id)
    if value is not None and value < own:
        _logger.warning(
            "--threshold=%g has no effect: the model returns no detection below its own threshold, %g", value, own
        )
    return ScoreThresholds(score=own if value is None else max(value, own))


def describe_thresholds(thresholds: ScoreThresholds, manifest: ModelManifest) -> dict[str, Any]:
    """Returns the thresholds as summary.json holds them. They are part of the key of every row."""
    names = manifest.labels.name_by_id
    return {
        "score": thresholds.score,
        "classes": {names[label_id]: score for label_id, score in thresholds.by_id.items()},
        "model_score": manifest.score_threshold,
        "nms_iou": manifest.nms_iou,
    }


def threshold_value(text: str) -> float | str:
    """Parses a value of --threshold: BEST or a number."""
    if text == BEST:
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a score or {BEST!r}, found {text!r}") from None
