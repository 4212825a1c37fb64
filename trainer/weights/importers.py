"""Networks of other programs: torchvision's ResNets and RetinaNets, and Detectron2's RetinaNets.

Begin with `identify_network`: which network the tensors of a file are of, and its weights by the names and in the
layout of ours. What the weights of a detector mean depends on settings, too (`ForeignNetwork.settings`): only a network
with the same settings computes what that program does. How the programs name their layers: `program_layouts`.

What needs no setting is folded into the weights: the epsilon of BatchNorm, the order of channels and the scale of
images, the order of anchors in a cell and of the four numbers of a box.

Shapes, before the layout changes: a convolution is [out, in, height, width]; A anchors of a cell, K classes.
"""

import dataclasses
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from retinanet_odm.errors import UsageError
from retinanet_odm.labels.label_map import LabelMap
from trainer.config.backbone_names import CORNER, PYTORCH
from trainer.config.network_sections import NetworkConfig
from trainer.data.preprocess import MEAN_RGB, STDDEV_RGB
from trainer.network.anchors import make_anchors
from trainer.network.backbones import RESNET_BLOCKS, RESNET_NORM
from trainer.weights.pretrained import Array, to_keras_layout
from trainer.weights.program_layouts import (
    ANCHORS_PER_CELL,
    DETECTRON2_LAYOUT,
    TORCHVISION_LAYOUT,
    Program,
    modules,
    name_tower,
    rename,
)

# Kinds of the tensors of a GroupNorm, a BatchNorm and a convolution.
_GROUP_NORM_KINDS = {"weight": "gamma", "bias": "beta"}
_NORM_KINDS = {**_GROUP_NORM_KINDS, "running_mean": "moving_mean", "running_var": "moving_variance"}
_CONV_KINDS = {"weight": "kernel", "bias": "bias"}
# Tensors that are no weights of a detector: counters, the classifier of ImageNet, and constants of older files.
_NO_WEIGHTS = re.compile(r"num_batches_tracked$|^fc\.|^pixel_(mean|std)$|^anchor_generator\.")
# Variables by which a detector is known to be a RetinaNet, and from which its settings are told.
_REQUIRED = (
    *("stem_conv/kernel", "c2_1_1_conv/kernel", "p3/kernel", "p6/kernel"),
    *("class_predict/bias", "box_predict/bias"),
)
_EPSILON = 1e-5  # of BatchNorm in both programs
# torchvision uses its published weights COCO_V1 of retinanet_resnet50_fpn with an epsilon of 0, because they were
# trained so (models/detection/retinanet.py, overwrite_eps). The file is named by the first digits of its SHA-256.
_NO_EPSILON = "eeacb38b"


@dataclass(frozen=True, kw_only=True)
class ForeignNetwork:
    """A network of another program.

    Attributes:
      name: Of the network and its program.
      settings: Of our network that computes the same, by the names of their flags.
      values: Its weights by the names of our variables, in the layout of Keras.
      class_count: Rows of its class head, numbered from 1; 0 without a class head.
      labels: Names of these rows; None if they are not known.
    """

    name: str
    settings: Mapping[str, Any]
    values: Mapping[str, Array]
    class_count: int = 0
    labels: LabelMap | None = None


def identify_network(tensors: Mapping[str, Array], *, digest: str, source: str) -> ForeignNetwork:
    """Tell which network the tensors of a file are of, and return its weights for ours.

    Args:
      tensors: By name.
      digest: Hex SHA-256 of the file.
      source: Name of the file, for messages.

    Raises:
      UsageError: It is none that this program knows, or differs from ours in what no setting covers.
    """
    tensors = {name.removeprefix("module."): value for name, value in tensors.items()}  # of DataParallel
    try:
        for program in (TORCHVISION_LAYOUT, DETECTRON2_LAYOUT):
            if f"{program.class_predict}.weight" in tensors:
                return _read_detector(tensors, program, digest)
        if "layer1.0.conv1.weight" in tensors:
            return _read_resnet(tensors)
    except _UnknownNetworkError as error:
        raise UsageError(f"--init_from: {source}: {error}") from error
    raise UsageError(
        f"--init_from: {source}: expected a ResNet or RetinaNet of torchvision or a RetinaNet of Detectron2, found"
        f" tensors such as {', '.join(sorted(tensors)[:3]) or 'none'}"
    )


class _UnknownNetworkError(Exception):
    """Says what differs from the networks that can be read."""


def _read_resnet(tensors: Mapping[str, Array]) -> ForeignNetwork:
    layers = rename(modules(tensors), TORCHVISION_LAYOUT.backbone)
    values = _convert(tensors, layers)
    backbone = _resnet_name(values)
    _fold_epsilon(values, _EPSILON)
    return ForeignNetwork(
        name=f"{backbone} of torchvision", settings={"backbone": backbone, "conv_style": PYTORCH}, values=values
    )


def _read_detector(tensors: Mapping[str, Array], program: Program, digest: str) -> ForeignNetwork:
    names = modules(tensors)
    backbone = rename((name for name in names if name.startswith(program.resnet)), program.backbone, program.resnet)
    heads = {
        **name_tower(tensors, program.class_tower, "class"),
        **name_tower(tensors, program.box_tower, "box"),
        program.class_predict: "class_predict",
        program.box_predict: "box_predict",
    }
    values = _convert(tensors, {**backbone, **rename(names, program.pyramid), **heads})
    if missing := [name for name in _REQUIRED if name not in values]:
        raise _UnknownNetworkError(f"expected a RetinaNet of {program.name}, found none of the tensors of {missing[0]}")
    _fold_epsilon(values, 0.0 if digest.startswith(_NO_EPSILON) else _EPSILON)
    if program.bgr:
        _check_constants(tensors)
        _fold_images(values)
    rows = _order_rows(values, program)
    return ForeignNetwork(
        name=_detector_name(program, values),
        settings={**program.settings, "backbone": _resnet_name(values), **_sizes(values)},
        values=values,
        class_count=rows,
        labels=program.coco if rows == program.coco.num_classes else None,
    )


# --- Settings ---


def find_differences(settings: Mapping[str, Any], network: NetworkConfig) -> dict[str, str]:
    """Return for each of the settings in which a network differs what it is there and here."""
    theirs = dataclasses.replace(network, **settings)
    names = [name for name in settings if getattr(theirs, name) != getattr(network, name)]
    if theirs.aspect_ratio_values() == network.aspect_ratio_values():  # however they are written
        names = [name for name in names if name != "aspect_ratios"]
    return {name: f"{name} is {settings[name]} there, {getattr(network, name)} here" for name in names}


def _resnet_name(values: Mapping[str, Array]) -> str:
    """Return the name of the ResNet that has as many blocks in each stage.

    Raises:
      _UnknownNetworkError: There is none, or its blocks are wider: a ResNeXt or a wide ResNet, whose layers have the
        same names.
    """
    blocks = {match.groups() for match in map(re.compile(r"c(\d)_(\d+)_3_conv/kernel").fullmatch, values) if match}
    depths = tuple(sum(level == str(stage) for level, _ in blocks) for stage in (2, 3, 4, 5))
    for name, known in RESNET_BLOCKS.items():
        if depths == known:
            taken, width = values["c2_1_1_conv/kernel"].shape[2:]
            if taken != width:
                raise _UnknownNetworkError(f"expected {name} with {taken} channels in its first block, found {width}")
            return name
    raise _UnknownNetworkError(
        f"expected {' or '.join(RESNET_BLOCKS)}, found a ResNet of {'-'.join(map(str, depths))} bottleneck blocks"
    )


def _detector_name(program: Program, values: Mapping[str, Array]) -> str:
    known = {
        (False, "p5"): "retinanet_resnet50_fpn of torchvision",
        (True, "c5"): "retinanet_resnet50_fpn_v2 of torchvision",
    }
    key = ("class_0_norm/gamma" in values, _sizes(values)["p6_source"])
    is_known = program is TORCHVISION_LAYOUT and key in known
    return known[key] if is_known else f"RetinaNet of {program.name}"


def _sizes(values: Mapping[str, Array]) -> dict[str, Any]:
    """Return the settings that the shapes of the weights tell."""
    channels = values["p3/kernel"].shape[-1]
    has_norms = "class_0_norm/gamma" in values
    return {
        "pyramid_channels": channels,
        # No program normalises the pyramid; where the heads have no norm, either, there is nothing to state.
        "pyramid_norm": "none" if has_norms else "same",
        "p6_source": "p5" if values["p6/kernel"].shape[2] == channels else "c5",
        "head_norm": "group" if has_norms else "none",
        "head_depth": sum(re.fullmatch(r"class_\d+/kernel", name) is not None for name in values),
    }


# --- Values ---


def _convert(tensors: Mapping[str, Array], layers: Mapping[str, str]) -> dict[str, Array]:
    """Return the weights of layers, by the names of their modules.

    Raises:
      _UnknownNetworkError: A tensor has no place, or is missing: the network computes something else.
    """
    names = set(layers.values())
    places = {
        f"{module}.{theirs}": f"{layer}/{ours}"
        for module, layer in layers.items()
        for theirs, ours in _kinds_of(layer, names).items()
    }
    if others := [name for name in tensors if name not in places and not _NO_WEIGHTS.search(name)]:
        raise _UnknownNetworkError(f"expected no {others[0]}, which has no place in our network")
    if missing := [name for name, ours in places.items() if name not in tensors and not ours.endswith("/bias")]:
        raise _UnknownNetworkError(f"expected {missing[0]}, found none")
    for name, ours in places.items():
        axes = 4 if ours.endswith("/kernel") else 1
        if name in tensors and tensors[name].ndim != axes:
            raise _UnknownNetworkError(f"expected {name} with {axes} axes, found shape {tensors[name].shape}")
    return {
        places[name]: to_keras_layout(np.asarray(value, np.float32), is_depthwise=False)
        for name, value in tensors.items()
        if name in places
    }


def _kinds_of(layer: str, layers: Set[str]) -> Mapping[str, str]:
    if not layer.endswith("_norm"):
        # Ours have no bias before a norm. Without a place, one is refused: GroupNorm does not take all of it away.
        has_norm = f"{layer.removesuffix('_conv')}_norm" in layers
        return {"weight": "kernel"} if has_norm else _CONV_KINDS
    return _GROUP_NORM_KINDS if layer.startswith(("class_", "box_")) else _NORM_KINDS


def _fold_epsilon(values: dict[str, Array], epsilon: float) -> None:
    """Scale gamma so that our epsilon gives what theirs does: gamma / sqrt(variance + epsilon) stays the same."""
    for name in [name for name in values if name.endswith("/moving_variance")]:
        variance = values[name].astype(np.float64)
        gamma = name.replace("/moving_variance", "/gamma")
        scale = np.sqrt((variance + RESNET_NORM["epsilon"]) / (variance + epsilon))
        values[gamma] = (values[gamma] * scale).astype(np.float32)


def _check_constants(tensors: Mapping[str, Array]) -> None:
    """Compare what only files of older versions state, the images and the anchors of Detectron2, with its model zoo.

    Raises:
      _UnknownNetworkError: They are others.
    """
    anchors = make_anchors((32, 32), anchor_scale=4.0, num_scales=3, aspect_ratios=(0.5, 1.0, 2.0), grid=CORNER)
    expected = {
        "pixel_mean": np.array(MEAN_RGB[::-1]),
        "pixel_std": np.ones(3),  # the deviation is part of the first convolution
        "anchor_generator.cell_anchors.0": anchors[:ANCHORS_PER_CELL, [1, 0, 3, 2]],  # of the first cell, around (0, 0)
    }
    for name, value in expected.items():
        found, wanted = np.ravel(tensors.get(name, value)), value.ravel()
        if found.shape != wanted.shape or not np.allclose(found, wanted, atol=0.01):
            listed = [" ".join(f"{number:.4g}" for number in numbers) for numbers in (wanted, found)]
            raise _UnknownNetworkError(f"expected the {name} of the model zoo, {listed[0]}, found {listed[1]}")


def _fold_images(values: dict[str, Array]) -> None:
    """Let the first convolution take RGB / deviation, as ours does, in place of BGR minus the same mean."""
    kernel = values["stem_conv/kernel"][:, :, ::-1]  # [height, width, in, out]
    values["stem_conv/kernel"] = (kernel * np.array(STDDEV_RGB)[:, None]).astype(np.float32)


def _order_rows(values: dict[str, Array], program: Program) -> int:
    """Order the rows of the last convolutions as ours are; return the number of classes.

    Ours are: anchors by size, then ratio; of each the classes, or (y, x, height, width).

    Raises:
      _UnknownNetworkError: There is another number of anchors.
    """
    anchors, remainder = divmod(len(values["box_predict/bias"]), 4)
    classes, rest = divmod(len(values["class_predict/bias"]), ANCHORS_PER_CELL)
    if anchors != ANCHORS_PER_CELL or remainder or rest:
        raise _UnknownNetworkError(f"expected {ANCHORS_PER_CELL} anchors of a cell, found {anchors}")
    by_anchor = np.arange(anchors)
    by_anchor = by_anchor.reshape(3, 3).T.ravel() if program.ratios_first else by_anchor
    orders = {"class_predict": np.arange(program.reserved, classes), "box_predict": np.array([1, 0, 3, 2])}
    for layer, order in orders.items():
        for kind in _CONV_KINDS.values():
            rows = values[f"{layer}/{kind}"]
            split = rows.reshape(*rows.shape[:-1], anchors, -1)[..., by_anchor, :][..., order]
            values[f"{layer}/{kind}"] = split.reshape(*rows.shape[:-1], -1)
    return classes - program.reserved
