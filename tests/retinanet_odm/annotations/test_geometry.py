"""Boxes around turned boxes, ellipses and masks, against their corners, edges and pixels."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.annotations.geometry import ellipse_box, mask_box, rotated_box, rotated_corners

_EDGE = st.floats(-100, 5000).map(lambda value: round(value, 2))


def test_a_quarter_turn_is_clockwise() -> None:
    top_left, bottom_left, top_right, bottom_right = rotated_corners((0, 0, 2, 4), 90)
    assert [*top_left, *top_right] == pytest.approx([3, -1, 3, 3]), "the upper edge becomes the right one"
    assert [*bottom_left, *bottom_right] == pytest.approx([1, -1, 1, 3])


_ANGLE = st.floats(-720, 720)


@given(st.tuples(_EDGE, _EDGE, _EDGE, _EDGE), _ANGLE)
def test_the_box_around_a_turned_box_holds_its_corners(box: tuple[float, float, float, float], angle: float) -> None:
    ymin, xmin, ymax, xmax = rotated_box(box, angle)
    if angle % 360:
        for x, y in rotated_corners(box, angle):
            assert xmin <= x <= xmax
            assert ymin <= y <= ymax
    middle = (box[0] + box[2], box[1] + box[3])
    assert (ymin + ymax, xmin + xmax) == pytest.approx(middle, abs=1e-6), "the centre stays"


@given(st.floats(1, 100), st.floats(1, 100), _ANGLE, st.floats(0, 360))
def test_a_turned_ellipse_stays_inside_its_box(rx: float, ry: float, angle: float, at: float) -> None:
    ymin, xmin, ymax, xmax = ellipse_box((5, 6), (rx, ry), angle)
    turn, position = math.radians(angle), math.radians(at)
    dx, dy = rx * math.cos(position), ry * math.sin(position)
    x = 5 + math.cos(turn) * dx - math.sin(turn) * dy
    y = 6 + math.sin(turn) * dx + math.cos(turn) * dy
    assert xmin - 1e-6 <= x <= xmax + 1e-6
    assert ymin - 1e-6 <= y <= ymax + 1e-6


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 7))
def test_a_mask_box_is_that_of_its_pixels(runs: list[int], width: int) -> None:
    pixels = [index % 2 for index, run in enumerate(runs) for _ in range(run)]
    on = [divmod(index, width) for index, value in enumerate(pixels) if value]
    rows, columns = [row for row, _ in on], [column for _, column in on]
    expected = (min(rows), min(columns), max(rows) + 1, max(columns) + 1) if on else None
    assert mask_box(runs, width=width) == expected
