"""How probable it is that a label is wrong where it disagrees with a detector, calibrated on all labels themselves.

Nothing is known about the errors beforehand. Two properties of most labels being right are used:

* `hidden_positive`: the more certain the detector is, the more labels agree with it, up to a share that even the most
  certain detections do not exceed. That share is taken for the share of labels that are right, as Elkan & Noto (2008),
  "Learning classifiers from only positive and unlabeled data", section 2, estimate the frequency of labels.
* `outlying`: most boxes lie as well as their likes, so the bulk gives the null distribution, and a local false
  discovery rate says how far a box is out of it (Efron 2004, "Large-scale simultaneous hypothesis testing: the choice
  of a null hypothesis"; the density of p-values by Grenander's estimator, as in Strimmer 2008, "fdrtool").

Letters of shapes: N observations.
"""

import math

import numpy as np

from retinanet_odm.evaluation.matching import Bools, Floats

_SURE = 0.75  # quantile from which detections are taken for right
_CERTAIN = 0.99  # no probability is above: that the most certain detections are right is an assumption


def isotonic(values: Floats, weights: Floats) -> Floats:
    """Return the rising sequence [N] that is nearest to the values by weighted least squares (pool adjacent violators).

    Barlow, Bartholomew, Bremner & Brunk (1972), "Statistical inference under order restrictions", section 1.2.

    Example:
      >>> isotonic(np.array([1.0, 3.0, 2.0, 4.0]), np.ones(4)).tolist()
      [1.0, 2.5, 2.5, 4.0]
    """
    blocks: list[tuple[float, float, int]] = []  # mean, weight, length
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, length = value, weight, 1
        while blocks and blocks[-1][0] >= mean:
            before, weight_before, length_before = blocks.pop()
            mean = (mean * total + before * weight_before) / (total + weight_before)
            total, length = total + weight_before, length + length_before
        blocks.append((mean, total, length))
    return np.repeat([mean for mean, _, _ in blocks], [length for _, _, length in blocks])


def agreement_rate(certainty: Floats, agrees: Bools) -> Floats:
    """Return the share [N] of labels that agree with detections as certain as each, which rises with the certainty.

    Args:
      certainty: [N], of the detections; equal ones have equal shares.
      agrees: [N], whether the label of a detection is what the detection says.
    """
    levels, level_of, counts = np.unique(certainty, return_inverse=True, return_counts=True)
    agreeing = np.bincount(level_of, weights=agrees, minlength=len(levels))
    weights = counts.astype(np.float64)
    fitted = isotonic(agreeing / weights, weights)
    # The rule of succession for each flat part: a part of few detections is not taken for certain.
    _, part_of = np.unique(fitted, return_inverse=True)
    in_part = np.bincount(part_of, weights=weights)[part_of]
    smoothed = (fitted * in_part + 1) / (in_part + 2)
    rates: Floats = np.maximum.accumulate(smoothed)[level_of]
    return rates


def hidden_positive(certainty: Floats, agrees: Bools) -> Floats:
    """Return the probability [N] that a detection is right and its label wrong; 0 where the label agrees.

    With the rate g at which labels agree with detections as certain as this one, and the frequency c at which a right
    detection has its label: (1 - c) / c * g / (1 - g), Elkan & Noto's equation for the weight of an unlabelled example.
    c is the rate of the detections that are as certain as the most certain quarter of those with their label: right
    ones, nearly all. The largest g would be less certain a number, and too large.

    Args:
      certainty, agrees: as in agreement_rate.
    """
    if not agrees.any():
        return np.zeros(len(certainty))
    rate = agreement_rate(certainty, agrees)
    sure = certainty >= np.quantile(certainty[agrees], _SURE)
    frequency = (np.count_nonzero(agrees & sure) + 1) / (np.count_nonzero(sure) + 2)
    odds = (1 - frequency) / frequency * rate / (1 - rate)
    return np.where(agrees, 0.0, np.minimum(odds, _CERTAIN))


def outlying(distance: Floats) -> Floats:
    """Return the probability [N] that a distance from the usual place is not of the bulk of all distances.

    The logarithms of the bulk are taken to be normally distributed on their upper side, with the median and the upper
    quartile of all of them, of which few are errors.

    Args:
      distance: [N], above 0.
    """
    if len(distance) < 2:
        return np.zeros(len(distance))
    logs = np.log(distance)
    median, upper = np.quantile(logs, [0.5, 0.75])
    spread = max((upper - median) / 0.6745, 1e-6)  # the upper quartile of the standard normal distribution
    tails = np.array([0.5 * math.erfc(value) for value in ((logs - median) / spread / math.sqrt(2)).tolist()])
    order = np.argsort(tails, kind="stable")
    # Grenander: the density of p-values falls, and its estimate is the slope of the least concave majorant.
    steps = np.maximum(np.diff(tails[order], prepend=0.0), 1e-12)
    density = -isotonic(-1 / (len(tails) * steps), steps)
    # The density of the bulk is 1, or more where distances are equal.
    middle = min(int(np.searchsorted(tails[order], 0.5)), len(tails) - 1)
    bulk = max(density[middle], 1.0)
    found = np.zeros(len(tails))
    found[order] = np.clip(1 - bulk / np.maximum(density, bulk), 0.0, _CERTAIN)
    return found
