"""Tensors of torchvision's and Detectron2's networks by name and shape, written down from their sources.

Shapes are [out, in, height, width]. Widths are those of ResNet, times a factor that makes tests fast.
"""

from collections.abc import Iterator

Shapes = dict[str, tuple[int, ...]]
_NORM = ("weight", "bias", "running_mean", "running_var")


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.{kind}": (width,) for kind in _NORM}


def conv(name: str, out: int, width: int, kernel: int) -> Shapes:
    return {f"{name}.weight": (out, width, kernel, kernel), f"{name}.bias": (out,)}


def blocks(depths: tuple[int, ...], unit: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (stage from 1, block from 0, inputs, width) of a ResNet."""
    inputs = unit
    for stage, depth in enumerate(depths, start=1):
        width = unit * 2 ** (stage - 1)
        for block in range(depth):
            yield stage, block, inputs, width
            inputs = 4 * width


def torchvision_resnet(depths: tuple[int, ...] = (3, 4, 6, 3), *, unit: int = 64, prefix: str = "") -> Shapes:
    found = {f"{prefix}conv1.weight": (unit, 3, 7, 7), **norm(f"{prefix}bn1", unit)}
    for stage, block, inputs, width in blocks(depths, unit):
        place = f"{prefix}layer{stage}.{block}"
        for step, out, taken, kernel in ((1, width, inputs, 1), (2, width, width, 3), (3, 4 * width, width, 1)):
            found |= {f"{place}.conv{step}.weight": (out, taken, kernel, kernel), **norm(f"{place}.bn{step}", out)}
        if block == 0:
            found |= {f"{place}.downsample.0.weight": (4 * width, inputs, 1, 1)}
            found |= norm(f"{place}.downsample.1", 4 * width)
    return found


def torchvision_retinanet(
    *, version: int, classes: int = 91, unit: int = 64, channels: int = 256, anchors: int = 9, older: bool = False
) -> Shapes:
    """Version 1 or 2; older: as files of before torchvision 0.13 name it."""
    inner = "" if older else ".0"
    found = torchvision_resnet(unit=unit, prefix="backbone.body.")
    for index, width in enumerate((8 * unit, 16 * unit, 32 * unit)):
        found |= conv(f"backbone.fpn.inner_blocks.{index}{inner}", channels, width, 1)
        found |= conv(f"backbone.fpn.layer_blocks.{index}{inner}", channels, channels, 3)
    found |= conv("backbone.fpn.extra_blocks.p6", channels, channels if version == 1 else 32 * unit, 3)
    found |= conv("backbone.fpn.extra_blocks.p7", channels, channels, 3)
    for head, last, width in (("classification", "cls_logits", classes), ("regression", "bbox_reg", 4)):
        for step in range(4):
            place = f"head.{head}_head.conv.{2 * step if older else step}"
            if version == 1:
                found |= conv(f"{place}{inner}", channels, channels, 3)
            else:
                found |= {f"{place}.0.weight": (channels, channels, 3, 3)}
                found |= {f"{place}.1.weight": (channels,), f"{place}.1.bias": (channels,)}
        found |= conv(f"head.{head}_head.{last}", anchors * width, channels, 3)
    return found


def detectron2_retinanet(
    depths: tuple[int, ...] = (3, 4, 6, 3), *, classes: int = 80, unit: int = 64, channels: int = 256
) -> Shapes:
    body = "backbone.bottom_up"
    found = {f"{body}.stem.conv1.weight": (unit, 3, 7, 7), **norm(f"{body}.stem.conv1.norm", unit)}
    for stage, block, inputs, width in blocks(depths, unit):
        place = f"{body}.res{stage + 1}.{block}"
        steps = [("conv1", width, inputs, 1), ("conv2", width, width, 3), ("conv3", 4 * width, width, 1)]
        for step, out, taken, kernel in [*steps, *([("shortcut", 4 * width, inputs, 1)] if block == 0 else [])]:
            found |= {f"{place}.{step}.weight": (out, taken, kernel, kernel), **norm(f"{place}.{step}.norm", out)}
    for level, width in ((3, 8 * unit), (4, 16 * unit), (5, 32 * unit)):
        found |= conv(f"backbone.fpn_lateral{level}", channels, width, 1)
        found |= conv(f"backbone.fpn_output{level}", channels, channels, 3)
    found |= conv("backbone.top_block.p6", channels, 32 * unit, 3) | conv(
        "backbone.top_block.p7", channels, channels, 3
    )
    for step in range(4):
        found |= conv(f"head.cls_subnet.{2 * step}", channels, channels, 3)
        found |= conv(f"head.bbox_subnet.{2 * step}", channels, channels, 3)
    return found | conv("head.cls_score", 9 * classes, channels, 3) | conv("head.bbox_pred", 36, channels, 3)
