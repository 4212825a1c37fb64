"""Average precision as COCO computes it, of weighted images; and how sure it is, by resampling images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retinanet_odm.evaluation.matching import Bools, DetectionArrays, DetectionMatches, Floats, GroundTruth, Ints

# pycocotools.cocoeval.Params, to the bit.
IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
_MOST_OF_A_CLASS = 100  # detections of one class in one image

_RESAMPLES = 1000
_INTERVAL = (2.5, 97.5)  # percentiles: 95 %


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The detections of one class by falling score, and which are right.

    Attributes:
      objects: float [I], objects of the class in each image.
      image: int [D], rows of the images.
      hits: for each IoU, positions of the right ones.
      ignored: for each IoU, positions of those that do not count.
    """

    objects: Floats
    image: Ints
    hits: tuple[Ints, ...]
    ignored: tuple[Ints, ...]


def rank_classes(
    truth: GroundTruth, found: DetectionArrays, matches: Sequence[DetectionMatches], *, images: int, classes: int
) -> tuple[Ranking, ...]:
    """The ranking of each class, with the matches at some IoUs; crowds are no objects."""
    beyond = _rank_in_image(found) >= _MOST_OF_A_CLASS
    order = np.argsort(-found.score, kind="stable")
    rankings = []
    for label in range(classes):
        rows = order[found.label[order] == label]
        objects = truth.image[(truth.label == label) & ~truth.is_crowd]
        rankings.append(
            Ranking(
                objects=np.bincount(objects, minlength=images).astype(float),
                image=found.image[rows],
                hits=tuple(np.flatnonzero((match.is_hit & ~beyond)[rows]) for match in matches),
                ignored=tuple(np.flatnonzero((match.is_ignored | beyond)[rows]) for match in matches),
            )
        )
    return tuple(rankings)


def _rank_in_image(found: DetectionArrays) -> Ints:
    """int [D]: how many detections of the same image and class go before."""
    order = np.lexsort((found.label, found.image))  # stable: falling scores stay so
    image, label = found.image[order], found.label[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (image[1:] != image[:-1]) | (label[1:] != label[:-1])
    position = np.arange(len(order))
    rank = np.empty_like(position)
    rank[order] = position - np.maximum.accumulate(np.where(is_first, position, 0))
    return rank


def precision_at_recalls(ranking: Ranking, weights: Floats) -> Floats:
    """Interpolated precision [IoUs, 101] at RECALLS, falling; nan where there is no object.

    Args:
      weights: float [I], how often each image counts: 1 for the plain value, in a resample its draws, 0 to leave it out
    """
    positives = float(weights @ ranking.objects)
    precision = np.zeros((len(ranking.hits), len(RECALLS)))
    if not positives:
        return np.full_like(precision, np.nan)
    seen = np.cumsum(weights[ranking.image])
    for row, hits, ignored in zip(precision, ranking.hits, ranking.ignored, strict=True):
        right = np.cumsum(weights[ranking.image[hits]])
        counted = seen[hits] - _weight_before(hits, ignored, weights[ranking.image[ignored]])
        # Precision peaks at hits, so that these alone make the curve; before the first drawn image nothing counts.
        best_after = np.maximum.accumulate((right / np.maximum(counted, 1))[::-1])[::-1]
        reached = np.searchsorted(right / positives, RECALLS)
        reached = reached[reached < len(hits)]
        row[: len(reached)] = best_after[reached]
    return precision


def _weight_before(positions: Ints, ignored: Ints, weights: Floats) -> Floats | float:
    if not len(ignored):
        return 0.0
    return np.concatenate([[0.0], np.cumsum(weights)])[np.searchsorted(ignored, positions)]


def average_precisions(rankings: Sequence[Ranking], weights: Floats) -> Floats:
    """AP [classes, IoUs]; nan for a class without objects."""
    return np.array([precision_at_recalls(ranking, weights).mean(axis=1) for ranking in rankings])


def mean_of_known(values: Floats) -> float | None:
    """The mean of the numbers that are known; None where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """95 % intervals (low, high); None where resamples hold no object."""

    ap: tuple[float, float] | None
    ap50: tuple[float, float] | None
    ap50_per_class: tuple[tuple[float, float] | None, ...]


def bootstrap_intervals(
    rankings: Sequence[Ranking], units: Ints, *, seed: int, resamples: int = _RESAMPLES
) -> Intervals:
    """Percentile intervals (Efron 1979) over units drawn with replacement.

    Args:
      rankings: of the classes, at IOUS.
      units: int [I], the unit that each image belongs to, 0, 1, …: itself, or its group, since frames of one dive are
        alike and tell less than as many independent ones.
    """
    random = np.random.default_rng(seed)
    count = int(units.max()) + 1
    drawn = np.empty((resamples, len(rankings), len(IOUS)))
    for values in drawn:
        draws = np.bincount(random.integers(count, size=count), minlength=count)
        values[:] = average_precisions(rankings, draws[units].astype(float))
    return Intervals(
        ap=_interval(_mean_over_classes(drawn.mean(axis=2))),
        ap50=_interval(_mean_over_classes(drawn[:, :, 0])),
        ap50_per_class=tuple(_interval(drawn[:, row, 0]) for row in range(len(rankings))),
    )


def _mean_over_classes(values: Floats) -> Floats:
    """[resamples, classes] to [resamples]: the classes that a resample holds."""
    known: Bools = ~np.isnan(values)
    counts = known.sum(axis=1)
    sums = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


def _interval(values: Floats) -> tuple[float, float] | None:
    known = values[~np.isnan(values)]
    if not known.size:
        return None
    low, high = np.percentile(known, _INTERVAL)
    return float(low), float(high)
