"""Means from an audit: unbiased over all samples that could have been drawn, with the variance that they have."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from retinanet_odm.evaluation.prediction_powered import AuditSample, Estimate, estimate_mean, tune_weight

# Two strata of 5 and 4 units, of which 2 and 3 are audited; a detector that misses and invents.
STRATA = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])
TRUTH = np.array([0.0, 2.0, 1.0, 0.0, 3.0, 9.0, 4.0, 7.0, 5.0])
PREDICTED = np.array([1.0, 1.0, 1.0, 0.0, 2.0, 6.0, 6.0, 5.0, 4.0])
ALL = np.ones(9, bool)


def audits() -> Iterator[np.ndarray]:
    """All samples that could have been drawn, each as likely as the others."""
    for first in itertools.combinations(range(5), 2):
        for second in itertools.combinations(range(5, 9), 3):
            yield np.array([*first, *second])


def sample_of(chosen: np.ndarray, strata: np.ndarray = STRATA) -> AuditSample:
    return AuditSample(strata=strata[chosen], populations=np.bincount(strata), sizes=np.ones(len(chosen)))


def estimate(chosen: np.ndarray, weight: float, domain: np.ndarray = ALL) -> Estimate:
    found = estimate_mean(
        sample_of(chosen),
        TRUTH[chosen],
        weight * PREDICTED[chosen],
        inside=domain[chosen],
        total=weight * float(PREDICTED[domain].sum()),
        size=float(domain.sum()),
    )
    assert found is not None
    return found


@pytest.mark.parametrize("weight", [0.0, 0.6, 1.0, 3.0])
@pytest.mark.parametrize("domain", [ALL, STRATA == 1], ids=["all", "one stratum"])
def test_the_mean_of_all_samples_is_the_truth(weight: float, domain: np.ndarray) -> None:
    found = [estimate(chosen, weight, domain) for chosen in audits()]
    assert np.mean([one.mean for one in found]) == pytest.approx(TRUTH[domain].mean()), "whatever the weight"
    assert np.mean([one.labels_alone for one in found]) == pytest.approx(TRUTH[domain].mean())


@pytest.mark.parametrize("weight", [0.0, 0.6, 1.0])
def test_the_variance_is_that_of_all_samples(weight: float) -> None:
    means, variances = [], []
    for chosen in audits():
        sample, errors = sample_of(chosen), (TRUTH - weight * PREDICTED)[chosen]
        variances.append(float(sample.variance_factors() @ sample.spread(errors, errors)) / 9**2)
        means.append(estimate(chosen, weight).mean)
    assert np.mean(variances) == pytest.approx(np.var(means)), "with finite population correction"


def test_the_weight_has_the_least_variance() -> None:
    chosen = np.arange(9)[np.array([1, 0, 1, 0, 1, 1, 1, 1, 0], bool)]
    sample = sample_of(chosen)
    best = tune_weight(sample, TRUTH[chosen], PREDICTED[chosen])

    def variance(weight: float) -> float:
        errors = (TRUTH - weight * PREDICTED)[chosen]
        return float(sample.variance_factors() @ sample.spread(errors, errors))

    assert best > 0 and variance(best) < min(variance(best - 0.01), variance(best + 0.01))
    assert tune_weight(sample, TRUTH[chosen], -PREDICTED[chosen]) == 0, "never against the detector"
    assert tune_weight(sample, TRUTH[chosen], np.ones(6)) == 0, "a detector that always says the same says nothing"


def test_an_audit_of_everything_is_exact() -> None:
    found = estimate(np.arange(9), 0.6)
    assert found.mean == pytest.approx(TRUTH.mean()) and found.interval == pytest.approx((TRUTH.mean(),) * 2)


@pytest.mark.parametrize(
    ("labels", "size", "expected", "reason"),
    [
        (3, 3.0, (2.0, 2.0), "all units are audited, however few"),
        (8, 9.0, None, "the ninth is in a stratum without a label of the domain"),
    ],
)
def test_a_stratum_that_is_audited_completely(
    labels: int, size: float, expected: tuple[float, float] | None, reason: str
) -> None:
    strata = np.repeat([0, 1], [labels, 3])  # of the second stratum, three of 40
    truth = np.arange(1.0, labels + 4)
    sample = AuditSample(strata=strata, populations=np.array([labels, 40]), sizes=np.ones(labels + 3))
    found = estimate_mean(sample, truth, 0 * truth, inside=strata == 0, total=0.0, size=size)
    assert found is not None and found.interval == found.interval_alone == expected, reason


def test_a_domain_without_label_has_no_estimate() -> None:
    nothing = np.zeros(5, bool)
    chosen = next(audits())
    assert estimate_mean(sample_of(chosen), TRUTH[chosen], TRUTH[chosen], inside=nothing, total=1.0, size=1.0) is None


def test_few_labels_have_no_interval() -> None:
    found = estimate(next(audits()), 0.6)
    assert found.interval is None and found.half_width is None and found.effective_labels is None
    assert found.with_more == 0, "100 more are all that there are"


def test_what_labels_are_worth() -> None:
    random = np.random.default_rng(7)
    truth = random.poisson(4.0, 2000).astype(float)
    chosen = random.permutation(2000)[:200]
    predicted = truth + random.normal(0, 0.5, 2000)

    def found(weight: float) -> Estimate:
        sample = AuditSample(strata=np.zeros(200, int), populations=np.array([2000]), sizes=np.ones(200))
        total, inside = weight * float(predicted.sum()), np.ones(200, bool)
        result = estimate_mean(
            sample, truth[chosen], weight * predicted[chosen], inside=inside, total=total, size=2000.0
        )
        assert result is not None and result.effective_labels and result.half_width and result.with_more
        return result

    # One degree of freedom and two added errors of 200 cost about 1 %.
    assert found(0.0).effective_labels == pytest.approx(198, rel=0.01), "of a simple random sample: its size"
    good = found(1.0)
    # 1 / n' = (1 / n - 1 / N) · (variance of the errors / that of the counts) + 1 / N
    expected = 1 / ((1 / 200 - 1 / 2000) * 0.25 / 4 + 1 / 2000)
    assert good.effective_labels == pytest.approx(expected, rel=0.15)
    shrink = np.sqrt((1 / 300 - 1 / 2000) / (1 / 200 - 1 / 2000))
    assert good.with_more == pytest.approx(good.half_width * shrink, rel=0.03), "of 300 labels"
    assert good.half_width < 0.35 * found(0.0).half_width
