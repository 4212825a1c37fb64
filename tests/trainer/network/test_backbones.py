"""Feature extractors: their size, and the strides of what they give."""

import math

import keras
import pytest

from trainer.network.backbones import extract_features

# He et al. 2015, table 1: convolutions (the published depth less the classifier, plus four shortcuts), and weights of
# torchvision's resnet50 and resnet101, 25,557,032 and 44,549,160, less its classifier's 2048 * 1000 + 1000.
RESNETS = [
    ("blocks 3, 4, 6, 3", "resnet50", 50 - 1 + 4, 23_508_032),
    ("blocks 3, 4, 23, 3", "resnet101", 101 - 1 + 4, 42_500_160),
]


@pytest.mark.parametrize(("why", "name", "convolutions", "weights"), RESNETS, ids=[row[1] for row in RESNETS])
def test_a_resnet_is_as_large_as_published(why: str, name: str, convolutions: int, weights: int) -> None:
    images = keras.Input((64, 96, 3))
    features = extract_features(images, name)
    model = keras.Model(images, features)
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == convolutions, why
    assert sum(math.prod(variable.shape) for variable in model.trainable_variables) == weights, why
    assert [tuple(feature.shape[1:]) for feature in features] == [(8, 12, 512), (4, 6, 1024), (2, 3, 2048)]
