"""Do detectors of other programs compute here what they compute there? Of `benchmarks.first_weights parity`.

For each network: its random weights, written by PyTorch, are read by --init_from into the network of the preset;
logits, anchors and decoded boxes are compared on the same canvases, of which one is filled by its image and one is not.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measures import Result, python
from retinanet_odm.labels.label_map import LabelMap

CLOSE = 1e-3  # largest difference
CANVAS = (224, 320)  # sides that do not halve evenly to P7
PLACED = ((224, 320), (150, 301))  # of the images on it


class Network(NamedTuple):
    """A network of another program, the suffix of the file that holds it, and our settings for it."""

    name: str
    suffix: str
    preset: str
    backbone: str = "resnet50"


BACKBONE = Network("resnet50", ".safetensors", "torchvision")
DETECTORS = (
    Network("retinanet_resnet50_fpn", ".pth", "torchvision"),
    Network("retinanet_resnet50_fpn_v2", ".safetensors", "torchvision_v2"),
    Network("detectron2_r50", ".pkl", "detectron2"),
    Network("detectron2_r101", ".pth", "detectron2", "resnet101"),
)


def of_parity(interpreter: str, work: Path) -> Iterator[Result]:
    images = make_canvases()
    np.savez(work / "canvases.npz", images=images, placed=np.array(PLACED))
    for network in (BACKBONE, *DETECTORS):
        weights, output = work / f"{network.name}{network.suffix}", work / f"{network.name}.npz"
        files = (str(work / "canvases.npz"), str(weights), str(output))
        python("benchmarks/detectors_torch.py", network.name, *files, interpreter=interpreter)
        compare = compare_backbone if network is BACKBONE else compare_detector
        yield from compare(network, weights, images, dict(np.load(output)))


def make_canvases() -> np.ndarray:
    """Return random images of coarse squares on canvases, padded as ours are."""
    from trainer.data import preprocess

    rng = np.random.default_rng(0)
    canvases = []
    for height, width in PLACED:
        coarse = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
        canvases.append(np.asarray(preprocess.pad(coarse.repeat(8, 0).repeat(8, 1)[:height, :width], CANVAS)))
    return np.stack(canvases)


def import_network(network: Network, weights: Path) -> tuple[Any, LabelMap]:
    """Build the network of a preset, and read the file into it; return it with its labels, the classes of COCO."""
    from trainer.network.build import build_network
    from trainer.presets import make_config
    from trainer.tpu.fit import synthetic_manifest
    from trainer.weights.coco_classes import COCO_IN_ORDER
    from trainer.weights.initialise import load_initial_weights

    given = {"backbone": network.backbone, "image_size": "x".join(map(str, CANVAS)), "init_from": str(weights)}
    config = make_config(network.preset, given)
    labels = LabelMap.from_names(COCO_IN_ORDER.name_by_id.values())  # in another order: rows are found by name
    manifest = dataclasses.replace(synthetic_manifest(labels.num_classes), labels=labels, fingerprint="")
    built = build_network(config, manifest)
    load_initial_weights(built.model, labels, config)
    return built, labels


def compared(title: str, ours: np.ndarray, theirs: np.ndarray) -> Result:
    full, padded = (np.abs(ours[row] - theirs[row]).max() for row in (0, 1))
    return Result(
        title=f"{title}, full / padded canvas (<= {CLOSE:g}; deviation {theirs.std():.2f})",
        value=f"{full:.1e} / {padded:.1e}",
        good=bool(max(full, padded) <= CLOSE),
    )


def compare_backbone(network: Network, weights: Path, images: np.ndarray, theirs: dict[str, Any]) -> Iterator[Result]:
    from trainer.data import preprocess
    from trainer.network.features import MAPS, with_maps

    built, _ = import_network(network, weights)
    maps = with_maps(built.model)(preprocess.normalise(images), training=False)[MAPS]
    for name, ours in zip(("c3", "c4", "c5"), maps, strict=True):
        yield compared(f"{network.name}: {name}", np.asarray(ours), theirs[name])


def compare_detector(network: Network, weights: Path, images: np.ndarray, theirs: dict[str, Any]) -> Iterator[Result]:
    from trainer.data import preprocess
    from trainer.network.targets import decode_boxes
    from trainer.weights.coco_classes import COCO_BY_CATEGORY, COCO_IN_ORDER

    built, labels = import_network(network, weights)
    outputs = built.model(preprocess.normalise(images), training=False)
    if network.preset == "detectron2":
        rows, columns = np.arange(len(theirs["anchors"])), [COCO_IN_ORDER.id_of(name) - 1 for _, name in labels.items]
    else:  # anchors of a cell by ratio, then size; classes by category
        rows = np.arange(len(theirs["anchors"])).reshape(-1, 3, 3).transpose(0, 2, 1).ravel()
        columns = [COCO_BY_CATEGORY.id_of(name) for _, name in labels.items]
    logits, boxes = theirs["logits"][:, rows][..., columns], theirs["boxes"][:, rows][..., [1, 0, 3, 2]]
    anchors = theirs["anchors"][rows][:, [1, 0, 3, 2]]
    yield compared(f"{network.name}: logits", np.asarray(outputs["class_logits"]), logits)
    difference = np.abs(built.anchors - anchors).max()
    yield Result(
        title=f"{network.name}: {len(anchors)} anchors, pixels (<= {CLOSE:g})",
        value=f"{difference:.1e}",
        good=bool(difference <= CLOSE),
    )
    sides = np.tile(anchors[:, 2:] - anchors[:, :2], 2)
    ours = np.asarray(decode_boxes(outputs["box_shifts"], built.anchors))
    yield compared(f"{network.name}: boxes, in sides of their anchors", ours / sides, boxes / sides)
