"""Everything that eval.json says beyond COCO's numbers, from ground truth and detections."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from retinanet_odm.evaluation import average_precision, breakdown, error_types, precision_recall
from retinanet_odm.evaluation.error_types import NEAR_IOU, ErrorKind
from retinanet_odm.evaluation.matching import (
    Bools,
    CandidatePairs,
    DetectionMatches,
    Floats,
    Ints,
    ScoredSplit,
    match_detections,
    overlapping_pairs,
)

_DIGITS = 5
_SEED = 0  # of the resamples: equal detections give an equal eval.json
# Of fewer images or groups, a resample says nothing about the spread.
_FEWEST_UNITS = 5


@dataclass(frozen=True)
class Analysis:
    """A split with its detections, and what can be said of them; see eval.json in docs/training.md.

    Attributes:
      split_group: the rule by which images of one group went to one split, as retinanet_odm.dataset.splits.GroupRule has it.
      threshold: the score from which detections of every class are kept; None for those of the best F1.
    """

    split: ScoredSplit
    split_group: str | None = None
    threshold: float | None = None

    @cached_property
    def _pairs(self) -> CandidatePairs:
        return overlapping_pairs(self.split, least=NEAR_IOU)

    @cached_property
    def _matches_at(self) -> tuple[DetectionMatches, ...]:
        """Within classes, at COCO's ten IoUs."""
        pairs = self._pairs.where(self._pairs.is_same_class)
        return tuple(match_detections(self.split, pairs, iou=iou) for iou in average_precision.IOUS)

    @property
    def matches(self) -> DetectionMatches:
        """Within classes, at IoU 0.5."""
        return self._matches_at[0]

    @cached_property
    def _rankings(self) -> tuple[average_precision.Ranking, ...]:
        sizes = {"images": len(self.split.images), "classes": len(self.split.classes)}
        return average_precision.rank_classes(self.split.truth, self.split.found, self._matches_at, **sizes)

    @cached_property
    def _curves(self) -> tuple[precision_recall.PrecisionRecall, ...]:
        return precision_recall.class_curves(self.split, self.matches)

    @cached_property
    def _overall(self) -> precision_recall.PrecisionRecall:
        return precision_recall.overall_curve(self.split, self.matches)

    @cached_property
    def thresholds(self) -> precision_recall.BestThresholds:
        """The scores from which detections are kept."""
        if self.threshold is not None:
            every_class = np.full(len(self.split.classes), self.threshold)
            return precision_recall.BestThresholds(overall=self.threshold, per_class=every_class)
        return precision_recall.best_f1_thresholds(self._overall, self._curves)

    @cached_property
    def kept(self) -> Bools:
        """bool [D]: detections with at least the score of their class."""
        return self.thresholds.kept(self.split)

    @cached_property
    def is_false(self) -> Bools:
        """bool [D]: detections that are kept and have found nothing."""
        return self.kept & self.matches.is_false

    @cached_property
    def is_missed(self) -> Bools:
        """bool [N]: objects that no detection that is kept has found."""
        return ~self.split.truth.is_crowd & ~self.matches.found_objects(self.split.truth, self.kept)

    @cached_property
    def _counts(self) -> tuple[breakdown.CountErrors, ...]:
        true, found = breakdown.count_table(self.split, self.matches, self.kept)
        return tuple(breakdown.compare_counts(true[:, row], found[:, row]) for row in range(len(self.split.classes)))

    @cached_property
    def _calibration(self) -> tuple[breakdown.Calibration, ...]:
        return tuple(self._calibrated(self.split.found.label == row) for row in range(len(self.split.classes)))

    def _calibrated(self, chosen: Bools) -> breakdown.Calibration:
        rows = chosen & ~self.matches.is_ignored
        return breakdown.calibrate(self.split.found.score[rows], self.matches.is_hit[rows])

    def summary(self) -> dict[str, Any]:
        """Values for eval.json and model.json."""
        thresholds = dict(zip(self.split.classes, self.thresholds.per_class, strict=True))
        return _plain(
            {
                "threshold": self.thresholds.overall,
                "thresholds": thresholds,
                "at_thresholds": self._at_thresholds(np.ones(len(self.kept), bool), self._overall.objects),
                "intervals": self._intervals(),
            }
        )

    def per_class(self) -> dict[str, dict[str, Any]]:
        """Values of each class, by name."""
        columns = zip(self._curves, self.thresholds.per_class, self._counts, self._calibration, strict=True)
        rows = (
            {
                "threshold": threshold,
                **self._at_thresholds(self.split.found.label == label, curve.objects),
                "count_error": counts.mean_absolute_error,
                "count_bias": counts.bias,
                "calibration_error": calibration.expected_error,
            }
            for label, (curve, threshold, counts, calibration) in enumerate(columns)
        )
        return _plain(dict(zip(self.split.classes, rows, strict=True)))

    def details(self) -> dict[str, Any]:
        """Tables and curves, for eval.json alone."""
        return _plain(
            {
                "curves": self._curve_values(),
                "confusion": {
                    "classes": self.split.classes,
                    "counts": error_types.confusion_matrix(self.split, self._pairs, self.kept),
                },
                "mistakes": self._mistakes(),
                "counts": self._count_values(),
                "sizes": [asdict(entry) for entry in breakdown.size_buckets(self.split, self.matches, self.kept)],
                "calibration": self._calibration_values(),
                "slices": self._slices(),
            }
        )

    def _at_thresholds(self, chosen: Bools, objects: int) -> dict[str, float]:
        """Precision, recall and F1 of some detections, bool [D], that are kept."""
        hits = int((chosen & self.kept & self.matches.is_hit).sum())
        kept = hits + int((chosen & self.is_false).sum())
        curve = precision_recall.PrecisionRecall(kept=np.array([kept]), hits=np.array([hits]), objects=objects)
        return {name: float(values[0]) for name, values in _values(curve).items()}

    def _intervals(self) -> list[dict[str, Any]]:
        rule = self.split_group
        groups = breakdown.name_groups(self.split.images, rule) if rule else self._deployment_days
        units = {
            "images": np.arange(len(self.split.images)),
            f"split groups ({rule})" if rule else "deployments and days": (
                np.unique(groups, return_inverse=True)[1] if any(groups) else np.zeros(0, int)
            ),
        }
        return [self._interval(name, rows) for name, rows in units.items() if len(set(rows)) >= _FEWEST_UNITS]

    def _interval(self, name: str, units: Ints) -> dict[str, Any]:
        found = average_precision.bootstrap_intervals(self._rankings, units, seed=_SEED)
        per_class = dict(zip(self.split.classes, found.ap50_per_class, strict=True))
        count = int(units.max()) + 1
        return {"over": name, "units": count, "AP": found.ap, "AP50": found.ap50, "per_class": per_class}

    @cached_property
    def _deployment_days(self) -> tuple[str, ...]:
        return breakdown.name_groups(self.split.images)

    def _curve_values(self) -> dict[str, Any]:
        plain = np.ones(len(self.split.images))
        drawn = [average_precision.precision_at_recalls(ranking, plain)[0] for ranking in self._rankings]
        known = [values for values in drawn if not np.isnan(values).any()]
        everything = {
            "precision_at_recalls": np.mean(known, axis=0)
            if known
            else np.full(len(average_precision.RECALLS), np.nan),
            **_values(self._overall),
        }
        per_class = {
            name: {"precision_at_recalls": values, **_values(curve)}
            for name, values, curve in zip(self.split.classes, drawn, self._curves, strict=True)
        }
        axes = {"recalls": average_precision.RECALLS, "thresholds": precision_recall.THRESHOLDS}
        return {**axes, "all": everything, "per_class": per_class}

    def _mistakes(self) -> dict[str, Any]:
        """Counts at the thresholds; gains of AP50 over all detections, as TIDE has them."""
        found = error_types.find_error_types(self.split, self._pairs, self.matches)
        plain = error_types.average_precision_50(self.split, self.matches)
        rows = {
            kind.name.lower(): {
                "count": int((self.kept & (found.kind == kind)).sum()),
                "gain": _gain(error_types.fixed_average_precision(self.split, self.matches, found, kind), plain),
            }
            for kind in ErrorKind
            if kind is not ErrorKind.NONE
        }
        everything = np.ones(len(self.kept), bool)
        without = error_types.precision_without_missed(self.split, self.matches, self._missed(found, everything))
        rows["missed"] = {"count": int(self._missed(found, self.kept).sum()), "gain": _gain(without, plain)}
        return {"kinds": rows, "false": int(self.is_false.sum()), "not_found": int(self.is_missed.sum())}

    def _missed(self, found: error_types.ErrorTypes, kept: Bools) -> Bools:
        """bool [N]: objects that none of these detections found, nor spotted."""
        truth = self.split.truth
        return ~truth.is_crowd & ~self.matches.found_objects(truth, kept) & ~found.spotted(kept, truth)

    def _count_values(self) -> dict[str, Any]:
        return {
            name: {
                "true": counts.true,
                "found": counts.found,
                "images": [[*pair, images] for pair, images in counts.images.items()],
            }
            for name, counts in zip(self.split.classes, self._counts, strict=True)
        }

    def _calibration_values(self) -> dict[str, Any]:
        everything = self._calibrated(np.ones(len(self.kept), bool))
        per_class = {name: asdict(entry) for name, entry in zip(self.split.classes, self._calibration, strict=True)}
        return {"all": asdict(everything), "per_class": per_class}

    def _slices(self) -> list[dict[str, Any]]:
        if not any(self._deployment_days):
            return []
        return [asdict(entry) for entry in breakdown.make_slices(self._deployment_days, self._rankings)]


def analyse(
    truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    split_group: str | None = None,
    threshold: float | None = None,
) -> Analysis:
    """From COCO ground truth and results; split_group and threshold as in Analysis."""
    return Analysis(ScoredSplit.from_coco(truth, results), split_group, threshold)


def _values(curve: precision_recall.PrecisionRecall) -> dict[str, Floats]:
    return {"precision": curve.precision, "recall": curve.recall, "f1": curve.f1}


def _gain(mended: float | None, plain: float | None) -> float | None:
    return None if mended is None or plain is None else mended - plain


def _plain(value: Any) -> Any:
    """Values for JSON: arrays as lists, rounded; what is not a number as None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, float):  # numpy's float64 is one
        return None if np.isnan(value) else round(float(value), _DIGITS)
    return value
