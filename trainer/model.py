"""RetinaNet: backbone, feature pyramid P3-P7 and two heads shared by all levels (RetinaNet, section 4)."""

import math
from typing import Any

import keras
from keras import layers

from trainer.anchors import LEVELS
from trainer.backbones import extract_features

Tensor = Any

# The class head starts by calling every anchor an object with this probability (RetinaNet, section 4.1): without it
# the many background anchors swamp the first steps.
PRIOR_PROBABILITY = 0.01
# BatchNorm in pyramid and heads; small batches are noisy, so the averages follow slowly enough to smooth them.
_NORM = {"momentum": 0.97, "epsilon": 1e-3}


def build_model(
    *,
    image_size: tuple[int, int],
    num_classes: int,
    anchors_per_cell: int,
    backbone: str,
    pyramid_channels: int,
    head_depth: int,
) -> keras.Model:
    """The network from normalised images to raw predictions.

    Returns:
      A model from float [B, H, W, 3] to a dict of float32: ``class_logits`` [B, A, K] and ``box_shifts`` [B, A, 4],
      anchors in the order of trainer.anchors.
    """
    images = keras.Input((*image_size, 3), name="images")
    levels = _pyramid(extract_features(images, backbone), pyramid_channels)
    prior = -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY)
    classes = _head(levels, "class", anchors_per_cell, num_classes, pyramid_channels, head_depth, prior)
    boxes = _head(levels, "box", anchors_per_cell, 4, pyramid_channels, head_depth, 0.0)
    return keras.Model(images, {"class_logits": classes, "box_shifts": boxes}, name="retinanet")


def _pyramid(features: tuple[Tensor, Tensor, Tensor], channels: int) -> list[Tensor]:
    """P3..P7: lateral 1x1, top-down nearest upsampling, 3x3 (Lin et al. 2016, arXiv 1612.03144); P6 from P5."""
    c3, c4, c5 = (
        layers.Conv2D(channels, 1, name=f"lateral{level}")(c) for level, c in zip((3, 4, 5), features, strict=True)
    )
    p4 = layers.Add()([c4, layers.UpSampling2D(interpolation="nearest")(c5)])
    p3 = layers.Add()([c3, layers.UpSampling2D(interpolation="nearest")(p4)])
    p3, p4, p5 = (
        layers.Conv2D(channels, 3, padding="same", name=f"p{level}")(p)
        for level, p in zip((3, 4, 5), (p3, p4, c5), strict=True)
    )
    p6 = layers.Conv2D(channels, 3, 2, "same", name="p6")(p5)
    p7 = layers.Conv2D(channels, 3, 2, "same", name="p7")(layers.ReLU()(p6))
    return [
        layers.BatchNormalization(**_NORM, name=f"p{level}_norm")(p)
        for level, p in zip(LEVELS, (p3, p4, p5, p6, p7), strict=True)
    ]


def _head(
    levels: list[Tensor], name: str, anchors_per_cell: int, width: int, channels: int, depth: int, bias: float
) -> Tensor:
    """One head: its convolutions are shared by the levels, its BatchNorms are each level's own."""
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    convolutions = [
        layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"{name}_{step}") for step in range(depth)
    ]
    predict = layers.Conv2D(
        anchors_per_cell * width,
        3,
        padding="same",
        kernel_initializer=initializer,
        bias_initializer=keras.initializers.Constant(bias),
        dtype="float32",  # losses and scores need more digits than bfloat16 has
        name=f"{name}_predict",
    )
    outputs = []
    for level, x in zip(LEVELS, levels, strict=True):
        for step, convolution in enumerate(convolutions):
            norm = layers.BatchNormalization(**_NORM, name=f"{name}_{step}_p{level}_norm")
            x = layers.ReLU()(norm(convolution(x)))
        outputs.append(layers.Reshape((-1, width))(predict(x)))
    return layers.Concatenate(axis=1, name=f"{name}_output", dtype="float32")(outputs)
