"""RetinaNet: backbone, feature pyramid P3-P7 and two heads shared by all levels (RetinaNet, section 4).

Begin with `build_model`. Shapes: B images of H × W pixels, A anchors on all levels, K classes; a level of stride s has
H / s × W / s cells.
"""

import math
from typing import Any

import keras
from keras import layers

from retinanet_odm.dataset.anchor_coverage import PYRAMID_LEVELS
from trainer.config.backbone_names import TENSORFLOW
from trainer.network.backbones import extract_features, pad_for_stride
from trainer.network.batch_norm import BatchNorm
from trainer.typing import Tensor

# Initially the class head predicts every class with this probability (RetinaNet, section 4.1, "Initialization").
# Otherwise the many background anchors would dominate the loss of the first steps.
PRIOR_PROBABILITY = 0.01
# BatchNorm in pyramid and heads. Small batches are noisy, so the averages follow slowly.
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
    conv_style: str = TENSORFLOW,
    pyramid_norm: str = "same",
    p6_source: str = "p5",
) -> keras.Model:
    """Build the network from normalised images to raw predictions.

    Args:
      image_size: (H, W).
      num_classes: K.
      anchors_per_cell: The same on all levels.
      backbone: See `trainer.network.backbones`.
      pyramid_channels: Of the pyramid and the heads.
      head_depth: Convolutions of each head before the prediction.
      head_norm: Normalisation of pyramid and heads: ``batch``, ``group`` or ``none``.
      conv_style: See `trainer.network.backbones`.
      pyramid_norm: ``same`` as head_norm, or ``none``.
      p6_source: The map from which P6 is computed: ``p5``, or ``c5`` as in the paper.

    Returns:
      A model from float [B, H, W, 3] to a dict of float32: ``class_logits`` [B, A, K] and ``box_shifts`` [B, A, 4],
      with anchors in the order of `trainer.network.anchors`.
    """
    images = keras.Input((*image_size, 3), name="images")
    features = extract_features(images, backbone, conv_style)
    norm = head_norm if pyramid_norm == "same" else pyramid_norm
    levels = _pyramid(features, pyramid_channels, norm, style=conv_style, p6_source=p6_source)
    # The bias whose sigmoid is the prior probability.
    prior = -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY)
    towers: dict[str, Any] = {"channels": pyramid_channels, "depth": head_depth, "norm": head_norm}
    classes = _head(levels, "class", anchors_per_cell * num_classes, width=num_classes, bias=prior, **towers)
    boxes = _head(levels, "box", anchors_per_cell * 4, width=4, bias=0.0, **towers)
    return keras.Model(images, {"class_logits": classes, "box_shifts": boxes}, name="retinanet")


def _pyramid(features: tuple[Tensor, ...], channels: int, norm: str, *, style: str, p6_source: str) -> list[Tensor]:
    """Build P3 to P7 from C3 to C5.

    Lateral 1x1 convolutions, nearest upsampling from the top, 3x3 convolutions (Lin et al. 2016, arXiv 1612.03144,
    section 3). P6 is computed from P5 by default, where the paper of RetinaNet takes C5.
    """
    c3, c4, c5 = (
        layers.Conv2D(channels, 1, name=f"lateral{level}")(c) for level, c in zip((3, 4, 5), features, strict=True)
    )
    # The names c3 to c5 hold lateral maps from here on: all have the pyramid's channels.
    p4 = layers.Add()([c4, layers.UpSampling2D(interpolation="nearest")(c5)])
    p3 = layers.Add()([c3, layers.UpSampling2D(interpolation="nearest")(p4)])
    p3, p4, p5 = (
        layers.Conv2D(channels, 3, padding="same", name=f"p{level}")(p)
        for level, p in zip((3, 4, 5), (p3, p4, c5), strict=True)
    )
    p6 = _halve(p5 if p6_source == "p5" else features[-1], channels, style, "p6")
    p7 = _halve(layers.ReLU()(p6), channels, style, "p7")
    return [
        _norm_layer(norm, channels, f"p{level}_norm")(p)
        for level, p in zip(PYRAMID_LEVELS, (p3, p4, p5, p6, p7), strict=True)
    ]


def _halve(x: Tensor, channels: int, style: str, name: str) -> Tensor:
    x, padding = pad_for_stride(x, 3, 2, style, name)
    return layers.Conv2D(channels, 3, 2, padding, name=name)(x)


def _norm_layer(kind: str, channels: int, name: str) -> keras.Layer:
    if kind == "batch":
        return BatchNorm(**_NORM, name=name)
    if kind == "group":
        return layers.GroupNormalization(group_count(channels), epsilon=_GROUP_EPSILON, name=name)
    return layers.Identity(name=name)


def group_count(channels: int) -> int:
    """Return the largest divisor of the channels that is not above 32.

    Example:
      >>> group_count(64), group_count(48)
      (32, 24)
    """
    return next(groups for groups in range(min(_GROUPS, channels), 0, -1) if channels % groups == 0)


def _head_norms(kind: str, channels: int, name: str) -> list[keras.Layer]:
    """Return a layer for each level: a BatchNorm each, because levels differ in their statistics; else one for all."""
    if kind == "batch":
        return [_norm_layer(kind, channels, f"{name}_p{level}_norm") for level in PYRAMID_LEVELS]
    return [_norm_layer(kind, channels, f"{name}_norm")] * len(PYRAMID_LEVELS)


def _head(
    levels: list[Tensor], name: str, filters: int, *, width: int, channels: int, depth: int, bias: float, norm: str
) -> Tensor:
    """Build a head that all levels share, except for its BatchNorms; return predictions [B, A, width].

    Args:
      levels: P3 to P7.
      name: ``class`` or ``box``.
      filters: Channels of the prediction of a cell: its anchors times width.
      width: Values of each anchor.
      channels: Of the convolutions before the prediction.
      depth: Number of these convolutions.
      bias: Initial bias of the prediction.
      norm: As head_norm of `build_model`.
    """
    # RetinaNet, section 4.1, "Initialization".
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
        dtype="float32",  # bfloat16 has too few digits for losses and scores
        name=f"{name}_predict",
    )
    outputs = []
    for level, features in enumerate(levels):
        x = features
        for convolution, level_norms in zip(convolutions, norms, strict=True):
            x = layers.ReLU()(level_norms[level](convolution(x)))
        outputs.append(layers.Reshape((-1, width))(predict(x)))  # [B, anchors of the level, width]
    return layers.Concatenate(axis=1, name=f"{name}_output", dtype="float32")(outputs)
