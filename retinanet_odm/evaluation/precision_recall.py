"""Precision, recall and F1 against the score from which detections are kept, and the score that suits best."""

from dataclasses import dataclass

import numpy as np

from retinanet_odm.evaluation.matching import Bools, DetectionMatches, Floats, ScoredSplit

# Finer steps would fit the threshold to single detections of this split.
THRESHOLDS = np.arange(101) / 100
# Where no detection is right, no threshold is better than another.
_NO_BEST = 0.5


@dataclass(frozen=True, kw_only=True)
class PrecisionRecall:
    """Counts at each of the 101 THRESHOLDS, of one class or of all together.

    Attributes:
      kept: int [101], detections with at least this score, without the ignored; falling.
      hits: int [101], the right ones of them; falling.
      objects: objects to be found.
    """

    kept: np.ndarray
    hits: np.ndarray
    objects: int

    @property
    def precision(self) -> Floats:
        """[101]; nan where nothing is kept."""
        return np.divide(self.hits, self.kept, out=np.full(len(self.kept), np.nan), where=self.kept > 0)

    @property
    def recall(self) -> Floats:
        """[101], falling; nan where there is no object."""
        return self.hits / self.objects if self.objects else np.full(len(self.hits), np.nan)

    @property
    def f1(self) -> Floats:
        """[101]: 2 hits / (kept + objects), the harmonic mean of precision and recall; 0 where there is neither."""
        return 2 * self.hits / np.maximum(self.kept + self.objects, 1)

    def best_threshold(self) -> float | None:
        """The threshold of the best F1, of equally good ones the middle one; None where no detection is right."""
        best = np.flatnonzero(self.f1 == self.f1.max())
        return float(THRESHOLDS[best[len(best) // 2]]) if self.hits.any() else None


def make_precision_recall(score: Floats, is_hit: Bools, objects: int) -> PrecisionRecall:
    """The curve of some detections, of which none is ignored."""
    return PrecisionRecall(kept=_at_least(score), hits=_at_least(score[is_hit]), objects=objects)


def _at_least(score: Floats) -> np.ndarray:
    return len(score) - np.searchsorted(np.sort(score), THRESHOLDS)


def overall_curve(split: ScoredSplit, matches: DetectionMatches) -> PrecisionRecall:
    """The curve of all classes together, every object counting alike."""
    return _curve_of(split, matches, np.ones(len(split.classes), bool))


def class_curves(split: ScoredSplit, matches: DetectionMatches) -> tuple[PrecisionRecall, ...]:
    """The curve of each class."""
    return tuple(_curve_of(split, matches, chosen) for chosen in np.eye(len(split.classes), dtype=bool))


def _curve_of(split: ScoredSplit, matches: DetectionMatches, chosen: Bools) -> PrecisionRecall:
    """The curve of some classes, bool [K]."""
    counted = ~matches.is_ignored & chosen[split.found.label]
    objects = ~split.truth.is_crowd & chosen[split.truth.label]
    return make_precision_recall(split.found.score[counted], matches.is_hit[counted], int(np.count_nonzero(objects)))


@dataclass(frozen=True, kw_only=True)
class BestThresholds:
    """The scores from which detections are kept: of all classes together, and float [K] of each."""

    overall: float
    per_class: Floats

    def kept(self, split: ScoredSplit) -> Bools:
        """bool [D]: detections with at least the score of their class."""
        return split.found.score >= self.per_class[split.found.label]


def best_f1_thresholds(overall: PrecisionRecall, curves: tuple[PrecisionRecall, ...]) -> BestThresholds:
    """Those of the best F1; a class of which nothing was found takes that of all classes."""
    general = overall.best_threshold()
    fallback = _NO_BEST if general is None else general
    best = [curve.best_threshold() for curve in curves]
    return BestThresholds(
        overall=fallback, per_class=np.array([fallback if value is None else value for value in best], float)
    )
