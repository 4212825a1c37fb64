"""RetinaNet: backbone, feature pyramid P3-P7 and two heads shared by all levels (RetinaNet, section 4)."""

import math
from typing import Any

import keras
from keras import layers

from retinanet_odm.dataset.anchor_coverage import PYRAMID_LEVELS
from trainer.network.backbones import extract_features

Tensor = Any

# The class head starts by calling every anchor an object with this probability (RetinaNet, section 4.1): without it
# the many background anchors swamp the first steps.
PRIOR_PROBABILITY = 0.01
# BatchNorm in pyramid and heads; small batches are noisy, so the averages follow slowly enough to smooth them.
_NORM = {"momentum": 0.97, "epsilon": 1e-3}
# GroupNorm of Wu and He 2018 (arXiv 1803.08494, section 4): 32 groups; epsilon of torchvision.
_GROUPS = 32
_GROUP_EPSILON = 1e-5


def build_model(
    *,
    image_size: tuple[int, int],
    num_classes: int,
    anchors_per_cell: int,
    backbone: str,
    pyramid_channels: int,
    head_depth: int,
    head_norm: str,
) -> keras.Model:
    """The network from normalised images to raw predictions.

    Args:
      head_norm: how pyramid and heads are normalised: ``batch``, ``group`` or ``none``.

    Returns:
      A model from float [B, H, W, 3] to a dict of float32: ``class_logits`` [B, A, K] and ``box_shifts`` [B, A, 4],
      anchors in the order of trainer.network.anchors.
    """
    images = keras.Input((*image_size, 3), name="images")
    levels = _pyramid(extract_features(images, backbone), pyramid_channels, head_norm)
    prior = -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY)
    towers: dict[str, Any] = {"channels": pyramid_channels, "depth": head_depth, "norm": head_norm}
    classes = _head(levels, "class", anchors_per_cell * num_classes, width=num_classes, bias=prior, **towers)
    boxes = _head(levels, "box", anchors_per_cell * 4, width=4, bias=0.0, **towers)
    return keras.Model(images, {"class_logits": classes, "box_shifts": boxes}, name="retinanet")


def _pyramid(features: tuple[Tensor, ...], channels: int, norm: str) -> list[Tensor]:
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
        _norm_layer(norm, channels, f"p{level}_norm")(p)
        for level, p in zip(PYRAMID_LEVELS, (p3, p4, p5, p6, p7), strict=True)
    ]


def _norm_layer(kind: str, channels: int, name: str) -> keras.Layer:
    if kind == "batch":
        return layers.BatchNormalization(**_NORM, name=name)
    if kind == "group":
        return layers.GroupNormalization(group_count(channels), epsilon=_GROUP_EPSILON, name=name)
    return layers.Identity(name=name)


def group_count(channels: int) -> int:
    """The largest divisor of the channels that is not above 32."""
    return next(groups for groups in range(min(_GROUPS, channels), 0, -1) if channels % groups == 0)


def _head_norms(kind: str, channels: int, name: str) -> list[keras.Layer]:
    """A layer for each level: BatchNorms of their own, as each has statistics of its own; else one for all."""
    if kind == "batch":
        return [_norm_layer(kind, channels, f"{name}_p{level}_norm") for level in PYRAMID_LEVELS]
    return [_norm_layer(kind, channels, f"{name}_norm")] * len(PYRAMID_LEVELS)


def _head(
    levels: list[Tensor], name: str, filters: int, *, width: int, channels: int, depth: int, bias: float, norm: str
) -> Tensor:
    """One head, shared by the levels but for its BatchNorms: predictions [B, A, width], of filters channels a cell."""
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    convolutions = [
        layers.Conv2D(channels, 3, padding="same", use_bias=norm == "none", name=f"{name}_{step}")
        for step in range(depth)
    ]
    norms = [_head_norms(norm, channels, f"{name}_{step}") for step in range(depth)]
    predict = layers.Conv2D(
        filters,
        3,
        padding="same",
        kernel_initializer=initializer,
        bias_initializer=keras.initializers.Constant(bias),
        dtype="float32",  # losses and scores need more digits than bfloat16 has
        name=f"{name}_predict",
    )
    outputs = []
    for level, x in enumerate(levels):
        for convolution, of_levels in zip(convolutions, norms, strict=True):
            x = layers.ReLU()(of_levels[level](convolution(x)))
        outputs.append(layers.Reshape((-1, width))(predict(x)))
    return layers.Concatenate(axis=1, name=f"{name}_output", dtype="float32")(outputs)
