"""Of benchmarks.detectors, in an environment with PyTorch: random detectors, their files, and what they compute.

    python benchmarks/detectors_torch.py NETWORK IMAGES.npz WEIGHTS OUTPUT.npz

NETWORK is resnet50, retinanet_resnet50_fpn or retinanet_resnet50_fpn_v2 of torchvision, or detectron2_r50 or
detectron2_r101, which are implemented here after Detectron2's sources, as its packages are not on PyPI. IMAGES holds
uint8 images [B, H, W, 3] and the size of the image on each canvas, placed [B, 2]. WEIGHTS ends with .pth, .safetensors
or .pkl. Imports nothing of ours.

Weights are random: the averages of BatchNorm are those of a random batch, then all numbers are perturbed, and the last
layers are scaled so that logits and shifts differ as much as those of a trained network.
"""

import json
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.models.detection import retinanet
from torchvision.models.detection.image_list import ImageList

MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # RGB, 0..255
LOGIT_DEVIATION, SHIFT_DEVIATION = 2.0, 0.3


def prepare(images: np.ndarray, placed: np.ndarray, *, bgr: bool) -> torch.Tensor:
    """Normalise [B, H, W, 3], then pad with zeros; return [B, 3, H, W]."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    x = x - torch.tensor(MEAN)[:, None, None]
    x = x.flip(1) if bgr else x / torch.tensor(DEVIATION)[:, None, None]
    for row, (height, width) in enumerate(placed):
        x[row, :, int(height) :], x[row, :, :, int(width) :] = 0, 0
    return x


# --- Detectron2 ---


class FrozenNorm(nn.BatchNorm2d):
    """FrozenBatchNorm2d: the same numbers by the same names, and never of the batch."""


def norm_conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    layer.norm = FrozenNorm(outputs)
    return layer


def apply(layer: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    return layer.norm(layer(x))


class Block(nn.Module):
    """BottleneckBlock with stride_in_1x1 (modeling/backbone/resnet.py)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = norm_conv(inputs, width, 1, stride)
        self.conv2 = norm_conv(width, width, 3, 1)
        self.conv3 = norm_conv(width, 4 * width, 1, 1)
        self.shortcut = norm_conv(inputs, 4 * width, 1, stride) if inputs != 4 * width else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = apply(self.shortcut, x) if self.shortcut is not None else x
        out = functional.relu(apply(self.conv2, functional.relu(apply(self.conv1, x))))
        return functional.relu(apply(self.conv3, out) + shortcut)


class Detectron2(nn.Module):
    """RetinaNet with FPN (modeling/meta_arch/retinanet.py, modeling/backbone/fpn.py) by Detectron2's names."""

    def __init__(self, blocks: tuple[int, ...], classes: int = 80, anchors: int = 9) -> None:
        super().__init__()
        body = nn.Module()
        body.stem = nn.Module()
        body.stem.conv1 = norm_conv(3, 64, 7, 2)
        inputs = 64
        for level, count in enumerate(blocks, start=2):
            width, stage = 16 * 2**level, []
            for block in range(count):
                stage.append(Block(inputs, width, 2 if block == 0 and level > 2 else 1))
                inputs = 4 * width
            setattr(body, f"res{level}", nn.Sequential(*stage))
        self.backbone = nn.Module()
        self.backbone.bottom_up = body
        for level, channels in ((3, 512), (4, 1024), (5, 2048)):
            setattr(self.backbone, f"fpn_lateral{level}", nn.Conv2d(channels, 256, 1))
            setattr(self.backbone, f"fpn_output{level}", nn.Conv2d(256, 256, 3, 1, 1))
        self.backbone.top_block = nn.Module()
        self.backbone.top_block.p6 = nn.Conv2d(2048, 256, 3, 2, 1)
        self.backbone.top_block.p7 = nn.Conv2d(256, 256, 3, 2, 1)
        self.head = nn.Module()
        for name in ("cls_subnet", "bbox_subnet"):
            layers = [layer for _ in range(4) for layer in (nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU())]
            setattr(self.head, name, nn.Sequential(*layers))
        self.head.cls_score = nn.Conv2d(256, anchors * classes, 3, 1, 1)
        self.head.bbox_pred = nn.Conv2d(256, anchors * 4, 3, 1, 1)
        self.classes = classes

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features, net = {}, self.backbone
        x = functional.max_pool2d(functional.relu(apply(net.bottom_up.stem.conv1, x)), 3, 2, 1)
        for level in (2, 3, 4, 5):
            features[level] = x = getattr(net.bottom_up, f"res{level}")(x)
        top, maps = None, {}
        for level in (5, 4, 3):
            lateral = getattr(net, f"fpn_lateral{level}")(features[level])
            top = lateral if top is None else lateral + functional.interpolate(top, scale_factor=2, mode="nearest")
            maps[level] = getattr(net, f"fpn_output{level}")(top)
        p6 = net.top_block.p6(features[5])
        levels = [maps[3], maps[4], maps[5], p6, net.top_block.p7(functional.relu(p6))]
        logits = [rows(self.head.cls_score(self.head.cls_subnet(level)), self.classes) for level in levels]
        shifts = [rows(self.head.bbox_pred(self.head.bbox_subnet(level)), 4) for level in levels]
        return torch.cat(logits, 1), torch.cat(shifts, 1)


def rows(x: torch.Tensor, width: int) -> torch.Tensor:
    """permute_to_N_HWA_K: [B, A * width, H, W] to [B, H * W * A, width]."""
    batch, _, height, length = x.shape
    return x.view(batch, -1, width, height, length).permute(0, 3, 4, 1, 2).reshape(batch, -1, width)


def detectron2_anchors(height: int, width: int) -> torch.Tensor:
    """DefaultAnchorGenerator (modeling/anchor_generator.py) with offset 0: [A, 4], (x1, y1, x2, y2)."""
    levels = []
    for level in range(3, 8):
        stride = 2**level
        sizes = [4 * stride * 2 ** (octave / 3) for octave in range(3)]
        cell = []
        for size in sizes:
            for ratio in (0.5, 1.0, 2.0):
                w = (size**2 / ratio) ** 0.5
                cell.append((-w / 2, -ratio * w / 2, w / 2, ratio * w / 2))
        y, x = torch.meshgrid(
            torch.arange(-(-height // stride)) * stride, torch.arange(-(-width // stride)) * stride, indexing="ij"
        )
        shifts = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
        levels.append((shifts + torch.tensor(cell)).reshape(-1, 4))
    return torch.cat(levels)


# --- torchvision ---


def torchvision_outputs(net: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    outputs = net.head(list(net.backbone(x).values()))
    return outputs["cls_logits"], outputs["bbox_regression"]


def torchvision_anchors(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    maps = list(net.backbone(x).values())
    return net.anchor_generator(ImageList(x, [tuple(x.shape[-2:])] * len(x)), maps)[0]


def resnet_maps(net: nn.Module, x: torch.Tensor) -> list[np.ndarray]:
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    maps = []
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = stage(x)
        maps.append(x.permute(0, 2, 3, 1).numpy())
    return maps[1:]


# --- Weights ---


def randomise(net: nn.Module, x: torch.Tensor) -> None:
    """Take the averages of BatchNorm from a batch, then perturb all numbers."""
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.momentum = 1.0
        # Small at the end of blocks, as if they were trained: sums of many blocks would grow otherwise.
        nn.init.uniform_(layer.weight, 0.3, 0.8)
    body = net.train() if isinstance(net, torchvision.models.ResNet) else net.backbone.train()
    body(x) if not isinstance(net, Detectron2) else net.train()(x)
    net.eval()
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            spread = value.std() if value.numel() > 1 else value.abs()
            noise = torch.randn_like(value) * 0.1 * torch.nan_to_num(spread)
            value.copy_((value + noise).clamp_min(1e-3) if "running_var" in name else value + noise)
            if name.endswith("bias"):
                value.add_(0.05 * torch.randn_like(value))


def spread_outputs(last: tuple[nn.Conv2d, nn.Conv2d], outputs: tuple[torch.Tensor, torch.Tensor]) -> None:
    for layer, found, wanted in zip(last, outputs, (LOGIT_DEVIATION, SHIFT_DEVIATION), strict=True):
        layer.weight.mul_(wanted / found.std())


def write(path: str, state: dict[str, torch.Tensor]) -> None:
    if path.endswith(".pkl"):  # as Detectron2's model zoo
        arrays = {name: value.numpy() for name, value in state.items() if "num_batches" not in name}
        Path(path).write_bytes(pickle.dumps({"model": arrays, "__author__": "benchmarks.detectors"}))
    elif path.endswith(".safetensors"):
        header, data = {}, b""
        for name, value in state.items():
            content = value.numpy().tobytes()
            kind = "F32" if value.is_floating_point() else "I64"
            header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [len(data), len(data + content)]}
            data += content
        text = json.dumps(header).encode()
        Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)
    else:
        torch.save(state, path)


def main() -> None:
    name, images_path, weights, output = sys.argv[1:]
    torch.manual_seed(0)
    given = np.load(images_path)
    images, placed = given["images"], given["placed"]
    is_detectron2 = name.startswith("detectron2")
    x = prepare(images, placed, bgr=is_detectron2)
    if is_detectron2:
        net = Detectron2((3, 4, 6, 3) if name.endswith("r50") else (3, 4, 23, 3))
    elif name == "resnet50":
        net = torchvision.models.resnet50(weights=None)
    else:
        net = getattr(retinanet, name)(weights=None, weights_backbone=None)
    with torch.no_grad():
        randomise(net, x)
        if name == "resnet50":
            write(weights, net.state_dict())
            np.savez(output, **{f"c{level}": found for level, found in enumerate(resnet_maps(net, x), start=3)})
            return
        if is_detectron2:
            last, compute = (net.head.cls_score, net.head.bbox_pred), net
            anchors = detectron2_anchors(*x.shape[-2:])
        else:
            last = (net.head.classification_head.cls_logits, net.head.regression_head.bbox_reg)
            compute, anchors = (lambda x: torchvision_outputs(net, x)), torchvision_anchors(net, x)
        spread_outputs(last, compute(x))
        logits, shifts = compute(x)
        boxes = torch.stack([retinanet_boxes(row, anchors) for row in shifts])
    write(weights, net.state_dict())
    np.savez(output, logits=logits.numpy(), boxes=boxes.numpy(), anchors=anchors.numpy())


def retinanet_boxes(shifts: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Decode as both programs do, whose codes are the same."""
    coder = torchvision.models.detection._utils.BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
    return coder.decode_single(shifts, anchors)


if __name__ == "__main__":
    main()
