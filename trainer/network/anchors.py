"""Anchor boxes: the fixed grid of reference boxes that the heads classify and shift.

At level l with stride 2^l every cell has ``num_scales * len(aspect_ratios)`` anchors around its centre
``(i + 0.5) * stride`` (RetinaNet, section 4; centres as in tensorflow/tpu's retinanet/anchors.py). Order:
level, row, column, scale, aspect ratio. How well the grid fits boxes: `retinanet_odm.dataset.anchor_coverage`.

Detectors of other programs have other grids, to which their weights belong. ``corner``, of Detectron2: around the
cell's top left corner, ``i * stride``. ``torchvision``: around that corner, too, with a stride of canvas // cells,
which is less than 2^l where sides do not halve evenly; and with sizes and halves of sides in whole pixels.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retinanet_odm.dataset.anchor_coverage import PYRAMID_LEVELS
from trainer.config.backbone_names import CENTRE, TORCHVISION


def level_shapes(image_size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return (rows, columns) of each level: sides halve and round up, as 'same' convolutions of stride 2 do.

    Example:
      >>> level_shapes((192, 320))
      [(24, 40), (12, 20), (6, 10), (3, 5), (2, 3)]
    """
    height, width = image_size
    return [(-(-height // 2**level), -(-width // 2**level)) for level in PYRAMID_LEVELS]


def anchor_offset(grid: str) -> float:
    """Return the distance of the anchors of a grid from the top left corner of their cell, in strides."""
    return 0.5 if grid == CENTRE else 0.0


def make_anchors(
    image_size: tuple[int, int],
    *,
    anchor_scale: float,
    num_scales: int,
    aspect_ratios: Sequence[float],
    grid: str = CENTRE,
) -> npt.NDArray[np.float32]:
    """Make all anchors of a canvas.

    Args:
      image_size: (height, width) of the canvas in pixels.
      anchor_scale: Side of the smallest anchor of a level, in its strides.
      num_scales: Sizes per octave: 2^(k / num_scales) times the smallest.
      aspect_ratios: height / width; all shapes of one size have the same area.
      grid: ``centre``, ``corner`` or ``torchvision``.

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
    for level, cells in zip(PYRAMID_LEVELS, level_shapes(image_size), strict=True):
        strides, half_pixels = np.array([2**level, 2**level]), half * 2**level  # (y, x)
        if grid == TORCHVISION:
            strides, half_pixels = np.asarray(image_size) // cells, _whole_pixels(half_pixels)
        # [rows, columns, (y, x)]: the cells, then the centres of their anchors.
        index = np.stack(np.meshgrid(*map(np.arange, cells), indexing="ij"), axis=-1)
        centres = ((index + anchor_offset(grid)) * strides)[:, :, None, :]  # [rows, columns, 1, (y, x)]
        levels.append(np.concatenate([centres - half_pixels, centres + half_pixels], axis=-1).reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)


def _whole_pixels(half: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round halves of sides as torchvision does: the root of the area down, then the halves to the nearest number."""
    size = 2 * np.sqrt(half.prod(axis=1, keepdims=True))
    # The small number undoes what the root may have lost, which would turn 64 into 63.
    return np.round(half / size * np.floor(size + 1e-6))
