"""EfficientNet-Lite0: a backbone for CPUs and small devices, without squeeze-and-excite and with ReLU6 for swish.

Begin with `extract_lite0_features`. Source: tensorflow/tpu, models/official/efficientnet/lite; the blocks are those of
EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946, table 1).

Shapes: features of a level of stride s are float [B, H / s, W / s, channels] of images [B, H, W, 3].
"""

import math
from typing import NamedTuple

from keras import initializers, layers

from trainer.data.preprocess import MEAN_RGB, STDDEV_RGB
from trainer.network.batch_norm import BatchNorm
from trainer.typing import Tensor

# Of its training on ImageNet: images are (RGB - 127) / 128, and the epsilon of every BatchNorm is 1e-3.
_INPUT_MEAN, _INPUT_STDDEV = 127.0, 128.0
# The averages follow faster than there (0.99), as in the pyramid: a fine-tuning has few steps.
_NORM = {"momentum": 0.97, "epsilon": 1e-3}
_STEM_CHANNELS = 32


class _Stage(NamedTuple):
    """Inverted bottleneck blocks of equal width; the first of them has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_ENDS = (3, 5, 7)  # stages whose outputs are C3, C4 and C5: the last ones of strides 8, 16 and 32


def extract_lite0_features(images: Tensor) -> tuple[Tensor, ...]:
    """Build the backbone on normalised images [B, H, W, 3]; return C3, C4 and C5 (40, 112 and 320 channels)."""
    x = _to_lite(images)
    x = _norm_relu6(layers.Conv2D(_STEM_CHANNELS, 3, 2, "same", use_bias=False, name="stem_conv")(x), "stem")
    outputs = []
    number = 0
    for index, stage in enumerate(_STAGES, start=1):
        for block in range(stage.blocks):
            number += 1
            x = _inverted_bottleneck(x, stage, stage.stride if block == 0 else 1, f"block{number}")
        if index in _ENDS:
            outputs.append(x)
    return tuple(outputs)


def _to_lite(x: Tensor) -> Tensor:
    """Convert our normalised images to its input, in float32, because bfloat16 would round them."""
    scale = [stddev / _INPUT_STDDEV for stddev in STDDEV_RGB]
    offset = [(mean - _INPUT_MEAN) / _INPUT_STDDEV for mean in MEAN_RGB]
    return layers.Rescaling(scale, offset=offset, dtype="float32")(x)


def _norm(x: Tensor, name: str) -> Tensor:
    return BatchNorm(**_NORM, name=f"{name}_norm")(x)


def _norm_relu6(x: Tensor, name: str) -> Tensor:
    return layers.ReLU(max_value=6.0)(_norm(x, name))


def _inverted_bottleneck(x: Tensor, stage: _Stage, stride: int, name: str) -> Tensor:
    """Apply 1x1, depthwise and 1x1 convolutions, the last without activation (Sandler et al. 2018, figure 4d)."""
    shortcut, width = x, x.shape[-1]
    if stage.expansion != 1:
        x = _conv1x1(x, width * stage.expansion, f"{name}_expand")
        x = _norm_relu6(x, f"{name}_expand")
    x = layers.DepthwiseConv2D(
        stage.kernel,
        stride,
        "same",
        use_bias=False,
        # He et al. 2015 (arXiv 1502.01852) for one input channel of each filter, where Keras would count all channels.
        depthwise_initializer=initializers.RandomNormal(stddev=math.sqrt(2) / stage.kernel),
        name=f"{name}_depthwise_conv",
    )(x)
    x = _norm_relu6(x, f"{name}_depthwise")
    x = _norm(_conv1x1(x, stage.channels, f"{name}_project"), f"{name}_project")
    return layers.Add()([shortcut, x]) if stride == 1 and width == stage.channels else x


def _conv1x1(x: Tensor, filters: int, name: str) -> Tensor:
    return layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv")(x)
