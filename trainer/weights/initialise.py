"""The first weights of a run from another one: by name and shape, the class head's by class name.

TensorFlow's checkpoints are graphs of objects by position, which changes with every layer more or less; but they also
keep each variable's name. The variables of an exported SavedModel are such a checkpoint as well.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.storage import files
from trainer.config import TrainConfig
from trainer.network import backbones
from trainer.network.build import part_of
from trainer.tf_errors import first_line
from trainer.weights import checkpoints

_LOGGER = logging.getLogger(__name__)
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_SHOWN = 3  # variables named in a line
_CLASS_ROWS = "class_predict/"  # the variables whose last axis is anchors of a cell × classes


@dataclass(frozen=True, kw_only=True)
class WeightsSource:
    """Another run's weights: the prefix of a TensorFlow checkpoint, and the label map of its class head."""

    prefix: str
    labels: LabelMap


@dataclass(frozen=True, kw_only=True)
class TransferPlan:
    """What fits.

    Attributes:
      values: new value by variable name.
      misfits: for each other variable, why it keeps its fresh value.
      kept, new: names of the classes whose rows come from the other run, and of those that start afresh.
    """

    values: Mapping[str, np.ndarray]
    misfits: Mapping[str, str]
    kept: tuple[str, ...]
    new: tuple[str, ...]


def initialise(model: keras.Model, labels: LabelMap, config: TrainConfig) -> None:
    """Gives a fresh network the weights that --init_from, --resnet_checkpoint or --backbone_weights names; tells which.

    Raises:
      UsageError: there are none, or none of them fits.
      ContractError: they cannot be read.
    """
    if config.weights.resnet_checkpoint:
        load_resnet(model, config.weights.resnet_checkpoint)
    if config.weights.backbone_weights:
        load_backbone(model, config.network.backbone, config.weights.backbone_weights)
    if not config.weights.init_from:
        return
    source = find_source(config.weights.init_from)
    fresh = {variable.path: variable.numpy() for variable in model.weights}
    carried = transfer_weights(fresh, read_variables(source.prefix, fresh), old=source.labels, new=labels)
    if not carried.values:
        raise UsageError(f"--init_from: nothing in {source.prefix} fits this network by name and shape")
    _assign(model, carried.values)
    for line in transfer_table(carried):
        _LOGGER.info("init_from %s: %s", source.prefix, line)


def find_source(path: str) -> WeightsSource:
    """Finds the weights under a model_dir, its folder of checkpoints, one checkpoint of them, or an export.

    Raises:
      UsageError: the path is none of these.
    """
    path = path.rstrip("/")
    if files.is_file(f"{path}/{ModelManifest.FILE}"):
        file = f"{path}/{ModelManifest.FILE}"
        manifest = ModelManifest.from_json(files.read_text(file, flag="--init_from"), source=file)
        return WeightsSource(prefix=f"{path}/variables/variables", labels=manifest.labels)
    if files.is_file(f"{path}.index"):
        return WeightsSource(prefix=path, labels=_labels_of(path.rpartition("/")[0]))
    for folder in (path, f"{path}/checkpoints"):
        prefix = tf.train.latest_checkpoint(folder)
        if prefix:
            return WeightsSource(prefix=prefix, labels=_labels_of(folder))
    raise UsageError(f"--init_from: {path} holds neither checkpoints nor an export")


def _labels_of(folder: str) -> LabelMap:
    file = f"{folder}/{checkpoints.FILE}"
    try:
        return LabelMap.from_json(files.read_json(file, flag="--init_from")["labels"])
    except KeyError as error:
        raise ContractError(f"--init_from: {file} names no labels") from error


def read_variables(prefix: str, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The variables of these names that a checkpoint of TensorFlow 2 holds.

    Raises:
      ContractError: it cannot be read.
    """
    try:
        reader = tf.train.load_checkpoint(prefix)
        graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(_GRAPH))
        keys = {item.full_name: item.checkpoint_key for node in graph.nodes for item in node.attributes}
        return {name: reader.get_tensor(keys[name]) for name in names if name in keys}
    except (tf.errors.OpError, ValueError, IndexError) as error:  # IndexError: a data file that is cut
        raise ContractError(f"--init_from: cannot read {prefix}: {first_line(error)}") from error


def transfer_weights(
    fresh: Mapping[str, np.ndarray], stored: Mapping[str, np.ndarray], *, old: LabelMap, new: LabelMap
) -> TransferPlan:
    """Chooses what fits by name and shape; of the class head, the rows of the classes that both label maps name."""
    values: dict[str, np.ndarray] = {}
    misfits = {}
    for name, value in fresh.items():
        fits = _fitting(name, value, stored.get(name), old=old, new=new)
        if fits is None:
            misfits[name] = _why_not(value, stored.get(name))
        else:
            values[name] = fits
    shared = set(old.name_by_id.values()) if f"{_CLASS_ROWS}kernel" in values else set()
    names = [name for _, name in sorted(new.items)]
    return TransferPlan(
        values=values,
        misfits=misfits,
        kept=tuple(name for name in names if name in shared),
        new=tuple(name for name in names if name not in shared),
    )


def _fitting(
    name: str, value: np.ndarray, stored: np.ndarray | None, *, old: LabelMap, new: LabelMap
) -> np.ndarray | None:
    if stored is None:
        return None
    if name.startswith(_CLASS_ROWS):
        return class_rows(value, stored, old=old, new=new)
    return stored if stored.shape == value.shape else None


def _why_not(value: np.ndarray, stored: np.ndarray | None) -> str:
    if stored is None:
        return "not there"
    return "no class in common" if stored.shape == value.shape else f"{stored.shape} there, {value.shape} here"


def class_rows(fresh: np.ndarray, stored: np.ndarray, *, old: LabelMap, new: LabelMap) -> np.ndarray | None:
    """The class head's weights [..., anchors of a cell × classes] with the rows of the classes known by name.

    Returns:
      An array like fresh; None if anchors or width differ, or no class is in both label maps.
    """
    anchors = fresh.shape[-1] // new.num_classes
    shared = [(label_id, name) for label_id, name in new.items if name in old.name_by_id.values()]
    if not shared or stored.shape != (*fresh.shape[:-1], anchors * old.num_classes):
        return None
    rows = fresh.copy().reshape(*fresh.shape[:-1], anchors, new.num_classes)
    source = stored.reshape(*stored.shape[:-1], anchors, old.num_classes)
    for label_id, name in shared:
        rows[..., label_id - 1] = source[..., old.id_of(name) - 1]
    return rows.reshape(fresh.shape)


def transfer_table(carried: TransferPlan) -> list[str]:
    """What was carried over and what was not: a line for each part of the network, then the classes."""
    fitting = Counter(part_of(name) for name in carried.values)
    missing: dict[str, list[str]] = defaultdict(list)
    for name, reason in carried.misfits.items():
        missing[part_of(name)].append(f"{name} ({reason})")
    lines = []
    for part in sorted({*fitting, *missing}):
        fresh = f"; fresh: {', '.join(missing[part][:_SHOWN])}" if missing[part] else ""
        more = f" and {len(missing[part]) - _SHOWN} more" if len(missing[part]) > _SHOWN else ""
        total = fitting[part] + len(missing[part])
        lines.append(f"{part:10}  {fitting[part]} of {total} variables carried over{fresh}{more}")
    classes = f"classes carried over: {', '.join(carried.kept) or 'none'}"
    return [*lines, f"{classes}; fresh: {', '.join(carried.new)}" if carried.new else classes]


def _assign(model: keras.Model, values: Mapping[str, np.ndarray]) -> None:
    for variable in model.weights:
        if variable.path in values:
            variable.assign(values[variable.path])


def load_backbone(model: keras.Model, backbone: str, weights: str) -> None:
    """Fills a backbone of keras.applications.

    Raises:
      UsageError: the weights cannot be had, or are of another network.
    """
    values = backbones.read_weights(backbone, weights, tuple(model.input_shape[1:3]))
    _assign(model, values)
    _LOGGER.info("backbone_weights %s: the backbone's %d variables", weights, len(values))


def load_resnet(model: keras.Model, path: str) -> None:
    """Fills the ResNet backbone from a TF1 checkpoint of tensorflow/tpu's ResNet.

    That names its layers in the order in which it makes them, conv2d, conv2d_1, … and batch_normalization, …: the
    stem, then of every block the shortcut, if it has one, and its three convolutions (its resnet_model.py).

    Raises:
      UsageError: it does not hold this network.
      ContractError: it cannot be read.
    """
    wanted = resnet_names(variable.path for variable in model.weights)
    try:
        reader = tf.train.load_checkpoint(path)
        values = {name: reader.get_tensor(key) for name, key in wanted.items() if reader.has_tensor(key)}
    except (tf.errors.OpError, ValueError, IndexError) as error:  # IndexError: a data file that is cut
        raise ContractError(f"--resnet_checkpoint: cannot read {path}: {first_line(error)}") from error
    shapes = {variable.path: tuple(variable.shape) for variable in model.weights}
    for name, key in wanted.items():
        if name not in values or values[name].shape != shapes[name]:
            found = values[name].shape if name in values else "none"
            raise UsageError(f"--resnet_checkpoint: expected {key} of shape {shapes[name]} in {path}, found {found}")
    _assign(model, values)
    _LOGGER.info("resnet_checkpoint %s: the backbone's %d variables", path, len(values))


def resnet_names(variables: Iterable[str]) -> dict[str, str]:
    """The name in tensorflow/tpu's checkpoint of every variable of our ResNet backbone."""
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
    """Of ``stem``, ``c2_1_shortcut``, ``c2_1_1``, …: level, block and convolution as numbers."""
    if stem == "stem":
        return ()
    level, block, step = stem.removeprefix("c").split("_")
    return int(level), int(block), 0 if step == "shortcut" else int(step)
