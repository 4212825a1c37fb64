"""Everything in eval.json beyond COCO's numbers, computed from ground truth and detections.

Begin with `analyse`, then `Analysis`. Its cached properties are the steps of the computation. `summary`, `per_class`
and `details` format them for eval.json, which docs/training.md describes. Shapes as in `matching`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.dataset.splits import DEPLOYMENT_DAY, GroupRule
from retinanet_odm.evaluation import average_precision, breakdown, error_types, precision_recall
from retinanet_odm.evaluation.error_types import NEAR_IOU, ErrorKind
from retinanet_odm.evaluation.intervals import ImageCounts, interval_entry
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
from retinanet_odm.evaluation.rounding import rounded_json

_SEED = 0  # of the bootstrap: equal detections give an equal eval.json
_MIN_UNITS = 5  # images or groups; with fewer, resampling cannot estimate an interval


def analyse(
    truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    split_group: str | None = None,
    thresholds: Mapping[str, float] | None = None,
    deployment: str = "",
    max_detections: int | None = None,
) -> "Analysis":
    """Analyse COCO results against COCO ground truth; the other arguments as in Analysis."""
    return Analysis(ScoredSplit.from_coco(truth, results), split_group, thresholds, deployment, max_detections)


@dataclass(frozen=True)
class Analysis:
    """The analysis of a split.

    Attributes:
      split: its objects and detections.
      split_group: the rule (dataset.splits.GroupRule) that put the images of one group into one split; None for none.
      given_thresholds: the minimum score of the detections to keep, by name of the class; None for the one with the
        best F1 of each class.
      deployment: the rule that finds deployments (dataset.frame_names.DeploymentRule); "" for the names.
      max_detections: how many detections of one class in one image count for ``at_limit``; None for all there are.
    """

    split: ScoredSplit
    split_group: str | None = None
    given_thresholds: Mapping[str, float] | None = None
    deployment: str = ""
    max_detections: int | None = None

    @cached_property
    def _pairs(self) -> CandidatePairs:
        # The error types need the lowest IoU; matches at higher IoUs select from these pairs.
        return overlapping_pairs(self.split, min_iou=NEAR_IOU)

    @cached_property
    def _matches_at(self) -> tuple[DetectionMatches, ...]:
        """Matches within classes, at COCO's ten IoUs."""
        pairs = self._pairs.where(self._pairs.is_same_class)
        return tuple(match_detections(self.split, pairs, iou=iou) for iou in average_precision.IOUS)

    @property
    def matches(self) -> DetectionMatches:
        """Matches within classes, at IoU 0.5."""
        return self._matches_at[0]

    @cached_property
    def _rankings(self) -> tuple[average_precision.Ranking, ...]:
        # All ten IoUs share one ranking by score; only the true positives differ.
        return self._rank(average_precision.COCO_LIMIT)

    def _rank(self, limit: int | None) -> tuple[average_precision.Ranking, ...]:
        split, sizes = self.split, {"images": len(self.split.images), "classes": len(self.split.classes)}
        return average_precision.rank_classes(split.truth, split.detections, self._matches_at, **sizes, limit=limit)

    @cached_property
    def _at_limit(self) -> Floats:
        """AP [K, IoUs] at the limit of the request."""
        return average_precision.average_precisions(self._rank(self.max_detections), np.ones(len(self.split.images)))

    @cached_property
    def _curves(self) -> tuple[precision_recall.PrecisionRecall, ...]:
        return precision_recall.class_curves(self.split, self.matches)

    @cached_property
    def _overall(self) -> precision_recall.PrecisionRecall:
        return precision_recall.overall_curve(self.split, self.matches)

    @cached_property
    def thresholds(self) -> precision_recall.ClassThresholds:
        """The minimum scores of the detections to keep."""
        if self.given_thresholds is None:
            return precision_recall.best_f1_thresholds(self._overall, self._curves)
        given = [self.given_thresholds[name] for name in self.split.classes]
        # Classes with thresholds of their own have none in common.
        overall = given[0] if len(set(given)) == 1 else None
        return precision_recall.ClassThresholds(overall=overall, per_class=np.array(given, float))

    @cached_property
    def kept(self) -> Bools:
        """Bool [D]: detections with at least the score of their class."""
        return self.thresholds.kept(self.split)

    @cached_property
    def is_false(self) -> Bools:
        """Bool [D]: kept detections that are false positives."""
        return self.kept & self.matches.is_false

    @cached_property
    def is_missed(self) -> Bools:
        """Bool [N]: objects without a true positive among the kept detections."""
        # A crowd need not be found, so it is never missed.
        return ~self.split.truth.is_crowd & ~self.matches.found_objects(self.split.truth, self.kept)

    @cached_property
    def _count_table(self) -> tuple[Ints, Ints, Ints]:
        return breakdown.count_table(self.split, self.matches, self.kept)

    @cached_property
    def _counts(self) -> tuple[breakdown.CountErrors, ...]:
        (true, found, crowded), known = self._count_table, self.split.is_exhaustive
        return tuple(
            breakdown.compare_counts(true[known[:, row], row], found[known[:, row], row], int(crowded[:, row].sum()))
            for row in range(len(self.split.classes))
        )

    @cached_property
    def _image_counts(self) -> ImageCounts:
        objects, kept, _ = self._count_table
        _, hits, _ = breakdown.count_table(self.split, self.matches, self.kept & self.matches.is_hit)
        return ImageCounts(objects=objects, kept=kept, hits=hits)

    @cached_property
    def _calibration(self) -> tuple[breakdown.Calibration, ...]:
        return tuple(self._calibrate(self.split.detections.label == row) for row in range(len(self.split.classes)))

    def _calibrate(self, chosen: Bools) -> breakdown.Calibration:
        # Ignored detections are neither right nor wrong: they say nothing about scores.
        rows = chosen & ~self.matches.is_ignored
        return breakdown.calibrate(self.split.detections.score[rows], self.matches.is_hit[rows])

    @cached_property
    def _deployment_days(self) -> tuple[str, ...]:
        return self._groups(DEPLOYMENT_DAY)

    def _groups(self, rule: str) -> tuple[str, ...]:
        return breakdown.name_groups(self.split.images, GroupRule(rule, DeploymentRule(self.deployment)))

    def summary(self) -> dict[str, Any]:
        """Return the values that eval.json and model.json have in common."""
        return rounded_json(
            {
                "threshold": self.thresholds.overall,
                "thresholds": dict(zip(self.split.classes, self.thresholds.per_class, strict=True)),
                "at_limit": {
                    "max_detections": self.max_detections,
                    "images_beyond_coco": breakdown.count_crowded(self.split, average_precision.COCO_LIMIT),
                    "AP": average_precision.mean_without_nan(self._at_limit.mean(axis=1)),
                    "AP50": average_precision.mean_without_nan(self._at_limit[:, 0]),
                },
                "at_thresholds": self._at_thresholds(np.ones(len(self.kept), bool), self._overall.objects),
                "intervals": self._intervals(),
            }
        )

    def per_class(self) -> dict[str, dict[str, Any]]:
        """Return the values of each class, by name."""
        # All in the order of split.classes.
        columns = zip(
            self._curves, self.thresholds.per_class, self._counts, self._calibration, self._at_limit, strict=True
        )
        rows = (
            {
                "AP_at_limit": at_limit.mean(),
                "AP50_at_limit": at_limit[0],
                "threshold": threshold,
                **self._at_thresholds(self.split.detections.label == label, curve.objects),
                "count_error": counts.mean_absolute_error,
                "count_bias": counts.bias,
                "calibration_error": calibration.expected_error,
            }
            for label, (curve, threshold, counts, calibration, at_limit) in enumerate(columns)
        )
        return rounded_json(dict(zip(self.split.classes, rows, strict=True)))

    def details(self) -> dict[str, Any]:
        """Return the tables and curves, which only eval.json has."""
        # Each entry is a section of the evaluation page: see retinanet_odm.reports.evaluation_page.
        buckets = breakdown.size_buckets(self.split, self.matches, self.kept)
        return rounded_json(
            {
                "curves": self._curve_values(),
                "confusion": {
                    "classes": self.split.classes,
                    "counts": error_types.confusion_matrix(self.split, self._pairs, self.kept),
                },
                "mistakes": self._errors(),
                "counts": dict(zip(self.split.classes, (errors.to_json() for errors in self._counts), strict=True)),
                "sizes": [bucket.to_json() for bucket in buckets],
                "calibration": self._calibration_values(),
                "slices": self._slices(),
            }
        )

    def _at_thresholds(self, chosen: Bools, objects: int) -> dict[str, float]:
        """Return precision, recall, F1 and count_ratio of the chosen detections, bool [D], that are kept."""
        hits = int((chosen & self.kept & self.matches.is_hit).sum())
        kept = hits + int((chosen & self.is_false).sum())
        # A curve of one point, so that the formulas are those of the curves.
        curve = precision_recall.PrecisionRecall(kept=np.array([kept]), hits=np.array([hits]), objects=objects)
        rates = {**_curve_json(curve), "count_ratio": curve.count_ratio}
        return {name: float(values[0]) for name, values in rates.items()}

    def _intervals(self) -> list[dict[str, Any]]:
        rule = self.split_group
        # The groups that the splits kept together; without a rule, deployments and days.
        groups = self._groups(rule) if rule else self._deployment_days
        units = {
            "images": np.arange(len(self.split.images)),
            f"split groups ({rule})" if rule else "deployments and days": (
                # Without any name that has a date there are no groups, and so no second interval.
                np.unique(groups, return_inverse=True)[1] if any(groups) else np.zeros(0, int)
            ),
        }
        return [
            interval_entry(name, rows, self._rankings, self._image_counts, self.split.classes, seed=_SEED)
            for name, rows in units.items()
            if len(set(rows)) >= _MIN_UNITS
        ]

    def _curve_values(self) -> dict[str, Any]:
        weights = np.ones(len(self.split.images))
        # Row 0 is IoU 0.5; weights of 1 count every image once.
        at_50 = [average_precision.precision_at_recalls(ranking, weights)[0] for ranking in self._rankings]
        # Classes without objects have no curve, and take no part in the mean.
        known = [values for values in at_50 if not np.isnan(values).any()]
        mean = np.mean(known, axis=0) if known else np.full(len(average_precision.RECALLS), np.nan)
        per_class = {
            name: {"precision_at_recalls": values, **_curve_json(curve)}
            for name, values, curve in zip(self.split.classes, at_50, self._curves, strict=True)
        }
        axes = {"recalls": average_precision.RECALLS, "thresholds": precision_recall.THRESHOLDS}
        return {**axes, "all": {"precision_at_recalls": mean, **_curve_json(self._overall)}, "per_class": per_class}

    def _errors(self) -> dict[str, Any]:
        """Return the errors at the thresholds by kind, and the AP50 gains over all detections, as TIDE has them."""
        # Types and gains are of all detections, also of those below the thresholds: the counts select from them.
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
        missed = self._missed(found, np.ones(len(self.kept), bool))
        without = error_types.average_precision_without_missed(self.split, self.matches, missed)
        rows["missed"] = {"count": int(self._missed(found, self.kept).sum()), "gain": _gain(without, plain)}
        return {"kinds": rows, "false": int(self.is_false.sum()), "not_found": int(self.is_missed.sum())}

    def _missed(self, errors: error_types.ErrorTypes, kept: Bools) -> Bools:
        """Return bool [N]: objects that no kept detection matches, and to which none with one error refers."""
        truth = self.split.truth
        referred = self.matches.found_objects(truth, kept) | errors.localised_or_classified(kept, truth)
        return ~truth.is_crowd & ~referred

    def _calibration_values(self) -> dict[str, Any]:
        overall = self._calibrate(np.ones(len(self.kept), bool))
        per_class = {name: one.to_json() for name, one in zip(self.split.classes, self._calibration, strict=True)}
        return {"all": overall.to_json(), "per_class": per_class}

    def _slices(self) -> list[dict[str, Any]]:
        if not any(self._deployment_days):
            return []
        return [one.to_json() for one in breakdown.make_slices(self._deployment_days, self._rankings)]


def _curve_json(curve: precision_recall.PrecisionRecall) -> dict[str, Floats]:
    return {"precision": curve.precision, "recall": curve.recall, "f1": curve.f1}


def _gain(fixed: float | None, plain: float | None) -> float | None:
    return None if fixed is None or plain is None else fixed - plain
