"""Numbers of boxes from which the same float32 boxes come again, as the readers compute them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm import boxes as box_ops
from retinanet_odm.dataset.exact_boxes import exact_coco_boxes, exact_pixels, exact_yolo_boxes

SIDES = st.integers(1, 8000)


@st.composite
def drawn_boxes(draw: st.DrawFn) -> tuple[box_ops.Boxes, int, int]:
    """Boxes as `prepare` stores those drawn on an image of this height and width, with 0 to 12 digits."""
    height, width, digits = draw(SIDES), draw(SIDES), draw(st.integers(0, 12))
    edge = st.floats(0, 1)
    rows = draw(st.lists(st.tuples(edge, edge, edge, edge), max_size=4))
    corners = np.sort(np.asarray(rows, np.float64).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    pixels = np.round(corners * [height, width, height, width], digits)
    return box_ops.to_relative(box_ops.clip(box_ops.as_boxes(pixels), height, width), height, width), height, width


def read_again(pixels: np.ndarray, height: int, width: int) -> box_ops.Boxes:
    """As retinanet_odm.annotations.geometry.place_box and beam_jobs.records make boxes of float64 pixels."""
    return box_ops.to_relative(box_ops.clip(box_ops.as_boxes(pixels), height, width), height, width)


@given(drawn_boxes())
def test_every_format_gives_the_same_boxes(drawn: tuple[box_ops.Boxes, int, int]) -> None:
    boxes, height, width = drawn
    pixels = exact_pixels(boxes, height, width)
    assert np.array_equal(read_again(pixels, height, width), boxes)
    x, y, w, h = exact_coco_boxes(pixels).T
    assert np.array_equal(read_again(np.stack([y, x, y + h, x + w], axis=1), height, width), boxes)
    x, y, w, h = exact_yolo_boxes(pixels, height, width).T
    corners = np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], axis=1) * [height, width, height, width]
    assert np.array_equal(read_again(corners, height, width), boxes)


@given(st.lists(st.integers(1, 2**24 - 1), min_size=2, max_size=2, unique=True), SIDES, SIDES)
def test_boxes_of_a_reduced_image_are_a_step_away_at_most(edges: list[int], height: int, width: int) -> None:
    """Any two float32 fractions, which need not be those of a pixel of this image."""
    start, end = sorted(edge / 2**24 for edge in edges)
    boxes = box_ops.as_boxes([(start, start, end, end)])
    again = read_again(exact_pixels(boxes, height, width), height, width)
    assert np.all(np.abs(again - boxes) <= np.spacing(boxes))


SHORT = [
    ((10.25, 20.1, 30.7, 90.33), [20.1, 10.25, 70.23, 20.45], "digits of the annotation tool"),
    ((0, 0, 480, 640), [0, 0, 640, 480], "the complete image"),
    ((1 / 3, 2, 100, 200), [2, 0.333333, 198, 99.666667], "as many digits as a float32 has"),
]


@pytest.mark.parametrize(("drawn", "written", "reason"), SHORT)
def test_numbers_are_as_short_as_they_can_be(drawn: tuple[float, ...], written: list[float], reason: str) -> None:
    boxes = box_ops.to_relative(box_ops.as_boxes([drawn]), 480, 640)
    assert exact_coco_boxes(exact_pixels(boxes, 480, 640)).tolist() == [pytest.approx(written, abs=1e-5)], reason
    assert max(len(repr(number)) for number in exact_coco_boxes(exact_pixels(boxes, 480, 640))[0].tolist()) <= 11
