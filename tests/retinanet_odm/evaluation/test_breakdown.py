"""Sizes, counts, calibration and deployments."""

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from retinanet_odm.dataset.splits import GroupRule
from retinanet_odm.evaluation import average_precision, breakdown
from retinanet_odm.evaluation.matching import DetectionMatches, ScoredSplit, match_detections, overlapping_pairs
from tests.retinanet_odm.evaluation.scenes import Coco, coco_truth, detector, scenes, split_of, thing


def _matched(split: ScoredSplit) -> DetectionMatches:
    pairs = overlapping_pairs(split, min_iou=0.5)
    return match_detections(split, pairs.where(pairs.is_same_class), iou=0.5)


@given(scenes())
def test_buckets_part_the_objects(scene: Coco) -> None:
    split = ScoredSplit.from_coco(*scene)
    matches, kept = _matched(split), split.detections.score >= 0.5
    buckets = breakdown.size_buckets(split, matches, kept)
    assert sum(bucket.objects for bucket in buckets) == (~split.truth.is_crowd).sum()
    assert sum(bucket.found for bucket in buckets) == (matches.is_hit & kept).sum()
    for bucket in buckets:
        assert (bucket.ap50 is None) == (bucket.objects == 0)
    for before, after in itertools.pairwise(buckets):
        assert before.high == after.low


def test_a_size_is_judged_by_itself() -> None:
    """A small object is found after a false box of its size; false boxes of other sizes do not count for it."""
    small, large = [0, 0, 10, 10], [100, 100, 70, 70]
    results = [
        thing(large, score=0.9),
        thing([300, 300, 11, 11], score=0.8),
        thing(small, score=0.7),
        thing([400, 0, 150, 150], score=0.95),
    ]
    split = split_of([thing(small), thing(large), thing([500, 500, 12, 12])], results)
    first, *between, last = breakdown.size_buckets(split, _matched(split), split.detections.score >= 0.75)
    assert (first.low, first.high, first.objects, first.found) == (8, 16, 2, 0)
    assert first.ap50 == pytest.approx(51 / 101 * 0.5)
    assert (last.low, last.high, last.objects, last.found, last.ap50) == (64, 128, 1, 1, 1.0)
    assert [(bucket.objects, bucket.ap50) for bucket in between] == [(0, None)] * 2


@pytest.mark.parametrize(
    ("side", "low"),
    [
        pytest.param(0.5, 0, id="under a pixel"),
        pytest.param(1.9, 0, id="under two"),
        pytest.param(2, 2, id="an edge belongs to what follows"),
        pytest.param(31.9, 16, id="below an edge"),
        pytest.param(32, 32, id="the next"),
    ],
)
def test_octaves(side: float, low: int) -> None:
    split = split_of([thing([0, 0, side, side])], [])
    (bucket,) = breakdown.size_buckets(split, _matched(split), np.zeros(0, bool))
    assert (bucket.low, bucket.high) == (low, 2 * low or 2)


@given(scenes())
def test_the_count_table_is_what_counting_gives(scene: Coco) -> None:
    truth, results = scene
    split = ScoredSplit.from_coco(truth, results)
    matches, kept = _matched(split), split.detections.score >= 0.5
    true, found, in_crowds = breakdown.count_table(split, matches, kept)
    for image in range(len(split.images)):
        for label in range(len(split.classes)):
            here = [
                entry
                for entry in truth["annotations"]
                if (entry["image_id"], entry["category_id"]) == (image + 1, label + 1)
            ]
            assert true[image, label] == sum(not entry["iscrowd"] for entry in here)
    assert found.sum() == (kept & ~matches.is_ignored).sum()
    scored = Counter((entry["image_id"], entry["category_id"]) for entry in results if entry["score"] >= 0.5)
    assert {
        (image + 1, label + 1): count for (image, label), count in np.ndenumerate(found + in_crowds) if count
    } == scored, "with those in crowds, the counts of counts.csv"


@pytest.mark.parametrize(
    ("objects", "found", "crowded"),
    [
        pytest.param([100], [100], 0, id="exactly COCO's limit"),
        pytest.param([101], [0], 1, id="more objects"),
        pytest.param([0], [101], 1, id="more detections"),
        pytest.param([101, 0, 101], [101, 101, 0], 3, id="each image once"),
        pytest.param([], [], 0, id="no image"),
    ],
)
def test_images_beyond_the_limit(objects: list[int], found: list[int], crowded: int) -> None:
    def things(counts: list[int], **more: float) -> list[dict[str, Any]]:
        return [thing([1, 1, 2, 2], image=image, **more) for image, count in enumerate(counts, 1) for _ in range(count)]

    split = split_of(things(objects), things(found, score=0.5), images=len(objects))
    assert breakdown.count_crowded(split, 100) == crowded


def test_100_of_each_class_are_no_crowd() -> None:
    objects = [thing([1, 1, 2, 2], label=label) for label in (1, 2) for _ in range(100)]
    assert breakdown.count_crowded(split_of(objects, []), 100) == 0


COUNTS = [
    ("all right", [2, 0, 1], [2, 0, 1], 0.0, 0.0),
    ("too many here, too few there: no bias", [2, 3], [3, 2], 1.0, 0.0),
    ("too few", [4, 0], [1, 0], 1.5, -1.5),
    ("too many", [0, 0, 0, 1], [1, 0, 0, 2], 0.5, 0.5),
]


@pytest.mark.parametrize(
    ("true", "found", "error", "bias"), [row[1:] for row in COUNTS], ids=[row[0] for row in COUNTS]
)
def test_counts(true: list[int], found: list[int], error: float, bias: float) -> None:
    counts = breakdown.compare_counts(np.array(true), np.array(found))
    assert (counts.mean_absolute_error, counts.bias) == (error, bias)
    assert (counts.true, counts.found) == (sum(true), sum(found))
    assert sum(counts.images.values()) == len(true)
    assert sum(pair[0] * images for pair, images in counts.images.items()) == sum(true)


CALIBRATIONS = [
    ("four of five at 0.8", [0.8] * 5, [True] * 4 + [False], 0.0, 1),
    ("too bold: half of what is sure", [1.0] * 4, [True, False] * 2, 0.5, 1),
    ("too modest", [0.25] * 4, [True] * 4, 0.75, 1),
    ("weighed by detections", [0.05] * 3 + [0.95], [False] * 3 + [False], 0.25 * 0.95 + 0.75 * 0.05, 2),
    ("no detections", [], [], None, 0),
]


@pytest.mark.parametrize(
    ("scores", "hits", "error", "bins"), [row[1:] for row in CALIBRATIONS], ids=[row[0] for row in CALIBRATIONS]
)
def test_calibration(scores: list[float], hits: list[bool], error: float | None, bins: int) -> None:
    found = breakdown.calibrate(np.array(scores, float), np.array(hits, bool))
    assert found.expected_error == (None if error is None else pytest.approx(error))
    assert len(found.bins) == bins
    assert sum(entry.detections for entry in found.bins) == len(scores)


def test_scores_drawn_from_their_own_probabilities_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(20_000)
    assert breakdown.calibrate(scores, rng.random(20_000) < scores).expected_error < 0.02
    assert breakdown.calibrate(scores, rng.random(20_000) < scores**3).expected_error > 0.2


def test_deployments_and_days_by_name() -> None:
    names = ("StaM_1_20161110_14_24_12.JPG", "d/StaM_1_20161110_23_00_00.JPG", "StaM_1_20161111_00_00_00.JPG", "x.jpg")
    assert breakdown.name_groups(names) == ("StaM_1+20161110", "d/StaM_1+20161110", "StaM_1+20161111", "")
    assert breakdown.name_groups(names, GroupRule("^([^/]+)/")) == ("", "d", "", "")


def test_a_slice_is_what_its_images_alone_give() -> None:
    truth, results = detector(30, seed=4)
    split = ScoredSplit.from_coco(truth, results)
    rankings = average_precision.rank_classes(split.truth, split.detections, [_matched(split)], images=30, classes=3)
    early, late = breakdown.make_slices(("a",) * 10 + ("b",) * 20, rankings)
    alone = [[entry for entry in part if entry["image_id"] <= 10] for part in (truth["annotations"], results)]
    part = ScoredSplit.from_coco(coco_truth(alone[0], images=10), alone[1])
    expected = average_precision.rank_classes(part.truth, part.detections, [_matched(part)], images=10, classes=3)
    assert (early.name, early.images, early.objects) == ("a", 10, len(alone[0]))
    assert early.ap50 == pytest.approx(average_precision.average_precisions(expected, np.ones(10)).mean())
    assert (late.images, early.objects + late.objects) == (20, len(truth["annotations"]))
