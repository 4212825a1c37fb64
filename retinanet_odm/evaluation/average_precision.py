"""Average precision as COCO computes it, with a weight for every image; and its bootstrap intervals over images.

Begin with `rank_classes`, then `average_precisions` and `bootstrap_intervals`. Shapes as in `matching`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from retinanet_odm.evaluation.matching import Bools, DetectionArrays, DetectionMatches, Floats, GroundTruth, Ints

# As in pycocotools.cocoeval.Params, to the bit.
IOUS: Floats = np.linspace(0.5, 0.95, 10)
RECALLS: Floats = np.linspace(0.0, 1.0, 101)
COCO_LIMIT = 100  # detections of one class in one image

RESAMPLES = 1000
_PERCENTILES = (2.5, 97.5)  # of a 95 % interval


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The D detections of one class in order of falling score, and which of them are right.

    Attributes:
      objects: float [I], number of objects of the class in each image.
      image: int [D], rows of the images.
      hits: for each IoU, positions of the true positives.
      ignored: for each IoU, positions of the ignored detections.
    """

    objects: Floats
    image: Ints
    hits: tuple[Ints, ...]
    ignored: tuple[Ints, ...]


def rank_classes(
    truth: GroundTruth,
    detections: DetectionArrays,
    matches: Sequence[DetectionMatches],
    *,
    images: int,
    classes: int,
    limit: int | None = COCO_LIMIT,
) -> tuple[Ranking, ...]:
    """Return the ranking of each class; crowds are not counted as objects.

    Args:
      truth: the objects.
      detections: the detections.
      matches: of the detections, for each IoU.
      images: the number of images.
      classes: the number of classes.
      limit: how many detections of one class in one image count; None for all.
    """
    # COCO looks at the best detections of an image only; it treats the others as if they did not exist.
    is_surplus = _rank_in_image(detections) >= (len(detections.score) if limit is None else limit)
    # A stable sort, as in COCO: equal scores stay in the order of the images.
    order = np.argsort(-detections.score, kind="stable")
    rankings = []
    for label in range(classes):
        rows = order[detections.label[order] == label]
        objects = truth.image[(truth.label == label) & ~truth.is_crowd]
        rankings.append(
            Ranking(
                objects=np.bincount(objects, minlength=images).astype(float),
                image=detections.image[rows],
                hits=tuple(np.flatnonzero((match.is_hit & ~is_surplus)[rows]) for match in matches),
                ignored=tuple(np.flatnonzero((match.is_ignored | is_surplus)[rows]) for match in matches),
            )
        )
    return tuple(rankings)


def _rank_in_image(detections: DetectionArrays) -> Ints:
    """Return int [D]: the number of detections of the same image and class with a higher score."""
    order = np.lexsort((detections.label, detections.image))  # stable: scores stay in falling order
    image, label = detections.image[order], detections.label[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (image[1:] != image[:-1]) | (label[1:] != label[:-1])
    position = np.arange(len(order))
    rank = np.empty_like(position)
    # The position in the sorted array less that of the first detection of the same image and class.
    rank[order] = position - np.maximum.accumulate(np.where(is_first, position, 0))
    return rank


def precision_at_recalls(ranking: Ranking, weights: Floats) -> Floats:
    """Return the interpolated precision [IoUs, 101] at RECALLS, falling; nan if the class has no objects.

    Args:
      ranking: of the class.
      weights: float [I], how often each image counts: 1 for the plain value, the number of draws in a resample, 0 to
        leave the image out.
    """
    positives = float(weights @ ranking.objects)
    precision = np.zeros((len(ranking.hits), len(RECALLS)))
    if not positives:
        return np.full_like(precision, np.nan)
    # Cumulated weights in order of falling score: the number of detections down to each one.
    detections = np.cumsum(weights[ranking.image])
    for row, hits, ignored in zip(precision, ranking.hits, ranking.ignored, strict=True):
        hit_count = np.cumsum(weights[ranking.image[hits]])
        counted = detections[hits] - _weight_before(hits, ignored, weights[ranking.image[ignored]])
        # Precision has its peaks at true positives, so these alone make the curve. The maximum avoids 0 / 0 before the
        # first image that counts.
        best_after = np.maximum.accumulate((hit_count / np.maximum(counted, 1))[::-1])[::-1]
        # For each recall, the first true positive that reaches it; beyond the last one precision stays 0, as in COCO.
        reached = np.searchsorted(hit_count / positives, RECALLS)
        reached = reached[reached < len(hits)]
        row[: len(reached)] = best_after[reached]
    return precision


def _weight_before(positions: Ints, ignored: Ints, weights: Floats) -> Floats | float:
    """Return, for each position, the sum of the weights of the ignored detections before it."""
    if not len(ignored):
        return 0.0
    sums: Floats = np.concatenate([[0.0], np.cumsum(weights)])
    return sums[np.searchsorted(ignored, positions)]


def average_precisions(rankings: Sequence[Ranking], weights: Floats) -> Floats:
    """Return AP [K, IoUs]; nan for a class without objects."""
    return np.array([precision_at_recalls(ranking, weights).mean(axis=1) for ranking in rankings])


def mean_without_nan(values: Floats) -> float | None:
    """Return the mean of the values that are not nan, or None if all are.

    Example:
      >>> mean_without_nan(np.array([0.5, np.nan, 1.0]))
      0.75
    """
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """95 % intervals (low, high); None if no resample has an object."""

    ap: tuple[float, float] | None
    ap50: tuple[float, float] | None
    ap50_per_class: tuple[tuple[float, float] | None, ...]


def bootstrap_intervals(
    rankings: Sequence[Ranking], units: Ints, *, seed: int, resamples: int = RESAMPLES
) -> Intervals:
    """Return percentile intervals (Efron 1979) over units drawn with replacement.

    Args:
      rankings: of the classes, at IOUS.
      units: int [I], the unit of each image, 0, 1, …: the image itself, or its group. Frames of one dive resemble each
        other, so they carry less information than as many independent images.
      seed: of the random draws.
      resamples: the number of resamples.
    """
    drawn = np.empty((resamples, len(rankings), len(IOUS)))
    # Each resample only changes the weights of the images. The rankings are computed once, which makes 1,000 resamples
    # affordable.
    for values, draws in zip(drawn, draw_units(int(units.max()) + 1, seed=seed, resamples=resamples), strict=True):
        # The images of a unit get its weight, so that a group is in or out as a whole.
        values[:] = average_precisions(rankings, draws[units].astype(float))
    return Intervals(
        ap=interval_95(_mean_over_classes(drawn.mean(axis=2))),
        ap50=interval_95(_mean_over_classes(drawn[:, :, 0])),
        ap50_per_class=tuple(interval_95(drawn[:, row, 0]) for row in range(len(rankings))),
    )


def draw_units(count: int, *, seed: int, resamples: int = RESAMPLES) -> Iterator[Ints]:
    """Yield for each resample how often each of the units was drawn, int [U]: U draws with replacement."""
    random = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(random.integers(count, size=count), minlength=count)


def _mean_over_classes(values: Floats) -> Floats:
    """Reduce [resamples, K] to [resamples]: the mean over the classes of which a resample has objects."""
    known: Bools = ~np.isnan(values)
    counts = known.sum(axis=1)
    sums = np.where(known, values, 0.0).sum(axis=1)
    means: Floats = np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)
    return means


def interval_95(values: Floats) -> tuple[float, float] | None:
    """Return the middle 95 % of the values [R] of resamples, without nan; None if all are nan."""
    known = values[~np.isnan(values)]
    if not known.size:
        return None
    low, high = np.percentile(known, _PERCENTILES)
    return float(low), float(high)
