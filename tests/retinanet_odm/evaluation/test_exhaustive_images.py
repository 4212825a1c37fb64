"""A class counts only in the images in which it is exhaustive, and nothing counts in ignored regions."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.dataset.coco import ground_truth, object_entry
from retinanet_odm.evaluation.analysis import analyse
from retinanet_odm.evaluation.coco_metrics import all_metrics, coco_metrics
from retinanet_odm.labels.label_map import LabelMap
from tests.retinanet_odm.evaluation.scenes import CLASSES, Coco, detector, scenes


def _all(truth: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, Any]:
    return all_metrics(truth, results, analyse(truth, results))


@given(scenes(), st.integers(1, len(CLASSES)))
def test_an_image_says_nothing_of_a_class_that_is_not_exhaustive_there(scene: Coco, label: int) -> None:
    truth, results = copy.deepcopy(scene)
    truth["images"][0]["not_exhaustive_category_ids"] = [label]
    dropped = [
        [entry for entry in entries if (entry["image_id"], entry["category_id"]) != (1, label)]
        for entries in (truth["annotations"], results)
    ]
    plain = {**scene[0], "annotations": dropped[0]}
    partial, without = coco_metrics(truth, results), coco_metrics(plain, dropped[1])
    for values in partial["per_class"].values():
        assert values.pop("exhaustive_images") in (len(truth["images"]), len(truth["images"]) - 1)
    assert partial == without


def test_counts_are_compared_in_these_images_alone() -> None:
    truth, results = detector(20, seed=1)
    name = CLASSES[0]
    for image in truth["images"][10:]:
        image["not_exhaustive_category_ids"] = [1]
    half = {**truth, "images": truth["images"][:10]}
    half["annotations"] = [entry for entry in truth["annotations"] if entry["image_id"] <= 10]
    expected = _all(half, [entry for entry in results if entry["image_id"] <= 10])
    found = _all(truth, results)
    assert found["details"]["counts"][name]["images"] == expected["details"]["counts"][name]["images"]
    for metric in ("AP", "AP50", "count_error", "count_bias", "ground_truth"):
        assert found["per_class"][name][metric] == expected["per_class"][name][metric], metric
    assert [values["exhaustive_images"] for values in found["per_class"].values()] == [10, 20, 20]


def test_a_class_that_is_exhaustive_nowhere_has_no_metric() -> None:
    truth, results = detector(3, seed=1)
    for image in truth["images"]:
        image["not_exhaustive_category_ids"] = [1]
    values = _all(truth, results)["per_class"][CLASSES[0]]
    assert (values["AP"], values["count_error"], values["ground_truth"]) == (None, None, 0)


@pytest.mark.parametrize(
    ("left", "precision", "why"),
    [
        (50, 1.0, "in the region: neither right nor wrong"),
        (35, 1.0, "half of it: as on a crowd"),
        (10, 0.5, "outside"),
    ],
)
def test_detections_in_an_ignored_region(left: int, precision: float, why: str) -> None:
    labels = LabelMap.from_names(["crab", "fish"])
    entries = [
        object_entry(1, 1, (0, 0, 9, 9), is_crowd=False),
        object_entry(1, None, (20, 40, 60, 80), is_crowd=False),
    ]
    truth = ground_truth([{"id": 1, "file_name": "a.jpg", "width": 90, "height": 90}], entries, labels)
    for label in (1, 2):
        false = {"image_id": 1, "category_id": label, "bbox": [left, 30, 10, 10], "score": 0.9}
        hit = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.8}
        thresholds = dict.fromkeys(("crab", "fish"), 0.5)
        found = all_metrics(truth, [false, hit], analyse(truth, [false, hit], thresholds=thresholds))
        assert found["at_thresholds"]["precision"] == precision, why
        assert found["per_class"]["crab"]["ground_truth"] == 1, "the region is no object"
