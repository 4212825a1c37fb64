"""Precision, recall and F1 as functions of the score threshold, and the threshold with the best F1.

Shapes as in `matching`; 101 is the number of THRESHOLDS.
"""

from dataclasses import dataclass

import numpy as np

from retinanet_odm.evaluation.matching import Bools, DetectionMatches, Floats, Ints, ScoredSplit
from retinanet_odm.exported_model import DEFAULT_THRESHOLD

# Finer steps would fit the threshold to single detections of the split.
THRESHOLDS: Floats = np.arange(101) / 100


@dataclass(frozen=True, kw_only=True)
class PrecisionRecall:
    """Counts at each of the 101 THRESHOLDS, for one class or for all classes together.

    Attributes:
      kept: int [101], number of detections with at least this score, without ignored ones; falling.
      hits: int [101], number of true positives among them; falling.
      objects: number of objects.
    """

    kept: Ints
    hits: Ints
    objects: int

    @property
    def precision(self) -> Floats:
        """Float [101]; nan where no detection is kept."""
        values: Floats = np.divide(self.hits, self.kept, out=np.full(len(self.kept), np.nan), where=self.kept > 0)
        return values

    @property
    def recall(self) -> Floats:
        """Float [101], falling; nan if there are no objects."""
        return self.hits / self.objects if self.objects else np.full(len(self.hits), np.nan)

    @property
    def f1(self) -> Floats:
        """Float [101]: the harmonic mean of precision and recall, 2 hits / (kept + objects); 0 if both are 0."""
        values: Floats = 2 * self.hits / np.maximum(self.kept + self.objects, 1)
        return values

    @property
    def count_ratio(self) -> Floats:
        """Float [101], falling: kept detections by objects, 1 where counts agree; nan if there are no objects."""
        return self.kept / self.objects if self.objects else np.full(len(self.kept), np.nan)

    def best_threshold(self) -> float | None:
        """Return the threshold of the best F1, the middle one of equally good ones; None if no detection is right."""
        # The middle of the plateau is the farthest from the scores at which the result changes.
        best = np.flatnonzero(self.f1 == self.f1.max())
        return float(THRESHOLDS[best[len(best) // 2]]) if self.hits.any() else None


def make_precision_recall(score: Floats, is_hit: Bools, objects: int) -> PrecisionRecall:
    """Return the curve of detections, none of them ignored, for a number of objects.

    Example:
      >>> make_precision_recall(np.array([0.9, 0.4]), np.array([True, False]), objects=1).best_threshold()
      0.66
    """
    return PrecisionRecall(kept=_count_kept(score), hits=_count_kept(score[is_hit]), objects=objects)


def _count_kept(score: Floats) -> Ints:
    # searchsorted counts the scores below each threshold; all others are kept.
    return len(score) - np.searchsorted(np.sort(score), THRESHOLDS)


def overall_curve(split: ScoredSplit, matches: DetectionMatches) -> PrecisionRecall:
    """Return the curve of all classes together, in which every object has the same weight."""
    return _curve_of(split, matches, np.ones(len(split.classes), bool))


def class_curves(split: ScoredSplit, matches: DetectionMatches) -> tuple[PrecisionRecall, ...]:
    """Return the curve of each class."""
    return tuple(_curve_of(split, matches, chosen) for chosen in np.eye(len(split.classes), dtype=bool))


def _curve_of(split: ScoredSplit, matches: DetectionMatches, chosen: Bools) -> PrecisionRecall:
    """Return the curve of the chosen classes, bool [K]."""
    counted = ~matches.is_ignored & chosen[split.detections.label]
    objects = ~split.truth.is_crowd & chosen[split.truth.label]
    score = split.detections.score[counted]
    return make_precision_recall(score, matches.is_hit[counted], int(np.count_nonzero(objects)))


@dataclass(frozen=True, kw_only=True)
class ClassThresholds:
    """Minimum scores of the detections to keep: of all classes together, if there is one, and float [K] of each."""

    overall: float | None
    per_class: Floats

    def kept(self, split: ScoredSplit) -> Bools:
        """Return bool [D]: the detections with at least the score of their class."""
        is_kept: Bools = split.detections.score >= self.per_class[split.detections.label]
        return is_kept


def best_f1_thresholds(overall: PrecisionRecall, curves: tuple[PrecisionRecall, ...]) -> ClassThresholds:
    """Return the thresholds of the best F1; a class without a true positive gets that of all classes together."""
    best_overall = overall.best_threshold()
    # If no detection is right, no threshold is better than another.
    fallback = DEFAULT_THRESHOLD if best_overall is None else best_overall
    best = [curve.best_threshold() for curve in curves]
    return ClassThresholds(
        overall=fallback, per_class=np.array([fallback if value is None else value for value in best], float)
    )
