"""What a curve says about more labels, and when it says nothing."""

from typing import Any

import pytest

from retinanet_odm.evaluation.learning_curve import judge_curve


def curve(*values: tuple[int, float | None], half: float = 0.03) -> list[dict[str, Any]]:
    return [
        {"images": images, "AP": ap, "interval": None if ap is None else {"AP": (ap - half, ap + half)}}
        for images, ap in values
    ]


BENT = curve((10, 0.1), (50, 0.3), (100, 0.4), (200, 0.46))
SILENT = [
    ("two points have no bend", curve((10, 0.1), (50, 0.3)), 80, "it takes 3 numbers of images, and there are 2"),
    ("few held-out images", BENT, 29, "the held-out split has 29 images"),
    ("no objects", curve((10, None), (50, None), (100, None)), 80, "no objects"),
    ("no intervals", [{**point, "interval": None} for point in BENT], 80, "no intervals"),
    ("the last step falls", curve((10, 0.1), (50, 0.3), (100, 0.2)), 80, "AP did not rise from 50 to 100 images"),
    ("the step before falls", curve((10, 0.3), (50, 0.2), (100, 0.4)), 80, "the points scatter too much"),
    ("the last step may be chance", curve((10, 0.1), (50, 0.3), (100, 0.32)), 80, "which is within the 95 % interval"),
    ("a flat end", curve((10, 0.1), (50, 0.3), (100, 0.3)), 80, "which is within the 95 % interval"),
    ("a curve that does not bend", curve((10, 0.1), (20, 0.2), (40, 0.4)), 80, "does not bend"),
]


@pytest.mark.parametrize(("why", "points", "held_out", "words"), SILENT, ids=[row[0] for row in SILENT])
def test_when_no_number_is_given(why: str, points: list[dict[str, Any]], held_out: int, words: str) -> None:
    found = judge_curve(points, held_out=held_out)
    assert found.doubling is None and words in found.text, why


def test_a_curve_that_bends_gives_a_range() -> None:
    found = judge_curve(BENT, held_out=80)
    # Per doubling 0.1, then 0.06: the next one brings 0.06 · 0.6 if it goes on to bend, 0.06 if it does not.
    assert found.doubling == pytest.approx((0.036, 0.06))
    assert "(400) would bring about +0.04 to +0.06 AP" in found.text


def test_no_gain_goes_beyond_1() -> None:
    found = judge_curve(curve((10, 0.2), (20, 0.7), (40, 0.95)), held_out=80)
    assert found.doubling == pytest.approx((0.05, 0.05))
