"""Learning rates over the steps of a run, and of the backbone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.loop import schedule
from trainer.network import build
from trainer.presets import make_config
from trainer.tpu import fit

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


WARM_UPS = [
    ("as given", 100, 1000, 100),
    ("as given, to the last step", 100, 100, 100),
    ("half of a shorter run", 100, 99, 49),
    ("none of a single step", 100, 1, 0),
    ("none asked for", 0, 1, 0),
]


@pytest.mark.parametrize(("why", "given", "steps", "expected"), WARM_UPS, ids=[row[0] for row in WARM_UPS])
def test_the_warm_up_fits_into_the_run(why: str, given: int, steps: int, expected: int) -> None:
    assert schedule.fit_warmup(given, steps) == expected, why
    config = make_config("tiny", {"warmup_steps": given, "train_batch_size": 8}).schedule
    warning = schedule.describe_short_run(config, total_steps=steps, examples=80)
    assert bool(warning) == (expected != given), why
    assert not warning or warning.endswith("train with --num_epochs=100"), warning


def test_a_short_run_of_steps_reaches_its_peak() -> None:
    config = make_config("tiny", {"lr_schedule": "step", "warmup_steps": 500, "learning_rate": 0.1}).schedule
    rates = schedule._make_schedule(config, 20)
    assert float(rates(tf.constant(10))) == pytest.approx(0.1), "half of the run, before the first drop"


def test_a_factor_scales_every_rate() -> None:
    rates = schedule.ScaledSchedule(schedule.StepSchedule(peak=0.1, warmup_steps=0, drops=[]))
    rates.factor.assign(0.25)
    assert float(rates(3)) == pytest.approx(0.025)


def test_a_pace_is_the_identity_until_it_is_set() -> None:
    pace = schedule.Pace()
    assert [float(pace(step)) for step in (0, 1, 2, 7, 1000)] == [0, 1, 2, 7, 1000]


PACES = [
    ("after the warm-up, the rest is stretched", 200, 200.0, 300, [(200, 200.0), (250, 600.0), (300, 1000.0)]),
    ("also more than once", 250, 600.0, 450, [(250, 600.0), (350, 800.0), (450, 1000.0)]),
    ("the warm-up keeps its length", 40, 40.0, 300, [(40, 40.0), (100, 100.0), (200, 550.0), (300, 1000.0)]),
    ("but for half of what is left", 40, 40.0, 100, [(55, 70.0), (70, 100.0), (85, 550.0), (100, 1000.0)]),
    ("no step is left", 500, 500.0, 500, [(500, 500.0)]),
    ("a step before it, after a return to a checkpoint", 200, 200.0, 300, [(150, 150.0)]),
]


@pytest.mark.parametrize(("why", "step", "position", "total", "expected"), PACES, ids=[row[0] for row in PACES])
def test_paces(why: str, step: int, position: float, total: int, expected: list[tuple[int, float]]) -> None:
    pace = schedule.Pace()
    pace.set_knots(
        schedule.plan_pace(step=step, position=position, warmup_steps=100, planned_steps=1000, total_steps=total)
    )
    assert [(at, pytest.approx(float(pace(at)))) for at, _ in expected] == expected, why


def test_a_paced_schedule_ends_where_the_planned_one_does() -> None:
    pace = schedule.Pace()
    planned = schedule.cosine_schedule(peak=0.1, warmup_steps=10, total_steps=100)
    paced = schedule.PacedSchedule(planned, pace)
    assert [float(paced(step)) for step in (0, 10, 55)] == [float(planned(step)) for step in (0, 10, 55)]
    pace.set_knots(schedule.plan_pace(step=30, position=30, warmup_steps=10, planned_steps=100, total_steps=37))
    assert [float(paced(step)) for step in (30, 37)] == pytest.approx([float(planned(30)), 0.0], abs=1e-9)


def moved(name: str, rate: float) -> dict[str, np.ndarray]:
    """Returns by how much each variable moves in two steps of gradients 1, without decay."""
    config = make_config("tiny", {"image_size": "64x64", "pyramid_channels": 16, "head_depth": 1})
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    with strategy.scope():
        net = build.build_network(config, fit.synthetic_manifest(2))
        falling = schedule.cosine_schedule(peak=0.01, warmup_steps=0, total_steps=10)
        optimizer = schedule.make_optimizer(name, schedule=falling, weight_decay=0.0, backbone_rate=rate)
        optimizer.build(net.model.trainable_variables)
    variables = net.model.trainable_variables
    before = [variable.numpy() for variable in variables]
    for _ in range(2):
        strategy.run(lambda: optimizer.apply([tf.ones(variable.shape) for variable in variables], variables))
    return {one.path: one.numpy() - old for one, old in zip(variables, before, strict=True)}


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_slow_backbone_moves_by_the_fraction(name: str) -> None:
    full, slow = moved(name, 1.0), moved(name, 0.25)
    for path, value in full.items():
        fraction = 0.25 if build.part_of(path) == "backbone" else 1.0
        np.testing.assert_allclose(slow[path], fraction * value, rtol=1e-2, atol=1e-6, err_msg=path)


@pytest.mark.parametrize(("name", "expected"), [("sgd", keras.optimizers.SGD), ("adamw", keras.optimizers.AdamW)])
def test_by_default_the_optimizer_is_keras_own(name: str, expected: type) -> None:
    falling = schedule.cosine_schedule(peak=0.01, warmup_steps=0, total_steps=10)
    assert type(schedule.make_optimizer(name, schedule=falling, weight_decay=0.1)) is expected
