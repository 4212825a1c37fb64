"""Anchor coverage: the highest IoU of each box with any anchor of RetinaNet's grid, in closed form.

The anchor defaults are defined here and nowhere else; the trainer takes them from here for its flags. The grid itself
is not built: every anchor shape of a level stands at every centre ``((i + 0.5) * stride, (j + 0.5) * stride)`` of the
canvas, so a box overlaps each shape most at the centre nearest to its own. Pixels are those of the canvas.
"""

from collections.abc import Sequence

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

    Returns:
      float64 [N], 0..1.

    Example:
      >>> best_overlap([(0, 0, 32, 32), (0, 0, 16, 16)], (320, 320)).round(2).tolist()
      [0.63, 0.25]
    """
    # In float64: the error of float32 could move boxes across the limit of 0.5.
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    strides = 2.0 ** np.asarray(levels)
    distance = _distance_to_centre((corners[:, :2] + corners[:, 2:]) / 2, np.asarray(canvas), strides)[..., None]
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


def _distance_to_centre(points: np.ndarray, canvas: np.ndarray, strides: np.ndarray) -> np.ndarray:
    """Return the distance in y and x of points [N, 2] to the nearest centre of each level, [N, 2, levels]."""
    last = np.ceil(canvas[..., None] / strides) - 1  # the last cell of a level: sides halve and round up
    cells = np.clip(np.floor(points[..., None] / strides), 0, last)
    return np.asarray(np.abs((cells + 0.5) * strides - points[..., None]))


def _shapes(anchor_scale: float, num_scales: int, aspect_ratios: Sequence[float]) -> np.ndarray:
    """Return heights and widths of a level's anchors in strides, [2, shapes]."""
    sizes = anchor_scale * 2.0 ** (np.arange(num_scales) / num_scales)
    # Height times and width over the root of the ratio: the area stays the same.
    stretch = np.sqrt(np.asarray(aspect_ratios, np.float64))
    return np.stack([np.outer(sizes, stretch).ravel(), np.outer(sizes, 1 / stretch).ravel()])
