"""95 % intervals of AP, and of how well objects are found and counted at the thresholds.

Begin with `interval_entry`. Shapes: I images, K classes, U units, R resamples.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from retinanet_odm.evaluation.average_precision import Ranking, bootstrap_intervals, draw_units, interval_95
from retinanet_odm.evaluation.matching import Floats, Ints
from retinanet_odm.wording import plural

_RATES = ("recall", "precision", "count_ratio")
FEW_IMAGES = 30  # a rule of thumb: of fewer, the resamples of an interval are not much like other images


@dataclass(frozen=True, kw_only=True)
class ImageCounts:
    """Objects, kept detections outside of crowds, and true positives among these: int [I, K] each."""

    objects: Ints
    kept: Ints
    hits: Ints


def interval_entry(
    over: str, units: Ints, rankings: Sequence[Ranking], counts: ImageCounts, classes: Sequence[str], *, seed: int
) -> dict[str, Any]:
    """Return an entry of ``intervals`` of eval.json.

    Args:
      over: what the units are.
      units: int [I], the unit of each image, 0, 1, …: see average_precision.bootstrap_intervals.
      rankings: of the classes, at COCO's IoUs.
      counts: of the images.
      classes: names of the K classes.
      seed: of the random draws.
    """
    found = bootstrap_intervals(rankings, units, seed=seed)
    rates, rates_by_class = bootstrap_rates(counts, units, seed=seed)
    return {
        "over": over,
        "units": int(units.max()) + 1,
        "AP": found.ap,
        "AP50": found.ap50,
        "per_class": dict(zip(classes, found.ap50_per_class, strict=True)),
        **rates,
        "rates_per_class": dict(zip(classes, rates_by_class, strict=True)),
    }


def bootstrap_rates(counts: ImageCounts, units: Ints, *, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return percentile intervals (Efron 1979) of all classes together, and of each class.

    Args:
      counts: of the images.
      units: int [I], the unit of each image, 0, 1, …, as in `interval_entry`.
      seed: of the random draws.

    Returns:
      Intervals (low, high), or None, by name: ``recall``, the share of the objects that is found; ``precision``, the
      share of the kept detections that is right; ``count_ratio``, kept detections by objects: 1 where counts agree.
    """
    number = int(units.max()) + 1
    tables = np.stack([counts.objects, counts.kept, counts.hits], axis=1)  # [I, 3, K]
    by_unit = np.zeros((number, *tables.shape[1:]), int)
    np.add.at(by_unit, units, tables)
    # One resample at a time: of many images, all draws together would take gigabytes.
    drawn = np.array([np.tensordot(draws, by_unit, axes=1) for draws in draw_units(number, seed=seed)])  # [R, 3, K]
    overall = _intervals(*drawn.sum(axis=2).T)
    return overall, [_intervals(*drawn[:, :, row].T) for row in range(drawn.shape[2])]


def _intervals(objects: Ints, kept: Ints, hits: Ints) -> dict[str, Any]:
    rates = (_ratio(hits, objects), _ratio(hits, kept), _ratio(kept, objects))
    return dict(zip(_RATES, map(interval_95, rates), strict=True))


def _ratio(parts: Ints, wholes: Ints) -> Floats:
    """Return the quotients; nan where the denominator of a resample is 0."""
    ratios: Floats = np.divide(parts, wholes, out=np.full(len(wholes), np.nan), where=wholes > 0)
    return ratios


def describe_few_images(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line if a split has too few images for its AP to say much, with the interval if there is one.

    Args:
      metrics: of eval.json.
    """
    if metrics["images"] >= FEW_IMAGES:
        return
    interval = next((entry["AP50"] for entry in metrics.get("intervals", []) if entry["AP50"]), None)
    low, high = (f"{end:.2f}" for end in interval or (0.0, 0.0))
    # Draws of images that are all alike show nothing of other images.
    span = f": with other images AP50 may be {low} to {high} (95 %)" if low != high else ""
    count = f"{metrics['images']} {plural('image', metrics['images'])}"
    yield f"split {metrics['split']!r} has {count}, so this AP says little{span}"
