"""Anchor recall before training, and the choice of anchors (--anchors=auto). Begin with `resolve_anchors`.

An object without an anchor of IoU 0.5 is hardly learned. `retinanet_odm.dataset.anchor_coverage` has the arithmetic;
here it is applied to the training split with the run's own settings. Shapes: N boxes, (ymin, xmin, ymax, xmax).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from retinanet_odm.dataset.anchor_coverage import (
    CANVASES,
    POSITIVE_IOU,
    AnchorGap,
    best_overlap,
    find_anchor_gap,
    gap_remedy,
)
from retinanet_odm.dataset.manifest import DatasetManifest
from trainer.config import TrainConfig
from trainer.config.options import parse_image_size
from trainer.data.training_boxes import TrainingBoxes, read_boxes
from trainer.network.anchors import anchor_offset
from trainer.weights import checkpoints

_CHUNK = 1000  # boxes whose overlaps are computed at once: they stay in the processor's cache

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


def log_anchor_recall(config: TrainConfig, manifest: DatasetManifest, boxes: TrainingBoxes) -> None:
    """Log the best possible recall of the anchors, and warn of classes that they miss."""
    rows = measure_recall(config, boxes, manifest.labels.name_by_id)
    part = "" if boxes.is_complete else f" (of its first {boxes.images} images)"
    _LOGGER.info("training boxes%s that an anchor fits (others are hardly learned), by size on the canvas:", part)
    # The line of the only class would repeat that of all classes.
    for row in rows[1:] if len(rows) == 2 else rows:
        _LOGGER.info("  %s", row.line())
    gaps = find_gaps(config, boxes, manifest.labels.name_by_id)
    for gap in gaps:
        _LOGGER.warning("warning: %s", gap.describe())
    if gaps:
        remedy = gap_remedy(gaps, fitted=config.network.anchors == "auto")
        _LOGGER.warning("objects without an anchor are hardly learned: %s, and a new --model_dir", remedy)


def find_gaps(config: TrainConfig, boxes: TrainingBoxes, names: Mapping[int, str]) -> list[AnchorGap]:
    """Find the classes of names (by id) of which too few boxes have an anchor, and the canvas that has enough."""
    size = parse_image_size(config.network.image_size)
    longest = max(size) if isinstance(size, tuple) else size
    # The run's own canvas first, which may have any two sides; then the larger ones that may be advised.
    canvases = {longest: config.network.image_size, **{side: str(side) for side in CANVASES if side > longest}}
    hits = {side: _has_anchor(config, boxes, image_size) for side, image_size in canvases.items()}
    rows = {name: boxes.labels == label_id for label_id, name in names.items()}
    found = (
        find_anchor_gap(name, int(row.sum()), {side: int(hit[row].sum()) for side, hit in hits.items()})
        for name, row in rows.items()
    )
    return [gap for gap in found if gap]


def _has_anchor(config: TrainConfig, boxes: TrainingBoxes, image_size: str) -> npt.NDArray[np.bool_]:
    return np.asarray(best_overlaps(*boxes.place(image_size), anchor_shapes(config)) >= POSITIVE_IOU)


def anchor_shapes(config: TrainConfig) -> dict[str, Any]:
    """Return the anchor settings by the names of the arguments of `best_overlap`.

    Of the grid ``torchvision``, its whole pixels and its shorter strides on the last two levels are left out.
    """
    return {
        "anchor_scale": config.network.anchor_scale,
        "num_scales": config.network.num_scales,
        "aspect_ratios": config.network.aspect_ratio_values(),
        "offset": anchor_offset(config.network.anchor_grid),
    }


def best_overlaps(boxes: _Floats, canvases: _Floats, shapes: Mapping[str, Any]) -> _Floats:
    """Compute the highest IoU of each box [N, 4], in pixels of its canvas [N, 2], with any anchor: [N]."""
    parts = (slice(at, at + _CHUNK) for at in range(0, len(boxes), _CHUNK))
    chunks = [best_overlap(boxes[part], canvases[part], **shapes) for part in parts]
    return np.concatenate([np.zeros(0), *chunks])


def measure_recall(config: TrainConfig, boxes: TrainingBoxes, names: Mapping[int, str]) -> tuple[ClassRecall, ...]:
    """Measure the recall of all classes together, then of each class of names (by id) that has boxes."""
    pixels, canvases = boxes.place(config.network.image_size)
    sides = np.sqrt((pixels[:, 2:] - pixels[:, :2]).prod(axis=1))  # [N]
    octaves = np.floor(np.log2(np.maximum(sides, 1))).astype(int)
    rows = {"all classes": np.ones(len(sides), bool), **{name: boxes.labels == key for key, name in names.items()}}
    hit = best_overlaps(pixels, canvases, anchor_shapes(config)) >= POSITIVE_IOU
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


def fit_anchors(config: TrainConfig, boxes: TrainingBoxes) -> TrainConfig:
    """Return the configuration with the anchors of the best recall, then of the highest mean IoU.

    There are as many anchors per cell as given, and up to 12 only if the recall is below 95 % and more raise it.
    """
    if not len(boxes.boxes):
        return config
    rows = np.unique(np.linspace(0, len(boxes.boxes) - 1, _SAMPLE).astype(int))
    sample, canvases = (values[rows] for values in boxes.place(config.network.image_size))
    count = config.network.num_scales * len(config.network.aspect_ratio_values())
    score = _score(best_overlaps(sample, canvases, anchor_shapes(config)))
    given = AnchorCandidate(score, -count, *(getattr(config.network, name) for name in _SETTINGS))
    table = _overlap_table(sample, canvases, anchor_offset(config.network.anchor_grid))
    best = max([given, *_candidates(table, count)])
    if best.score.recall < _SUFFICIENT_RECALL and count < _MAX_PER_CELL:
        larger = max(_candidates(table, _MAX_PER_CELL))
        best = larger if larger.score.recall > best.score.recall else best
    return config.replace(**{name: getattr(best, name) for name in _SETTINGS})


def _score(overlap: _Floats) -> AnchorScore:
    """Score best IoUs [N]; rounded, so that a single box of thousands does not outweigh all others."""
    return AnchorScore(round(float((overlap >= POSITIVE_IOU).mean()), 3), round(float(overlap.mean()), 4))


def _overlap_table(boxes: _Floats, canvases: _Floats, offset: float) -> npt.NDArray[np.float32]:
    """Return the best IoU of each box with anchors of each size of the grid and each ratio, [N, sizes, ratios]."""
    columns = [
        best_overlaps(
            boxes, canvases, {"anchor_scale": scale, "num_scales": 1, "aspect_ratios": (ratio,), "offset": offset}
        )
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
