"""What a training is estimated to take."""

import dataclasses

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.errors import UsageError
from trainer import memory
from trainer.memory import MemoryNeed
from trainer.network.build import Network, build_network
from trainer.presets import make_config
from trainer.tpu.fit import synthetic_manifest

SMALL = {"image_size": "64x64", "pyramid_channels": 8, "head_depth": 1}


@pytest.fixture(scope="module")
def network() -> Network:
    return build_network(make_config("tiny", SMALL), synthetic_manifest(2))


@given(st.integers(0, 10**12), st.integers(1, 10**10), st.integers(0, 10**13))
def test_the_batch_that_fits_is_the_largest_that_does(fixed: int, image: int, free: int) -> None:
    need = MemoryNeed(fixed=fixed, image=image)
    batch = need.fitting_batch(free)
    assert not batch or need.of_batch(batch) <= free
    assert need.of_batch(batch + 1) > free


GROWING = [
    ("more pixels", {"image_size": "128x128"}, "image"),
    ("a wider pyramid", {"pyramid_channels": 32}, "image"),
    ("AdamW keeps more than SGD", {"optimizer": "adamw"}, "fixed"),
    ("moving averages", {"ema_decay": 0.9}, "fixed"),
]


@pytest.mark.parametrize(("why", "given", "part"), GROWING, ids=[row[0] for row in GROWING])
def test_the_estimate_grows_with(why: str, given: dict[str, object], part: str) -> None:
    parts = []
    for settings in ({**SMALL, "optimizer": "sgd"}, {**SMALL, "optimizer": "sgd", **given}):
        config = make_config("tiny", settings)
        need = memory.estimate_need(config, build_network(config, synthetic_manifest(2)))
        parts.append(dataclasses.asdict(need)[part])
    assert parts[0] < parts[1], why


def test_no_output_of_a_frozen_backbone_is_kept(network: Network) -> None:
    config = make_config("tiny", {**SMALL, "freeze": "backbone"})
    frozen = memory.estimate_need(config, build_network(config, synthetic_manifest(2)))
    learning = memory.estimate_need(make_config("tiny", SMALL), network)
    assert frozen.image < learning.image and frozen.fixed < learning.fixed


# why, free bytes as a share of the estimate, --ignore_memory, whether it is refused, whether there is a warning
FREE = [
    ("enough", 1.5, False, False, False),
    ("perhaps too little", 0.9, False, False, True),
    ("too little", 0.5, False, True, False),
    ("too little, and permitted", 0.5, True, False, True),
    ("not known", None, False, False, False),
]


@pytest.mark.parametrize(("why", "share", "ignored", "refused", "warned"), FREE, ids=[row[0] for row in FREE])
def test_a_batch_that_does_not_fit_is_refused_with_one_that_does(
    network: Network,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    why: str,
    share: float | None,
    ignored: bool,
    refused: bool,
    warned: bool,
) -> None:
    config = make_config("tiny", {**SMALL, "train_batch_size": 20_000, "learning_rate": 0.02, "ignore_memory": ignored})
    need = memory.estimate_need(config, network)
    free = None if share is None else round(share * need.of_batch(20_000))
    monkeypatch.setattr(memory, "free_memory", lambda: free)
    devices = tf.distribute.OneDeviceStrategy("/CPU:0")
    try:
        line = memory.check_step_memory(config, network, devices)
    except UsageError as error:
        assert refused and free, why
        fitting = need.fitting_batch(free)
        flags = f"give --train_batch_size={fitting} --learning_rate={0.02 * fitting / 20_000:.3g}"
        assert str(error).startswith("a step of 20000 images takes about"), why
        assert str(error).endswith(f"{flags}, or --ignore_memory to train nevertheless"), why
    else:
        assert not refused and "takes about" in line, why
    assert bool(caplog.records) == warned, why


def test_where_nothing_fits_another_size_is_advised(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    with pytest.raises(UsageError, match="give a smaller --image_size, or --preset=tiny"):
        memory.check_step_memory(make_config("tiny", SMALL), network, tf.distribute.OneDeviceStrategy("/CPU:0"))
