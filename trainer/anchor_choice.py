"""``--anchors=auto``: anchors that suit the boxes of the training split, and those of its checkpoints ever after."""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from detection.anchor_fit import POSITIVE_IOU
from detection.manifests import DatasetManifest
from trainer import anchor_recall, checkpoints
from trainer.anchor_recall import CanvasBoxes
from trainer.config import TrainConfig, canvas_size
from trainer.files import read_json

_LOGGER = logging.getLogger(__name__)
_NAMES = ("anchor_scale", "num_scales", "aspect_ratios")
_SAMPLE = 4000  # boxes tried: more do not change the choice, and it is to take seconds
# Steps an octave of the sizes tried: 1, 2, 3 and 4 sizes an octave all lie on it, and scales at every third step.
_FINE = 12
_SCALES = range(-_FINE, 3 * _FINE + 1, 3)  # anchor_scale from 1/2 to 8, in steps of the grid
_NUM_SCALES = (1, 2, 3, 4)
_RATIOS = tuple(2.0 ** (step / 2) for step in range(-6, 7))  # 1/8 to 8
_ENOUGH = 0.95  # recall from which on no more anchors a cell than before are worth their time
_MOST_A_CELL = 12


class Fit(NamedTuple):
    """How well anchors fit: the share of boxes with IoU 0.5 first, then the mean of the boxes' best IoU."""

    recall: float
    mean: float


class Choice(NamedTuple):
    """Settings of the anchors with their fit; a better fit is greater, of equal ones fewer anchors a cell."""

    fit: Fit
    fewer: int  # minus the anchors a cell
    anchor_scale: float
    num_scales: int
    aspect_ratios: str


def settle(config: TrainConfig, manifest: DatasetManifest) -> TrainConfig:
    """The configuration with the anchors that its network gets; before training, their recall is logged.

    Raises:
      ContractError: the training split is to be read and is empty or damaged.
    """
    stored = _stored(config) if config.anchors == "auto" else {}
    config = dataclasses.replace(config, **stored)
    if config.mode in ("eval", "export"):
        return config
    found = anchor_recall.read_boxes(config, manifest)
    canvas = canvas_size(config.image_size, manifest.aspect_ratio_min, manifest.aspect_ratio_max)
    if config.anchors == "auto":
        config = config if stored else fit(config, found, canvas)
        origin = "of the checkpoints in --model_dir" if stored else "fitted to the training split"
        _LOGGER.info("anchors: %s: %s", origin, " ".join(f"--{name}={getattr(config, name)}" for name in _NAMES))
    anchor_recall.announce(config, manifest, found)
    return config


def _stored(config: TrainConfig) -> dict[str, Any]:
    """The anchors of the checkpoints in the run's folder; empty where there are none."""
    path = f"{config.model_dir.rstrip('/')}/checkpoints/{checkpoints.FILE}"
    network = read_json(path) if config.model_dir and tf.io.gfile.exists(path) else {}
    return {name: network[name] for name in _NAMES if name in network}


def fit(config: TrainConfig, found: CanvasBoxes, canvas: tuple[int, int]) -> TrainConfig:
    """The configuration with the anchors of the best recall, then of the highest mean IoU; equal boxes, equal anchors.

    As many a cell as before; up to 12 only where the recall is under 95 % and they raise it.
    """
    if not len(found.boxes):
        return config
    sample = found.boxes[np.unique(np.linspace(0, len(found.boxes) - 1, _SAMPLE).astype(int))]
    before = config.num_scales * len(config.aspect_ratio_values())
    overlap = anchor_recall.overlaps(sample, canvas, anchor_recall.anchor_shapes(config))
    given = Choice(_fit(overlap), -before, *(getattr(config, name) for name in _NAMES))
    table = _overlap_table(sample, canvas)
    best = max([given, *_choices(table, before)])
    if best.fit.recall < _ENOUGH and before < _MOST_A_CELL:
        more = max(_choices(table, _MOST_A_CELL))
        best = more if more.fit.recall > best.fit.recall else best
    return dataclasses.replace(config, **{name: getattr(best, name) for name in _NAMES})


def _fit(overlap: np.ndarray) -> Fit:
    """Of best IoUs [N]; rounded, so that a single box of thousands does not outweigh all others."""
    return Fit(round(float((overlap >= POSITIVE_IOU).mean()), 3), round(float(overlap.mean()), 4))


def _overlap_table(boxes: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """The best IoU of each box with anchors of each size on the grid of sizes and each ratio, [N, sizes, ratios]."""
    columns = [
        anchor_recall.overlaps(boxes, canvas, {"anchor_scale": scale, "num_scales": 1, "aspect_ratios": (ratio,)})
        for scale in 2.0 ** (np.arange(_SCALES[0], _SCALES[-1] + _FINE) / _FINE)
        for ratio in _RATIOS
    ]
    return np.stack(columns, axis=1).reshape(len(boxes), -1, len(_RATIOS)).astype(np.float32)


def _choices(table: np.ndarray, most: int) -> Iterator[Choice]:
    """For each smallest size and number of sizes the best ratios, with at most so many anchors a cell."""
    for first in _SCALES:
        for num_scales in _NUM_SCALES:
            if num_scales <= most:
                rows = first - _SCALES[0] + np.arange(num_scales) * _FINE // num_scales
                ratios, fits = _best_ratios(table[:, rows].max(axis=1), most // num_scales)
                text = ",".join(f"{_RATIOS[ratio]:.3g}" for ratio in sorted(ratios))
                scale = float(f"{2.0 ** (first / _FINE):.3g}")
                yield Choice(fits, -num_scales * len(ratios), scale, num_scales, text)


def _best_ratios(overlap: np.ndarray, most: int) -> tuple[Sequence[int], Fit]:
    """At most so many columns of overlap [N, ratios], one after the other, each the one that helps most."""
    chosen: list[int] = []
    best, reached = Fit(-1.0, -1.0), np.zeros(len(overlap), overlap.dtype)
    while len(chosen) < most:
        tried = np.maximum(overlap, reached[:, None])
        fits = [_fit(tried[:, column]) for column in range(tried.shape[1])]
        column = max(range(len(fits)), key=fits.__getitem__)
        if fits[column] <= best:
            break
        best, reached = fits[column], tried[:, column]
        chosen.append(column)
    return chosen, best
