"""The best anchor of a box, found without the grid, is the best one of the whole grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm import boxes as box_ops
from retinanet_odm.dataset.anchor_coverage import (
    ANCHOR_SCALE,
    ASPECT_RATIOS,
    CANVAS_MULTIPLE,
    CANVASES,
    NEGATIVE_IOU,
    NUM_SCALES,
    POSITIVE_IOU,
    PYRAMID_LEVELS,
    best_overlap,
)
from trainer.config import TrainConfig
from trainer.network import anchors


def _by_grid(
    boxes: np.ndarray, canvas: tuple[int, int], scale: float, num_scales: int, ratios: tuple, grid: str = "centre"
) -> np.ndarray:
    placed = anchors.make_anchors(canvas, anchor_scale=scale, num_scales=num_scales, aspect_ratios=ratios, grid=grid)
    return box_ops.iou(box_ops.as_boxes(boxes), placed).max(axis=1)


def _boxes(seed: int, canvas: tuple[int, int], count: int) -> np.ndarray:
    """Boxes of any size about a canvas: some are cut by its border, some lie outside of it."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-0.1, 1.1, [count, 2]) * canvas
    halves = 2 ** rng.uniform(-1, 10, [count, 2]) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


@given(
    seed=st.integers(0, 2**32 - 1),
    canvas=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    scale=st.floats(0.5, 8),
    num_scales=st.integers(1, 4),
    ratios=st.lists(st.floats(0.1, 10), min_size=1, max_size=4).map(tuple),
    grid=st.sampled_from(["centre", "corner"]),
)
def test_it_is_the_best_of_the_grid(
    seed: int, canvas: tuple[int, int], scale: float, num_scales: int, ratios: tuple[float, ...], grid: str
) -> None:
    boxes = _boxes(seed, canvas, 8)
    offset = anchors.anchor_offset(grid)
    found = best_overlap(boxes, canvas, anchor_scale=scale, num_scales=num_scales, aspect_ratios=ratios, offset=offset)
    # The grid is float32: its coordinates, up to about 10^4 here, have steps of 10^-3.
    np.testing.assert_allclose(found, _by_grid(boxes, canvas, scale, num_scales, ratios, grid), atol=1e-3)


@pytest.mark.parametrize(
    "canvas",
    [
        pytest.param((320, 320), id="the trainer's default"),
        pytest.param((672, 1024), id="of a camera's shape; 672 is no multiple of the strides 64 and 128"),
    ],
)
def test_it_is_the_best_of_the_papers_grid(canvas: tuple[int, int]) -> None:
    boxes = _boxes(7, canvas, 300)
    expected = _by_grid(boxes, canvas, ANCHOR_SCALE, NUM_SCALES, ASPECT_RATIOS)
    np.testing.assert_allclose(best_overlap(boxes, canvas), expected, atol=1e-5)


def test_the_defaults_are_the_trainers() -> None:
    config = TrainConfig()
    assert (config.network.anchor_scale, config.network.num_scales) == (ANCHOR_SCALE, NUM_SCALES)
    assert config.network.aspect_ratio_values() == ASPECT_RATIOS
    assert (config.loss.positive_iou, config.loss.negative_iou) == (POSITIVE_IOU, NEGATIVE_IOU)
    assert len(anchors.level_shapes((320, 320))) == len(PYRAMID_LEVELS)


def test_the_canvases_of_the_report_are_the_trainers() -> None:
    assert TrainConfig().network.image_size == str(CANVASES[0])
    assert [canvas % CANVAS_MULTIPLE for canvas in CANVASES] == [0] * len(CANVASES)
