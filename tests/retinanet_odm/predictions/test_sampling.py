"""Intervals of mean counts: against the formulas over lists of samples, and against a bootstrap."""

from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.evaluation.average_precision import draw_units
from retinanet_odm.predictions.rows import PredictionRow
from retinanet_odm.predictions.sampling import MIN_SAMPLES, CountSpread, SampleSplitter, t_quantile
from retinanet_odm.predictions.summary import Timeline

_SAMPLES = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=1, max_size=12)


def _spread(samples: list[list[int]]) -> CountSpread:
    """Add samples, each a list of the counts of its images."""
    spread = CountSpread()
    for sample in samples:
        before: Counter[int] = Counter()
        for images, count in enumerate(sample):
            spread.grow(images, before, {1: count})
            before[1] += count
    return spread


@given(_SAMPLES)
def test_the_sums_are_those_of_the_samples(samples: list[list[int]]) -> None:
    spread = _spread(samples)
    images, counts = np.array([len(sample) for sample in samples]), np.array([sum(sample) for sample in samples])
    assert (spread.samples, spread.images, spread.counts[1]) == (len(samples), images.sum(), counts.sum())
    assert spread.images_squared == (images**2).sum()
    assert spread.counts_squared[1] == (counts**2).sum()
    assert spread.products[1] == (images * counts).sum()
    interval = spread.interval(1)
    if len(samples) < MIN_SAMPLES or not counts.sum():
        assert interval is None
    else:
        mean = counts.sum() / images.sum()
        error = np.sqrt(((counts - mean * images) ** 2).sum() * len(samples) / (len(samples) - 1)) / images.sum()
        half = t_quantile(len(samples) - 1) * error
        assert interval == pytest.approx((max(mean - half, 0), mean + half), abs=1e-6)


def test_the_interval_is_that_of_a_bootstrap() -> None:
    random = np.random.default_rng(0)
    samples = [list(random.poisson(random.gamma(4), size=random.integers(1, 5))) for _ in range(60)]
    images, counts = np.array([len(sample) for sample in samples]), np.array([sum(sample) for sample in samples])
    drawn = np.array([draws @ counts / (draws @ images) for draws in draw_units(len(samples), seed=0)])
    low, high = np.percentile(drawn, (2.5, 97.5))
    found = _spread(samples).interval(1)
    assert found == pytest.approx((low, high), rel=0.06)
    singles = _spread([[count] for sample in samples for count in sample]).interval(1)
    assert found is not None and singles is not None
    assert found[1] - found[0] > 1.3 * (singles[1] - singles[0]), "images of one moment resemble each other"


@pytest.mark.parametrize(
    ("freedom", "value"), [(4, 2.776), (5, 2.571), (9, 2.262), (29, 2.045), (120, 1.980), (10**6, 1.960)]
)
def test_quantiles_of_the_t_distribution(freedom: int, value: float) -> None:
    assert t_quantile(freedom) == pytest.approx(value, rel=0.003)


@pytest.mark.parametrize(
    ("names", "samples"),
    [
        pytest.param(["a_20240101_000000.jpg", "a_20240101_002959.jpg"], 1, id="within half an hour"),
        pytest.param(["a_20240101_002959.jpg", "a_20240101_003000.jpg"], 2, id="in two half hours of the clock"),
        pytest.param(["a_20240101_000000.jpg", "b_20240101_000000.jpg"], 2, id="two deployments"),
        pytest.param(["east/1.jpg", "east/2.jpg", "west/1.jpg"], 2, id="folders without times"),
        pytest.param(["1.jpg", "2.jpg"], 2, id="neither folder nor time"),
        pytest.param([], 0, id="no image"),
    ],
)
def test_what_is_a_sample(names: list[str], samples: int) -> None:
    spread, splitter = CountSpread(), SampleSplitter()
    for name in names:
        splitter.add(PredictionRow(image=name), {}, [spread])
    assert spread.samples == samples


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=40), st.integers(1, 60))
def test_steps_that_are_joined_have_the_spread_of_the_whole(minutes: list[int], scale: int) -> None:
    whole, timeline, splitter = CountSpread(), Timeline(), SampleSplitter()
    for number, minute in enumerate(sorted(minutes)):
        when = datetime(2024, 1, 1) + timedelta(minutes=minute * scale)
        row = PredictionRow(image=f"{number}.jpg", time=when)
        splitter.add(row, {1: minute % 3}, [whole, timeline.step_at(when)])
    joined = CountSpread()
    for step in timeline.steps.values():
        joined.update(step)
    assert vars(joined) == vars(whole)
