"""Small objects in large images: overlapping tiles are scored like images, and their detections are merged.

Begin with `Tiling.plan`; `merge_tiles` ends what it begins. Arrays have these shapes: boxes [n, 4] (ymin, xmin, ymax,
xmax) in pixels of the image, scores and classes [n], pixels [height, width, 3].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.model.outcome import MIN_EXTENT, ModelOutput
from retinanet_odm import boxes as box_ops
from retinanet_odm import exported_model
from retinanet_odm.boxes import Boxes
from retinanet_odm.errors import UsageError
from retinanet_odm.imaging.tile_grid import OVERLAP, Window, check_grid, plan_tiles

NMS, WBF = "nms", "wbf"
MERGES = (NMS, WBF)

# A box whose edge is closer to the edge of its tile, as a fraction of the tile's side, counts as cut.
_CUT_DISTANCE = 0.01
# A cut box is merged if it shares this fraction of the smaller box: the size of a cut box says little about the object.
_MIN_CUT_OVERLAP = 0.5

RgbPixels = npt.NDArray[np.uint8]
_Bools = npt.NDArray[np.bool_]
_Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How images are cut into tiles, and how the detections of tiles are merged.

    Attributes:
      side: length of a tile's side in pixels of the upright image.
      overlap: minimum overlap of adjacent tiles as a fraction of the side, 0 to MAX_OVERLAP.
      merge: NMS or WBF; see merge_tiles.

    Raises:
      UsageError: a value is out of its range.
    """

    side: int
    overlap: float = OVERLAP
    merge: str = NMS

    def __post_init__(self) -> None:
        check_grid(self.side, self.overlap)
        if self.merge not in MERGES:
            raise UsageError(f"--tile_merge: expected {' or '.join(MERGES)}, found {self.merge!r}")

    def plan(self, height: int, width: int) -> list[Window]:
        """Return the tiles of an image of so many pixels; none for an image no larger than a tile."""
        return plan_tiles(height, width, side=self.side, overlap=self.overlap)

    def to_json(self) -> dict[str, Any]:
        """Return the values as summary.json holds them. They are part of the key of every row."""
        return {"side": self.side, "overlap": self.overlap, "merge": self.merge}


def cut_tiles(pixels: RgbPixels, windows: Sequence[Window]) -> RgbPixels:
    """Return the tiles [N, height, width, 3] of an image [H, W, 3]."""
    return np.stack([pixels[top:bottom, left:right] for top, left, bottom, right in windows])


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of an image, or the image itself, and the output of the model for it, in its own pixels."""

    window: Window
    output: ModelOutput


@dataclass(frozen=True, kw_only=True, eq=False)
class _Candidates:
    """Detections of all pieces.

    Attributes:
      boxes, scores, classes: [n, 4], [n] and [n].
      windows: [n, 4], the piece of each detection.
      cut: [n, 4], whether an edge of the box lies at an inner edge of its piece.
    """

    boxes: Boxes
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    windows: Boxes
    cut: _Bools


def merge_tiles(pieces: Sequence[Piece], height: int, width: int, *, iou: float, how: str) -> ModelOutput:
    """Merge the outputs for pieces of an image into one.

    Args:
      pieces: one or more, with status 0.
      height: of the image, in pixels.
      width: of the image, in pixels.
      iou: minimum IoU at which two boxes of a class are the same object.
      how: NMS keeps the box with the highest score of those that are not cut. WBF averages the edges that are not cut,
        weighted by score. Where an edge is cut in all boxes, the outermost one is taken. The score is the maximum of
        the merged boxes in either case.

    Returns:
      Boxes in pixels of the image, by falling score.
    """
    # 1. All detections in pixels of the image. 2. Those of one object in a group. 3. One box for each group.
    candidates = _gather(pieces, height, width)
    labels = np.unique(candidates.classes)
    groups = [members for label_id in labels for members in _group_objects(candidates, label_id, iou)]
    fuse = _mean_box if how == WBF else _best_box
    merged = box_ops.as_boxes([fuse(candidates, members) for members in groups])
    scores = np.array([candidates.scores[members].max() for members in groups], np.float32)
    order = np.argsort(-scores, kind="stable")
    classes = np.array([candidates.classes[members[0]] for members in groups], np.int32)
    return ModelOutput(
        status=exported_model.STATUS_OK,
        height=height,
        width=width,
        boxes=merged[order],
        scores=scores[order],
        classes=classes[order],
        without_extent=sum(piece.output.without_extent for piece in pieces),
    )


def _gather(pieces: Sequence[Piece], height: int, width: int) -> _Candidates:
    counts = [len(piece.output.scores) for piece in pieces]
    windows = np.repeat(box_ops.as_boxes([piece.window for piece in pieces]), counts, axis=0)
    # windows: [n, 4]; its (top, left), repeated, is the offset of all four edges of a box.
    boxes = np.concatenate([piece.output.boxes for piece in pieces]) + np.tile(windows[:, :2], 2)
    image = np.array([0, 0, height, width], np.float32)
    tolerance = _CUT_DISTANCE * np.tile(windows[:, 2:] - windows[:, :2], 2)
    return _Candidates(
        boxes=boxes.astype(np.float32),
        scores=np.concatenate([piece.output.scores for piece in pieces]),
        classes=np.concatenate([piece.output.classes for piece in pieces]),
        windows=windows,
        # An edge of the image itself cuts nothing: the object ends there in every piece.
        cut=(np.abs(boxes - windows) <= tolerance) & (windows != image),
    )


def _group_objects(candidates: _Candidates, label_id: int, iou: float) -> list[_Indices]:
    """Return the indices of the boxes of each object of a class; boxes that are not cut come first, by score."""
    indices = np.flatnonzero(candidates.classes == label_id)
    is_cut = candidates.cut[indices].any(axis=1)
    rest = indices[np.lexsort((-candidates.scores[indices], is_cut))]  # last key first: uncut before cut
    groups = []
    while len(rest):
        # The first is the best that is left. It takes all boxes of its object, and none is in two groups.
        leader, rest = rest[:1], rest[1:]
        same = _same_object(candidates, leader[0], rest, iou)
        members, rest = np.concatenate([leader, rest[same]]), rest[~same]
        if candidates.cut[leader].any():  # no piece shows the complete object: follow it from part to part
            members, rest = _follow_parts(candidates, members, rest, iou)
        groups.append(members)
    return groups


def _follow_parts(candidates: _Candidates, members: _Indices, rest: _Indices, iou: float) -> tuple[_Indices, _Indices]:
    position = 1  # the leader, at 0, has been compared already; members grow while they are visited
    while position < len(members):
        same = _same_object(candidates, members[position], rest, iou)
        members, rest = np.concatenate([members, rest[same]]), rest[~same]
        position += 1
    return members, rest


def _same_object(candidates: _Candidates, leader: int, others: _Indices, iou: float) -> _Bools:
    """Return which of the other boxes, all of one class, belong to the leader's object.

    Only the area that both pieces show is compared: outside it, one of the two could not see the object.
    """
    shared = _intersection(candidates.windows[leader], candidates.windows[others])
    mine = _intersection(candidates.boxes[leader], shared)
    theirs = _intersection(candidates.boxes[others], shared)
    common = box_ops.area(_intersection(mine, theirs))
    sizes = box_ops.area(mine), box_ops.area(theirs)
    smaller, union = np.minimum(*sizes), sizes[0] + sizes[1] - common
    is_cut = candidates.cut[others].any(axis=1)
    # A cut box is compared with the smaller of the two, because its own size depends on the seam.
    agree = np.where(is_cut, common >= _MIN_CUT_OVERLAP * smaller, common >= iou * union)
    # Within a piece the model's own non-maximum suppression has decided already.
    other_piece = (candidates.windows[others] != candidates.windows[leader]).any(axis=1)
    same: _Bools = agree & (common > 0) & other_piece
    return same


def _intersection(a: Boxes, b: Boxes) -> Boxes:
    """Return the intersections of boxes; empty ones have no extent."""
    return np.concatenate([np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])], axis=-1)


def _best_box(candidates: _Candidates, members: _Indices) -> Boxes:
    first = members[0]
    return _mean_box(candidates, members) if candidates.cut[first].any() else candidates.boxes[first]


def _mean_box(candidates: _Candidates, members: _Indices) -> Boxes:
    boxes, uncut = candidates.boxes[members].astype(np.float64), ~candidates.cut[members]
    # [members, 4]: each edge has weights of its own, because a box may be cut at one side only. In float64: with a sum
    # of float32 the mean of equal edges may be a little more than they are, and so lie outside of the image.
    weights = uncut * candidates.scores[members, None].astype(np.float64)
    total = weights.sum(axis=0)
    mean = (weights * boxes).sum(axis=0) / np.where(total > 0, total, 1)
    outermost = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    fused = np.where(total > 0, mean, outermost)
    # Parts that are joined one by one may contradict each other: one ends before another begins.
    return (fused if (fused[2:] - fused[:2] >= MIN_EXTENT).all() else outermost).astype(np.float32)
