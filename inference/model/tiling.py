"""Small animals in large photographs: overlapping tiles, each scored as a photograph of its own."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.model.outcome import ModelOutput
from retinanet_odm import boxes as boxes_of
from retinanet_odm import exported_model
from retinanet_odm.boxes import Boxes
from retinanet_odm.errors import UsageError

NMS, WBF = "nms", "wbf"
MERGES = (NMS, WBF)

# Smaller ones show a model next to nothing; and above this share of overlap the tiles become too many to score.
LEAST_SIDE, MOST_OVERLAP = 32, 0.9
Pixels = npt.NDArray[np.uint8]
Window = tuple[int, int, int, int]  # (top, left, bottom, right) in pixels of the photograph


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How photographs are cut, and how what is found in tiles becomes one answer.

    Attributes:
      side: of a tile, in pixels of the upright photograph.
      overlap: the least share of a tile's side that it has in common with the next one, 0 to MOST_OVERLAP.
      merge: NMS or WBF (inference.model.tiling).

    Raises:
      UsageError: a value is out of its range.
    """

    side: int
    overlap: float = 0.2
    merge: str = NMS

    def __post_init__(self) -> None:
        if self.side < LEAST_SIDE:
            raise UsageError(f"--tile: expected {LEAST_SIDE} pixels or more, found {self.side}")
        if not 0 <= self.overlap <= MOST_OVERLAP:  # also refuses nan
            raise UsageError(f"--tile_overlap: expected a share from 0 to {MOST_OVERLAP}, found {self.overlap:g}")
        if self.merge not in MERGES:
            raise UsageError(f"--tile_merge: expected {' or '.join(MERGES)}, found {self.merge!r}")


def plan_tiles(height: int, width: int, tiling: Tiling) -> list[Window]:
    """The tiles of a photograph, row by row, all of one size; none where the photograph is no larger than a tile.

    A tile is as high and wide as ``side``, or as the photograph where that is less. Together they cover it, and they
    are spread evenly: neighbours have at least the overlap in common.
    """
    if max(height, width) <= tiling.side:
        return []
    rows, columns = (_spans(length, tiling) for length in (height, width))
    return [(top, left, bottom, right) for (top, bottom), (left, right) in itertools.product(rows, columns)]


def _spans(length: int, tiling: Tiling) -> list[tuple[int, int]]:
    side = min(tiling.side, length)
    step = max(1, int(tiling.side * (1 - tiling.overlap)))
    count = math.ceil((length - side) / step)
    starts = [round(number * (length - side) / count) for number in range(count + 1)] if count else [0]
    return [(start, start + side) for start in starts]


def cut_tiles(pixels: Pixels, windows: Sequence[Window]) -> Pixels:
    """The tiles [N, height, width, 3] of a photograph [H, W, 3]."""
    return np.stack([pixels[top:bottom, left:right] for top, left, bottom, right in windows])


Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

# A box that ends so close to a tile's edge, as a share of the tile's side, is taken for cut.
_CUT_WITHIN = 0.01

# A cut box gives way when this share of the smaller one is in common: its size says little about the animal's.
_CUT_OVERLAP = 0.5


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a photograph, and the model's answer for it in its own pixels."""

    window: Window
    outcome: ModelOutput


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    """Detections of all pieces, in pixels of the photograph.

    Attributes:
      boxes: [n, 4]; scores, classes: [n].
      windows: [n, 4], of the piece that each comes from.
      cut: [n, 4], edges of boxes that lie at an inner edge of that piece.
    """

    boxes: Boxes
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    windows: Boxes
    cut: Bools


def merge_tiles(pieces: Sequence[Piece], height: int, width: int, *, iou: float, how: str) -> ModelOutput:
    """The answer for a whole photograph.

    Args:
      pieces: one or more, with status 0.
      height, width: of the photograph, in pixels.
      iou: from which overlap two boxes of a class are of one animal.
      how: tiles.NMS, the box with the highest score among those that are not cut; tiles.WBF, the mean of the edges that
        are not cut, weighted by the scores. Where all are cut at an edge, it is the outermost one. In either case the
        score is the highest among the boxes that were merged.

    Returns:
      Boxes in pixels of the photograph, by falling score.
    """
    found = _gather(pieces, height, width)
    groups = [members for label_id in np.unique(found.classes) for members in _groups(found, label_id, iou)]
    fuse = _mean_box if how == WBF else _first_box
    merged = boxes_of.as_boxes([fuse(found, members) for members in groups])
    scores = np.array([found.scores[members].max() for members in groups], np.float32)
    order = np.argsort(-scores, kind="stable")
    classes = np.array([found.classes[members[0]] for members in groups], np.int32)
    return ModelOutput(
        status=exported_model.STATUS_OK,
        height=height,
        width=width,
        boxes=merged[order],
        scores=scores[order],
        classes=classes[order],
    )


def _gather(pieces: Sequence[Piece], height: int, width: int) -> _Found:
    counts = [len(piece.outcome.scores) for piece in pieces]
    windows = np.repeat(boxes_of.as_boxes([piece.window for piece in pieces]), counts, axis=0)
    boxes = np.concatenate([piece.outcome.boxes for piece in pieces]) + np.tile(windows[:, :2], 2)
    whole = np.array([0, 0, height, width], np.float32)
    near = _CUT_WITHIN * np.tile(windows[:, 2:] - windows[:, :2], 2)
    return _Found(
        boxes=boxes.astype(np.float32),
        scores=np.concatenate([piece.outcome.scores for piece in pieces]),
        classes=np.concatenate([piece.outcome.classes for piece in pieces]),
        windows=windows,
        cut=(np.abs(boxes - windows) <= near) & (windows != whole),
    )


def _groups(found: _Found, label_id: int, iou: float) -> list[Ints]:
    """Indices of the boxes of each animal of a class, the leading one first; those that are not cut lead, by score."""
    indices = np.flatnonzero(found.classes == label_id)
    is_cut = found.cut[indices].any(axis=1)
    left = indices[np.lexsort((-found.scores[indices], is_cut))]
    groups = []
    while len(left):
        leader, left = left[:1], left[1:]
        same = _same(found, leader[0], left, iou)
        members, left = np.concatenate([leader, left[same]]), left[~same]
        if found.cut[leader].any():  # no piece shows this animal whole: go on from part to part
            members, left = _grown(found, members, left, iou)
        groups.append(members)
    return groups


def _grown(found: _Found, members: Ints, left: Ints, iou: float) -> tuple[Ints, Ints]:
    position = 1
    while position < len(members):
        same = _same(found, members[position], left, iou)
        members, left = np.concatenate([members, left[same]]), left[~same]
        position += 1
    return members, left


def _same(found: _Found, leader: int, others: Ints, iou: float) -> Bools:
    """Which of the other boxes, of the same class, are of the leader's animal."""
    shared = _intersection(found.windows[leader], found.windows[others])
    mine = _intersection(found.boxes[leader], shared)
    theirs = _intersection(found.boxes[others], shared)
    common = boxes_of.area(_intersection(mine, theirs))
    sizes = boxes_of.area(mine), boxes_of.area(theirs)
    smaller, union = np.minimum(*sizes), sizes[0] + sizes[1] - common
    is_cut = found.cut[others].any(axis=1)
    agree = np.where(is_cut, common >= _CUT_OVERLAP * smaller, common >= iou * union)
    return agree & (common > 0) & (found.windows[others] != found.windows[leader]).any(axis=1)


def _intersection(a: Boxes, b: Boxes) -> Boxes:
    """What boxes have in common; without extent where that is nothing."""
    return np.concatenate([np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])], axis=-1)


def _first_box(found: _Found, members: Ints) -> Boxes:
    return found.boxes[members[0]] if not found.cut[members[0]].any() else _mean_box(found, members)


def _mean_box(found: _Found, members: Ints) -> Boxes:
    boxes, whole = found.boxes[members].astype(np.float64), ~found.cut[members]
    weights = whole * found.scores[members, None]
    total = weights.sum(axis=0)
    mean = (weights * boxes).sum(axis=0) / np.where(total > 0, total, 1)
    outermost = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    return np.where(total > 0, mean, outermost).astype(np.float32)
