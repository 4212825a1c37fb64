from typing import Any

import numpy as np

from retinanet_odm import boxes as box_ops
from trainer.network.anchors import level_shapes, make_anchors

SHAPES: dict[str, Any] = {"anchor_scale": 4.0, "num_scales": 3, "aspect_ratios": (0.5, 1.0, 2.0)}


def anchors(size: tuple[int, int] = (640, 640)) -> np.ndarray:
    return make_anchors(size, **SHAPES)


def test_count_at_640_is_the_papers() -> None:
    assert anchors().shape == (76725, 4)


def test_first_cell_is_centred_on_half_a_stride() -> None:
    centres = (anchors()[:9, :2] + anchors()[:9, 2:]) / 2
    np.testing.assert_allclose(centres, 4.0)


def test_shapes_of_a_cell() -> None:
    sides = anchors()[:9, 2:] - anchors()[:9, :2]
    np.testing.assert_allclose(sides[:, 0] / sides[:, 1], [0.5, 1, 2] * 3, rtol=1e-5)
    np.testing.assert_allclose(np.sqrt(sides.prod(1)), np.repeat(32 * 2 ** (np.arange(3) / 3), 3), rtol=1e-5)


def test_order_is_row_then_column() -> None:
    first, below = anchors()[9], anchors()[80 * 9]
    assert first[1] > anchors()[0][1] and first[0] == anchors()[0][0]
    assert below[0] > anchors()[0][0] and below[1] == anchors()[0][1]


def test_sides_that_do_not_halve_evenly_round_up() -> None:
    assert level_shapes((192, 320))[-2:] == [(3, 5), (2, 3)]


def test_the_corner_grid_is_half_a_stride_up_and_left() -> None:
    centred, corner = anchors(), make_anchors((640, 640), **SHAPES, grid="corner")
    levels = np.repeat([4, 8, 16, 32, 64], [9 * rows * columns for rows, columns in level_shapes((640, 640))])
    np.testing.assert_allclose(centred - corner, np.tile(levels[:, None], 4), atol=1e-4)


def test_the_grid_of_torchvision() -> None:
    """As its AnchorGenerator printed: (y, x, y, x) of the first cell, and strides where sides do not halve evenly."""
    found = make_anchors((800, 1088), **SHAPES, grid="torchvision")
    halves = [(11, 23), (16, 16), (23, 11), (14, 28), (20, 20), (28, 14), (18, 35), (25, 25), (35, 18)]
    np.testing.assert_array_equal(found[:9], [(-y, -x, y, x) for y, x in halves])
    assert len(found) == 163_206
    first = np.cumsum([0, *(9 * rows * columns for rows, columns in level_shapes((800, 1088)))])
    for level, strides in ((3, (61, 64)), (4, (114, 120))):  # of P6 and P7; 2^l would be 64 and 128
        columns = level_shapes((800, 1088))[level][1]
        cells = found[first[level] :: 9]
        assert (cells[columns, 0] - cells[0, 0], cells[1, 1] - cells[0, 1]) == strides


def test_every_plausible_box_is_overlapped_by_half() -> None:
    """RetinaNet's claim for its dense grid: any box from 32 px on has an anchor of IoU 0.5 or more."""
    rng = np.random.default_rng(0)
    side = rng.uniform(32, 400, 200)
    stretch = np.sqrt(rng.uniform(0.5, 2, 200))
    centre = rng.uniform(200, 440, (200, 2))
    half = np.stack([side * stretch, side / stretch], axis=1) / 2
    boxes = box_ops.as_boxes(np.concatenate([centre - half, centre + half], axis=1))
    assert box_ops.iou(boxes, anchors()).max(axis=1).min() >= 0.5
