"""Learning rates over the steps of a run."""

import pytest
import tensorflow as tf

from trainer.loop import schedule

RATES = [
    ("the warm-up starts at a tenth", 0, 0.01),
    ("and is linear", 5, 0.055),
    ("to the peak", 10, 0.1),
    ("which holds up to the first drop", 19, 0.1),
    ("to a tenth", 20, 0.01),
    ("and to a hundredth", 35, 0.001),
]


@pytest.mark.parametrize(("why", "step", "expected"), RATES, ids=[row[0] for row in RATES])
def test_steps(why: str, step: int, expected: float) -> None:
    rates = schedule.StepSchedule(peak=0.1, warmup_steps=10, drops=[20, 30])
    assert float(rates(tf.constant(step))) == pytest.approx(expected), why


def test_without_a_warm_up_the_peak_holds_at_once() -> None:
    assert float(schedule.StepSchedule(peak=0.1, warmup_steps=0, drops=[])(0)) == pytest.approx(0.1)


def test_the_cosine_ends_at_nothing() -> None:
    rates = schedule.cosine_schedule(peak=0.1, warmup_steps=10, total_steps=100)
    assert [round(float(rates(step)), 6) for step in (0, 10, 55, 100)] == [0.01, 0.1, 0.05, 0.0]


def test_a_factor_scales_every_rate() -> None:
    rates = schedule.ScaledSchedule(schedule.StepSchedule(peak=0.1, warmup_steps=0, drops=[]))
    rates.factor.assign(0.25)
    assert float(rates(3)) == pytest.approx(0.025)
