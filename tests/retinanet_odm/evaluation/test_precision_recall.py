"""The threshold from which detections are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.evaluation import precision_recall
from retinanet_odm.evaluation.matching import DetectionMatches, ScoredSplit, match_detections, overlapping_pairs
from tests.retinanet_odm.evaluation.scenes import Coco, scenes, split_of, thing

_DETECTIONS = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), max_size=30)


def _curve(rows: list[tuple[float, bool]], objects: int) -> precision_recall.PrecisionRecall:
    return precision_recall.make_precision_recall(
        np.array([row[0] for row in rows]), np.array([row[1] for row in rows], bool), objects
    )


@given(rows=_DETECTIONS, more=st.integers(0, 5))
def test_every_point_is_what_counting_gives(rows: list[tuple[float, bool]], more: int) -> None:
    objects = sum(is_hit for _, is_hit in rows) + more
    curve = _curve(rows, objects)
    for row, threshold in enumerate(precision_recall.THRESHOLDS):
        kept = [is_hit for score, is_hit in rows if score >= threshold]
        assert (curve.kept[row], curve.hits[row]) == (len(kept), sum(kept))
        if kept and objects:
            precision, recall = sum(kept) / len(kept), sum(kept) / objects
            harmonic = 2 * precision * recall / (precision + recall) if sum(kept) else 0
            assert curve.f1[row] == pytest.approx(harmonic)


@given(rows=_DETECTIONS, more=st.integers(0, 5))
def test_recall_never_rises_with_the_threshold_and_no_f1_beats_the_best(
    rows: list[tuple[float, bool]], more: int
) -> None:
    curve = _curve(rows, sum(is_hit for _, is_hit in rows) + more)
    assert (np.diff(curve.kept) <= 0).all() and (np.diff(curve.hits) <= 0).all()
    best = curve.best_threshold()
    assert (best is None) == (not any(is_hit for _, is_hit in rows))
    if best is not None:
        assert curve.f1[round(100 * best)] == curve.f1.max() > 0


BEST = [
    ("right ones above, false ones below: half way between", [(0.8, True), (0.7, True), (0.5, False)], 2, 0.61),
    ("all are right: keep them all, with room on both sides", [(0.8, True), (0.8, True)], 2, 0.40),
    ("one right above many false", [(0.9, True), *[(0.6, False)] * 9], 1, 0.76),
    ("better false ones than none", [(0.9, False), (0.5, True)], 1, 0.25),
    ("nothing right", [(0.9, False)], 1, None),
    ("nothing found", [], 3, None),
]


@pytest.mark.parametrize(("rows", "objects", "best"), [row[1:] for row in BEST], ids=[row[0] for row in BEST])
def test_best_threshold(rows: list[tuple[float, bool]], objects: int, best: float | None) -> None:
    assert _curve(rows, objects).best_threshold() == best


def _matched(split: ScoredSplit) -> DetectionMatches:
    pairs = overlapping_pairs(split, min_iou=0.5)
    return match_detections(split, pairs.where(pairs.is_same_class), iou=0.5)


@given(scenes())
def test_classes_add_up_to_all(scene: Coco) -> None:
    split = ScoredSplit.from_coco(*scene)
    overall, parts = (
        precision_recall.overall_curve(split, _matched(split)),
        precision_recall.class_curves(split, _matched(split)),
    )
    assert sum(part.objects for part in parts) == overall.objects
    np.testing.assert_array_equal(sum(part.kept for part in parts), overall.kept)
    np.testing.assert_array_equal(sum(part.hits for part in parts), overall.hits)


def test_a_class_of_which_nothing_is_found_takes_the_threshold_of_all() -> None:
    box, other = [10, 10, 40, 40], [90, 90, 40, 40]
    split = split_of([thing(box), thing(other, label=2)], [thing(box, score=0.6), thing(box, label=2, score=0.3)])
    matches = _matched(split)
    chosen = precision_recall.best_f1_thresholds(
        precision_recall.overall_curve(split, matches), precision_recall.class_curves(split, matches)
    )
    assert chosen.overall == 0.46
    assert chosen.per_class.tolist() == [0.3, 0.46, 0.46]
    assert chosen.kept(split).tolist() == [True, False]


def test_where_nothing_is_right_the_threshold_is_a_half() -> None:
    split = split_of([], [thing([1, 1, 9, 9], score=0.9)])
    matches = _matched(split)
    chosen = precision_recall.best_f1_thresholds(
        precision_recall.overall_curve(split, matches), precision_recall.class_curves(split, matches)
    )
    assert (chosen.overall, chosen.per_class.tolist()) == (0.5, [0.5] * 3)


def test_a_score_at_the_threshold_is_kept() -> None:
    split = split_of([], [thing([1, 1, 9, 9], score=0.5), thing([1, 1, 9, 9], score=0.49)])
    assert precision_recall.ClassThresholds(overall=0.9, per_class=np.full(3, 0.5)).kept(split).tolist() == [
        True,
        False,
    ]
