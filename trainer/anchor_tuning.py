"""Anchor recall before training, and the choice of anchors (--anchors=auto). Begin with `resolve_anchors`.

An object without an anchor of IoU 0.5 is hardly learned. `retinanet_odm.dataset.anchor_coverage` has the arithmetic;
here it is applied to the training split on the run's own canvas. Shapes: N boxes, (ymin, xmin, ymax, xmax).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from retinanet_odm.dataset import examples as schema
from retinanet_odm.dataset.anchor_coverage import POSITIVE_IOU, best_overlap
from retinanet_odm.dataset.manifest import DatasetManifest
from trainer.config import TrainConfig, canvas_size
from trainer.data import records
from trainer.weights import checkpoints

# A data set is shuffled globally when it is written: its first records are a sample, and reading more takes minutes.
MAX_BOXES, MAX_IMAGES = 200_000, 20_000
MIN_RECALL, MIN_BOXES = 0.9, 5  # a class of MIN_BOXES or more gets a warning below MIN_RECALL
_CHUNK = 1000  # boxes whose overlaps are computed at once: they stay in the processor's cache
_BATCH = 64  # records parsed at once, encoded images included

_SETTINGS = ("anchor_scale", "num_scales", "aspect_ratios")
_SAMPLE = 4000  # boxes to which anchors are fitted: more do not change the choice, and take longer
# Steps per octave of the sizes tried: 1, 2, 3 and 4 sizes per octave all lie on this grid.
_FINE = 12
_SCALES = range(-_FINE, 3 * _FINE + 1, 3)  # anchor_scale from 1/2 to 8, in steps of the grid
_NUM_SCALES = (1, 2, 3, 4)
_RATIOS = tuple(2.0 ** (step / 2) for step in range(-6, 7))  # 1/8 to 8
_SUFFICIENT_RECALL = 0.95  # above, more anchors per cell than given are not worth their time
_MAX_PER_CELL = 12  # anchors

_LOGGER = logging.getLogger(__name__)
_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int_]


def resolve_anchors(config: TrainConfig, manifest: DatasetManifest) -> TrainConfig:
    """Return the configuration with the anchors of the network; before training, log their recall.

    With --anchors=auto they are those of the checkpoints in --model_dir, or else fitted to the training split.

    Raises:
      ContractError: The training split is needed, and is empty or damaged.
    """
    stored = _stored_settings(config) if config.network.anchors == "auto" else {}
    config = config.replace(**stored)
    if config.run.mode in ("eval", "export"):
        return config
    boxes = read_boxes(config, manifest)
    if config.network.anchors == "auto":
        config = config if stored else fit_anchors(config, boxes)
        origin = "of the checkpoints in --model_dir" if stored else "fitted to the training split"
        flags = " ".join(f"--{name}={getattr(config.network, name)}" for name in _SETTINGS)
        _LOGGER.info("anchors: %s: %s", origin, flags)
    log_anchor_recall(config, manifest, boxes)
    return config


def _stored_settings(config: TrainConfig) -> dict[str, Any]:
    """Read the anchor settings of the checkpoints of the run; empty if there are none."""
    identity = checkpoints.stored_identity(f"{config.run.folder}/checkpoints") if config.run.model_dir else {}
    return {name: identity[name] for name in _SETTINGS if name in identity}


# --- Boxes of the training split ---


@dataclass(frozen=True, kw_only=True)
class BoxesOnCanvas:
    """Boxes as they lie on the canvas of a run at scale 1.

    Attributes:
      boxes: float64 [N, 4], in canvas pixels.
      labels: int [N], class ids.
      canvas: (height, width) in pixels.
      images: Number of images read.
      is_complete: Whether these are all images of the split.
    """

    boxes: _Floats
    labels: _Ints
    canvas: tuple[int, int]
    images: int
    is_complete: bool


def read_boxes(config: TrainConfig, manifest: DatasetManifest) -> BoxesOnCanvas:
    """Read the boxes of the training split, or of its first records if there are very many; decodes no image.

    Raises:
      ContractError: The split is empty, or a shard is missing or damaged.
    """
    split = records.find_split(config.data.dataset, manifest, "train")
    canvas = canvas_size(config.network.image_size, manifest.aspect_ratio_min, manifest.aspect_ratio_max)
    boxes, labels, images, count = [np.zeros((0, 4))], [np.zeros(0, int)], 0, 0
    with records.reading_shards(split.paths):
        for relative, ids, sizes in _box_batches(split):
            boxes.append(_to_canvas(relative, sizes, canvas))
            labels.append(ids)
            images, count = images + _BATCH, count + len(ids)
            if count >= MAX_BOXES or images >= MAX_IMAGES:
                break
    images = min(images, split.examples)
    is_complete = images == split.examples
    arrays = {"boxes": np.concatenate(boxes), "labels": np.concatenate(labels)}
    return BoxesOnCanvas(**arrays, canvas=canvas, images=images, is_complete=is_complete)


def _box_batches(split: records.RecordSplit) -> Iterator[tuple[_Floats, _Ints, _Ints]]:
    """Yield for some images each: relative boxes [N, 4], labels [N], and (height, width) of their images [N, 2]."""
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


def _to_canvas(boxes: _Floats, sizes: _Ints, canvas: tuple[int, int]) -> _Floats:
    """Convert relative boxes [N, 4] of images of sizes [N, 2] to canvas pixels, as preprocess.letterbox does."""
    scale = (np.asarray(canvas) / sizes).min(axis=1, keepdims=True)  # [N, 1]
    return np.asarray(boxes * np.tile(np.maximum(np.rint(sizes * scale), 1), 2))


# --- Recall ---


@dataclass(frozen=True, kw_only=True)
class ClassRecall:
    """Best possible recall of a class: the objects that have an anchor of IoU 0.5.

    Attributes:
      reached: Number of boxes with such an anchor.
      octaves: (k, boxes, reached) of sides (root of the area) of 2^k to 2^(k+1) canvas pixels; k = 0 for all below 2.
    """

    name: str
    boxes: int
    reached: int
    octaves: tuple[tuple[int, int, int], ...]

    @property
    def recall(self) -> float:
        """Best possible recall, 0..1; 1 without boxes."""
        return self.reached / self.boxes if self.boxes else 1.0

    def line(self) -> str:
        """Format it like ``93.8 % of 16 boxes  eel  (8-16 px: 50.0 % of 2, 16-32 px: 100.0 % of 14)``."""
        parts = (
            f"{2**octave if octave else 0}-{2 ** (octave + 1)} px: {100 * reached / boxes:.1f} % of {boxes}"
            for octave, boxes, reached in self.octaves
        )
        return f"{100 * self.recall:5.1f} % of {self.boxes} boxes  {self.name}  ({', '.join(parts)})"


def log_anchor_recall(config: TrainConfig, manifest: DatasetManifest, boxes: BoxesOnCanvas) -> None:
    """Log the best possible recall of the anchors, and warns of classes that they miss."""
    rows = measure_recall(boxes, manifest.labels.name_by_id, anchor_shapes(config))
    part = "" if boxes.is_complete else f" (of its first {boxes.images} images)"
    _LOGGER.info("anchors: best possible recall on the training split%s, by size on the canvas:", part)
    for row in rows:
        _LOGGER.info("  %s", row.line())
    for row in rows:
        if row.boxes >= MIN_BOXES and row.recall < MIN_RECALL:
            _LOGGER.warning("%s", _warning(row, config))


def _warning(row: ClassRecall, config: TrainConfig) -> str:
    choice = "--anchors=auto, " if config.network.anchors == "fixed" else ""
    share = f"only {row.recall:.0%} of {row.boxes} boxes have an anchor of IoU {POSITIVE_IOU:g}"
    remedy = f"try {choice}a larger --image_size or a smaller --anchor_scale"
    return f"warning: {row.name}: {share}; the rest is hardly learned: {remedy}"


def anchor_shapes(config: TrainConfig) -> dict[str, Any]:
    """Return the anchor settings by the names of the arguments of `make_anchors` and `best_overlap`."""
    return {
        "anchor_scale": config.network.anchor_scale,
        "num_scales": config.network.num_scales,
        "aspect_ratios": config.network.aspect_ratio_values(),
    }


def best_overlaps(boxes: _Floats, canvas: tuple[int, int], shapes: Mapping[str, Any]) -> _Floats:
    """Compute the highest IoU of each box [N, 4], in canvas pixels, with any anchor: [N]."""
    chunks = [best_overlap(boxes[at : at + _CHUNK], canvas, **shapes) for at in range(0, len(boxes), _CHUNK)]
    return np.concatenate([np.zeros(0), *chunks])


def measure_recall(
    boxes: BoxesOnCanvas, names: Mapping[int, str], shapes: Mapping[str, Any]
) -> tuple[ClassRecall, ...]:
    """Measure the recall of all classes together, then of each class of names (by id) that has boxes."""
    sides = np.sqrt((boxes.boxes[:, 2:] - boxes.boxes[:, :2]).prod(axis=1))  # [N]
    octaves = np.floor(np.log2(np.maximum(sides, 1))).astype(int)
    rows = {"all classes": np.ones(len(sides), bool), **{name: boxes.labels == key for key, name in names.items()}}
    hit = best_overlaps(boxes.boxes, boxes.canvas, shapes) >= POSITIVE_IOU
    return tuple(_class_recall(name, octaves[row], hit[row]) for name, row in rows.items() if row.any())


def _class_recall(name: str, octaves: _Ints, hit: npt.NDArray[np.bool_]) -> ClassRecall:
    counts = ((int(octave), hit[octaves == octave]) for octave in np.unique(octaves))
    rows = tuple((octave, len(part), int(part.sum())) for octave, part in counts)
    return ClassRecall(name=name, boxes=len(hit), reached=int(hit.sum()), octaves=rows)


# --- The choice of anchors ---


class AnchorScore(NamedTuple):
    """How well anchors fit: the fraction of boxes with IoU 0.5, then the mean of the boxes' best IoU."""

    recall: float
    mean: float


class AnchorCandidate(NamedTuple):
    """Anchor settings with their score. A better score is greater; of equal scores, fewer anchors per cell are."""

    score: AnchorScore
    negative_count: int  # minus the anchors per cell
    anchor_scale: float
    num_scales: int
    aspect_ratios: str


def fit_anchors(config: TrainConfig, boxes: BoxesOnCanvas) -> TrainConfig:
    """Return the configuration with the anchors of the best recall, then of the highest mean IoU.

    There are as many anchors per cell as given, and up to 12 only if the recall is below 95 % and more raise it.
    """
    if not len(boxes.boxes):
        return config
    sample = boxes.boxes[np.unique(np.linspace(0, len(boxes.boxes) - 1, _SAMPLE).astype(int))]
    count = config.network.num_scales * len(config.network.aspect_ratio_values())
    score = _score(best_overlaps(sample, boxes.canvas, anchor_shapes(config)))
    given = AnchorCandidate(score, -count, *(getattr(config.network, name) for name in _SETTINGS))
    table = _overlap_table(sample, boxes.canvas)
    best = max([given, *_candidates(table, count)])
    if best.score.recall < _SUFFICIENT_RECALL and count < _MAX_PER_CELL:
        larger = max(_candidates(table, _MAX_PER_CELL))
        best = larger if larger.score.recall > best.score.recall else best
    return config.replace(**{name: getattr(best, name) for name in _SETTINGS})


def _score(overlap: _Floats) -> AnchorScore:
    """Score best IoUs [N]; rounded, so that a single box of thousands does not outweigh all others."""
    return AnchorScore(round(float((overlap >= POSITIVE_IOU).mean()), 3), round(float(overlap.mean()), 4))


def _overlap_table(boxes: _Floats, canvas: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return the best IoU of each box with anchors of each size of the grid and each ratio, [N, sizes, ratios]."""
    columns = [
        best_overlaps(boxes, canvas, {"anchor_scale": scale, "num_scales": 1, "aspect_ratios": (ratio,)})
        for scale in 2.0 ** (np.arange(_SCALES[0], _SCALES[-1] + _FINE) / _FINE)
        for ratio in _RATIOS
    ]
    return np.stack(columns, axis=1).reshape(len(boxes), -1, len(_RATIOS)).astype(np.float32)


def _candidates(table: npt.NDArray[np.float32], max_count: int) -> Iterator[AnchorCandidate]:
    """Yield for each smallest size and number of sizes the best ratios, with at most max_count anchors per cell."""
    for first in _SCALES:
        for num_scales in _NUM_SCALES:
            if num_scales <= max_count:
                rows = first - _SCALES[0] + np.arange(num_scales) * _FINE // num_scales
                ratios, score = _best_ratios(table[:, rows].max(axis=1), max_count // num_scales)
                text = ",".join(f"{_RATIOS[ratio]:.3g}" for ratio in sorted(ratios))
                scale = float(f"{2.0 ** (first / _FINE):.3g}")
                yield AnchorCandidate(score, -num_scales * len(ratios), scale, num_scales, text)


def _best_ratios(overlap: npt.NDArray[np.float32], max_count: int) -> tuple[Sequence[int], AnchorScore]:
    """Select at most max_count columns of overlap [N, ratios] greedily: each time the one that helps most."""
    chosen: list[int] = []
    best, reached = AnchorScore(-1.0, -1.0), np.zeros(len(overlap), overlap.dtype)
    while len(chosen) < max_count:
        tried = np.maximum(overlap, reached[:, None])  # [N, ratios]
        scores = [_score(tried[:, column]) for column in range(tried.shape[1])]
        column = max(range(len(scores)), key=scores.__getitem__)
        if scores[column] <= best:
            break
        best, reached = scores[column], tried[:, column]
        chosen.append(column)
    return chosen, best
