"""Weights of a backbone that was trained by other programs: of keras.applications, and of tensorflow/tpu's ResNet."""

import logging
from collections.abc import Iterable, Mapping

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from retinanet_odm.errors import ContractError, UsageError
from trainer.network import backbones
from trainer.network.build import part_of
from trainer.tf_errors import first_line

_LOGGER = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]


def assign_weights(model: keras.Model, values: Mapping[str, Array]) -> None:
    """Set the variables of these names."""
    for variable in model.weights:
        if variable.path in values:
            variable.assign(values[variable.path])


def load_backbone(model: keras.Model, backbone: str, weights: str) -> None:
    """Set the weights of a backbone of keras.applications.

    Raises:
      UsageError: They cannot be read, or are of another network.
    """
    values = backbones.read_keras_weights(backbone, weights, tuple(model.input_shape[1:3]))
    assign_weights(model, values)
    _LOGGER.info("backbone_weights %s: the backbone's %d variables", weights, len(values))


def load_resnet(model: keras.Model, path: str) -> None:
    """Set the weights of the ResNet backbone from a TF1 checkpoint of tensorflow/tpu's ResNet.

    Raises:
      UsageError: It does not hold this network.
      ContractError: It cannot be read.
    """
    wanted = resnet_names(variable.path for variable in model.weights)
    try:
        reader = tf.train.load_checkpoint(path)
        values = {name: reader.get_tensor(key) for name, key in wanted.items() if reader.has_tensor(key)}
    except (tf.errors.OpError, ValueError, IndexError) as error:  # IndexError: a truncated data file
        raise ContractError(f"--resnet_checkpoint: cannot read {path}: {first_line(error)}") from error
    shapes = {variable.path: tuple(variable.shape) for variable in model.weights}
    for name, key in wanted.items():
        if name not in values or values[name].shape != shapes[name]:
            found = values[name].shape if name in values else "none"
            raise UsageError(f"--resnet_checkpoint: expected {key} of shape {shapes[name]} in {path}, found {found}")
    assign_weights(model, values)
    _LOGGER.info("resnet_checkpoint %s: the backbone's %d variables", path, len(values))


def resnet_names(variables: Iterable[str]) -> dict[str, str]:
    """Return the name in tensorflow/tpu's checkpoint of every variable of our ResNet backbone.

    That program numbers its layers in the order in which it makes them, conv2d, conv2d_1, … and batch_normalization, …:
    the stem, then of every block the shortcut, if it has one, and its three convolutions (its resnet_model.py).

    Example:
      >>> resnet_names(["stem_conv/kernel", "c2_1_shortcut_norm/gamma"])
      {'stem_conv/kernel': 'conv2d/kernel', 'c2_1_shortcut_norm/gamma': 'batch_normalization_1/gamma'}
    """
    variables = [name for name in variables if part_of(name) == "backbone"]
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
