"""The abundance of each class over the whole survey, by period, by deployment, and by both, from an audit.

Begin with `estimate_abundance`, which makes the rows of abundance.csv; the statistics are in `prediction_powered`.
Shapes: U units, n audited units, K classes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retinanet_odm.evaluation.matching import Floats, Ints
from retinanet_odm.evaluation.prediction_powered import (
    MIN_FREEDOM,
    AuditSample,
    Estimate,
    estimate_mean,
    tune_weight,
)
from retinanet_odm.predictions.sampling import t_quantile

SURVEY, BY_PERIOD, BY_DEPLOYMENT, BY_BOTH = "survey", "period", "deployment", "deployment and period"
OTHER_PLACES = "other places"
PER_IMAGE, MAX_N = "mean count per image", "MaxN"

NO_LABELS = "no label"
FEW_LABELS = "too few labels"
_DIGITS = 6


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditedUnits:
    """The units of a survey, of which some are audited.

    Attributes:
      deployments, periods: int [U], indexes in the names.
      deployment_names, period_names: sorted names.
      strata: int [U].
      audited: bool [U].
      images: float [U], number of images of each unit.
    """

    deployments: Ints
    periods: Ints
    deployment_names: Sequence[str]
    period_names: Sequence[str]
    strata: Ints
    audited: npt.NDArray[np.bool_]
    images: Floats

    def sample(self, sizes: Floats) -> AuditSample:
        """Return the audited units, for a mean over these sizes [U]."""
        return AuditSample(
            strata=self.strata[self.audited], populations=np.bincount(self.strata), sizes=sizes[self.audited]
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scope:
    """Domains that divide the survey: the domain of each unit [U], and deployment and period of each domain."""

    kind: str
    domains: Ints
    names: Sequence[tuple[str, str]]


def estimate_abundance(
    units: AuditedUnits,
    predicted: Floats,
    truth: Floats,
    classes: Sequence[str],
    *,
    statistic: str,
) -> list[dict[str, Any]]:
    """Return a row of abundance.csv for each class and domain.

    Args:
      units: of the survey.
      predicted: [U, K] what the detector counted in each unit: the sum over its images, or MaxN.
      truth: [n, K] the same by the labels, of the audited units.
      classes: names of the K classes.
      statistic: PER_IMAGE or MAX_N.
    """
    sizes = units.images if statistic == PER_IMAGE else np.ones(len(units.images))
    sample, scopes = units.sample(sizes), list(_scopes(units))
    rows = []
    for column, name in enumerate(classes):
        counts, labelled = predicted[:, column], truth[:, column]
        weight = tune_weight(sample, labelled, counts[units.audited])
        for scope in scopes:
            found = _estimate_scope(scope, units, sample, sizes, counts, labelled, weight)
            head = {"class": name, "statistic": statistic, "weight": _round(weight)}
            rows += [{**head, **row} for row in found]
            if scope.kind == BY_DEPLOYMENT:
                rows += [{**head, **row} for row in _other_places(found)]
    return rows


def _scopes(units: AuditedUnits) -> Iterator[_Scope]:
    """Yield the ways to divide the survey; those that say the same as an earlier one are left out."""
    places, times = units.deployment_names, units.period_names
    yield _Scope(kind=SURVEY, domains=np.zeros(len(units.strata), np.int64), names=[("", "")])
    if len(times) > 1:
        yield _Scope(kind=BY_PERIOD, domains=units.periods, names=[("", time) for time in times])
    if len(places) > 1:
        yield _Scope(kind=BY_DEPLOYMENT, domains=units.deployments, names=[(place, "") for place in places])
    if len(times) > 1 and len(places) > 1:
        pairs = units.deployments * len(times) + units.periods
        known, domains = np.unique(pairs, return_inverse=True)
        names = [(places[pair // len(times)], times[pair % len(times)]) for pair in known.tolist()]
        yield _Scope(kind=BY_BOTH, domains=domains.reshape(-1), names=names)


def _estimate_scope(
    scope: _Scope,
    units: AuditedUnits,
    sample: AuditSample,
    sizes: Floats,
    counts: Floats,
    truth: Floats,
    weight: float,
) -> list[dict[str, Any]]:
    """Return what a row of each domain holds, but for its class."""
    number = len(scope.names)
    totals, reach = (np.bincount(scope.domains, values, number) for values in (counts, sizes))
    population = np.bincount(scope.domains, minlength=number)
    images = np.bincount(scope.domains, units.images, number)
    audited = scope.domains[units.audited]
    weighted = weight * counts[units.audited]
    rows = []
    for domain, (place, time) in enumerate(scope.names):
        total = weight * float(totals[domain])
        inside = audited == domain
        found = estimate_mean(sample, truth, weighted, inside=inside, total=total, size=float(reach[domain]))
        rows.append(
            {
                "scope": scope.kind,
                "deployment": place,
                "period": time,
                "units": int(population[domain]),
                "images": int(images[domain]),
                "predicted": _round(float(totals[domain] / reach[domain])),
                **_describe(found),
            }
        )
    return rows


def _describe(found: Estimate | None) -> dict[str, Any]:
    if found is None:
        empty = ("mean", "low", "high", "labels_alone", "alone_low", "alone_high", "effective_labels", "half_width")
        return {**dict.fromkeys(empty), "half_width_with_more": None, "labels": 0, "animals": 0, "note": NO_LABELS}
    low, high = found.interval or (None, None)
    alone_low, alone_high = found.interval_alone or (None, None)
    return {
        "mean": _round(found.mean),
        "low": _round(low),
        "high": _round(high),
        "labels_alone": _round(found.labels_alone),
        "alone_low": _round(alone_low),
        "alone_high": _round(alone_high),
        "effective_labels": None if found.effective_labels is None else round(found.effective_labels),
        "half_width": _round(found.half_width),
        "half_width_with_more": _round(found.with_more),
        "labels": found.labels,
        "animals": found.animals,
        "note": "" if found.interval else FEW_LABELS,
    }


def _other_places(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield a row about places like these, if there are enough: the deployments as a random sample of them.

    Each deployment counts alike. The spread of their estimates holds that of the places and that of the audit (the
    ultimate clusters of Särndal, Swensson & Wretman 1992, section 4.6).
    """
    known = [row for row in rows if row["mean"] is not None]
    means = np.array([row["mean"] for row in known])
    if len(known) - 1 < MIN_FREEDOM or len(known) < len(rows) or not np.ptp(means):
        return
    half = t_quantile(len(known) - 1) * math.sqrt(means.var(ddof=1) / len(known))
    mean = float(means.mean())
    yield {
        **rows[0],
        **dict.fromkeys(("labels_alone", "alone_low", "alone_high", "effective_labels", "half_width_with_more")),
        "scope": OTHER_PLACES,
        "deployment": "",
        "units": sum(row["units"] for row in rows),
        "images": sum(row["images"] for row in rows),
        "predicted": _round(float(np.mean([row["predicted"] for row in rows]))),
        "mean": _round(mean),
        "low": _round(max(mean - half, 0.0)),
        "high": _round(mean + half),
        "half_width": _round(half),
        "labels": sum(row["labels"] for row in rows),
        "animals": sum(row["animals"] for row in rows),
        "note": "",
    }


def _round(value: float | None) -> float | None:
    # So that the last bits, which depend on the machine, do not change the files.
    # Significant digits, because the mean of a rare class may be one animal in 10,000 images; but a 0 stays 0.
    return None if value is None else float(f"{round(value, 12):.{_DIGITS}g}")
