"""``--mode=inspect``: what a file or folder of weights is, and what a run would take from it.

Begin with `inspect_weights`. Nothing is written, and no code in a file is executed.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import keras
import tensorflow as tf

from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import ContractError, DataError, UsageError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.storage import files
from retinanet_odm.systems import shell_word
from trainer.config import TrainConfig
from trainer.config.backbone_names import KERAS_PREFIX, LITE0
from trainer.network import backbones
from trainer.network.build import IDENTITY_SETTINGS, build_network
from trainer.tf_errors import first_line
from trainer.tpu.fit import synthetic_manifest
from trainer.weights import checkpoints, initialise, pretrained
from trainer.weights.checkpoint_files import find_damage
from trainer.weights.torch_files import is_torch_file, read_tensors

_HDF5 = b"\x89HDF\r\n\x1a\n"
# Convolutions in a checkpoint of tensorflow/tpu's ResNet, shortcuts included.
_RESNET_CONVOLUTIONS = {53: "resnet50", 104: "resnet101"}
_SIDE = 64  # pixels of the images for which a backbone is built: its variables do not depend on it

Shapes = Mapping[str, tuple[int, ...]]


def inspect_weights(config: TrainConfig, manifest: DatasetManifest | None) -> Iterator[str]:
    """Yield lines on the weights that --init_from names: kind, network, classes, variables, and how to use them.

    Args:
      config: The network that would take weights of this trainer; of weights of Keras, only its backbone counts.
      manifest: Of the data set whose classes the network would have; None for the classes of the weights.

    Raises:
      UsageError: There are no weights, or of an unknown kind.
      ContractError: They cannot be read.
    """
    path = config.weights.init_from.rstrip("/")
    if not path:
        raise UsageError("--init_from: required with --mode=inspect: the file or folder of weights")
    if files.is_file(path):
        try:
            with files.open_binary(path) as file:
                head = file.read(64)
        except DataError as error:
            raise ContractError(f"--init_from: {error}") from error
        if is_torch_file(head):
            return _describe_torch_file(path)
        if head.startswith(_HDF5):
            return _describe_keras_file(path, config.network.backbone)
        raise UsageError(f"--init_from: {path}: expected a file of PyTorch or of Keras weights (HDF5)")
    if files.is_file(f"{path}.index") and not find_damage(path) and initialise.list_variables(path) is None:
        return _describe_old_checkpoint(path)
    return _describe_run(path, config, manifest)


def _describe_run(path: str, config: TrainConfig, manifest: DatasetManifest | None) -> Iterator[str]:
    """Describe weights of this trainer, and which of them fit the network of the flags."""
    source = initialise.find_source(path)
    kind, settings = _stored_settings(path, source.prefix)
    yield f"{path}: {kind} of this trainer"
    yield f"network: {', '.join(f'{name} {settings[name]}' for name in IDENTITY_SETTINGS if name in settings)}"
    yield f"canvas: {'x'.join(map(str, settings['canvas']))} (height x width)"
    names = [name for _, name in sorted(source.labels.items)]
    yield f"classes ({len(names)}): {', '.join(names)}"
    yield _count_variables(initialise.list_variables(source.prefix) or {})
    if manifest is None:
        imaginary = synthetic_manifest(source.labels.num_classes)
        manifest = dataclasses.replace(imaginary, labels=source.labels, fingerprint="")
    model = build_network(config, manifest).model
    fresh = {variable.path: variable.numpy() for variable in model.weights}
    stored = initialise.read_variables(source.prefix, fresh)
    plan = initialise.transfer_weights(fresh, stored, old=source.labels, new=manifest.labels)
    yield f"into the network of these flags, backbone {config.network.backbone}:"
    yield from (f"  {line}" for line in initialise.transfer_table(plan))
    yield _advise(plan, path, partly=config.weights.init_partly)


def _advise(plan: initialise.TransferPlan, path: str, *, partly: bool) -> str:
    """Return the flag to use, or why a run would refuse the weights."""
    try:
        initialise.check_transfer(plan, path, partly=partly)
    except UsageError as error:
        return f"refused: {error}"
    return f"use: --init_from={shell_word(path)}"


def _stored_settings(path: str, prefix: str) -> tuple[str, dict[str, Any]]:
    """Return what holds the weights, and the settings of their network."""
    manifest_path = f"{path}/{ModelManifest.FILE}"
    if files.is_file(manifest_path):
        model = ModelManifest.from_json(files.read_text(manifest_path), source=manifest_path)
        return "an export", {**model.config, "canvas": model.image_size}
    return f"the checkpoint {prefix}", checkpoints.identity_of(prefix, flag="--init_from")


def _describe_torch_file(path: str) -> Iterator[str]:
    yield f"{path}: a file of PyTorch"
    tensors = read_tensors(files.read_bytes(path), source=f"--init_from: {path}")
    try:
        taken = pretrained.select_lite0_weights(tensors, _backbone_shapes(LITE0), source=path)
    except UsageError as error:
        yield f"network: unknown, not {LITE0} ({str(error).removeprefix('--backbone_weights: ')})"
        yield _count_variables({name: tensor.shape for name, tensor in tensors.items()})
        yield "use: none"
        return
    yield f"network: {LITE0}"
    if "_fc.bias" in tensors:
        yield f"classes ({len(tensors['_fc.bias'])}): without names, not taken"
    yield _count_variables({name: tensor.shape for name, tensor in tensors.items()})
    yield _count_taken(taken)
    yield f"use: --backbone={LITE0} --backbone_weights={shell_word(path)}"


def _describe_keras_file(path: str, backbone: str) -> Iterator[str]:
    """Describe a file of Keras weights, which does not name its network: it is compared with the given backbone."""
    yield f"{path}: weights of Keras (HDF5)"
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            shapes[name] = item.shape

    try:
        with h5py.File(path) as file:
            file.visititems(note)
    except OSError as error:
        raise ContractError(f"--init_from: cannot read {path}: {first_line(error)}") from error
    yield _count_variables(shapes)
    if not backbone.startswith(KERAS_PREFIX):
        yield f"network: not in the file; give --backbone={KERAS_PREFIX}NAME to compare"
        return
    try:
        values = backbones.read_keras_weights(backbone, path, (_SIDE, _SIDE))
    except UsageError as error:
        yield f"network: not {backbone} ({error})"
        return
    yield f"network: {backbone}"
    yield _count_taken(values)
    yield f"use: --backbone={backbone} --backbone_weights={shell_word(path)}"


def _describe_old_checkpoint(path: str) -> Iterator[str]:
    yield f"{path}: a checkpoint of TensorFlow 1"
    shapes = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    count = sum(re.fullmatch(r"conv2d(_\d+)?/kernel", name) is not None for name in shapes)
    backbone = _RESNET_CONVOLUTIONS.get(count)
    yield f"network: {backbone or 'unknown'} of tensorflow/tpu, {count} convolutions"
    yield _count_variables(shapes)
    if backbone:
        taken = pretrained.read_resnet_weights(path, _backbone_shapes(backbone))
        yield _count_taken(taken)
        yield f"use: --backbone={backbone} --resnet_checkpoint={shell_word(path)}"


def _backbone_shapes(backbone: str) -> dict[str, tuple[int, ...]]:
    images = keras.Input((_SIDE, _SIDE, 3))
    return pretrained.backbone_shapes(keras.Model(images, backbones.extract_features(images, backbone)))


def _count_taken(values: Mapping[str, Any]) -> str:
    return f"backbone    {len(values)} of {len(values)} variables would be taken; everything else is fresh"


def _count_variables(shapes: Shapes) -> str:
    total = sum(math.prod(shape) for shape in shapes.values())
    return f"variables: {len(shapes)}, with {total / 1e6:.2f} million numbers"
