"""Mean counts of all images from the labels of an audited sample and the predictions of all: with errors that hold.

Begin with `tune_weight` and `estimate_mean`. The mean of the predictions is corrected by that of the errors which the
audit found, so that it is right however wrong the detector is; a better detector only makes the interval narrower:

  mean = λ · mean of all predictions + mean over the audit of (truth − λ · prediction)

It is the difference estimator of survey sampling (Särndal, Swensson & Wretman 1992, Model Assisted Survey Sampling,
section 6.3), or prediction-powered inference (Angelopoulos et al. 2023, Science 382, 669) with the weight λ of PPI++
(Angelopoulos, Duchi & Zrnic 2023, arXiv:2311.01453), which is here the slope of the combined regression estimator of a
stratified sample (Cochran 1977, Sampling Techniques, section 7.10). One weight serves all
deployments and periods of a class: weights of their own would follow chance, and their estimates would no longer add up
to that of the survey. The variance is that of the stratified design with
finite population correction, its interval Student's t with Satterthwaite's degrees of freedom (Cochran, 5.4).

Own code in place of ppi-python, which assumes independent draws of one distribution: neither strata nor a finite
population nor part of it as a domain.

Shapes: n audited units, H strata.
"""

import math
from dataclasses import dataclass

import numpy as np

from retinanet_odm.evaluation.matching import Bools, Floats, Ints
from retinanet_odm.predictions.sampling import t_quantile

MIN_FREEDOM = 4.0  # degrees of freedom of an interval; with fewer, it says too little
# Errors of one animal that are added to those that the audit found: of few errors, chance decides how many are seen,
# and without any, the interval would be empty. Half the width is then about that of the rule of three (Hanley &
# Lippman-Hand 1983, JAMA 249, 1743), as with the two successes that Agresti & Coull add (1998, The American
# Statistician 52, 119).
ADDED_ERRORS = 2.0
MORE_LABELS = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditSample:
    """The audited units of a design.

    Attributes:
      strata: int [n], the stratum of each unit.
      populations: int [H], number of units of each stratum, audited or not.
      sizes: float [n], what the mean is over: images of each unit for a mean per image, 1 for a mean per unit.
    """

    strata: Ints
    populations: Ints
    sizes: Floats

    @property
    def samples(self) -> Ints:
        """Int [H], number of audited units of each stratum."""
        return np.bincount(self.strata, minlength=len(self.populations))

    @property
    def weights(self) -> Floats:
        """Float [n], how many units of the population each one stands for."""
        found: Floats = (self.populations / np.maximum(self.samples, 1))[self.strata]
        return found

    def spread(self, first: Floats, second: Floats) -> Floats:
        """Return the covariance of two values of the units in each stratum [H]; 0 where there is one unit."""
        counts = np.maximum(self.samples, 1)

        def centred(values: Floats) -> Floats:
            means = np.bincount(self.strata, weights=values, minlength=len(counts)) / counts
            moved: Floats = values - means[self.strata]
            return moved

        products = centred(first) * centred(second)
        found: Floats = np.bincount(self.strata, weights=products, minlength=len(counts)) / np.maximum(counts - 1, 1)
        return found

    def variance_factors(self, samples: Floats | None = None) -> Floats:
        """Return by what the variance in each stratum is multiplied for that of a total [H]; for other sample sizes."""
        counts: Floats = (self.samples if samples is None else samples).astype(np.float64)
        populations: Floats = self.populations.astype(np.float64)
        factors: Floats = populations**2 * np.maximum(1 / np.maximum(counts, 1.0) - 1 / populations, 0.0)
        return factors

    def linearised(self, values: Floats, inside: Bools) -> Floats:
        """Return values [n] whose estimated total has the variance of the domain's ratio, times its size."""
        weights = self.weights * inside
        ratio = (weights @ values) / (weights @ self.sizes)
        found: Floats = inside * (values - ratio * self.sizes)
        return found


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean with its 95 % interval, which is None if it cannot be judged.

    Attributes:
      mean: per image, or per unit.
      half_width: of the interval, before it is cut at 0.
      interval: low and high end; never below 0.
      labels: number of audited units of the domain.
      animals: number of animals in them, by the labels.
      labels_alone: the mean by the labels without the predictions.
      interval_alone: of labels_alone.
      effective_labels: of a simple random sample without predictions with an interval as wide; None if unknown.
      with_more: half the width of the interval if MORE_LABELS units of the whole survey were audited in addition.
      variance: of the mean.
      freedom: degrees of freedom of the interval.
    """

    mean: float
    half_width: float | None
    interval: tuple[float, float] | None
    labels: int
    animals: int
    labels_alone: float
    interval_alone: tuple[float, float] | None
    effective_labels: float | None
    with_more: float | None
    variance: float
    freedom: float


def tune_weight(sample: AuditSample, truth: Floats, predicted: Floats) -> float:
    """Return how far the predictions are trusted: the λ of least variance over all audited units, and never below 0.

    Args:
      sample: the audited units.
      truth, predicted: [n] their counts.
    """
    inside = np.ones(len(truth), bool)
    errors, guesses = sample.linearised(truth, inside), sample.linearised(predicted, inside)
    factors = sample.variance_factors()
    spread = float(factors @ sample.spread(guesses, guesses))
    return max(float(factors @ sample.spread(guesses, errors)) / spread, 0.0) if spread > 0 else 0.0


def estimate_mean(
    sample: AuditSample, truth: Floats, weighted: Floats, *, inside: Bools, total: float, size: float
) -> Estimate | None:
    """Return the mean count of a domain, such as a deployment in a month; None without a label of it.

    Args:
      sample: the audited units.
      truth: [n] their counts by the labels.
      weighted: [n] their predicted counts, times the weight of the class.
      inside: [n] which of them are in the domain.
      total: the sum of the weighted predicted counts over all units of the domain, audited or not.
      size: the sum of what the mean is over (AuditSample.sizes), over all units of the domain.
    """
    labels = int(inside.sum())
    if not labels:
        return None
    scale = sample.weights * inside
    reach = float(scale @ sample.sizes)  # the size by the sample; equal to `size` where strata do not cross the domain
    alone = float(scale @ truth) / reach
    mean = total / size + float(scale @ (truth - weighted)) / reach
    residuals, counts = sample.linearised(truth - weighted, inside), sample.linearised(truth, inside)
    complete = math.isclose(reach, float(inside @ sample.sizes)) and math.isclose(reach, size)
    judged = _variance(sample, residuals, inside, reach, used=1, complete=complete)  # one weight was tuned
    judged_alone = _variance(sample, counts, inside, reach, used=0, complete=complete)
    return Estimate(
        mean=max(mean, 0.0),
        half_width=judged.half_width(),
        interval=judged.interval(mean),
        labels=labels,
        animals=round(float(truth[inside].sum())),
        labels_alone=alone,
        interval_alone=judged_alone.interval(alone),
        effective_labels=_effective_labels(counts, scale, reach, judged),
        with_more=judged.half_width(_more(sample)),
        variance=judged.value(),
        freedom=judged.freedom,
    )


def _more(sample: AuditSample) -> Floats:
    """Return the sample sizes [H] of an audit with MORE_LABELS more units, distributed as those that there are."""
    samples = sample.samples
    grown: Floats = np.minimum(samples * (1 + MORE_LABELS / samples.sum()), sample.populations)
    return grown


@dataclass(frozen=True, kw_only=True, eq=False)
class _Variance:
    """The variance of a mean by strata, and what else an interval needs.

    Attributes:
      sample: the audited units.
      spread: float [H], of the values in each stratum.
      labels: int [H], audited units of the domain.
      reach: size of the domain.
      used: number of weights that were tuned on the labels.
      complete: whether every unit of the domain is audited.
    """

    sample: AuditSample
    spread: Floats
    labels: Ints
    reach: float
    used: int
    complete: bool

    def value(self, samples: Floats | None = None) -> float:
        """Return the variance, for other sample sizes [H] if given."""
        found = float(self.sample.variance_factors(samples) @ self.spread)
        lost = self._labels_freedom / max(self._labels_freedom - self.used, 1)
        return (found * lost + self._added(samples)) / self.reach**2

    def _added(self, samples: Floats | None = None) -> float:
        """Return the variance of the total by ADDED_ERRORS, spread over the audited units of the domain."""
        counts = np.maximum(self.sample.samples if samples is None else samples, 1)
        weights: Floats = self.sample.populations / counts
        return ADDED_ERRORS * float(self.labels @ (weights * (weights - 1))) / float(self.labels.sum())

    @property
    def _labels_freedom(self) -> int:
        # Units of the domain only: the others of a stratum are all alike, and tell nothing of its spread.
        return int(np.maximum(self.labels - 1, 0).sum())

    @property
    def freedom(self) -> float:
        """Satterthwaite's degrees of freedom; the added variance is known, and has none to lose."""
        parts = self.sample.variance_factors() * self.spread
        squares = float((parts**2 / np.maximum(self.labels - 1, 1)).sum())
        total = float(parts.sum()) + self._added()
        return min(total**2 / squares, self._labels_freedom) if squares > 0 else self._labels_freedom

    def half_width(self, samples: Floats | None = None) -> float | None:
        """Return half the width of the interval, for other sample sizes [H] if given; None if it cannot be judged."""
        if self.complete or not self.sample.variance_factors(samples).any():
            return 0.0
        freedom = self.freedom - self.used
        # Without a variance, the units that are not audited lie in strata of which the domain has no label.
        known = freedom >= MIN_FREEDOM and self.value() > 0
        return t_quantile(freedom) * math.sqrt(self.value(samples)) if known else None

    def interval(self, mean: float) -> tuple[float, float] | None:
        """Return the interval of a mean."""
        half = self.half_width()
        return None if half is None else (max(mean - half, 0.0), max(mean + half, 0.0))


def _variance(
    sample: AuditSample, values: Floats, inside: Bools, reach: float, *, used: int, complete: bool
) -> _Variance:
    labels = np.bincount(sample.strata[inside], minlength=len(sample.populations))
    spread = sample.spread(values, values)
    return _Variance(sample=sample, spread=spread, labels=labels, reach=reach, used=used, complete=complete)


def _effective_labels(counts: Floats, scale: Floats, reach: float, judged: _Variance) -> float | None:
    """Return the size of a simple random sample whose mean has this variance (Kish 1965, Survey Sampling, 8.2)."""
    variance, units = judged.value(), float(scale.sum())
    spread = float(scale @ counts**2) / units  # of a unit, in the population of the domain
    if judged.half_width() is None or not spread:
        return None
    return 1 / (variance * (reach / units) ** 2 / spread + 1 / units)
