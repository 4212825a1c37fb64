"""The best anchor of a box; that it is the best of the whole grid is shown beside the trainer's grid."""

import numpy as np
import pytest

from retinanet_odm.dataset.anchor_coverage import best_overlap

_CANVAS = (256, 320)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param((-12, -12, 20, 20), 1.0, id="the first anchor, which leaves the canvas"),
        pytest.param((-8, -8, 16, 16), 24**2 / 32**2, id="smaller than any anchor: the smallest holds it"),
        pytest.param((2, 2, 6, 6), 4**2 / 32**2, id="far smaller"),
        pytest.param((236, 300, 268, 332), 1.0, id="the last anchor of the smallest level"),
        pytest.param((-512, -512, 768, 832), 512 * 2 ** (2 / 3) * 512 * 2 ** (2 / 3) / (1280 * 1344), id="larger"),
        pytest.param((1000, 1000, 1010, 1010), 0.0, id="off the canvas"),
        pytest.param((16, 16, 16, 48), 0.0, id="without height"),
    ],
)
def test_best_overlap(box: tuple[float, ...], expected: float) -> None:
    assert best_overlap([box], _CANVAS) == pytest.approx([expected], abs=1e-9)


def test_each_box_may_have_a_canvas_of_its_own() -> None:
    boxes = np.asarray([(200, 200, 232, 232), (200, 200, 232, 232), (10, 20, 90, 60)], np.float64)
    canvases = [(256, 256), (64, 64), (96, 64)]
    alone = [best_overlap([box], canvas)[0] for box, canvas in zip(boxes, canvases, strict=True)]
    assert best_overlap(boxes, canvases).tolist() == alone
    assert alone[0] > alone[1], "a small canvas has no anchors there"


def test_no_boxes() -> None:
    assert best_overlap([], _CANVAS).shape == (0,)
