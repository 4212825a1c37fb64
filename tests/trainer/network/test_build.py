"""Frozen parts of the backbone."""

import keras
import numpy as np
import pytest

from trainer.config import TrainConfig
from trainer.network import build
from trainer.presets import make_config
from trainer.tpu import fit

SMALL = {"image_size": "64x64", "pyramid_channels": 16, "head_depth": 1, "train_batch_size": 4}


def make_network(**given: object) -> build.Network:
    return build.build_network(make_config("tiny", {**SMALL, **given}), fit.synthetic_manifest(2))


def frozen_layers(net: build.Network) -> set[str]:
    return {layer.name for layer in net.model.layers if layer.weights and not layer.trainable_weights}


STEMS = [
    ("tiny: its first of two", "tiny", {"stem1_conv", "stem1_norm"}),
    ("7x7, as tensorflow/tpu freezes it", "resnet50", {"stem_conv", "stem_norm"}),
]


@pytest.mark.parametrize(("why", "backbone", "expected"), STEMS, ids=[row[1] for row in STEMS])
def test_the_stem_is_the_first_convolution(why: str, backbone: str, expected: set[str]) -> None:
    assert frozen_layers(make_network(backbone=backbone, freeze="stem")) == expected, why


def test_frozen_batch_norms_are_the_backbone_s_and_no_convolution() -> None:
    net = make_network(freeze_batch_norm="yes")
    norms = {layer.name for layer in net.model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert frozen_layers(net) == {name for name in norms if build.part_of(name) == "backbone"}
    net.model(np.ones((2, 64, 64, 3), np.float32), training=True)
    assert not np.any(net.model.get_layer("c5_2_2_norm").moving_mean.numpy())
    assert np.any(net.model.get_layer("p5_norm").moving_mean.numpy())


RESNET = {"backbone": "resnet50", "resnet_checkpoint": "b"}


AUTO = [
    ("random weights: there are no averages to keep", {"train_batch_size": 2}, 1, False),
    ("initial weights and few images", {"init_from": "a", "train_batch_size": 7}, 1, True),
    ("initial weights and enough images", {"init_from": "a", "train_batch_size": 8}, 1, False),
    ("few of them on each replica", {**RESNET, "train_batch_size": 28}, 4, True),
    ("enough of them on each replica", {**RESNET, "train_batch_size": 32}, 4, False),
    ("the flag decides", {"freeze_batch_norm": "yes"}, 1, True),
    (
        "the flag decides against few images",
        {"init_from": "a", "train_batch_size": 2, "freeze_batch_norm": "no"},
        1,
        False,
    ),
    ("nothing is left to freeze", {"init_from": "a", "train_batch_size": 2, "freeze": "backbone"}, 1, False),
]


@pytest.mark.parametrize(("why", "given", "replicas", "expected"), AUTO, ids=[row[0] for row in AUTO])
def test_when_batch_norms_are_frozen(why: str, given: dict[str, object], replicas: int, expected: bool) -> None:
    assert build.freezes_batch_norm(TrainConfig.from_settings(given), replicas) == expected, why  # type: ignore[arg-type]
