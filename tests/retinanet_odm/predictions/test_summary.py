"""Timelines: no counts are lost when steps are joined, and the number of steps is bounded."""

import itertools
from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.predictions.summary import MAX_TIME_STEPS, TIME_STEPS, Timeline

_START = datetime(2016, 11, 10, 14, 24, 12)
_MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2099, 12, 31)) | st.integers(0, 10**6).map(
    lambda seconds: _START + timedelta(seconds=seconds)
)


def _line(moments: list[datetime]) -> Timeline:
    line = Timeline()
    for number, moment in enumerate(moments):
        line.step_at(moment).grow(0, {}, {1: 1, 2: number})
    return line


@given(st.lists(_MOMENTS, min_size=1, max_size=60))
def test_every_image_is_in_its_step(moments: list[datetime]) -> None:
    line = _line(moments)
    assert max(line.steps) - min(line.steps) < MAX_TIME_STEPS
    assert (line.first, line.last) == (min(moments), max(moments))
    found = {line.start(number): step.images for number, step in line.steps.items()}
    expected = Counter(
        next(start for start in found if start <= moment < start + line.step_length) for moment in moments
    )
    assert found == expected
    assert line.images == len(moments)
    assert line.totals() == Counter({1: len(moments), 2: sum(range(len(moments)))})


@given(st.lists(_MOMENTS, min_size=1, max_size=20), st.randoms())
def test_the_order_does_not_matter(moments: list[datetime], shuffler: object) -> None:
    shuffled = list(moments)
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = _line(moments), _line(shuffled)
    assert {number: step.images for number, step in first.steps.items()} == {
        number: step.images for number, step in second.steps.items()
    }


@pytest.mark.parametrize(
    ("between", "length"),
    [
        pytest.param(timedelta(seconds=10), timedelta(minutes=1), id="a burst"),
        pytest.param(timedelta(minutes=30), timedelta(hours=1), id="half-hourly for a day"),
        pytest.param(timedelta(hours=1), timedelta(hours=1), id="hourly for two days"),
        pytest.param(timedelta(days=2), timedelta(weeks=1), id="for three months"),
        pytest.param(timedelta(days=365), timedelta(weeks=52), id="for a life"),
    ],
)
def test_steps_are_as_long_as_they_must_be(between: timedelta, length: timedelta) -> None:
    assert _line([_START + number * between for number in range(48)]).step_length == length


def test_steps_can_be_joined() -> None:
    for shorter, longer in itertools.pairwise(TIME_STEPS):
        assert longer % shorter == timedelta(0)
