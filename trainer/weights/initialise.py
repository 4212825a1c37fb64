"""Initial weights of a run: from another run or program, or of a backbone. Begin with `load_initial_weights`.

TensorFlow's checkpoints are graphs of objects by position, which changes with every layer that is added or removed. But
they also hold the name of each variable. The variables of an exported SavedModel are such a checkpoint as well.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.labels.label_map import LabelMap, parse_label_map
from retinanet_odm.storage import files
from trainer.config import TrainConfig
from trainer.tf_errors import first_line
from trainer.weights import checkpoints
from trainer.weights.checkpoint_files import find_damage
from trainer.weights.importers import ForeignNetwork, find_differences, identify_network
from trainer.weights.pretrained import Array, assign_weights, load_backbone, load_resnet
from trainer.weights.tensor_files import TensorFile, is_tensor_file, read_head, read_tensor_file
from trainer.weights.transfer import TransferPlan, check_transfer, transfer_table, transfer_weights

_LOGGER = logging.getLogger(__name__)
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_KINDS = {"kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"}  # of a layer's variables


@dataclass(frozen=True, kw_only=True)
class WeightsSource:
    """Weights of another run.

    Attributes:
      prefix: Of a TensorFlow checkpoint.
      labels: Of its class head.
    """

    prefix: str
    labels: LabelMap


def load_initial_weights(model: keras.Model, labels: LabelMap, config: TrainConfig) -> None:
    """Set the weights of a fresh network that --init_from, --resnet_checkpoint or --backbone_weights names; log them.

    Raises:
      UsageError: There are none, or none of them fits.
      ContractError: They cannot be read.
    """
    settings = config.weights
    if settings.resnet_checkpoint:
        load_resnet(model, settings.resnet_checkpoint)
    if settings.backbone_weights:
        load_backbone(model, config.network.backbone, settings.backbone_weights)
    if settings.init_from and is_foreign_file(settings.init_from):
        transfer_from_file(model, labels, config)
    elif settings.init_from:
        transfer_from_run(model, labels, settings.init_from, partly=settings.init_partly)


# --- From a file of another program ---


def is_foreign_file(path: str) -> bool:
    """Return whether a path is a file of tensors, which another program has written.

    Raises:
      ContractError: It cannot be read.
    """
    return files.is_file(path) and is_tensor_file(read_head(path))


def transfer_from_file(model: keras.Model, labels: LabelMap, config: TrainConfig) -> None:
    """Set those weights of a network that fit from the file of another program that --init_from names; log which.

    Raises:
      UsageError: Its network is unknown or has other settings, or nothing in it fits.
      ContractError: It cannot be read.
    """
    path, partly = config.weights.init_from, config.weights.init_partly
    foreign = read_foreign_network(read_tensor_file(path), config)
    _LOGGER.info("init_from %s: %s", path, foreign.name)
    if differences := ", ".join(find_differences(foreign.settings, config.network).values()):
        if not partly:
            raise UsageError(
                f"--init_from: {path} is {foreign.name}, of other settings: {differences}; give those (--mode=inspect"
                " prints the flags), or --init_partly to take what fits as a start"
            )
        _LOGGER.warning("warning: --init_from: of other settings: %s: the weights are only a start", differences)
    plan = transfer_weights(values_of(model), foreign.values, old=foreign.labels, new=labels)
    _carry_out(plan, model, path, partly=partly)


def read_foreign_network(file: TensorFile, config: TrainConfig) -> ForeignNetwork:
    """Identify the network of a file, and name its classes by --init_labels if it is given.

    Raises:
      UsageError: The network is unknown.
      ContractError: The label map cannot be read, or has another number of classes.
    """
    path, labels_path = config.weights.init_from, config.weights.init_labels
    foreign = identify_network(file.tensors, digest=file.digest, source=path)
    if not labels_path:
        return foreign
    labels = parse_label_map(files.read_text(labels_path, flag="--init_labels"))
    if labels.num_classes != foreign.class_count:
        raise ContractError(
            f"--init_labels: the largest id in {labels_path} is {labels.num_classes}, but {path} has"
            f" {foreign.class_count} classes"
        )
    return dataclasses.replace(foreign, labels=labels)


# --- From another run ---


def transfer_from_run(model: keras.Model, labels: LabelMap, path: str, *, partly: bool) -> None:
    """Set those weights of a network that fit from another run, and log which.

    Args:
      model: The network.
      labels: Its label map.
      path: Of the other run.
      partly: Whether a small part of the backbone is enough.

    Raises:
      UsageError: There are none, none of them fits, or too few of the backbone do.
      ContractError: They cannot be read.
    """
    source = find_source(path)
    # The fresh values are needed too: classes that the other run does not know keep them.
    fresh = values_of(model)
    plan = transfer_weights(fresh, read_variables(source.prefix, fresh), old=source.labels, new=labels)
    _carry_out(plan, model, source.prefix, partly=partly)


def values_of(model: keras.Model) -> dict[str, Array]:
    """Return the values of all variables of a network by name."""
    return {variable.path: variable.numpy() for variable in model.weights}


def _carry_out(plan: TransferPlan, model: keras.Model, origin: str, *, partly: bool) -> None:
    check_transfer(plan, origin, partly=partly)
    assign_weights(model, plan.values)
    for line in transfer_table(plan):
        _LOGGER.info("init_from %s: %s", origin, line)


def find_source(path: str) -> WeightsSource:
    """Find the weights of a model_dir, its folder of checkpoints, one of its checkpoints, or an export.

    Raises:
      UsageError: The path is none of these.
      ContractError: Of its checkpoints, none is whole.
    """
    path = path.rstrip("/")
    manifest_path = f"{path}/{ModelManifest.FILE}"
    if files.is_file(manifest_path):
        text = files.read_text(manifest_path, flag="--init_from")
        manifest = ModelManifest.from_json(text, source=manifest_path)
        return WeightsSource(prefix=f"{path}/variables/variables", labels=manifest.labels)
    # A prefix, not a file: TensorFlow adds .index and .data-… to it.
    if files.is_file(f"{path}.index"):
        if damage := find_damage(path):
            raise ContractError(f"--init_from: cannot read {path}: {damage}")
        return WeightsSource(prefix=path, labels=_labels_of(path))
    for folder in (path, f"{path}/checkpoints"):
        stored = checkpoints.run_checkpoints(folder, flag="--init_from")
        step = stored.newest_whole()
        if step is not None:
            return WeightsSource(prefix=stored.prefix(step), labels=_labels_of(stored.prefix(step)))
    raise UsageError(f"--init_from: {path} holds neither checkpoints nor an export")


def _labels_of(prefix: str) -> LabelMap:
    try:
        return LabelMap.from_json(checkpoints.identity_of(prefix, flag="--init_from")["labels"])
    except KeyError as error:
        raise ContractError(f"--init_from: no labels are recorded for {prefix}") from error


def read_variables(prefix: str, names: Iterable[str]) -> dict[str, Array]:
    """Read the variables of these names that a checkpoint of TensorFlow 2 holds.

    Raises:
      ContractError: It cannot be read.
    """
    with _reading(prefix) as reader:
        keys = _variable_keys(reader)
        return {name: reader.get_tensor(keys[name]) for name in names if name in keys}


@contextlib.contextmanager
def _reading(prefix: str) -> Iterator[Any]:
    """Open a checkpoint, and explain what fails while the body reads it."""
    try:
        yield tf.train.load_checkpoint(prefix)
    except (tf.errors.OpError, ValueError, IndexError) as error:  # IndexError: a truncated data file
        raise ContractError(f"--init_from: cannot read {prefix}: {first_line(error)}") from error


def _variable_keys(reader: Any) -> dict[str, str]:
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(_GRAPH))
    return {item.full_name: item.checkpoint_key for node in graph.nodes for item in node.attributes}


def list_variables(prefix: str) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of a network's variables in a checkpoint of TensorFlow 2 by name; None if it is one of TF1.

    Raises:
      ContractError: It cannot be read.
    """
    with _reading(prefix) as reader:
        if not reader.has_tensor(_GRAPH):
            return None
        shapes = reader.get_variable_to_shape_map()
        keys = _variable_keys(reader)
    # By the last part of the name: the rest are the optimizer's.
    return {name: tuple(shapes[key]) for name, key in keys.items() if name.rpartition("/")[2] in _KINDS}
