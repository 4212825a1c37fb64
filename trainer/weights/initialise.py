"""Initial weights of a run: from another run by name and shape, or of a backbone. Begin with `load_initial_weights`.

TensorFlow's checkpoints are graphs of objects by position, which changes with every layer that is added or removed. But
they also hold the name of each variable. The variables of an exported SavedModel are such a checkpoint as well.
"""

import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from retinanet_odm.errors import ContractError, UsageError
from retinanet_odm.exported_model import ModelManifest
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.storage import files
from trainer.config.sections import WeightsConfig
from trainer.network.build import part_of
from trainer.tf_errors import first_line
from trainer.weights import checkpoints
from trainer.weights.checkpoint_files import find_damage
from trainer.weights.pretrained import Array, assign_weights, load_backbone, load_resnet

_LOGGER = logging.getLogger(__name__)
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_KINDS = {"kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"}  # of a layer's variables
_MAX_NAMED = 3  # variables named in a line
_CLASS_ROWS = "class_predict/"  # variables whose last axis is anchors of a cell × classes


@dataclass(frozen=True, kw_only=True)
class WeightsSource:
    """Weights of another run.

    Attributes:
      prefix: Of a TensorFlow checkpoint.
      labels: Of its class head.
    """

    prefix: str
    labels: LabelMap


@dataclass(frozen=True, kw_only=True)
class TransferPlan:
    """Which weights of another run fit a network.

    Attributes:
      values: New value by variable name.
      misfits: For each other variable, why it keeps its fresh value.
      kept: Classes whose rows come from the other run.
      new: Classes whose rows are fresh.
    """

    values: Mapping[str, Array]
    misfits: Mapping[str, str]
    kept: tuple[str, ...]
    new: tuple[str, ...]


def load_initial_weights(model: keras.Model, labels: LabelMap, settings: WeightsConfig, *, backbone: str) -> None:
    """Set the weights of a fresh network that --init_from, --resnet_checkpoint or --backbone_weights names; log them.

    Raises:
      UsageError: There are none, or none of them fits.
      ContractError: They cannot be read.
    """
    if settings.resnet_checkpoint:
        load_resnet(model, settings.resnet_checkpoint)
    if settings.backbone_weights:
        load_backbone(model, backbone, settings.backbone_weights)
    if settings.init_from:
        transfer_from_run(model, labels, settings.init_from, partly=settings.init_partly)


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
    fresh = {variable.path: variable.numpy() for variable in model.weights}
    plan = transfer_weights(fresh, read_variables(source.prefix, fresh), old=source.labels, new=labels)
    check_transfer(plan, source.prefix, partly=partly)
    assign_weights(model, plan.values)
    for line in transfer_table(plan):
        _LOGGER.info("init_from %s: %s", source.prefix, line)


def check_transfer(plan: TransferPlan, prefix: str, *, partly: bool) -> None:
    """Raise UsageError if less than half of the backbone's variables fit: the run would in fact start afresh.

    Args:
      plan: What fits.
      prefix: Of the other run's checkpoint, for the message.
      partly: Whether a small part of the backbone is enough; nothing at all is still refused.
    """
    if not plan.values:
        raise UsageError(f"--init_from: nothing in {prefix} fits this network by name and shape")
    if partly:
        return
    # The heads may well be fresh, for other classes or anchors; the backbone is what another run has to give.
    fitting = sum(part_of(name) == "backbone" for name in plan.values)
    total = fitting + sum(part_of(name) == "backbone" for name in plan.misfits)
    if 2 * fitting < total:
        count = len(plan.values) + len(plan.misfits)
        raise UsageError(
            f"--init_from: {prefix} has {fitting} of the backbone's {total} variables, and {len(plan.values)} of"
            f" {count} in all: it is of another network: give the same --preset or --backbone, or --init_partly"
        )


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


def transfer_weights(
    fresh: Mapping[str, Array], stored: Mapping[str, Array], *, old: LabelMap, new: LabelMap
) -> TransferPlan:
    """Select what fits by name and shape; of the class head, the rows of the classes that both label maps name."""
    values: dict[str, Array] = {}
    misfits = {}
    # Over the variables of this network: what else the other run holds is of no use.
    for name, value in fresh.items():
        fitting = _fitting(name, value, stored.get(name), old=old, new=new)
        if fitting is None:
            misfits[name] = _misfit_reason(value, stored.get(name))
        else:
            values[name] = fitting
    # Only if the rows of the class head fit at all; else no class is taken over.
    shared = set(old.name_by_id.values()) if f"{_CLASS_ROWS}kernel" in values else set()
    names = [name for _, name in sorted(new.items)]
    return TransferPlan(
        values=values,
        misfits=misfits,
        kept=tuple(name for name in names if name in shared),
        new=tuple(name for name in names if name not in shared),
    )


def _fitting(name: str, value: Array, stored: Array | None, *, old: LabelMap, new: LabelMap) -> Array | None:
    if stored is None:
        return None
    if name.startswith(_CLASS_ROWS):
        return class_rows(value, stored, old=old, new=new)
    return stored if stored.shape == value.shape else None


def _misfit_reason(value: Array, stored: Array | None) -> str:
    if stored is None:
        return "not there"
    return "no class in common" if stored.shape == value.shape else f"{stored.shape} there, {value.shape} here"


def class_rows(fresh: Array, stored: Array, *, old: LabelMap, new: LabelMap) -> Array | None:
    """Copy the rows of the classes that both label maps name into the class head's weights.

    Args:
      fresh: [..., anchors of a cell × classes of new].
      stored: [..., anchors of a cell × classes of old].
      old: Label map of stored.
      new: Label map of fresh.

    Returns:
      An array like fresh; None if anchors or width differ, or if no class is in both label maps.
    """
    # The last axis is laid out as anchors of a cell, and of each anchor its classes: see trainer.network.model._head.
    anchors = fresh.shape[-1] // new.num_classes
    shared = [(label_id, name) for label_id, name in new.items if name in old.name_by_id.values()]
    # Other anchors mean another layout of the rows.
    if not shared or stored.shape != (*fresh.shape[:-1], anchors * old.num_classes):
        return None
    rows = fresh.copy().reshape(*fresh.shape[:-1], anchors, new.num_classes)
    source = stored.reshape(*stored.shape[:-1], anchors, old.num_classes)
    for label_id, name in shared:
        rows[..., label_id - 1] = source[..., old.id_of(name) - 1]
    return rows.reshape(fresh.shape)


def transfer_table(plan: TransferPlan) -> list[str]:
    """Format what is transferred: a line for each part of the network, then the classes."""
    fitting = Counter(part_of(name) for name in plan.values)
    missing: dict[str, list[str]] = defaultdict(list)
    for name, reason in plan.misfits.items():
        missing[part_of(name)].append(f"{name} ({reason})")
    lines = []
    for part in sorted({*fitting, *missing}):
        fresh = f"; fresh: {', '.join(missing[part][:_MAX_NAMED])}" if missing[part] else ""
        more = f" and {len(missing[part]) - _MAX_NAMED} more" if len(missing[part]) > _MAX_NAMED else ""
        total = fitting[part] + len(missing[part])
        lines.append(f"{part:10}  {fitting[part]} of {total} variables transferred{fresh}{more}")
    classes = f"classes transferred: {', '.join(plan.kept) or 'none'}"
    return [*lines, f"{classes}; fresh: {', '.join(plan.new)}" if plan.new else classes]
