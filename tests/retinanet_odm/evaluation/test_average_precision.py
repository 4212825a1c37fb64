"""Average precision against pycocotools; resampling against copies of images."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from retinanet_odm.evaluation import average_precision
from retinanet_odm.evaluation.analysis import analyse
from retinanet_odm.evaluation.coco_metrics import all_metrics, coco_metrics, describe_limit
from retinanet_odm.evaluation.matching import ScoredSplit, match_detections, overlapping_pairs
from tests.retinanet_odm.evaluation.scenes import CLASSES, Coco, coco_truth, detector, scenes, thing


def _rankings(truth: dict[str, Any], results: list[dict[str, Any]]) -> tuple[average_precision.Ranking, ...]:
    split = ScoredSplit.from_coco(truth, results)
    pairs = overlapping_pairs(split, min_iou=0.5)
    matches = [match_detections(split, pairs.where(pairs.is_same_class), iou=iou) for iou in average_precision.IOUS]
    sizes = {"images": len(split.images), "classes": len(split.classes)}
    return average_precision.rank_classes(split.truth, split.detections, matches, **sizes)


def _plain(truth: dict[str, Any], results: list[dict[str, Any]]) -> np.ndarray:
    return average_precision.average_precisions(_rankings(truth, results), np.ones(len(truth["images"])))


def _crowded() -> Coco:
    """120 detections of a class in an image, of which pycocotools takes 100: the last are right, and one elsewhere."""
    boxes = [[5.0 * row, 0.0, 4.0, 4.0] for row in range(120)]
    results = [thing(box, score=1 - row / 200) for row, box in enumerate(boxes)]
    objects = [thing(box) for box in boxes[80:]]
    return coco_truth([*objects, thing(boxes[0], image=2)], images=2), [*results, thing(boxes[0], image=2, score=0.1)]


def _tied() -> Coco:
    truth, results = detector(100, seed=2)
    return truth, [{**entry, "score": round(entry["score"], 1)} for entry in results]


COCO_CASES = [
    pytest.param(detector(30, seed=0), id="a usual detector"),
    pytest.param(detector(100, seed=1, skill=0.95), id="a good one; 101 recalls and 100 objects make ties"),
    pytest.param(_tied(), id="many equal scores: in the order of the images"),
    pytest.param(_crowded(), id="more than 100 detections of a class in an image"),
    pytest.param((coco_truth([thing([1, 1, 5, 5])], images=2), []), id="no detections"),
    pytest.param((coco_truth([], images=1), [thing([1, 1, 5, 5], score=0.5)]), id="no objects"),
]


def _assert_as_pycocotools(truth: dict[str, Any], results: list[dict[str, Any]]) -> None:
    ours, reference = _plain(truth, results), coco_metrics(truth, results)
    assert average_precision.mean_without_nan(ours) == pytest.approx(reference["AP"], abs=1e-9)
    assert average_precision.mean_without_nan(ours[:, 0]) == pytest.approx(reference["AP50"], abs=1e-9)
    for row, values in zip(ours, reference["per_class"].values(), strict=True):
        assert average_precision.mean_without_nan(row) == pytest.approx(values["AP"], abs=1e-9)


@pytest.mark.parametrize("scene", COCO_CASES)
def test_it_is_what_pycocotools_computes(scene: Coco) -> None:
    _assert_as_pycocotools(*scene)


@settings(max_examples=60)
@given(scenes())
def test_it_is_what_pycocotools_computes_of_anything(scene: Coco) -> None:
    _assert_as_pycocotools(*scene)


def _with_limit(truth: dict[str, Any], results: list[dict[str, Any]], limit: int) -> float:
    """AP50 by pycocotools with another limit than 100."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.maxDets = [limit]
        evaluation.evaluate()
        evaluation.accumulate()
    values = evaluation.eval["precision"][0, :, :, 0, -1]
    return float(values[values > -1].mean())


@pytest.mark.parametrize("limit", [1, 90, 100, 110, 300])
def test_any_limit_is_that_of_pycocotools(limit: int) -> None:
    truth, results = _crowded()
    found = analyse(truth, results, max_detections=limit).summary()["at_limit"]
    assert found["AP50"] == pytest.approx(_with_limit(truth, results, limit), abs=1e-5)
    assert (found["max_detections"], found["images_beyond_coco"]) == (limit, 1)


def test_an_image_of_300_objects_that_are_all_found() -> None:
    boxes = [[5.0 * column, 5.0 * row, 4.0, 4.0] for column in range(20) for row in range(15)]
    truth = coco_truth([thing(box) for box in boxes], images=1)
    results = [thing(box, score=0.9) for box in boxes]
    metrics = all_metrics(truth, results, analyse(truth, results))
    assert metrics["AP50"] == pytest.approx(34 / 101), "recall ends at a third"
    assert (metrics["at_limit"]["AP50"], metrics["per_class"]["crab"]["AP50_at_limit"]) == (1, 1)
    (line,) = describe_limit(metrics)
    assert line == (
        "1 images have more than 100 objects or detections of one class; COCO's metrics stop at 100. With all"
        " detections: AP50 1.000  AP 1.000"
    )


def test_nothing_is_said_of_sparse_images() -> None:
    truth, results = detector(30, seed=0)
    metrics = all_metrics(truth, results, analyse(truth, results))
    assert list(describe_limit(metrics)) == []
    assert metrics["at_limit"]["AP"] == pytest.approx(metrics["AP"], abs=1e-5)


def test_a_crowd_is_no_object_in_any_number() -> None:
    box = [0.0, 0.0, 9.0, 9.0]
    objects = [thing(box, iscrowd=1), thing([20.0, 0.0, 9.0, 9.0])]
    truth, results = coco_truth(objects, images=1), [thing(box, score=0.9), thing(box, score=0.8)]
    metrics = all_metrics(truth, results, analyse(truth, results, thresholds=dict.fromkeys(CLASSES, 0.5)))
    crab, counts = metrics["per_class"]["crab"], metrics["details"]["counts"]["crab"]
    assert (crab["ground_truth"], counts["true"], counts["found"], counts["in_crowds"]) == (1, 1, 0, 2)
    assert (crab["precision"], crab["recall"], crab["count_bias"]) == (None, 0, -1)


def _repeated(truth: dict[str, Any], results: list[dict[str, Any]], times: list[int]) -> Coco:
    """Repeats each image as often as given in times, 0 included, with ids of its own."""
    copies = [image["id"] for image, count in zip(truth["images"], times, strict=True) for _ in range(count)]
    objects = [
        {**{key: value for key, value in entry.items() if key != "id"}, "image_id": number}
        for number, image in enumerate(copies, start=1)
        for entry in truth["annotations"]
        if entry["image_id"] == image
    ]
    found = [
        {**entry, "image_id": number}
        for number, image in enumerate(copies, start=1)
        for entry in results
        if entry["image_id"] == image
    ]
    return coco_truth(objects, images=len(copies)), found


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), times=st.lists(st.integers(0, 3), min_size=6, max_size=6).filter(any))
def test_a_weight_is_as_many_copies_of_the_image(seed: int, times: list[int]) -> None:
    truth, results = detector(6, seed=seed)
    weighted = average_precision.average_precisions(_rankings(truth, results), np.array(times, float))
    np.testing.assert_allclose(weighted, _plain(*_repeated(truth, results, times)), atol=1e-12)


@settings(max_examples=60)
@given(scenes())
def test_precision_falls_as_recall_rises_and_as_the_iou_does(scene: Coco) -> None:
    for ranking in _rankings(*scene):
        curves = average_precision.precision_at_recalls(ranking, np.ones(len(ranking.objects)))
        if ranking.objects.any():
            assert (np.diff(curves, axis=1) <= 0).all() and (curves >= 0).all() and (curves <= 1).all()
        else:
            assert np.isnan(curves).all()


def _boxes_as_results(truth: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        thing(entry["bbox"], label=entry["category_id"], image=entry["image_id"], score=0.8)
        for entry in truth["annotations"]
    ]


@pytest.mark.parametrize(
    ("perfect", "value"), [pytest.param(True, 1.0, id="a perfect detector"), pytest.param(False, 0.0, id="a blind one")]
)
def test_the_ends_of_the_scale_leave_no_doubt(perfect: bool, value: float) -> None:
    truth, _ = detector(20, seed=3)
    rankings = _rankings(truth, _boxes_as_results(truth) if perfect else [])
    found = average_precision.bootstrap_intervals(rankings, np.arange(20), seed=0, resamples=50)
    assert (average_precision.average_precisions(rankings, np.ones(20)) == value).all()
    assert (found.ap, found.ap50, set(found.ap50_per_class)) == ((value, value), (value, value), {(value, value)})


@pytest.mark.parametrize("seed", range(6))
def test_the_interval_holds_the_value_and_narrows_with_more_images(seed: int) -> None:
    widths = []
    for images in (25, 400):
        rankings = _rankings(*detector(images, seed=seed))
        value = average_precision.mean_without_nan(
            average_precision.average_precisions(rankings, np.ones(images))[:, 0]
        )
        low, high = average_precision.bootstrap_intervals(rankings, np.arange(images), seed=seed, resamples=200).ap50
        assert low < value < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_equal_seeds_give_equal_intervals() -> None:
    rankings = _rankings(*detector(20, seed=0))
    once, again, other = (
        average_precision.bootstrap_intervals(rankings, np.arange(20), seed=seed, resamples=50) for seed in (0, 0, 1)
    )
    assert once == again != other


def test_alike_images_of_a_group_count_as_one() -> None:
    """Ten copies of each of 12 images: intervals over images would be three times as narrow as those over groups."""
    truth, results = _repeated(*detector(12, seed=2), [10] * 12)
    rankings = _rankings(truth, results)
    by_image = average_precision.bootstrap_intervals(rankings, np.arange(120), seed=0, resamples=200).ap50
    by_group = average_precision.bootstrap_intervals(rankings, np.arange(120) // 10, seed=0, resamples=200).ap50
    assert 2 < (by_group[1] - by_group[0]) / (by_image[1] - by_image[0]) < 5


def test_a_class_without_objects_has_no_interval() -> None:
    truth = coco_truth([thing([1, 1, 5, 5])], images=3)
    found = average_precision.bootstrap_intervals(_rankings(truth, []), np.arange(3), seed=0, resamples=20)
    assert found.ap50_per_class == ((0.0, 0.0), None, None)
    assert (
        average_precision.bootstrap_intervals(
            _rankings(coco_truth([], images=1), []), np.arange(1), seed=0, resamples=5
        ).ap
        is None
    )
