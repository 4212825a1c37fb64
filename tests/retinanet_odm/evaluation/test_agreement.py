"""Probabilities from agreement: against definitions, and against truth that is known because it is made up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.evaluation.agreement import agreement_rate, hidden_positive, isotonic, outlying

_POINTS = st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 5)), min_size=1, max_size=12)


@given(points=_POINTS)
def test_isotonic_is_the_min_max_formula(points: list[tuple[int, int]]) -> None:
    """Barlow et al. 1972, equation 1.9: the largest over starts of the smallest over ends of the mean between them."""
    values, weights = np.array(points, float).T

    def mean(start: int, end: int) -> float:
        return float(np.average(values[start : end + 1], weights=weights[start : end + 1]))

    count = len(values)
    expected = [
        max(min(mean(start, end) for end in range(at, count)) for start in range(at + 1)) for at in range(count)
    ]
    assert isotonic(values, weights) == pytest.approx(expected)


@given(points=st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40))
def test_the_rate_rises_with_the_certainty(points: list[tuple[int, bool]]) -> None:
    certainty = np.array([level for level, _ in points], float)
    rate = agreement_rate(certainty, np.array([agrees for _, agrees in points]))
    order = np.argsort(certainty, kind="stable")
    assert (np.diff(rate[order]) >= 0).all() and ((rate > 0) & (rate < 1)).all()
    assert len(set(zip(certainty, rate, strict=True))) == len(set(certainty)), "equal certainties have one rate"


@pytest.mark.parametrize("missing", [0.02, 0.1, 0.3])
def test_hidden_positives_are_as_frequent_as_said(missing: float) -> None:
    """Of right detections, a share lacks its label; false ones have none."""
    random = np.random.default_rng(5)
    is_right = random.random(4000) < 0.6
    certainty = np.where(is_right, random.beta(6, 2, 4000), random.beta(2, 5, 4000))
    agrees = is_right & (random.random(4000) >= missing)
    found = hidden_positive(certainty, agrees)
    assert not found[agrees].any()
    wrong = is_right & ~agrees
    assert found.sum() == pytest.approx(wrong.sum(), rel=0.35)
    assert wrong[found >= 0.8].mean() >= 0.85


@pytest.mark.parametrize(
    ("why", "agrees"), [("nothing was found", []), ("nothing agrees", [False, False]), ("all agree", [True, True])]
)
def test_without_evidence_no_label_is_doubted(why: str, agrees: list[bool]) -> None:
    assert hidden_positive(np.linspace(0.2, 0.9, len(agrees)), np.array(agrees, bool)).tolist() == [0] * len(agrees), (
        why
    )


def test_outlying_distances_are_as_frequent_as_said() -> None:
    random = np.random.default_rng(6)
    usual = np.exp(random.normal(-2, 0.5, 2000))
    far = np.exp(random.normal(0.4, 0.2, 100))
    found = outlying(np.concatenate([usual, far]))
    assert found[2000:].min() >= 0.7 and found[:2000].sum() <= 20
    assert found.sum() == pytest.approx(100, abs=20)


@pytest.mark.parametrize(
    ("why", "distances"),
    [("none", []), ("nothing to compare with", [0.3]), ("all alike", [0.3] * 40)],
)
def test_few_or_equal_distances_are_not_doubted(why: str, distances: list[float]) -> None:
    assert outlying(np.array(distances)).tolist() == [0] * len(distances), why
