"""Strata, allocation, and the sample that is drawn from them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinanet_odm.evaluation.audit_design import MIN_LABELS, allocate, draw_audit, join_cells
from retinanet_odm.evaluation.audit_units import group_units, maxima_by_unit, sums_by_unit


@pytest.mark.parametrize(
    ("deployments", "periods", "most", "expected", "reason"),
    [
        ([0, 0, 1, 1], [3, 4, 3, 4], 4, [0, 1, 2, 3], "as many as there may be"),
        ([0, 0, 1, 1], [3, 4, 3, 4], 3, [0, 0, 1, 1], "periods are joined, in each deployment alike"),
        ([0, 0, 0, 1], [5, 6, 7, 6], 3, [0, 0, 1, 2], "neighbours in time, however many there are"),
        ([0, 1, 2, 3], [1, 1, 1, 1], 2, [0, 0, 1, 1], "then deployments"),
        ([2, 7, 2, 7], [1, 9, 5, 9], 1, [0, 0, 0, 0], "numbers need not follow each other"),
        ([0], [0], 1, [0], "a single unit"),
    ],
)
def test_joined_cells(deployments: list[int], periods: list[int], most: int, expected: list[int], reason: str) -> None:
    assert join_cells(np.array(deployments), np.array(periods), most=most).tolist() == expected, reason


@pytest.mark.parametrize(
    ("measures", "populations", "size", "expected", "reason"),
    [
        ([10.0, 30.0], [100, 100], 20, [5, 15], "as Neyman (1934): in proportion to the standard deviations"),
        ([1.0, 1000.0], [100, 100], 20, [2, 18], "two are the least from which a variance follows"),
        ([1000.0, 1.0], [5, 100], 20, [5, 15], "no more than there are"),
        ([1.0, 1.0], [1, 1], 20, [1, 1], "all of them"),
    ],
)
def test_allocation(measures: list[float], populations: list[int], size: int, expected: list[int], reason: str) -> None:
    assert allocate(np.array(measures), np.array(populations), size).tolist() == expected, reason


@st.composite
def surveys(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    units = draw(st.integers(1, 300))
    places = random.integers(0, draw(st.integers(1, 60)), units)
    periods = random.integers(0, draw(st.integers(1, 12)), units)
    predicted = random.poisson(draw(st.floats(0, 20)), units).astype(float)
    return places, periods, predicted, draw(st.integers(10, 120))


@settings(max_examples=60, deadline=None)
@given(surveys())
def test_a_drawn_audit(survey: tuple[np.ndarray, np.ndarray, np.ndarray, int]) -> None:
    places, periods, predicted, size = survey
    units = len(places)
    keys = np.random.default_rng(1).permutation(units).astype(np.uint64)
    design = draw_audit(places, periods, predicted, keys, size=size)
    assert design.audited.sum() == min(size, units), "as many as were asked for"
    assert np.bincount(design.strata).tolist() == design.populations.tolist()
    drawn = np.bincount(design.strata[design.audited], minlength=len(design.samples))
    assert drawn.tolist() == design.samples.tolist()
    assert (design.samples >= np.minimum(design.populations, MIN_LABELS)).all(), "each stratum has a variance"
    weights = 1 / design.probabilities[design.strata[design.audited]]
    assert weights.sum() == pytest.approx(units), "each audited unit stands for others, and together for all"
    # The order of the units, and so the number of prediction files, does not matter.
    order = np.random.default_rng(2).permutation(units)
    again = draw_audit(places[order], periods[order], predicted[order], keys[order], size=size)
    assert again.audited.tolist() == design.audited[order].tolist()


def test_levels_are_ranges_of_counts() -> None:
    predicted = np.repeat([0.0, 1.0, 5.0, 30.0], [400, 50, 40, 10])
    design = draw_audit(*np.zeros((2, 500), int), predicted, np.arange(500).astype(np.uint64), size=60)
    ranges = [(predicted[design.strata == row].min(), predicted[design.strata == row].max()) for row in range(3)]
    assert ranges == sorted(ranges) and len(design.populations) > 2
    assert all(high < low for (_, high), (low, _) in itertools.pairwise(ranges))
    assert design.probabilities[-1] > 2 * design.probabilities[0], "where counts are high, errors are large"


def test_a_size_that_is_too_small() -> None:
    with pytest.raises(ValueError, match="expected a size of 10 or more, found 9"):
        draw_audit(np.zeros(5, int), np.zeros(5, int), np.zeros(5), np.arange(5).astype(np.uint64), size=9)


@pytest.mark.parametrize(
    ("unit", "expected", "reason"),
    [
        ("image", [0, 1, 2, 3, 4, 5], "each its own"),
        ("burst", [0, 0, 1, 2, 3, 0], "a gap of more than 10 s, and another deployment, begin a burst"),
        ("day", [0, 0, 0, 1, 2, 0], "midnight, and another deployment, begin a day"),
    ],
)
def test_units(unit: str, expected: list[int], reason: str) -> None:
    places = np.array([0, 0, 0, 0, 1, 0])
    seconds = np.array([100.0, 105.0, 5000.0, 86_400.0, 100.0, 115.0])
    assert group_units(places, seconds, unit=unit, gap=10.0).tolist() == expected, reason


def test_counts_of_units() -> None:
    values, units = np.array([[1.0, 0.0], [4.0, 2.0], [3.0, 1.0]]), np.array([0, 1, 1])
    assert sums_by_unit(values, units, count=2).tolist() == [[1, 0], [7, 3]]
    assert maxima_by_unit(values, units, count=2).tolist() == [[1, 0], [4, 2]]
