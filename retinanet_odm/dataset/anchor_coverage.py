"""Anchor coverage: the highest IoU of each box with any anchor of RetinaNet's grid, in closed form.

The anchor defaults are defined here and nowhere else; the trainer takes them from here for its flags. The grid itself
is not built: every anchor shape of a level stands at every centre ``((i + 0.5) * stride, (j + 0.5) * stride)`` of the
canvas (or at another offset than 0.5, as in the grids of other programs), so a box overlaps each shape most at the
centre nearest to its own. Pixels are those of the canvas.

`prepare`, `check` and the trainer place boxes with `place_boxes` and judge a class with `find_anchor_gap`, so that all
three give one number for one training split.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# RetinaNet (Lin et al. 2017, arXiv:1708.02002), section 4, "Anchors": pyramid levels P3 to P7, the smallest side 32 on
# P3 (4 strides of 8) to 512 on P7, three sizes an octave, three aspect ratios.
PYRAMID_LEVELS = (3, 4, 5, 6, 7)
ANCHOR_SCALE = 4.0
NUM_SCALES = 3
ASPECT_RATIOS = (0.5, 1.0, 2.0)
# Section 4.1: an anchor with at least POSITIVE_IOU is assigned to the object, one below NEGATIVE_IOU to the background;
# anchors between the two are ignored in training.
POSITIVE_IOU = 0.5
NEGATIVE_IOU = 0.4

# Longest sides of the canvas, in pixels, for which coverage is counted.
CANVASES = (320, 512, 640, 896, 1024)
# Of the preset "tiny", the default of the trainer: with these, `prepare` and `check` judge the boxes.
PRESET_IMAGE_SIZE = CANVASES[0]
PRESET_ANCHOR_SCALE = 3.0

# A class has a gap if a smaller fraction of its boxes has an anchor of POSITIVE_IOU; of fewer than MIN_BOXES boxes a
# fraction means nothing.
MIN_ANCHOR_RECALL = 0.9
MIN_BOXES = 10

# Sides of a canvas are multiples of the stride of P5: levels up to P5 are upsampled and added, and must fit.
CANVAS_MULTIPLE = 32


def best_overlap(
    boxes: npt.ArrayLike,
    canvas: npt.ArrayLike,
    *,
    anchor_scale: float = ANCHOR_SCALE,
    num_scales: int = NUM_SCALES,
    aspect_ratios: Sequence[float] = ASPECT_RATIOS,
    levels: Sequence[int] = PYRAMID_LEVELS,
    offset: float = 0.5,
) -> npt.NDArray[np.float64]:
    """Return the highest IoU of each box with any anchor of the grid.

    Args:
      boxes: [N, 4], (ymin, xmin, ymax, xmax) in pixels of the canvas.
      canvas: (height, width) in pixels, or [N, 2] with one row per box. There are anchors only at the cells of the
        canvas.
      anchor_scale: the side of the smallest anchor of a level, in strides of that level.
      num_scales: the number of sizes per octave: 2^(k / num_scales) times the smallest.
      aspect_ratios: height / width; all shapes of one size have the same area.
      levels: of the pyramid; the stride of level l is 2^l.
      offset: of the anchors' centres from the top left corner of their cell, in strides.

    Returns:
      float64 [N], 0..1.

    Example:
      >>> best_overlap([(0, 0, 32, 32), (0, 0, 16, 16)], (320, 320)).round(2).tolist()
      [0.63, 0.25]
    """
    # In float64: the error of float32 could move boxes across the limit of 0.5.
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    strides = 2.0 ** np.asarray(levels)
    middles = (corners[:, :2] + corners[:, 2:]) / 2
    distance = _distance_to_centre(middles, np.asarray(canvas), strides, offset)[..., None]
    # Axes from here on: box, (y, x), level, shape.
    box_sides = (corners[:, 2:] - corners[:, :2])[..., None, None]
    anchor_sides = strides[:, None] * _shapes(anchor_scale, num_scales, aspect_ratios)[:, None, :]
    # Two intervals share the shorter one, or half the sum of both less the distance of their centres if they only
    # overlap.
    shared = np.minimum(np.minimum(box_sides, anchor_sides), (box_sides + anchor_sides) / 2 - distance)
    overlap = np.maximum(shared, 0).prod(axis=1)
    union = box_sides.prod(axis=1) + anchor_sides.prod(axis=0) - overlap
    # Over levels and shapes: the best anchor of the whole grid.
    return np.asarray((overlap / union).max(axis=(1, 2)), np.float64)


def _distance_to_centre(points: np.ndarray, canvas: np.ndarray, strides: np.ndarray, offset: float) -> np.ndarray:
    """Return the distance in y and x of points [N, 2] to the nearest centre of each level, [N, 2, levels]."""
    last = np.ceil(canvas[..., None] / strides) - 1  # the last cell of a level: sides halve and round up
    cells = np.clip(np.floor(points[..., None] / strides + (0.5 - offset)), 0, last)
    return np.asarray(np.abs((cells + offset) * strides - points[..., None]))


def _shapes(anchor_scale: float, num_scales: int, aspect_ratios: Sequence[float]) -> np.ndarray:
    """Return heights and widths of a level's anchors in strides, [2, shapes]."""
    sizes = anchor_scale * 2.0 ** (np.arange(num_scales) / num_scales)
    # Height times and width over the root of the ratio: the area stays the same.
    stretch = np.sqrt(np.asarray(aspect_ratios, np.float64))
    return np.stack([np.outer(sizes, stretch).ravel(), np.outer(sizes, 1 / stretch).ravel()])


def place_boxes(
    boxes: npt.ArrayLike, sizes: npt.ArrayLike, limit: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Place boxes as the trainer places their images: scaled to fit, at the top left.

    Args:
      boxes: [N, 4], relative (ymin, xmin, ymax, xmax).
      sizes: [N, 2], (height, width) of their images in pixels.
      limit: (height, width) in pixels into which an image is scaled; twice the longest side where only that is given.

    Returns:
      The boxes [N, 4] in canvas pixels, and for each (height, width) of the part of the canvas that its image fills, in
      multiples of 32: only anchors there can be detected, however large the canvas of the data set is.

    Example:
      >>> boxes, canvases = place_boxes([(0, 0, 1, 0.5)], [(100, 200)], (320, 320))
      >>> boxes.tolist(), canvases.tolist()
      ([[0.0, 0.0, 160.0, 160.0]], [[160.0, 320.0]])
    """
    size = np.asarray(sizes, np.float64).reshape(-1, 2)
    scale = (np.asarray(limit, np.float64) / size).min(axis=1, keepdims=True)  # [N, 1]
    placed = np.maximum(np.rint(size * scale), 1)  # as trainer.data.preprocess.letterbox
    pixels = np.asarray(boxes, np.float64).reshape(-1, 4) * np.tile(placed, 2)
    return pixels, np.ceil(placed / CANVAS_MULTIPLE) * CANVAS_MULTIPLE


@dataclass(frozen=True, kw_only=True)
class AnchorGap:
    """A class of which too few boxes have an anchor of IoU 0.5.

    Attributes:
      name: the class.
      boxes: the number of its boxes.
      reached: how many of them have such an anchor.
      image_size: the longest side of the canvas, in pixels, for which they were counted.
      enough: the next longer side at which enough of them have one; None if none of CANVASES helps.
    """

    name: str
    boxes: int
    reached: int
    image_size: int
    enough: int | None

    def describe(self) -> str:
        """Return the gap in one sentence."""
        share = f"{self.name!r}: only {self.reached / self.boxes:.1%} of its {self.boxes} training boxes have an anchor"
        at = f"at --image_size={self.image_size}"
        if self.enough:
            return f"{share}: objects too small for the network {at}; enough from --image_size={self.enough} on"
        return f"{share}: these anchors do not fit them {at}, nor at a size up to {max(CANVASES)}"


def find_anchor_gap(name: str, boxes: int, reached: Mapping[int, int]) -> AnchorGap | None:
    """Return the gap of a class, or None if enough of its boxes have an anchor.

    Args:
      name: the class.
      boxes: the number of its boxes.
      reached: how many of them have an anchor of IoU 0.5, by the longest side of the canvas: first that of the run,
        then those that may be advised, from small to large.

    Example:
      >>> find_anchor_gap("crab", 10, {320: 2, 512: 8, 640: 9}).enough
      640
    """
    image_size, *_ = reached
    enough = [size for size, count in reached.items() if boxes and count / boxes >= MIN_ANCHOR_RECALL]
    if boxes < MIN_BOXES or image_size in enough:
        return None
    return AnchorGap(
        name=name,
        boxes=boxes,
        reached=reached[image_size],
        image_size=image_size,
        enough=enough[0] if enough else None,
    )


def gap_remedy(gaps: Iterable[AnchorGap], *, fitted: bool = False) -> str:
    """Return what to do about some gaps together: one flag that helps all of them.

    Args:
      gaps: at least one.
      fitted: whether the anchors were fitted to the boxes already.
    """
    sizes = [gap.enough for gap in gaps]
    known = [size for size in sizes if size]
    if len(known) == len(sizes):
        return f"train with --image_size={max(known)}"
    # No size helps one of them: its boxes are too long, or far too small.
    return "cut the images into tiles before prepare" if fitted else "train with --anchors=auto"
