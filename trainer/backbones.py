"""Feature extractors: image [B, H, W, 3] to maps at strides 8, 16 and 32 (C3, C4, C5)."""

from typing import Any

from keras import layers

from trainer import keras_backbones

Tensor = Any

# BatchNorm as in tensorflow/tpu's ResNet; the tiny one learns in minutes, so its averages must follow faster.
_RESNET_NORM = {"momentum": 0.997, "epsilon": 1e-4}
_TINY_NORM = {"momentum": 0.95, "epsilon": 1e-3}
# Bottleneck blocks of C2 to C5 (He et al. 2015, table 1).
_RESNET_BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}


def extract_features(images: Tensor, backbone: str) -> tuple[Tensor, ...]:
    """C3, C4 and C5 of a batch of normalised images."""
    if backbone == "tiny":
        return _tiny(images)
    if backbone in _RESNET_BLOCKS:
        return _resnet(images, _RESNET_BLOCKS[backbone])
    return keras_backbones.extract_features(images, backbone)


def conv_norm(x: Tensor, filters: int, kernel: int, stride: int, norm: dict[str, float], name: str) -> Tensor:
    """Convolution without bias, then BatchNorm."""
    x = layers.Conv2D(
        filters, kernel, stride, "same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    return layers.BatchNormalization(**norm, name=f"{name}_norm")(x)


def _tiny(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A small ResNet of basic blocks."""
    x = layers.ReLU()(conv_norm(x, 16, 3, 2, _TINY_NORM, "stem1"))
    x = layers.ReLU()(conv_norm(x, 32, 3, 2, _TINY_NORM, "stem2"))
    x = _basic_block(x, 32, 1, "c2_1")
    outputs = []
    for level, filters in ((3, 64), (4, 128), (5, 192)):
        x = _basic_block(x, filters, 2, f"c{level}_1")
        x = _basic_block(x, filters, 1, f"c{level}_2")
        outputs.append(x)
    return tuple(outputs)


def _basic_block(x: Tensor, filters: int, stride: int, name: str) -> Tensor:
    """Two 3x3 convolutions with a shortcut (He et al. 2015, figure 5 left)."""
    shortcut = x
    if stride != 1 or x.shape[-1] != filters:
        shortcut = conv_norm(x, filters, 1, stride, _TINY_NORM, f"{name}_shortcut")
    x = layers.ReLU()(conv_norm(x, filters, 3, stride, _TINY_NORM, f"{name}_1"))
    x = conv_norm(x, filters, 3, 1, _TINY_NORM, f"{name}_2")
    return layers.ReLU()(layers.Add()([shortcut, x]))


def _resnet(x: Tensor, depths: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """ResNet v1.5: the stride sits on the 3x3 convolution, as in tensorflow/tpu's ResNet."""
    x = layers.ReLU()(conv_norm(x, 64, 7, 2, _RESNET_NORM, "stem"))
    x = layers.MaxPooling2D(3, 2, "same")(x)
    outputs = []
    for level, (filters, blocks) in enumerate(zip((64, 128, 256, 512), depths, strict=True), start=2):
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 and level > 2 else 1
            x = _bottleneck(x, filters, stride, f"c{level}_{block}")
        outputs.append(x)
    return tuple(outputs[1:])


def _bottleneck(x: Tensor, filters: int, stride: int, name: str) -> Tensor:
    """1x1, 3x3, 1x1 convolutions with a shortcut (He et al. 2015, figure 5 right)."""
    shortcut = x
    if stride != 1 or x.shape[-1] != 4 * filters:
        shortcut = conv_norm(x, 4 * filters, 1, stride, _RESNET_NORM, f"{name}_shortcut")
    x = layers.ReLU()(conv_norm(x, filters, 1, 1, _RESNET_NORM, f"{name}_1"))
    x = layers.ReLU()(conv_norm(x, filters, 3, stride, _RESNET_NORM, f"{name}_2"))
    x = conv_norm(x, 4 * filters, 1, 1, _RESNET_NORM, f"{name}_3")
    return layers.ReLU()(layers.Add()([shortcut, x]))
