"""From which score detections are kept: one score for all classes, or each class's own from the model's evaluation."""

import argparse
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retinanet_odm.errors import UsageError
from retinanet_odm.exported_model import ModelManifest

_logger = logging.getLogger(__name__)

# The word that asks for the scores of the best F1, of each class, instead of a number.
BEST = "best"


@dataclass(frozen=True, kw_only=True)
class ScoreThresholds:
    """Scores from which detections are kept.

    Attributes:
      score: the least of all classes.
      by_id: of the classes that have their own, by label id.
    """

    score: float
    by_id: Mapping[int, float] = field(default_factory=dict)

    def keeps(self, label_id: int, score: float) -> bool:
        return score >= self.by_id.get(label_id, self.score)


def resolve_threshold_flag(asked: float | str | None, manifest: ModelManifest) -> ScoreThresholds:
    """What a value of --threshold means with a model, which itself gives no detection below its own threshold.

    Args:
      asked: a score for all classes; BEST, the scores that model.json has of each class; None, the model's own.

    Raises:
      UsageError: BEST is asked for, but model.json has no such scores.
    """
    own = manifest.score_threshold
    if isinstance(asked, str):
        if not manifest.thresholds:
            raise UsageError(
                f"--threshold={asked}: {manifest.FILE} holds no thresholds of classes, because the model was exported"
                " without an evaluation; give a score"
            )
        names = manifest.labels.name_by_id.items()
        by_id = {label_id: max(own, manifest.thresholds.get(name, own)) for label_id, name in names}
        return ScoreThresholds(score=min(by_id.values()), by_id=by_id)
    if asked is not None and asked < own:
        _logger.warning(
            "--threshold=%g has no effect: the model gives no detection below its own threshold, %g", asked, own
        )
    return ScoreThresholds(score=own if asked is None else max(asked, own))


def describe_thresholds(thresholds: ScoreThresholds, manifest: ModelManifest) -> dict[str, Any]:
    """What summary.json says of them."""
    names = manifest.labels.name_by_id
    return {
        "score": thresholds.score,
        "classes": {names[label_id]: score for label_id, score in thresholds.by_id.items()},
        "model_score": manifest.score_threshold,
        "nms_iou": manifest.nms_iou,
    }


def threshold_value(text: str) -> float | str:
    """A value of --threshold: BEST or a number."""
    if text == BEST:
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a score or {BEST!r}, found {text!r}") from None
