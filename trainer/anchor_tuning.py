"""Before hours of training: which objects of the training split some anchor can match on the run's own canvas."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from retinanet_odm.dataset import examples as schema
from retinanet_odm.dataset.anchor_coverage import POSITIVE_IOU, best_overlap
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.storage import files
from trainer.config import TrainConfig, canvas_size
from trainer.data import records
from trainer.weights import checkpoints

TRAIN = "train"

# A data set is shuffled as a whole when written: its first records are a sample, and reading more takes minutes.
MAX_BOXES = 200_000
MAX_IMAGES = 20_000
WANTED = 0.9  # as the data set's report has it
FEWEST_BOXES = 5  # of fewer, a share says nothing
_AT_ONCE = 1000  # boxes: their overlaps stay in the processor's cache
_BATCH = 64  # records parsed at once, photographs included
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BoxesOnCanvas:
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
class ClassRecall:
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
        "anchor_scale": config.network.anchor_scale,
        "num_scales": config.network.num_scales,
        "aspect_ratios": config.network.aspect_ratio_values(),
    }


def overlaps(boxes: np.ndarray, canvas: tuple[int, int], shapes: Mapping[str, Any]) -> np.ndarray:
    """The highest IoU of each box with any anchor, [N]; boxes [N, 4] in canvas pixels."""
    parts = [best_overlap(boxes[at : at + _AT_ONCE], canvas, **shapes) for at in range(0, len(boxes), _AT_ONCE)]
    return np.concatenate([np.zeros(0), *parts])


def measure_recall(found: BoxesOnCanvas, names: Mapping[int, str], overlap: np.ndarray) -> tuple[ClassRecall, ...]:
    """Of all classes together, then of each class of names (by id) that has boxes; overlap [N] as of overlaps."""
    sides = np.sqrt((found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1))
    octaves = np.floor(np.log2(np.maximum(sides, 1))).astype(int)
    chosen = {"all classes": np.ones(len(sides), bool), **{name: found.labels == key for key, name in names.items()}}
    hit = overlap >= POSITIVE_IOU
    return tuple(_reach(name, octaves[rows], hit[rows]) for name, rows in chosen.items() if rows.any())


def _reach(name: str, octaves: np.ndarray, hit: np.ndarray) -> ClassRecall:
    rows = tuple(
        (int(octave), int((octaves == octave).sum()), int(hit[octaves == octave].sum()))
        for octave in np.unique(octaves)
    )
    return ClassRecall(name=name, boxes=len(hit), reached=int(hit.sum()), octaves=rows)


def read_boxes(config: TrainConfig, manifest: DatasetManifest) -> BoxesOnCanvas:
    """The boxes of the training split, or of its first records where there are very many; no photograph is decoded.

    Raises:
      ContractError: the split is empty, or a shard is missing or damaged.
    """
    split = records.find_split(config.data.dataset, manifest, TRAIN)
    canvas = canvas_size(config.network.image_size, manifest.aspect_ratio_min, manifest.aspect_ratio_max)
    boxes, labels, images, count = [np.zeros((0, 4))], [np.zeros(0, int)], 0, 0
    with records.whole_shards(split.paths):
        for relative, ids, sizes in _box_batches(split):
            boxes.append(_on_canvas(relative, sizes, canvas))
            labels.append(ids)
            images, count = images + _BATCH, count + len(ids)
            if count >= MAX_BOXES or images >= MAX_IMAGES:
                break
    images = min(images, split.examples)
    return BoxesOnCanvas(
        boxes=np.concatenate(boxes),
        labels=np.concatenate(labels),
        images=images,
        is_whole=images == split.examples,
    )


def _box_batches(split: records.RecordSplit) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
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


def log_anchor_recall(config: TrainConfig, manifest: DatasetManifest, found: BoxesOnCanvas) -> None:
    """Logs the best possible recall of the anchors on boxes of read_boxes, and warns of classes that they miss."""
    canvas = canvas_size(config.network.image_size, manifest.aspect_ratio_min, manifest.aspect_ratio_max)
    rows = measure_recall(found, manifest.labels.name_by_id, overlaps(found.boxes, canvas, anchor_shapes(config)))
    part = "" if found.is_whole else f" (of its first {found.images} images)"
    _LOGGER.info("anchors: best possible recall on the training split%s, by size on the canvas:", part)
    for row in rows:
        _LOGGER.info("  %s", row.line())
    for row in rows:
        if row.boxes >= FEWEST_BOXES and row.recall < WANTED:
            _LOGGER.warning("%s", _warning(row, config))


def _warning(row: ClassRecall, config: TrainConfig) -> str:
    choice = "--anchors=auto, " if config.network.anchors == "fixed" else ""
    return (
        f"warning: {row.name}: only {row.recall:.0%} of {row.boxes} boxes have an anchor of IoU {POSITIVE_IOU:g};"
        f" the rest is hardly learnt: try {choice}a larger --image_size or a smaller --anchor_scale"
    )


_NAMES = ("anchor_scale", "num_scales", "aspect_ratios")
_SAMPLE = 4000  # boxes tried: more do not change the choice, and it is to take seconds

# Steps an octave of the sizes tried: 1, 2, 3 and 4 sizes an octave all lie on it, and scales at every third step.
_FINE = 12
_SCALES = range(-_FINE, 3 * _FINE + 1, 3)  # anchor_scale from 1/2 to 8, in steps of the grid
_NUM_SCALES = (1, 2, 3, 4)
_RATIOS = tuple(2.0 ** (step / 2) for step in range(-6, 7))  # 1/8 to 8
_ENOUGH = 0.95  # recall from which on no more anchors a cell than before are worth their time
_MOST_A_CELL = 12


class AnchorScore(NamedTuple):
    """How well anchors fit: the share of boxes with IoU 0.5 first, then the mean of the boxes' best IoU."""

    recall: float
    mean: float


class AnchorCandidate(NamedTuple):
    """Settings of the anchors with their fit; a better fit is greater, of equal ones fewer anchors a cell."""

    fit: AnchorScore
    fewer: int  # minus the anchors a cell
    anchor_scale: float
    num_scales: int
    aspect_ratios: str


def resolve_anchors(config: TrainConfig, manifest: DatasetManifest) -> TrainConfig:
    """The configuration with the anchors that its network gets; before training, their recall is logged.

    Raises:
      ContractError: the training split is to be read and is empty or damaged.
    """
    stored = _stored(config) if config.network.anchors == "auto" else {}
    config = config.replace(**stored)
    if config.run.mode in ("eval", "export"):
        return config
    found = read_boxes(config, manifest)
    canvas = canvas_size(config.network.image_size, manifest.aspect_ratio_min, manifest.aspect_ratio_max)
    if config.network.anchors == "auto":
        config = config if stored else fit_anchors(config, found, canvas)
        origin = "of the checkpoints in --model_dir" if stored else "fitted to the training split"
        _LOGGER.info(
            "anchors: %s: %s", origin, " ".join(f"--{name}={getattr(config.network, name)}" for name in _NAMES)
        )
    log_anchor_recall(config, manifest, found)
    return config


def _stored(config: TrainConfig) -> dict[str, Any]:
    """The anchors of the checkpoints in the run's folder; empty where there are none."""
    path = f"{config.run.folder}/checkpoints/{checkpoints.FILE}"
    network = files.read_json(path) if config.run.model_dir and files.is_file(path) else {}
    return {name: network[name] for name in _NAMES if name in network}


def fit_anchors(config: TrainConfig, found: BoxesOnCanvas, canvas: tuple[int, int]) -> TrainConfig:
    """The configuration with the anchors of the best recall, then of the highest mean IoU; equal boxes, equal anchors.

    As many a cell as before; up to 12 only where the recall is under 95 % and they raise it.
    """
    if not len(found.boxes):
        return config
    sample = found.boxes[np.unique(np.linspace(0, len(found.boxes) - 1, _SAMPLE).astype(int))]
    before = config.network.num_scales * len(config.network.aspect_ratio_values())
    overlap = overlaps(sample, canvas, anchor_shapes(config))
    given = AnchorCandidate(_fit(overlap), -before, *(getattr(config.network, name) for name in _NAMES))
    table = _overlap_table(sample, canvas)
    best = max([given, *_choices(table, before)])
    if best.fit.recall < _ENOUGH and before < _MOST_A_CELL:
        more = max(_choices(table, _MOST_A_CELL))
        best = more if more.fit.recall > best.fit.recall else best
    return config.replace(**{name: getattr(best, name) for name in _NAMES})


def _fit(overlap: np.ndarray) -> AnchorScore:
    """Of best IoUs [N]; rounded, so that a single box of thousands does not outweigh all others."""
    return AnchorScore(round(float((overlap >= POSITIVE_IOU).mean()), 3), round(float(overlap.mean()), 4))


def _overlap_table(boxes: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """The best IoU of each box with anchors of each size on the grid of sizes and each ratio, [N, sizes, ratios]."""
    columns = [
        overlaps(boxes, canvas, {"anchor_scale": scale, "num_scales": 1, "aspect_ratios": (ratio,)})
        for scale in 2.0 ** (np.arange(_SCALES[0], _SCALES[-1] + _FINE) / _FINE)
        for ratio in _RATIOS
    ]
    return np.stack(columns, axis=1).reshape(len(boxes), -1, len(_RATIOS)).astype(np.float32)


def _choices(table: np.ndarray, most: int) -> Iterator[AnchorCandidate]:
    """For each smallest size and number of sizes the best ratios, with at most so many anchors a cell."""
    for first in _SCALES:
        for num_scales in _NUM_SCALES:
            if num_scales <= most:
                rows = first - _SCALES[0] + np.arange(num_scales) * _FINE // num_scales
                ratios, fits = _best_ratios(table[:, rows].max(axis=1), most // num_scales)
                text = ",".join(f"{_RATIOS[ratio]:.3g}" for ratio in sorted(ratios))
                scale = float(f"{2.0 ** (first / _FINE):.3g}")
                yield AnchorCandidate(fits, -num_scales * len(ratios), scale, num_scales, text)


def _best_ratios(overlap: np.ndarray, most: int) -> tuple[Sequence[int], AnchorScore]:
    """At most so many columns of overlap [N, ratios], one after the other, each the one that helps most."""
    chosen: list[int] = []
    best, reached = AnchorScore(-1.0, -1.0), np.zeros(len(overlap), overlap.dtype)
    while len(chosen) < most:
        tried = np.maximum(overlap, reached[:, None])
        fits = [_fit(tried[:, column]) for column in range(tried.shape[1])]
        column = max(range(len(fits)), key=fits.__getitem__)
        if fits[column] <= best:
            break
        best, reached = fits[column], tried[:, column]
        chosen.append(column)
    return chosen, best
