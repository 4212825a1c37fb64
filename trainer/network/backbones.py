"""Backbones: feature maps C3, C4 and C5, at strides 8, 16 and 32. Begin with `extract_features`.

There are four kinds: ``tiny`` and the ResNets of this module, ``efficientnet_lite0`` of
`trainer.network.efficientnet_lite`, and ``keras/NAME`` of keras.applications.

Styles, of the ResNets and of the pyramid: other programs pad convolutions of stride 2 by equally many pixels on all
sides, where 'same' of TensorFlow adds none at the top and left of maps of even sides. So their weights expect features
that lie elsewhere by half a pixel of each stage's input. ``tensorflow`` is the latter; ``pytorch`` the former; and
``caffe`` is as ``pytorch``, with the stride of a block on its first 1x1 convolution, as in He et al. 2015, instead of
on the 3x3. Besides, those programs pad images after they were normalised, so that their padding is exactly zero.

Shapes: features of a level of stride s are float [B, H / s, W / s, channels] of images [B, H, W, 3].
"""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from retinanet_odm.errors import UsageError
from trainer.config.backbone_names import CAFFE, KERAS_PREFIX, LITE0, TENSORFLOW
from trainer.data.preprocess import MEAN_RGB, STDDEV_RGB
from trainer.network.batch_norm import BatchNorm
from trainer.network.efficientnet_lite import extract_lite0_features
from trainer.typing import Tensor

_STRIDES = (8, 16, 32)
# BatchNorm as in tensorflow/tpu's ResNet. The tiny backbone learns in minutes, so its averages follow faster.
RESNET_NORM = {"momentum": 0.997, "epsilon": 1e-4}
_TINY_NORM = {"momentum": 0.95, "epsilon": 1e-3}
# Bottleneck blocks of C2 to C5 (He et al. 2015, arXiv 1512.03385, table 1).
RESNET_BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}


def extract_features(images: Tensor, backbone: str, style: str = TENSORFLOW) -> tuple[Tensor, ...]:
    """Build a backbone on normalised images [B, H, W, 3]; return C3, C4 and C5. Only ResNets have other styles."""
    if backbone == "tiny":
        return _tiny(images)
    if backbone in RESNET_BLOCKS:
        return _resnet(_zero_padding(images, style), RESNET_BLOCKS[backbone], style)
    if backbone == LITE0:
        return extract_lite0_features(images)
    return extract_keras_features(images, backbone)


def pad_for_stride(x: Tensor, kernel: int, stride: int, style: str, name: str) -> tuple[Tensor, str]:
    """Return the input of a convolution or pooling of some style, and its argument ``padding``."""
    if style == TENSORFLOW or stride == 1 or kernel == 1:
        return x, "same"  # at stride 1, 'same' is as much on all sides, too
    return layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"


def _zero_padding(images: Tensor, style: str) -> Tensor:
    """Set what has the colour of a canvas's padding to zero, unless the style is tensorflow.

    That colour is the mean, rounded; networks can turn the difference, up to 0.008, into one of their outputs.
    """
    if style == TENSORFLOW:
        return images
    # An array, because a tensor made here would be an input of every graph of the network, which ONNX has no value for.
    deviation = np.array(STDDEV_RGB, np.float32)
    is_padding = ops.all(ops.abs(images) * deviation < 0.5, axis=-1, keepdims=True)
    return ops.where(is_padding, 0.0, images)


# --- tiny and ResNet ---


def _conv_norm(
    x: Tensor, filters: int, kernel: int, stride: int, norm: dict[str, float], name: str, style: str = TENSORFLOW
) -> Tensor:
    """Apply a convolution without bias, then BatchNorm."""
    x, padding = pad_for_stride(x, kernel, stride, style, name)
    x = layers.Conv2D(
        filters, kernel, stride, padding, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    return BatchNorm(**norm, name=f"{name}_norm")(x)


def _tiny(x: Tensor) -> tuple[Tensor, ...]:
    """Build a small ResNet of basic blocks."""
    x = layers.ReLU()(_conv_norm(x, 16, 3, 2, _TINY_NORM, "stem1"))
    x = layers.ReLU()(_conv_norm(x, 32, 3, 2, _TINY_NORM, "stem2"))
    x = _basic_block(x, 32, 1, "c2_1")
    outputs = []
    for level, filters in ((3, 64), (4, 128), (5, 192)):
        x = _basic_block(x, filters, 2, f"c{level}_1")
        x = _basic_block(x, filters, 1, f"c{level}_2")
        outputs.append(x)
    return tuple(outputs)


def _basic_block(x: Tensor, filters: int, stride: int, name: str) -> Tensor:
    """Apply two 3x3 convolutions with a shortcut (He et al. 2015, figure 5 left)."""
    shortcut = x
    # A shortcut of another shape needs a projection (He et al. 2015, section 3.3, option B).
    if stride != 1 or x.shape[-1] != filters:
        shortcut = _conv_norm(x, filters, 1, stride, _TINY_NORM, f"{name}_shortcut")
    x = layers.ReLU()(_conv_norm(x, filters, 3, stride, _TINY_NORM, f"{name}_1"))
    x = _conv_norm(x, filters, 3, 1, _TINY_NORM, f"{name}_2")
    return layers.ReLU()(layers.Add()([shortcut, x]))


def _resnet(x: Tensor, depths: tuple[int, ...], style: str) -> tuple[Tensor, ...]:
    """Build a ResNet, v1.5 unless its style is caffe: strides on 3x3 convolutions, as in tensorflow/tpu's ResNet."""
    x = layers.ReLU()(_conv_norm(x, 64, 7, 2, RESNET_NORM, "stem", style))
    # After ReLU no value is below the zeros of the padding, so that they are as good as no value.
    x, padding = pad_for_stride(x, 3, 2, style, "pool")
    x = layers.MaxPooling2D(3, 2, padding)(x)
    outputs = []
    for level, (filters, blocks) in enumerate(zip((64, 128, 256, 512), depths, strict=True), start=2):
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 and level > 2 else 1
            x = _bottleneck(x, filters, stride, f"c{level}_{block}", style)
        outputs.append(x)
    # Without C2: the pyramid begins at stride 8.
    return tuple(outputs[1:])


def _bottleneck(x: Tensor, filters: int, stride: int, name: str, style: str) -> Tensor:
    """Apply 1x1, 3x3 and 1x1 convolutions with a shortcut (He et al. 2015, figure 5 right)."""
    shortcut = x
    strides = (stride, 1) if style == CAFFE else (1, stride)
    if stride != 1 or x.shape[-1] != 4 * filters:
        shortcut = _conv_norm(x, 4 * filters, 1, stride, RESNET_NORM, f"{name}_shortcut")
    x = layers.ReLU()(_conv_norm(x, filters, 1, strides[0], RESNET_NORM, f"{name}_1"))
    x = layers.ReLU()(_conv_norm(x, filters, 3, strides[1], RESNET_NORM, f"{name}_2", style))
    x = _conv_norm(x, 4 * filters, 1, 1, RESNET_NORM, f"{name}_3")
    return layers.ReLU()(layers.Add()([shortcut, x]))


# --- keras.applications ---

# keras.applications.imagenet_utils, mode "caffe": blue, green, red, each minus its mean.
_CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


def _to_rgb(x: Tensor) -> Tensor:
    """Convert normalised images back to 0..255, in float32, because bfloat16 would round them."""
    return layers.Rescaling(list(STDDEV_RGB), offset=list(MEAN_RGB), dtype="float32")(x)


def _to_caffe(x: Tensor) -> Tensor:
    return layers.Rescaling(1.0, offset=[-mean for mean in _CAFFE_MEAN_BGR], dtype="float32")(
        ops.flip(_to_rgb(x), axis=-1)
    )


def _to_unit_range(x: Tensor) -> Tensor:
    """Convert normalised images to -1..1."""
    return layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32")(_to_rgb(x))


@dataclass(frozen=True, kw_only=True)
class Family:
    """Common properties of the networks of one kind.

    Attributes:
      adapt: Converts our normalised images to the input of the network.
      stage: Pattern of the names of the layers that end a block; the last of each stride is used.
    """

    adapt: Callable[[Tensor], Tensor]
    stage: str


# Only families whose maps at strides 8, 16 and 32 end in a layer that adds or concatenates a stage.
FAMILIES = {
    "ResNet": Family(adapt=_to_caffe, stage=r"conv\d_block\d+_out"),
    "EfficientNetV2": Family(adapt=_to_rgb, stage=r"block\d\w_add"),  # rescales by itself
    "MobileNetV2": Family(adapt=_to_unit_range, stage=r"block_\d+_add"),
    "DenseNet": Family(adapt=lambda x: x, stage=r"conv\d_block\d+_concat"),  # normalises as we do
}


def extract_keras_features(images: Tensor, backbone: str) -> tuple[Tensor, ...]:
    """Build a backbone ``keras/NAME`` on normalised images [B, H, W, 3]; return C3, C4 and C5."""
    name = backbone.removeprefix(KERAS_PREFIX)
    family = next(family for start, family in FAMILIES.items() if name.startswith(start))
    application = getattr(keras.applications, name)
    # Random weights here; trainer.weights.initialise reads the given ones by `read_keras_weights`.
    model = application(include_top=False, weights=None, input_tensor=family.adapt(images))
    ends = [layer.output for layer in model.layers if re.fullmatch(family.stage, layer.name)]
    height = images.shape[1]
    return tuple([end for end in ends if end.shape[1] == height // stride][-1] for stride in _STRIDES)


def read_keras_weights(backbone: str, weights: str, image_size: tuple[int, int]) -> dict[str, Any]:
    """Read the weights of a backbone ``keras/NAME``; return them by their paths, which are the same in our network.

    Args:
      backbone: ``keras/NAME``.
      weights: A file of Keras weights without the top, or ``imagenet``, which Keras downloads.
      image_size: (height, width).

    Raises:
      UsageError: They cannot be read, or belong to another network.
    """
    application = getattr(keras.applications, backbone.removeprefix(KERAS_PREFIX))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # one for each layer that does not fit, before the error
            model = application(include_top=False, weights=weights, input_shape=(*image_size, 3))
    except Exception as error:
        # Keras raises a bare Exception if a download fails.
        if not isinstance(error, ValueError | OSError) and not str(error).startswith("URL fetch failure"):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"--backbone_weights: cannot load {weights} into {backbone}: {reason}") from error
    return {variable.path: variable.numpy() for variable in model.weights}
