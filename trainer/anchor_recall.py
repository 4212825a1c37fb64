"""Before hours of training: which objects of the training split some anchor can match on the run's own canvas."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from detection import examples as schema
from detection.anchor_fit import POSITIVE_IOU, best_overlap
from detection.manifests import DatasetManifest
from trainer import records
from trainer.config import TrainConfig, canvas_size

TRAIN = "train"
# A data set is shuffled as a whole when written: its first records are a sample, and reading more takes minutes.
MOST_BOXES = 200_000
MOST_IMAGES = 20_000
WANTED = 0.9  # as the data set's report has it
FEWEST_BOXES = 5  # of fewer, a share says nothing
_AT_ONCE = 1000  # boxes: their overlaps stay in the processor's cache
_BATCH = 64  # records parsed at once, photographs included
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CanvasBoxes:
    """Objects as they lie on the canvas of a run, without random scale.

    Attributes:
      boxes: float64 [N, 4], (ymin, xmin, ymax, xmax) in canvas pixels.
      labels: int [N], ids of the label map.
      images: how many were read. is_whole: whether these are all of the split.
    """

    boxes: np.ndarray
    labels: np.ndarray
    images: int
    is_whole: bool


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Objects of a class that have an anchor of IoU 0.5.

    Attributes:
      octaves: (k, boxes, reached) of sides (root of the area) of 2^k to 2^(k+1) canvas pixels, 0 for all below 2.
    """

    name: str
    boxes: int
    reached: int
    octaves: tuple[tuple[int, int, int], ...]

    @property
    def recall(self) -> float:
        """Best possible, 0..1; 1 without boxes."""
        return self.reached / self.boxes if self.boxes else 1.0

    def line(self) -> str:
        """Such as ``93.8 % of 16 boxes  eel  (8-16 px: 50.0 % of 2, 16-32 px: 100.0 % of 14)``."""
        parts = (
            f"{2**octave if octave else 0}-{2 ** (octave + 1)} px: {100 * reached / boxes:.1f} % of {boxes}"
            for octave, boxes, reached in self.octaves
        )
        return f"{100 * self.recall:5.1f} % of {self.boxes} boxes  {self.name}  ({', '.join(parts)})"


def anchor_shapes(config: TrainConfig) -> dict[str, Any]:
    """The settings of the anchors, by the names that make_anchors and best_overlap give them."""
    return {
        "anchor_scale": config.anchor_scale,
        "num_scales": config.num_scales,
        "aspect_ratios": config.aspect_ratio_values(),
    }


def overlaps(boxes: np.ndarray, canvas: tuple[int, int], shapes: Mapping[str, Any]) -> np.ndarray:
    """The highest IoU of each box with any anchor, [N]; boxes [N, 4] in canvas pixels."""
    parts = [best_overlap(boxes[at : at + _AT_ONCE], canvas, **shapes) for at in range(0, len(boxes), _AT_ONCE)]
    return np.concatenate([np.zeros(0), *parts])


def reaches(found: CanvasBoxes, names: Mapping[int, str], overlap: np.ndarray) -> tuple[Reach, ...]:
    """Of all classes together, then of each class of names (by id) that has boxes; overlap [N] as of overlaps."""
    sides = np.sqrt((found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1))
    octaves = np.floor(np.log2(np.maximum(sides, 1))).astype(int)
    chosen = {"all classes": np.ones(len(sides), bool), **{name: found.labels == key for key, name in names.items()}}
    hit = overlap >= POSITIVE_IOU
    return tuple(_reach(name, octaves[rows], hit[rows]) for name, rows in chosen.items() if rows.any())


def _reach(name: str, octaves: np.ndarray, hit: np.ndarray) -> Reach:
    rows = tuple(
        (int(octave), int((octaves == octave).sum()), int(hit[octaves == octave].sum()))
        for octave in np.unique(octaves)
    )
    return Reach(name=name, boxes=len(hit), reached=int(hit.sum()), octaves=rows)


def read_boxes(config: TrainConfig, manifest: DatasetManifest) -> CanvasBoxes:
    """The boxes of the training split, or of its first records where there are very many; no photograph is decoded.

    Raises:
      ContractError: the split is empty, or a shard is missing or damaged.
    """
    split = records.find_split(config.dataset, manifest, TRAIN)
    canvas = canvas_size(config.image_size, manifest.aspect_ratio_min, manifest.aspect_ratio_max)
    boxes, labels, images, count = [np.zeros((0, 4))], [np.zeros(0, int)], 0, 0
    with records.whole_shards(split.paths):
        for relative, ids, sizes in _batches(split):
            boxes.append(_on_canvas(relative, sizes, canvas))
            labels.append(ids)
            images, count = images + _BATCH, count + len(ids)
            if count >= MOST_BOXES or images >= MOST_IMAGES:
                break
    images = min(images, split.examples)
    return CanvasBoxes(
        boxes=np.concatenate(boxes),
        labels=np.concatenate(labels),
        images=images,
        is_whole=images == split.examples,
    )


def _batches(split: records.Split) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of some images each: relative boxes [N, 4], their labels [N], and [N, (height, width)] of their photographs."""
    edges = (schema.YMIN, schema.XMIN, schema.YMAX, schema.XMAX)
    features: dict[str, Any] = {
        **{side: tf.io.FixedLenFeature([], tf.int64) for side in (schema.HEIGHT, schema.WIDTH)},
        schema.LABEL: tf.io.RaggedFeature(tf.int64),
        **{edge: tf.io.RaggedFeature(tf.float32) for edge in edges},
    }
    batches = tf.data.TFRecordDataset(list(split.paths)).batch(_BATCH)
    for values in batches.map(lambda batch: tf.io.parse_example(batch, features)).prefetch(1):
        sizes = np.stack([values[side].numpy() for side in (schema.HEIGHT, schema.WIDTH)], axis=1)
        relative = np.stack([values[edge].flat_values.numpy() for edge in edges], axis=1).astype(np.float64)
        labels = values[schema.LABEL]
        yield relative, labels.flat_values.numpy(), np.repeat(sizes, labels.row_lengths().numpy(), axis=0)


def _on_canvas(boxes: np.ndarray, sizes: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """Relative boxes [N, 4] of photographs of sizes [N, 2] in canvas pixels, as preprocess.letterbox places them."""
    scale = (np.asarray(canvas) / sizes).min(axis=1, keepdims=True)
    return boxes * np.tile(np.maximum(np.rint(sizes * scale), 1), 2)


def announce(config: TrainConfig, manifest: DatasetManifest, found: CanvasBoxes) -> None:
    """Logs the best possible recall of the anchors on boxes of read_boxes, and warns of classes that they miss."""
    canvas = canvas_size(config.image_size, manifest.aspect_ratio_min, manifest.aspect_ratio_max)
    rows = reaches(found, manifest.labels.name_by_id, overlaps(found.boxes, canvas, anchor_shapes(config)))
    part = "" if found.is_whole else f" (of its first {found.images} images)"
    _LOGGER.info("anchors: best possible recall on the training split%s, by size on the canvas:", part)
    for row in rows:
        _LOGGER.info("  %s", row.line())
    for row in rows:
        if row.boxes >= FEWEST_BOXES and row.recall < WANTED:
            _LOGGER.warning("%s", _warning(row, config))


def _warning(row: Reach, config: TrainConfig) -> str:
    choice = "--anchors=auto, " if config.anchors == "fixed" else ""
    return (
        f"warning: {row.name}: only {row.recall:.0%} of {row.boxes} boxes have an anchor of IoU {POSITIVE_IOU:g};"
        f" the rest is hardly learnt: try {choice}a larger --image_size or a smaller --anchor_scale"
    )
