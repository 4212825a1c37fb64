"""Which weights fit a network, by name and shape, and what to say about them. Begin with `transfer_weights`."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from retinanet_odm.errors import UsageError
from retinanet_odm.labels.label_map import LabelMap
from trainer.network.build import part_of
from trainer.weights.pretrained import Array

_MAX_NAMED = 3  # variables named in a line
_CLASS_ROWS = "class_predict/"  # variables whose last axis is anchors of a cell × classes


@dataclass(frozen=True, kw_only=True)
class TransferPlan:
    """Which weights of another network fit a network.

    Attributes:
      values: New value by variable name.
      misfits: For each other variable, why it keeps its fresh value.
      kept: Classes whose rows come from the other network.
      new: Classes whose rows are fresh.
    """

    values: Mapping[str, Array]
    misfits: Mapping[str, str]
    kept: tuple[str, ...]
    new: tuple[str, ...]


def transfer_weights(
    fresh: Mapping[str, Array], stored: Mapping[str, Array], *, old: LabelMap | None, new: LabelMap
) -> TransferPlan:
    """Select what fits by name and shape; of the class head, the rows of the classes that both label maps name.

    Args:
      fresh: Weights of the network by name.
      stored: Those of the other network.
      old: The classes of the other; None if they have no names, so that no row of a class fits.
      new: The classes of the network.
    """
    values: dict[str, Array] = {}
    misfits = {}
    # Over the variables of this network: what else the other holds is of no use.
    for name, value in fresh.items():
        fitting = _fitting(name, value, stored.get(name), old=old, new=new)
        if fitting is None:
            misfits[name] = _misfit_reason(value, stored.get(name))
        else:
            values[name] = fitting
    # Only if the rows of the class head fit at all; else no class is taken over.
    shared = set(old.name_by_id.values()) if old and f"{_CLASS_ROWS}kernel" in values else set()
    names = [name for _, name in sorted(new.items)]
    return TransferPlan(
        values=values,
        misfits=misfits,
        kept=tuple(name for name in names if name in shared),
        new=tuple(name for name in names if name not in shared),
    )


def _fitting(name: str, value: Array, stored: Array | None, *, old: LabelMap | None, new: LabelMap) -> Array | None:
    if stored is None:
        return None
    if name.startswith(_CLASS_ROWS):
        return class_rows(value, stored, old=old, new=new) if old else None
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
