"""Metrics of parts of a split: by size of the objects, by count per image, by score, by deployment and day.

Each section below is one breakdown: a result class, whose `to_json` is a part of eval.json, and the function that makes
it. Shapes as in `matching`.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from retinanet_odm.dataset.splits import DEPLOYMENT_DAY, GroupRule
from retinanet_odm.errors import DataError
from retinanet_odm.evaluation.average_precision import Ranking, average_precisions, mean_without_nan
from retinanet_odm.evaluation.error_types import average_precision_50
from retinanet_odm.evaluation.matching import (
    Bools,
    DetectionArrays,
    DetectionMatches,
    Floats,
    GroundTruth,
    Ints,
    ScoredSplit,
)

_SCORE_BINS = 10  # Guo et al. 2017 (arXiv:1706.04599) use 15; a class with few detections needs wider bins

_BY_DAY = GroupRule(DEPLOYMENT_DAY)


@dataclass(frozen=True, kw_only=True)
class SizeBucket:
    """Metrics of the objects of one octave of size.

    Attributes:
      low, high: bounds of the side (root of the area) in pixels, low <= side < high; powers of 2, but the first is 0.
      objects: number of objects.
      found: how many of them have a true positive among the kept detections.
      ap50: AP50 of the objects of this size.
    """

    low: int
    high: int
    objects: int
    found: int
    ap50: float | None

    def to_json(self) -> dict[str, Any]:
        """Return an entry of ``details.sizes`` in eval.json."""
        return {"low": self.low, "high": self.high, "objects": self.objects, "found": self.found, "ap50": self.ap50}


def size_buckets(split: ScoredSplit, matches: DetectionMatches, kept: Bools) -> tuple[SizeBucket, ...]:
    """Return the metrics by size, from the smallest to the largest object.

    AP50 ignores objects of other sizes, their true positives, and false positives of other sizes, as COCO's APs does.
    """
    truth = split.truth
    # By the true size where there is an object: a detection may be larger or smaller.
    octaves, detection_octaves = _octaves(truth.box), _octaves(split.detections.box)
    is_found = matches.found_objects(truth, kept)
    counted = octaves[~truth.is_crowd]
    buckets = []
    for octave in range(counted.min(), counted.max() + 1) if counted.size else ():
        inside = ~truth.is_crowd & (octaves == octave)
        # The size of a true positive is that of its object; without objects there is nothing to index.
        sizes = octaves[matches.object_row] if octaves.size else 0
        is_own = np.where(matches.object_row >= 0, sizes, detection_octaves) == octave
        # Objects of other sizes become crowds, which need not be found.
        part = replace(split, truth=replace(truth, is_crowd=~inside))
        buckets.append(
            SizeBucket(
                low=2**octave if octave else 0,
                high=2 ** (octave + 1),
                objects=int(inside.sum()),
                found=int((inside & is_found).sum()),
                ap50=average_precision_50(part, replace(matches, is_ignored=matches.is_ignored | ~is_own)),
            )
        )
    return tuple(buckets)


def _octaves(boxes: Floats) -> Ints:
    """Return int [N]: k for a side of 2^k to 2^(k+1) pixels, 0 for all below 2; as in dataset.statistics."""
    # The root of the area is half of its logarithm; the maximum puts all sides below 2 into octave 0.
    area = np.maximum(boxes[:, 2:].prod(axis=1), 1)
    octaves: Ints = np.floor(np.log2(area) / 2).astype(int)
    return octaves


def count_table(split: ScoredSplit, matches: DetectionMatches, kept: Bools) -> tuple[Ints, Ints, Ints]:
    """Return the numbers of objects, and of kept detections outside and inside of crowds: int [I, K] each.

    Nobody has counted the objects of a crowd. So a crowd is no object in any number of an evaluation, and detections on
    it are compared with nothing; with those outside they are the counts of counts.csv at the same threshold.
    """
    truth, detections = split.truth, split.detections
    objects, in_crowd = ~truth.is_crowd, matches.is_ignored
    shape = (len(split.images), len(split.classes))

    def count(rows: GroundTruth | DetectionArrays, chosen: Bools) -> Ints:
        numbers = np.zeros(shape, int)
        # Not numbers[...] += 1, which counts repeated indices once.
        np.add.at(numbers, (rows.image[chosen], rows.label[chosen]), 1)
        return numbers

    return count(truth, objects), count(detections, kept & ~in_crowd), count(detections, kept & in_crowd)


def count_crowded(split: ScoredSplit, limit: int) -> int:
    """Return the number of images with more objects or detections of one class than the limit."""
    shape, none = (len(split.images), len(split.classes)), np.zeros(0, int)
    crowded = none
    everything: tuple[tuple[GroundTruth | DetectionArrays, Bools], ...] = (
        (split.truth, ~split.truth.is_crowd),
        (split.detections, np.ones(len(split.detections.score), bool)),
    )
    for rows, chosen in everything:
        cells = np.ravel_multi_index((rows.image[chosen], rows.label[chosen]), shape) if rows.label.size else none
        cell, count = np.unique(cells, return_counts=True)
        crowded = np.union1d(crowded, cell[count > limit] // shape[1])
    return len(crowded)


@dataclass(frozen=True, kw_only=True)
class CountErrors:
    """How well the objects of a class are counted per image.

    Attributes:
      true, found: numbers of objects and of detections in all images, without crowds and detections on them.
      in_crowds: number of detections on crowds.
      mean_absolute_error: mean over images of |found - true|; nan without images.
      bias: mean over images of found - true; above 0 if too many are found; nan without images.
      images: number of images by (true, found).
    """

    true: int
    found: int
    mean_absolute_error: float
    bias: float
    images: dict[tuple[int, int], int]
    in_crowds: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return a value of ``details.counts`` in eval.json."""
        images = [[*pair, images] for pair, images in self.images.items()]
        return {"true": self.true, "found": self.found, "in_crowds": self.in_crowds, "images": images}


def compare_counts(true: Ints, found: Ints, in_crowds: int = 0) -> CountErrors:
    """Return the count errors of one class from its counts in the images in which it counts [I], and those on crowds.

    Example:
      >>> compare_counts(np.array([2, 0]), np.array([1, 1])).mean_absolute_error
      1.0
    """
    return CountErrors(
        true=int(true.sum()),
        found=int(found.sum()),
        mean_absolute_error=float(np.abs(found - true).mean()) if true.size else np.nan,
        bias=float((found - true).mean()) if true.size else np.nan,
        images=dict(sorted(Counter(zip(true.tolist(), found.tolist(), strict=True)).items())),
        in_crowds=in_crowds,
    )


@dataclass(frozen=True, kw_only=True)
class ScoreBin:
    """The detections with scores in one tenth: their number, mean score and precision."""

    detections: int
    mean_score: float
    precision: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Whether scores are probabilities: whether a score of 0.8 is right in 8 of 10 cases.

    Attributes:
      bins: those of the ten bins that hold detections.
      expected_error: mean over detections of |score - precision| of their bin (ECE, Guo et al. 2017); None without
        detections.
    """

    bins: tuple[ScoreBin, ...]
    expected_error: float | None

    def to_json(self) -> dict[str, Any]:
        """Return a value of ``details.calibration`` in eval.json."""
        bins = [
            {"detections": entry.detections, "score": entry.mean_score, "right": entry.precision} for entry in self.bins
        ]
        return {"bins": bins, "expected_error": self.expected_error}


def calibrate(score: Floats, is_hit: Bools) -> Calibration:
    """Return the calibration of detections [D], none of them ignored."""
    # The minimum puts a score of 1 into the last bin.
    bin_of = np.minimum((score * _SCORE_BINS).astype(int), _SCORE_BINS - 1)
    bins = tuple(
        ScoreBin(
            detections=int(inside.sum()),
            mean_score=float(score[inside].mean()),
            precision=float(is_hit[inside].mean()),
        )
        for inside in (bin_of == row for row in range(_SCORE_BINS))
        if inside.any()
    )
    # Weighted by the detections of a bin, so that sparse bins do not decide.
    gaps = sum(entry.detections * abs(entry.mean_score - entry.precision) for entry in bins)
    return Calibration(bins=bins, expected_error=gaps / len(score) if len(score) else None)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The images of one deployment and day; AP50 is None if they have no objects."""

    name: str
    images: int
    objects: int
    ap50: float | None

    def to_json(self) -> dict[str, Any]:
        """Return an entry of ``details.slices`` in eval.json."""
        return {"name": self.name, "images": self.images, "objects": self.objects, "ap50": self.ap50}


def name_groups(images: tuple[str, ...], rule: GroupRule = _BY_DAY) -> tuple[str, ...]:
    """Return the group of each image; "" for names that have no group."""
    # The same rule as for splits: what belongs together there is resampled together here.

    def group(name: str) -> str:
        try:
            return rule.group_of(name)
        # All names without a group share one, which has no name.
        except DataError:
            return ""

    return tuple(map(group, images))


def make_slices(groups: tuple[str, ...], rankings: tuple[Ranking, ...]) -> tuple[Slice, ...]:
    """Return the metrics of each group, by name; groups [I] are those of the images."""
    member = np.array(groups)
    objects = sum(ranking.objects for ranking in rankings)
    # The rankings of the split serve for every slice: images outside of it get the weight 0.
    return tuple(
        Slice(
            name=name,
            images=int(inside.sum()),
            objects=int(objects @ inside),
            ap50=mean_without_nan(average_precisions(rankings, inside.astype(float))[:, 0]),
        )
        for name, inside in ((name, member == name) for name in sorted(set(groups)))
    )
