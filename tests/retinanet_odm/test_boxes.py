"""Box arithmetic: laws by hypothesis, corner cases by table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm import boxes

_edge = st.floats(-1000, 5000, width=32)


@st.composite
def _boxes(draw: st.DrawFn, min_size: int = 0) -> boxes.Boxes:
    rows = draw(st.lists(st.tuples(_edge, _edge, _edge, _edge), min_size=min_size, max_size=6))
    table = boxes.as_boxes(rows)
    return np.concatenate([np.minimum(table[:, :2], table[:, 2:]), np.maximum(table[:, :2], table[:, 2:])], axis=1)


@given(_boxes(), _boxes())
def test_iou_is_symmetric_and_a_fraction(a: boxes.Boxes, b: boxes.Boxes) -> None:
    overlap = boxes.iou(a, b)
    assert overlap.shape == (len(a), len(b))
    assert overlap.dtype == np.float32
    assert np.all((overlap >= 0) & (overlap <= 1.00001))
    np.testing.assert_allclose(overlap, boxes.iou(b, a).T, rtol=1e-5)


@given(_boxes(min_size=1))
def test_iou_with_itself_is_one_unless_the_box_is_empty(table: boxes.Boxes) -> None:
    areas = boxes.area(table)
    has_area = areas > 1e-20  # below, float32 areas lose their digits
    np.testing.assert_allclose(np.diag(boxes.iou(table, table))[has_area], 1, rtol=1e-5)
    assert np.all(np.diag(boxes.iou(table, table))[areas == 0] == 0)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param((0, 0, 2, 2), (0, 0, 2, 1), 0.5, id="half of it"),
        pytest.param((0, 0, 2, 2), (1, 1, 3, 3), 1 / 7, id="a corner: edges are continuous, no + 1"),
        pytest.param((0, 0, 2, 2), (0, 2, 2, 4), 0.0, id="touching edges share no area"),
        pytest.param((0, 0, 2, 2), (5, 5, 9, 9), 0.0, id="apart in both directions must not multiply two negatives"),
        pytest.param((1, 1, 1, 1), (1, 1, 1, 1), 0.0, id="no extent: no division by zero"),
    ],
)
def test_iou_values(a: tuple, b: tuple, expected: float) -> None:
    assert boxes.iou(boxes.as_boxes([a]), boxes.as_boxes([b]))[0, 0] == pytest.approx(expected)


@given(_boxes(), st.integers(1, 5000), st.integers(1, 5000))
def test_clip_stays_inside_and_changes_nothing_twice(table: boxes.Boxes, height: int, width: int) -> None:
    clipped = boxes.clip(table, height, width)
    assert np.all(clipped >= 0)
    assert np.all(clipped[:, [0, 2]] <= height)
    assert np.all(clipped[:, [1, 3]] <= width)
    np.testing.assert_array_equal(boxes.clip(clipped, height, width), clipped)


@given(_boxes(), st.integers(1, 5000), st.integers(1, 5000))
def test_relative_and_pixels_are_inverse(table: boxes.Boxes, height: int, width: int) -> None:
    there_and_back = boxes.to_pixels(boxes.to_relative(table, height, width), height, width)
    np.testing.assert_allclose(there_and_back, table, rtol=1e-5, atol=1e-5)


def test_height_belongs_to_y() -> None:
    assert boxes.to_relative(boxes.as_boxes([(10, 10, 20, 20)]), height=20, width=40).tolist() == [[0.5, 0.25, 1, 0.5]]


def test_no_boxes_keep_their_four_columns() -> None:
    assert boxes.as_boxes([]).shape == (0, 4)
    assert boxes.iou(boxes.as_boxes([]), boxes.as_boxes([(0, 0, 1, 1)])).shape == (0, 1)
