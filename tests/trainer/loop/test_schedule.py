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
