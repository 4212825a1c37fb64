"""Where a model does well and where not: sizes of objects, counts in photographs, trust in scores, deployments."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from retinanet_odm.dataset.splits import DEPLOYMENT_DAY, GroupRule
from retinanet_odm.errors import DataError
from retinanet_odm.evaluation.average_precision import Ranking, average_precisions, mean_of_known
from retinanet_odm.evaluation.error_types import average_precision_50
from retinanet_odm.evaluation.matching import Bools, DetectionMatches, Floats, Ints, ScoredSplit

_SCORE_BINS = 10  # Guo et al. 2017 (arXiv:1706.04599) take 15; a class of few detections needs wider ones


@dataclass(frozen=True, kw_only=True)
class SizeBucket:
    """Objects of one octave of size: side (root of the area) from ``low`` pixels to under twice that; 0 to 2 is one."""

    low: int
    high: int
    objects: int
    found: int
    ap50: float | None


def size_buckets(split: ScoredSplit, matches: DetectionMatches, kept: Bools) -> tuple[SizeBucket, ...]:
    """Recall at the thresholds and AP50 by size, from the smallest to the largest object.

    AP50 as COCO's by size: objects of other sizes do not count, nor what found them, nor false boxes of other sizes.
    """
    truth = split.truth
    octaves, found_octaves = _octaves(truth.box), _octaves(split.found.box)
    found = matches.found_objects(truth, kept)
    counted = octaves[~truth.is_crowd]
    buckets = []
    for octave in range(counted.min(), counted.max() + 1) if counted.size else ():
        inside = ~truth.is_crowd & (octaves == octave)
        own = np.where(matches.taken >= 0, octaves[matches.taken] if octaves.size else 0, found_octaves) == octave
        part = replace(split, truth=replace(truth, is_crowd=~inside))
        buckets.append(
            SizeBucket(
                low=2**octave if octave else 0,
                high=2 ** (octave + 1),
                objects=int(inside.sum()),
                found=int((inside & found).sum()),
                ap50=average_precision_50(part, replace(matches, is_ignored=matches.is_ignored | ~own)),
            )
        )
    return tuple(buckets)


def _octaves(boxes: Floats) -> Ints:
    """int [N]: k for a side of 2^k to 2^(k+1) pixels, 0 for all below 2, as retinanet_odm.dataset.statistics has them."""
    area = np.maximum(boxes[:, 2:].prod(axis=1), 1)
    return np.floor(np.log2(area) / 2).astype(int)


def count_table(split: ScoredSplit, matches: DetectionMatches, kept: Bools) -> tuple[Ints, Ints]:
    """Objects, and detections that are kept and count, in each image of each class: int [I, K] twice."""
    objects, counted = ~split.truth.is_crowd, kept & ~matches.is_ignored
    true, found = (np.zeros((len(split.images), len(split.classes)), int) for _ in range(2))
    np.add.at(true, (split.truth.image[objects], split.truth.label[objects]), 1)
    np.add.at(found, (split.found.image[counted], split.found.label[counted]), 1)
    return true, found


@dataclass(frozen=True, kw_only=True)
class CountErrors:
    """How well the photographs' objects of a class are counted.

    Attributes:
      true, found: sums over the images.
      mean_absolute_error: mean over images of |found - true|.
      bias: mean over images of found - true; above 0: too many are found.
      images: images by (true, found).
    """

    true: int
    found: int
    mean_absolute_error: float
    bias: float
    images: dict[tuple[int, int], int]


def compare_counts(true: Ints, found: Ints) -> CountErrors:
    """From the counts [I] of one class."""
    return CountErrors(
        true=int(true.sum()),
        found=int(found.sum()),
        mean_absolute_error=float(np.abs(found - true).mean()),
        bias=float((found - true).mean()),
        images=dict(sorted(Counter(zip(true.tolist(), found.tolist(), strict=True)).items())),
    )


@dataclass(frozen=True, kw_only=True)
class ScoreBin:
    """Detections of scores of one tenth: how many, their mean score, and the share of them that is right."""

    detections: int
    score: float
    right: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Whether a score of 0.8 is right in 8 of 10 cases.

    Attributes:
      bins: those of the ten that hold detections.
      expected_error: mean over detections of |score - share right| of their bin (Guo et al. 2017, ECE); None without.
    """

    bins: tuple[ScoreBin, ...]
    expected_error: float | None


def calibrate(score: Floats, is_hit: Bools) -> Calibration:
    """From detections [D] of which none is ignored."""
    place = np.minimum((score * _SCORE_BINS).astype(int), _SCORE_BINS - 1)
    bins = tuple(
        ScoreBin(detections=int(inside.sum()), score=float(score[inside].mean()), right=float(is_hit[inside].mean()))
        for inside in (place == row for row in range(_SCORE_BINS))
        if inside.any()
    )
    gaps = sum(entry.detections * abs(entry.score - entry.right) for entry in bins)
    return Calibration(bins=bins, expected_error=gaps / len(score) if len(score) else None)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The images of one deployment and day; AP50 is None where they hold no object."""

    name: str
    images: int
    objects: int
    ap50: float | None


def name_groups(images: tuple[str, ...], rule: str = DEPLOYMENT_DAY) -> tuple[str, ...]:
    """The group of each image by its name (retinanet_odm.dataset.splits.GroupRule); empty where the name does not tell."""
    compiled = GroupRule(rule)

    def group(name: str) -> str:
        try:
            return compiled.group_of(name)
        except DataError:
            return ""

    return tuple(map(group, images))


def make_slices(groups: tuple[str, ...], rankings: tuple[Ranking, ...]) -> tuple[Slice, ...]:
    """Each group's share of the images [I], in the order of the names."""
    member = np.array(groups)
    objects = sum(ranking.objects for ranking in rankings)
    return tuple(
        Slice(
            name=name,
            images=int(inside.sum()),
            objects=int(objects @ inside),
            ap50=mean_of_known(average_precisions(rankings, inside.astype(float))[:, 0]),
        )
        for name, inside in ((name, member == name) for name in sorted(set(groups)))
    )
