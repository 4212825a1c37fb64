"""How torchvision and Detectron2 name the layers of a RetinaNet. Begin with `Program`."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from retinanet_odm.labels.label_map import LabelMap
from trainer.config.backbone_names import CAFFE, CORNER, PYTORCH, TORCHVISION
from trainer.weights.coco_classes import COCO_BY_CATEGORY, COCO_IN_ORDER
from trainer.weights.pretrained import Array

# Both programs have three sizes an octave and three ratios; see trainer.network.anchors for their grids.
_ANCHORS = {"anchor_scale": 4.0, "num_scales": 3, "aspect_ratios": "0.5,1,2"}
ANCHORS_PER_CELL = 9


class Rule(NamedTuple):
    """Names a layer: the numbers that the pattern finds, plus offsets, go into the template."""

    pattern: str
    template: str
    offsets: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Program:
    """How a program names its RetinaNet, and what is the same in all of them.

    Attributes:
      name: Of the program.
      resnet: Prefix of the backbone.
      backbone, pyramid: Rules for the layers, those of the backbone without the prefix.
      class_tower, box_tower: Prefixes of the convolutions of the heads, with their norms.
      class_predict, box_predict: The last convolutions.
      ratios_first: Whether the anchors of a cell are in order of their ratio, then size, not of size, then ratio.
      reserved: Rows of each anchor before the first class.
      coco: Names of the classes of its published weights.
      bgr: Whether images are blue, green, red, and not divided by a deviation.
      settings: Of our network, for all of them.
    """

    name: str
    resnet: str
    backbone: tuple[Rule, ...]
    pyramid: tuple[Rule, ...]
    class_tower: str
    box_tower: str
    class_predict: str
    box_predict: str
    ratios_first: bool
    reserved: int
    coco: LabelMap
    bgr: bool
    settings: Mapping[str, Any]


TORCHVISION_LAYOUT = Program(
    name="torchvision",
    resnet="backbone.body.",
    backbone=(
        Rule(r"conv1", "stem_conv"),
        Rule(r"bn1", "stem_norm"),
        Rule(r"layer(\d)\.(\d+)\.conv(\d)", "c{}_{}_{}_conv", (1, 1, 0)),
        Rule(r"layer(\d)\.(\d+)\.bn(\d)", "c{}_{}_{}_norm", (1, 1, 0)),
        Rule(r"layer(\d)\.(\d+)\.downsample\.0", "c{}_{}_shortcut_conv", (1, 1)),
        Rule(r"layer(\d)\.(\d+)\.downsample\.1", "c{}_{}_shortcut_norm", (1, 1)),
    ),
    pyramid=(  # without the inner .0 in files of before torchvision 0.13
        Rule(r"backbone\.fpn\.inner_blocks\.(\d)(?:\.0)?", "lateral{}", (3,)),
        Rule(r"backbone\.fpn\.layer_blocks\.(\d)(?:\.0)?", "p{}", (3,)),
        Rule(r"backbone\.fpn\.extra_blocks\.p(\d)", "p{}", (0,)),
    ),
    class_tower="head.classification_head.conv.",
    box_tower="head.regression_head.conv.",
    class_predict="head.classification_head.cls_logits",
    box_predict="head.regression_head.bbox_reg",
    ratios_first=True,
    reserved=1,  # the class of the background, which is never predicted
    coco=COCO_BY_CATEGORY,
    bgr=False,
    settings={"conv_style": PYTORCH, "anchor_grid": TORCHVISION, **_ANCHORS},
)
DETECTRON2_LAYOUT = Program(
    name="Detectron2",
    resnet="backbone.bottom_up.",
    backbone=(
        Rule(r"stem\.conv1", "stem_conv"),
        Rule(r"stem\.conv1\.norm", "stem_norm"),
        Rule(r"res(\d)\.(\d+)\.conv(\d)", "c{}_{}_{}_conv", (0, 1, 0)),
        Rule(r"res(\d)\.(\d+)\.conv(\d)\.norm", "c{}_{}_{}_norm", (0, 1, 0)),
        Rule(r"res(\d)\.(\d+)\.shortcut", "c{}_{}_shortcut_conv", (0, 1)),
        Rule(r"res(\d)\.(\d+)\.shortcut\.norm", "c{}_{}_shortcut_norm", (0, 1)),
    ),
    pyramid=(
        Rule(r"backbone\.fpn_lateral(\d)", "lateral{}", (0,)),
        Rule(r"backbone\.fpn_output(\d)", "p{}", (0,)),
        Rule(r"backbone\.top_block\.p(\d)", "p{}", (0,)),
    ),
    class_tower="head.cls_subnet.",
    box_tower="head.bbox_subnet.",
    class_predict="head.cls_score",
    box_predict="head.bbox_pred",
    ratios_first=False,
    reserved=0,
    coco=COCO_IN_ORDER,
    # Images and strides are those of the model zoo, whose ResNets are MSRA's. The weights do not tell.
    bgr=True,
    settings={"conv_style": CAFFE, "anchor_grid": CORNER, **_ANCHORS},
)


def modules(tensors: Iterable[str]) -> set[str]:
    """Return the names of the modules of tensors."""
    return {name.rpartition(".")[0] for name in tensors}


def rename(modules: Iterable[str], rules: tuple[Rule, ...], prefix: str = "") -> dict[str, str]:
    """Return the name of our layer for each module that a rule matches."""
    names = {}
    for module in modules:
        for rule in rules:
            if match := re.fullmatch(rule.pattern, module.removeprefix(prefix)):
                numbers = [int(number) + offset for number, offset in zip(match.groups(), rule.offsets, strict=True)]
                names[module] = rule.template.format(*numbers)
    return names


def name_tower(tensors: Mapping[str, Array], prefix: str, head: str) -> dict[str, str]:
    """Name the convolutions and norms of a head, which lie in a sequence in which activations take a number, too."""
    found = re.compile(re.escape(prefix) + r"([\d.]+)\.weight")
    places = {match[0]: [int(part) for part in match[1].split(".")] for match in map(found.fullmatch, tensors) if match}
    names, step = {}, -1
    for name in sorted(places, key=places.__getitem__):
        is_convolution = tensors[name].ndim == 4
        step += is_convolution
        names[name.removesuffix(".weight")] = f"{head}_{step}" if is_convolution else f"{head}_{step}_norm"
    return names
