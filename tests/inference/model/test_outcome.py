"""A box without extent is no detection."""

import numpy as np
import pytest

from inference.model.outcome import ModelOutput, drop_without_extent
from retinanet_odm.boxes import as_boxes

NAN = float("nan")
BOXES = [
    ("inside", (2, 3, 8, 9), True),
    ("one pixel high and wide", (2, 3, 3, 4), True),
    ("a line at the right border", (2, 20, 8, 20), False),
    ("a line at the lower border", (10, 3, 10, 9), False),
    ("less than a pixel high", (2, 3, 2.9, 9), False),
    ("less than a pixel wide", (2, 3, 8, 3.5), False),
    ("edges swapped", (8, 9, 2, 3), False),
    ("no numbers", (NAN, NAN, NAN, NAN), False),
]


@pytest.mark.parametrize(("why", "box", "kept"), BOXES, ids=[row[0] for row in BOXES])
def test_extent(why: str, box: tuple[float, ...], kept: bool) -> None:
    boxes, scores = as_boxes([(0, 0, 5, 5), box, (1, 1, 6, 6)]), np.float32([0.9, 0.8, 0.7])
    output = ModelOutput(status=0, height=10, width=20, boxes=boxes, scores=scores, classes=np.int32([1, 2, 3]))
    found = drop_without_extent(output)
    expected = [1, 2, 3] if kept else [1, 3]
    assert (found.classes.tolist(), found.without_extent) == (expected, 0 if kept else 1), why
    np.testing.assert_array_equal(found.scores, scores[np.isin(output.classes, expected)])
    np.testing.assert_array_equal(found.boxes, boxes[np.isin(output.classes, expected)])
    assert drop_without_extent(found).without_extent == found.without_extent, "applied again, it counts nothing twice"
