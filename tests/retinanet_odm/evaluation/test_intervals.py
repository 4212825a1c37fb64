"""Intervals of the rates at the thresholds: they hold the rate, and know how much a resample can change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinanet_odm.evaluation.intervals import ImageCounts, bootstrap_rates, describe_few_images


def _counts(objects: list[int], kept: list[int], hits: list[int]) -> ImageCounts:
    return ImageCounts(
        **{name: np.array(values)[:, None] for name, values in (("objects", objects), ("kept", kept), ("hits", hits))}
    )


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param(
            _counts([2] * 8, [4] * 8, [1] * 8),
            {"recall": (0.5, 0.5), "precision": (0.25, 0.25), "count_ratio": (2.0, 2.0)},
            id="equal images leave no doubt",
        ),
        pytest.param(
            _counts([2] * 8, [0] * 8, [0] * 8),
            {"recall": (0.0, 0.0), "precision": None, "count_ratio": (0.0, 0.0)},
            id="no box: none of them can be right or wrong",
        ),
        pytest.param(
            _counts([0] * 8, [1] * 8, [0] * 8),
            {"recall": None, "precision": (0.0, 0.0), "count_ratio": None},
            id="no object: no share of them",
        ),
    ],
)
def test_the_intervals_of(counts: ImageCounts, expected: dict[str, tuple[float, float] | None]) -> None:
    overall, by_class = bootstrap_rates(counts, np.arange(8), seed=0)
    assert overall == by_class[0] == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=5, max_size=40), st.integers(0, 5))
def test_the_interval_holds_the_rate(images: list[tuple[int, int]], seed: int) -> None:
    objects, hits = [sum(pair) for pair in images], [hit for hit, _ in images]
    overall, _ = bootstrap_rates(_counts(objects, hits, hits), np.arange(len(images)), seed=seed)
    if sum(objects):
        low, high = overall["recall"]
        assert 0 <= low <= high <= 1
        assert low - 0.1 <= sum(hits) / sum(objects) <= high + 0.1


_WIDE = [{"AP50": (0.312, 0.877)}]
# why, images, intervals of eval.json, the line
_FEW = [
    ("too few for an interval", 3, [], "split 'val' has 3 images, so this AP says little"),
    ("one", 1, [], "split 'val' has 1 image, so this AP says little"),
    ("no object in any resample", 9, [{"AP50": None}], "split 'val' has 9 images, so this AP says little"),
    ("the same in every draw", 25, [{"AP50": (1.0, 1.0)}], "split 'val' has 25 images, so this AP says little"),
    (
        "with its interval",
        9,
        _WIDE,
        "split 'val' has 9 images, so this AP says little: with other images AP50 may be 0.31 to 0.88 (95 %)",
    ),
    ("enough", 30, _WIDE, None),
]


@pytest.mark.parametrize(("why", "images", "intervals", "expected"), _FEW, ids=[row[0] for row in _FEW])
def test_few_images(why: str, images: int, intervals: list[dict[str, object]], expected: str | None) -> None:
    metrics = {"split": "val", "images": images, "intervals": intervals}
    assert list(describe_few_images(metrics)) == ([expected] if expected else []), why
