"""Error types, the gains from fixing them, and the confusion matrix."""

import numpy as np
import pytest
from hypothesis import given, settings

from retinanet_odm.evaluation import error_types
from retinanet_odm.evaluation.error_types import HIT_IOU, NEAR_IOU, ErrorKind
from retinanet_odm.evaluation.matching import (
    CandidatePairs,
    DetectionMatches,
    ScoredSplit,
    match_detections,
    overlapping_pairs,
)
from tests.retinanet_odm.evaluation.scenes import Coco, scenes, split_of, thing

BOX = [100, 100, 100, 100]
CLOSE = [105, 100, 100, 100]  # IoU 0.90
OFF = [150, 100, 100, 100]  # 0.33
TOUCHING = [195, 100, 100, 100]  # 0.03


def _matched(split: ScoredSplit) -> tuple[CandidatePairs, DetectionMatches]:
    pairs = overlapping_pairs(split, min_iou=NEAR_IOU)
    return pairs, match_detections(split, pairs.where(pairs.is_same_class), iou=HIT_IOU)


KINDS = [
    ("right", [thing(BOX)], [thing(CLOSE, score=0.9)], [ErrorKind.NONE]),
    ("too far off", [thing(BOX)], [thing(OFF, score=0.9)], [ErrorKind.LOCALISATION]),
    ("wrong name", [thing(BOX)], [thing(CLOSE, label=2, score=0.9)], [ErrorKind.CLASSIFICATION]),
    ("wrong name, too far off", [thing(BOX)], [thing(OFF, label=2, score=0.9)], [ErrorKind.BOTH]),
    (
        "found twice",
        [thing(BOX)],
        [thing(BOX, score=0.9), thing(CLOSE, score=0.8)],
        [ErrorKind.NONE, ErrorKind.DUPLICATE],
    ),
    ("an edge in common is not near", [thing(BOX)], [thing(TOUCHING, score=0.9)], [ErrorKind.BACKGROUND]),
    ("an empty image", [], [thing(BOX, score=0.9)], [ErrorKind.BACKGROUND]),
    ("inside a crowd: no error", [thing(BOX, iscrowd=1)], [thing(BOX, score=0.9)], [ErrorKind.NONE]),
    (
        "near a crowd of another class",
        [thing(BOX, iscrowd=1)],
        [thing(BOX, label=2, score=0.9)],
        [ErrorKind.BACKGROUND],
    ),
    (
        "on one object and near another of its class: it is about the first",
        [thing(BOX), thing(OFF, label=2)],
        [thing(CLOSE, label=2, score=0.9)],
        [ErrorKind.CLASSIFICATION],
    ),
    (
        "an object in another image",
        [thing(BOX, image=2)],
        [thing(BOX, image=1, score=0.9)],
        [ErrorKind.BACKGROUND],
    ),
]


@pytest.mark.parametrize(("objects", "results", "kinds"), [row[1:] for row in KINDS], ids=[row[0] for row in KINDS])
def test_kinds(objects: list, results: list, kinds: list[ErrorKind]) -> None:
    split = split_of(objects, results, images=2)
    assert error_types.find_error_types(split, *_matched(split)).kind.tolist() == kinds


@settings(max_examples=150)
@given(scenes())
def test_the_kinds_part_the_false_detections(scene: Coco) -> None:
    split = ScoredSplit.from_coco(*scene)
    pairs, matches = _matched(split)
    found = error_types.find_error_types(split, pairs, matches)
    np.testing.assert_array_equal(found.kind != ErrorKind.NONE, matches.is_false)
    np.testing.assert_array_equal(
        found.nearest[matches.is_false] < 0, found.kind[matches.is_false] == ErrorKind.BACKGROUND
    )
    assert not split.truth.is_crowd[found.nearest[found.nearest >= 0]].any()


@settings(max_examples=100)
@given(scenes())
def test_fixing_never_lowers_ap(scene: Coco) -> None:
    split = ScoredSplit.from_coco(*scene)
    pairs, matches = _matched(split)
    found = error_types.find_error_types(split, pairs, matches)
    plain = error_types.average_precision_50(split, matches)
    for kind in set(ErrorKind) - {ErrorKind.NONE}:
        fixed = error_types.fixed_average_precision(split, matches, found, kind)
        assert (fixed is None) == (plain is None)
        assert fixed is None or fixed >= plain - 1e-9, kind


FIXED = [
    ("a corrected box", ErrorKind.LOCALISATION, [thing(BOX)], [thing(OFF, score=0.9)], 0.0, 1.0),
    ("a corrected class", ErrorKind.CLASSIFICATION, [thing(BOX)], [thing(CLOSE, label=2, score=0.9)], 0.0, 1.0),
    ("both wrong: it can only be removed", ErrorKind.BOTH, [thing(BOX)], [thing(OFF, label=2, score=0.9)], 0.0, 0.0),
    (
        "a false one before the right one",
        ErrorKind.BACKGROUND,
        [thing(BOX)],
        [thing(TOUCHING, score=0.9), thing(BOX, score=0.8)],
        0.5,
        1.0,
    ),
    (
        "an inaccurate box of an object that is already found is removed",
        ErrorKind.LOCALISATION,
        [thing(BOX)],
        [thing(OFF, score=0.9), thing(BOX, score=0.8)],
        0.5,
        1.0,
    ),
    (
        "it does not stand for another object",
        ErrorKind.LOCALISATION,
        [thing(BOX), thing([400, 400, 50, 50])],
        [thing(BOX, score=0.9), thing(OFF, score=0.8)],
        51 / 101,
        51 / 101,
    ),
    (
        "of two inaccurate boxes only the first is corrected",
        ErrorKind.LOCALISATION,
        [thing(BOX)],
        [thing(OFF, score=0.9), thing(OFF, score=0.8)],
        0.0,
        1.0,
    ),
    ("another kind stays as it is", ErrorKind.DUPLICATE, [thing(BOX)], [thing(OFF, score=0.9)], 0.0, 0.0),
]


@pytest.mark.parametrize(
    ("kind", "objects", "results", "plain", "fixed"), [row[1:] for row in FIXED], ids=[row[0] for row in FIXED]
)
def test_fixing(kind: ErrorKind, objects: list, results: list, plain: float, fixed: float) -> None:
    split = split_of(objects, results)
    pairs, matches = _matched(split)
    found = error_types.find_error_types(split, pairs, matches)
    assert error_types.average_precision_50(split, matches) == pytest.approx(plain)
    assert error_types.fixed_average_precision(split, matches, found, kind) == pytest.approx(fixed)


def test_without_the_missed_objects_recall_is_1() -> None:
    split = split_of([thing(BOX), thing([400, 400, 50, 50])], [thing(BOX, score=0.9)])
    _, matches = _matched(split)
    assert error_types.average_precision_50(split, matches) == pytest.approx(51 / 101), "recalls 0 to 0.50 of 101"
    assert error_types.average_precision_without_missed(split, matches, np.array([False, True])) == 1.0


def test_an_object_with_a_wrong_box_at_it_counts_as_localised_only_if_the_detection_is_kept() -> None:
    split = split_of([thing(BOX)], [thing(OFF, score=0.9)])
    found = error_types.find_error_types(split, *_matched(split))
    assert found.localised_or_classified(np.array([True]), split.truth).tolist() == [True]
    assert found.localised_or_classified(np.array([False]), split.truth).tolist() == [False]


@settings(max_examples=100)
@given(scenes())
def test_rows_of_the_confusion_matrix_add_up_to_the_truth(scene: Coco) -> None:
    split = ScoredSplit.from_coco(*scene)
    kept = split.detections.score >= 0.5
    matrix = error_types.confusion_matrix(split, overlapping_pairs(split, min_iou=NEAR_IOU), kept)
    objects = split.truth.label[~split.truth.is_crowd]
    np.testing.assert_array_equal(matrix[:-1].sum(axis=1), np.bincount(objects, minlength=len(split.classes)))
    in_crowds = kept.sum() - matrix[:, :-1].sum()
    assert 0 <= in_crowds <= (kept.sum() if split.truth.is_crowd.any() else 0)
    assert matrix[-1, -1] == 0


def test_confusion() -> None:
    there = [thing(BOX), thing([400, 100, 50, 50]), thing([100, 400, 50, 50], label=2)]
    found = [
        thing(BOX, score=0.9),
        thing(CLOSE, label=3, score=0.8),  # its object is already matched
        thing([400, 100, 50, 50], label=2, score=0.7),
        thing([100, 400, 50, 50], label=2, score=0.1),  # not kept
    ]
    split = split_of(there, found)
    matrix = error_types.confusion_matrix(
        split, overlapping_pairs(split, min_iou=NEAR_IOU), split.detections.score >= 0.5
    )
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]]


def test_a_crowd_excuses_its_own_class_alone() -> None:
    split = split_of([thing(BOX, iscrowd=1)], [thing(BOX, score=0.9), thing(BOX, label=2, score=0.8)])
    matrix = error_types.confusion_matrix(split, overlapping_pairs(split, min_iou=NEAR_IOU), np.array([True, True]))
    assert matrix.tolist() == [[0] * 4, [0] * 4, [0] * 4, [0, 1, 0, 0]]
