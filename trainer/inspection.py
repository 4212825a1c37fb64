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
from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.storage import files
from retinanet_odm.systems import shell_word
from trainer.config import TrainConfig
from trainer.config.backbone_names import KERAS_PREFIX, LITE0
from trainer.network import backbones
from trainer.network.build import IDENTITY_SETTINGS, build_network
from trainer.presets import PRESETS, make_config
from trainer.tf_errors import first_line
from trainer.tpu.fit import synthetic_manifest
from trainer.weights import checkpoints, initialise, pretrained, transfer
from trainer.weights.checkpoint_files import find_damage
from trainer.weights.importers import ForeignNetwork, find_differences
from trainer.weights.tensor_files import TensorFile, is_tensor_file, read_head, read_tensor_file

_LITE0_TENSOR = "_conv_stem.weight"  # by which a file of EfficientNet-Lite is known
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
        head = read_head(path)
        if head.startswith(_HDF5):
            return _describe_keras_file(path, config.network.backbone)
        if is_tensor_file(head):
            return _describe_tensor_file(config, manifest)
        raise UsageError(
            f"--init_from: {path}: expected a file of PyTorch, safetensors, Detectron2 or Keras weights (HDF5)"
        )
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
    manifest = manifest or _manifest_of(source.labels)
    fresh = _fresh_weights(config, manifest)
    stored = initialise.read_variables(source.prefix, fresh)
    plan = transfer.transfer_weights(fresh, stored, old=source.labels, new=manifest.labels)
    yield f"into the network of these flags, backbone {config.network.backbone}:"
    yield from (f"  {line}" for line in transfer.transfer_table(plan))
    yield _advise(plan, path, partly=config.weights.init_partly)


def _manifest_of(labels: LabelMap) -> DatasetManifest:
    return dataclasses.replace(synthetic_manifest(labels.num_classes), labels=labels, fingerprint="")


def _fresh_weights(config: TrainConfig, manifest: DatasetManifest) -> dict[str, pretrained.Array]:
    return initialise.values_of(build_network(config, manifest).model)


def _advise(plan: transfer.TransferPlan, path: str, *, partly: bool, flags: str = "") -> str:
    """Return the flags to use, or why a run would refuse the weights."""
    try:
        transfer.check_transfer(plan, path, partly=partly)
    except UsageError as error:
        return f"refused: {error}"
    return f"use: {flags}--init_from={shell_word(path)}"


def _stored_settings(path: str, prefix: str) -> tuple[str, dict[str, Any]]:
    """Return what holds the weights, and the settings of their network."""
    manifest_path = f"{path}/{ModelManifest.FILE}"
    if files.is_file(manifest_path):
        model = ModelManifest.from_json(files.read_text(manifest_path), source=manifest_path)
        return "an export", {**model.config, "canvas": model.image_size}
    return f"the checkpoint {prefix}", checkpoints.identity_of(prefix, flag="--init_from")


def _describe_tensor_file(config: TrainConfig, manifest: DatasetManifest | None) -> Iterator[str]:
    """Describe a file of another program, and which of its weights fit the network that it is of."""
    path = config.weights.init_from
    file = read_tensor_file(path)
    yield f"{path}: {file.kind}"
    count = _count_variables({name: tensor.shape for name, tensor in file.tensors.items()})
    if _LITE0_TENSOR in file.tensors:
        yield from _describe_lite0(path, file, count)
        return
    try:
        foreign = initialise.read_foreign_network(file, config)
    except UsageError as error:
        yield f"network: unknown ({str(error).removeprefix('--init_from: ')})"
        yield count
        yield "use: none"
        return
    yield f"network: {foreign.name}"
    yield f"settings: {', '.join(f'{name} {value}' for name, value in foreign.settings.items())}"
    if foreign.labels:
        names = [name for _, name in sorted(foreign.labels.items)]
        yield f"classes ({len(names)}): {', '.join(names)}"
    elif foreign.class_count:
        yield f"classes ({foreign.class_count}): without names; --init_labels gives them"
    yield count
    manifest = manifest or (_manifest_of(foreign.labels) if foreign.labels else synthetic_manifest(1))
    fresh = _fresh_weights(config.replace(**foreign.settings, image_size=f"{_SIDE}x{_SIDE}"), manifest)
    plan = transfer.transfer_weights(fresh, foreign.values, old=foreign.labels, new=manifest.labels)
    yield "into a network of these settings:"
    yield from (f"  {line}" for line in transfer.transfer_table(plan))
    yield _advise(plan, path, partly=config.weights.init_partly, flags=_flags_of(foreign, config))


def _flags_of(foreign: ForeignNetwork, config: TrainConfig) -> str:
    """Return the flags of the network that weights are of: a preset for a detector, and what differs from it."""
    flags: dict[str, Any] = dict(foreign.settings)
    if foreign.class_count:
        preset = min(PRESETS, key=lambda name: len(_missing_in(name, foreign.settings)))
        flags = {"preset": preset, **_missing_in(preset, foreign.settings)}
    if config.weights.init_labels:
        flags["init_labels"] = shell_word(config.weights.init_labels)
    return "".join(f"--{name}={value} " for name, value in flags.items())


def _missing_in(preset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in find_differences(settings, make_config(preset, {}).network)}


def _describe_lite0(path: str, file: TensorFile, count: str) -> Iterator[str]:
    try:
        taken = pretrained.select_lite0_weights(file.tensors, _backbone_shapes(LITE0), source=path)
    except UsageError as error:
        yield f"network: unknown, not {LITE0} ({str(error).removeprefix('--backbone_weights: ')})"
        yield count
        yield "use: none"
        return
    yield f"network: {LITE0}"
    if "_fc.bias" in file.tensors:
        yield f"classes ({len(file.tensors['_fc.bias'])}): without names, not taken"
    yield count
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
