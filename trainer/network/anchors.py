"""Anchor boxes: the fixed grid of reference boxes that the heads classify and shift.

At level l with stride 2^l every cell has ``num_scales * len(aspect_ratios)`` anchors around its centre
``(i + 0.5) * stride`` (RetinaNet, section 4; centres as in tensorflow/tpu's retinanet/anchors.py). Order:
level, row, column, scale, aspect ratio. How well the grid fits boxes: `retinanet_odm.dataset.anchor_coverage`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retinanet_odm.dataset.anchor_coverage import PYRAMID_LEVELS


def level_shapes(image_size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return (rows, columns) of each level: sides halve and round up, as 'same' convolutions of stride 2 do.

    Example:
      >>> level_shapes((192, 320))
      [(24, 40), (12, 20), (6, 10), (3, 5), (2, 3)]
    """
    height, width = image_size
    return [(-(-height // 2**level), -(-width // 2**level)) for level in PYRAMID_LEVELS]


def make_anchors(
    image_size: tuple[int, int], *, anchor_scale: float, num_scales: int, aspect_ratios: Sequence[float]
) -> npt.NDArray[np.float32]:
    """Make all anchors of a canvas.

    Args:
      image_size: (height, width) of the canvas in pixels.
      anchor_scale: Side of the smallest anchor of a level, in its strides.
      num_scales: Sizes per octave: 2^(k / num_scales) times the smallest.
      aspect_ratios: height / width; all shapes of one size have the same area.

    Returns:
      float32 [A, 4], (ymin, xmin, ymax, xmax) in canvas pixels; anchors may exceed the canvas.

    Example:
      >>> make_anchors((32, 32), anchor_scale=4.0, num_scales=1, aspect_ratios=[1.0])[0].tolist()
      [-12.0, -12.0, 20.0, 20.0]
    """
    # Height and width for a side of 1: scales first, then ratios, as in the docstring's order.
    shapes = [
        (2 ** (octave / num_scales) * aspect**0.5, 2 ** (octave / num_scales) / aspect**0.5)
        for octave in range(num_scales)
        for aspect in aspect_ratios
    ]
    half = np.asarray(shapes) * anchor_scale / 2  # [shapes, (h, w)] in strides
    levels = []
    for level, (rows, columns) in zip(PYRAMID_LEVELS, level_shapes(image_size), strict=True):
        stride = 2**level
        # [rows, columns, (y, x)]: the centres of the cells, in strides.
        grid = np.stack(np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, indexing="ij"), axis=-1)
        centres = grid[:, :, None, :]  # [rows, columns, 1, (y, x)] in strides
        levels.append(np.concatenate([centres - half, centres + half], axis=-1).reshape(-1, 4) * stride)
    return np.concatenate(levels).astype(np.float32)
