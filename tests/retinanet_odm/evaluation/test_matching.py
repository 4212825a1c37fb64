"""Matching: against an oracle that counts pixels, and case by case."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retinanet_odm.evaluation.matching import ScoredSplit, match_detections, overlapping_pairs
from tests.retinanet_odm.evaluation.scenes import Coco, scenes, split_of, thing


def _cells(box: list[float]) -> set[tuple[int, int]]:
    x, y, width, height = (int(edge) for edge in box)
    return {(row, column) for row in range(y, y + height) for column in range(x, x + width)}


def _overlap(detection: dict[str, Any], item: dict[str, Any]) -> float:
    found, true = _cells(detection["bbox"]), _cells(item["bbox"])
    return len(found & true) / len(found if item["iscrowd"] else found | true)


def _oracle(truth: dict[str, Any], results: list[dict[str, Any]], *, iou: float) -> dict[int, int]:
    """Which object (its place in the truth) each detection (its place in the results) takes: COCO's rule in words."""
    matched: dict[int, int] = {}
    for place in sorted(range(len(results)), key=lambda row: -results[row]["score"]):
        detection, best = results[place], None
        for other, item in enumerate(truth["annotations"]):
            is_there = all(item[key] == detection[key] for key in ("image_id", "category_id"))
            is_free = item["iscrowd"] or other not in matched.values()
            if is_there and is_free and _overlap(detection, item) >= iou:
                worth = (not item["iscrowd"], _overlap(detection, item), other)
                best = max(best, worth) if best else worth
        if best:
            matched[place] = best[2]
    return matched


@settings(max_examples=150)
@given(scene=scenes(), iou=st.sampled_from([0.1, 0.35, 0.55, 0.8]))
def test_matches_are_those_of_the_oracle(scene: Coco, iou: float) -> None:
    truth, results = scene
    split = ScoredSplit.from_coco(truth, results)
    pairs = overlapping_pairs(split, min_iou=0.1)
    matches = match_detections(split, pairs.where(pairs.is_same_class), iou=iou)
    found_rows = sorted(range(len(results)), key=lambda row: (results[row]["image_id"], -results[row]["score"]))
    true_rows = sorted(range(len(truth["annotations"])), key=lambda row: truth["annotations"][row]["image_id"])
    matched = {found_rows[row]: true_rows[item] for row, item in enumerate(matches.object_row.tolist()) if item >= 0}
    # Any of several crowds: a detection inside one does not count.
    is_crowd = [bool(entry["iscrowd"]) for entry in truth["annotations"]]
    expected = _oracle(truth, results, iou=iou)
    assert {key: -1 if is_crowd[item] else item for key, item in matched.items()} == {
        key: -1 if is_crowd[item] else item for key, item in expected.items()
    }
    assert matches.is_ignored.sum() == sum(is_crowd[item] for item in expected.values())


BOX, SHIFTED, FAR = [10, 10, 40, 40], [14, 10, 40, 40], [200, 200, 30, 30]

CASES: list[tuple[str, list, list, list[int], list[bool]]] = [
    ("the same box", [thing(BOX)], [thing(BOX, score=0.9)], [0], [False]),
    ("another place", [thing(BOX)], [thing(FAR, score=0.9)], [-1], [False]),
    ("another class", [thing(BOX)], [thing(BOX, label=2, score=0.9)], [-1], [False]),
    (
        "the higher score takes it",
        [thing(BOX)],
        [thing(BOX, score=0.4), thing(SHIFTED, score=0.9)],
        [0, -1],
        [False] * 2,
    ),
    ("equal scores: the first", [thing(BOX)], [thing(SHIFTED, score=0.5), thing(BOX, score=0.5)], [0, -1], [False] * 2),
    ("of equal overlaps the later", [thing(BOX), thing(BOX)], [thing(BOX, score=0.9)], [1], [False]),
    ("the larger overlap", [thing(SHIFTED), thing(BOX)], [thing(BOX, score=0.9)], [1], [False]),
    (
        "the next best where that is matched",
        [thing(BOX), thing(SHIFTED)],
        [thing(BOX, score=0.9)] * 2,
        [0, 1],
        [False] * 2,
    ),
    ("a crowd may be found often", [thing(BOX, iscrowd=1)], [thing(BOX, score=0.9)] * 2, [0, 0], [True] * 2),
    ("an object before a crowd", [thing(BOX, iscrowd=1), thing(SHIFTED)], [thing(BOX, score=0.9)], [1], [False]),
    ("a small box inside a crowd", [thing(BOX, iscrowd=1)], [thing([20, 20, 5, 5], score=0.9)], [0], [True]),
    ("a crowd of another class", [thing(BOX, label=2, iscrowd=1)], [thing(BOX, score=0.9)], [-1], [False]),
    ("a class that is not in the truth is dropped", [thing(BOX)], [thing(BOX, label=77, score=0.9)], [], []),
    ("a box without extent overlaps nothing", [thing(BOX)], [thing([10, 10, 0, 0], score=0.9)], [-1], [False]),
    ("no object", [], [thing(BOX, score=0.9)], [-1], [False]),
    ("nothing at all", [], [], [], []),
]


@pytest.mark.parametrize(
    ("objects", "results", "matched", "ignored"), [row[1:] for row in CASES], ids=[r[0] for r in CASES]
)
def test_cases(objects: list, results: list, matched: list[int], ignored: list[bool]) -> None:
    split = split_of(objects, results)
    pairs = overlapping_pairs(split, min_iou=0.1)
    matches = match_detections(split, pairs.where(pairs.is_same_class), iou=0.5)
    assert matches.object_row.tolist() == matched
    assert matches.is_ignored.tolist() == ignored
    assert (matches.is_hit | matches.is_false | matches.is_ignored).all()


def test_images_are_in_the_order_of_ids_and_detections_by_falling_score() -> None:
    truth = {
        "images": [{"id": 9, "file_name": "b.jpg"}, {"id": 2, "file_name": "a.jpg"}],
        "annotations": [thing(BOX, image=9), thing(FAR, image=2)],
        "categories": [{"id": 5, "name": "x"}, {"id": 1, "name": "y"}],
    }
    results = [thing(BOX, image=9, score=0.1), thing(BOX, image=9, label=5, score=0.3), thing(FAR, image=2, score=0.2)]
    split = ScoredSplit.from_coco(truth, results)
    assert (split.image_ids, split.images, split.class_ids, split.classes) == (
        (2, 9),
        ("a.jpg", "b.jpg"),
        (1, 5),
        ("y", "x"),
    )
    assert split.truth.image.tolist() == [0, 1]
    assert split.detections.score.tolist() == [0.2, 0.3, 0.1]
    assert split.detections.label.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(split.detections.box[0], FAR)
