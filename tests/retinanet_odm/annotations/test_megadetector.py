"""MegaDetector results as annotations: only on request, failures reject their image, and nothing is lost."""

import copy
import json
from typing import Any

import pytest

from retinanet_odm.annotations.megadetector import parse_megadetector
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.errors import AnnotationError

_DETECTION = {"category": "1", "conf": 0.926, "bbox": [0.1, 0.2, 0.3, 0.25]}
_BOX = (0.2, 0.1, 0.45, 0.4)
_RESULTS: dict[str, Any] = {
    "info": {"format_version": "1.6", "detector": "md_v5a.0.0.pt"},
    "detection_categories": {"1": "animal", "2": "person", "3": "vehicle"},
    "images": [
        {"file": "dive 1/a.jpg", "detections": [_DETECTION, {**_DETECTION, "category": "2", "conf": 0.4}]},
        {"file": "b.jpg", "detections": []},
    ],
}


def _read(results: Any, min_score: float | None = 0.8) -> list[ImageAnnotation]:
    return list(parse_megadetector(json.dumps(results).encode(), source="md.json", min_score=min_score))


def _with(**changes: Any) -> dict[str, Any]:
    changed = copy.deepcopy(_RESULTS)
    changed["images"][0]["detections"][0] |= changes
    return changed


@pytest.mark.parametrize(
    ("min_score", "labels", "below"),
    [
        pytest.param(0.8, ["animal"], 1, id="the certain ones"),
        pytest.param(0.4, ["animal", "person"], 0, id="from this score on"),
        pytest.param(0.0, ["animal", "person"], 0, id="all"),
        pytest.param(1.0, [], 2, id="none: the image is taken to be empty, as requested"),
    ],
)
def test_detections_from_a_score_on(min_score: float, labels: list[str], below: int) -> None:
    first, second = _read(_RESULTS, min_score)
    assert (first.filename, [item.label for item in first.objects], first.is_relative) == ("dive 1/a.jpg", labels, True)
    assert sum(count for _, count in first.ignored) == below
    assert (second.filename, second.objects, second.unreadable, first.unreadable) == ("b.jpg", (), (), ())
    assert all(item.box == pytest.approx(_BOX) for item in first.objects)


def test_predictions_must_be_asked_for() -> None:
    with pytest.raises(AnnotationError) as caught:
        _read(_RESULTS, None)
    assert caught.value.reason == "predictions_not_accepted"
    assert "predictions and not annotations" in caught.value.detail and "--min_score=0.8" in caught.value.detail


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        pytest.param({"failure": "image access failure", "detections": None}, "image_not_annotated", id="failed"),
        pytest.param({"failure": "image access failure"}, "image_not_annotated", id="failed, without a list"),
        pytest.param({}, "image_not_annotated", id="no list"),
        pytest.param({"detections": [3]}, "structure_unexpected", id="a number"),
    ],
)
def test_an_image_that_is_rejected(entry: dict[str, Any], reason: str) -> None:
    (image,) = _read({**_RESULTS, "images": [{"file": "a.jpg", **entry}]})
    assert [fault.reason for fault in image.unreadable] == [reason]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"bbox": [100, 200, 30, 25]}, "coordinates_not_relative", id="pixels"),
        pytest.param({"bbox": [0.1, 0.2, 0.3]}, "number_not_readable", id="three numbers"),
        pytest.param({"bbox": [0.1, 0.2, "0.3", 0.4]}, "number_not_readable", id="text"),
        pytest.param({"conf": "high"}, "number_not_readable", id="a word as score"),
        pytest.param({"conf": 92.6}, "number_not_readable", id="a score in percent"),
        pytest.param({"category": "9"}, "class_without_name", id="an unknown category"),
        pytest.param({"category": 1}, "class_without_name", id="a number as category"),
        pytest.param({"frame_number": 3}, "structure_unexpected", id="a video"),
    ],
)
def test_a_detection_that_is_not_understood_rejects_its_image(changes: dict[str, Any], reason: str) -> None:
    first, second = _read(_with(**changes))
    assert ([fault.reason for fault in first.unreadable], second.unreadable) == ([reason], ())


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        pytest.param([_RESULTS], "structure_unexpected", id="a list, as Pytorch-Wildlife writes it"),
        pytest.param({**_RESULTS, "images": {}}, "structure_unexpected", id="images that are no list"),
        pytest.param({"images": []}, "structure_unexpected", id="no categories"),
        pytest.param({**_RESULTS, "images": [{"detections": []}]}, "image_without_name", id="no file"),
        pytest.param({**_RESULTS, "more": [_DETECTION]}, "element_misplaced", id="detections elsewhere"),
    ],
)
def test_files_that_are_rejected(results: Any, reason: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        _read(results)
    assert (caught.value.reason, "md.json" in caught.value.detail) == (reason, True)
