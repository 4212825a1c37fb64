"""MegaDetector results 1.6, checked against the rules of its document."""

import dataclasses
import json
import re
from typing import Any

import pytest
from hypothesis import given

from retinanet_odm.predictions.formats.megadetector import to_megadetector
from retinanet_odm.predictions.rows import OK, Detection, PredictionRow
from tests.retinanet_odm.prediction_rows import FRAME, PIG, ROWS, RUN, failed, random_rows, scored


def _results(rows: list[PredictionRow]) -> dict[str, Any]:
    return json.loads(b"".join(to_megadetector(rows, RUN)))


def check_rules(value: dict[str, Any]) -> None:
    """Checks the rules of megadetector-output-format.md for files without videos and classifications."""
    assert {"info", "detection_categories", "images"} == value.keys()
    assert value["info"]["format_version"] == "1.6", "text, not a number"
    assert all(re.fullmatch(r"[1-9]\d*", key) and name.strip() for key, name in value["detection_categories"].items())
    for image in value["images"]:
        assert "\\" not in image["file"]
        if "failure" in image:
            assert isinstance(image["failure"], str) and image["failure"]
            assert image["detections"] is None, "an empty list would mean that there are no detections"
        else:
            assert isinstance(image["detections"], list)
            for found in image["detections"]:
                _check_detection(found, value["detection_categories"])


def _check_detection(found: dict[str, Any], categories: dict[str, str]) -> None:
    assert found.keys() == {"category", "conf", "bbox"}
    assert found["category"] in categories
    assert isinstance(found["conf"], float) and 0 <= found["conf"] <= 1
    x, y, width, height = found["bbox"]
    assert all(0 <= side <= 1 for side in found["bbox"])
    assert x + width <= 1 + 1e-6 and y + height <= 1 + 1e-6


def test_the_rules() -> None:
    check_rules(_results(list(ROWS)))


@given(random_rows)
def test_the_rules_whatever_the_rows(rows: list[PredictionRow]) -> None:
    value = _results(rows)
    check_rules(value)
    assert [(image["file"], "failure" in image) for image in value["images"]] == [
        (row.image.replace("\\", "/"), row.status != OK) for row in rows
    ]


def test_the_content() -> None:
    value = _results([scored(FRAME, PIG), failed("x.jpg"), failed("y.jpg", "model_refused_image")])
    assert value["detection_categories"] == {"1": "crab", "2": "sea pig", "4": 'Étoile "de", mer'}
    metadata = value["info"]["detector_metadata"]
    assert (metadata["model_hash"], metadata["conservative_detection_threshold"]) == (RUN.model_hash, 0.25)
    assert metadata["thresholds"] == {"crab": 0.3, "sea pig": 0.4, 'Étoile "de", mer': 0.25}
    frame, unread, refused = value["images"]
    assert frame == {
        "file": FRAME,
        "detections": [{"category": "2", "conf": 0.9, "bbox": [0.125, 0.2, 0.38125, 0.333333]}],
        "width": 40,
        "height": 30,
        "datetime": "2016-11-10 14:24:12",
    }
    assert unread == {"file": "x.jpg", "detections": None, "failure": "image access failure"}
    assert refused["failure"] == "inference failure"


def test_timelapse_begins_at_the_lowest_threshold_and_can_go_down_to_all() -> None:
    run = dataclasses.replace(RUN, min_scores=dict.fromkeys(RUN.classes, 0.05))
    metadata = json.loads(b"".join(to_megadetector([], run)))["info"]["detector_metadata"]
    assert metadata["typical_detection_threshold"] == 0.25
    assert metadata["conservative_detection_threshold"] == 0.05


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param((-4.0, -3.0, 44.0, 33.0), [0, 0, 1, 1], id="beyond every border"),
        pytest.param((20.0, 15.0, 40.0, 30.0), [0.5, 0.5, 0.5, 0.5], id="as far as the border"),
    ],
)
def test_boxes_stay_in_the_image(box: tuple[float, float, float, float], expected: list[float]) -> None:
    found = Detection(label="crab", label_id=1, score=0.5, box=box)
    assert _results([scored("a.jpg", found)])["images"][0]["detections"][0]["bbox"] == expected


# What Timelapse's reader does with a file (github.com/saulgreenberg/Timelapse, src/Timelapse/Recognition). A rule is a
# function of the complete document.
_METADATA = ("typical_detection_threshold", "conservative_detection_threshold")
TIMELAPSE = {
    "info has text and numbers where its classes have them, or the file is refused": lambda value: (
        isinstance(value["info"]["detector"], str)
        and all(isinstance(value["info"]["detector_metadata"][name], float) for name in _METADATA)
    ),
    "it adds the category 0 for images without detections": lambda value: "0" not in value["detection_categories"],
    "it merges categories of one name": lambda value: (
        len(set(value["detection_categories"].values())) == len(value["detection_categories"])
    ),
    "a detection of a category that is not listed counts as none": lambda value: all(
        found["category"] in value["detection_categories"]
        for image in value["images"]
        for found in image["detections"] or ()
    ),
    "max_detection_conf is of versions before 1.3: its classes no longer have it": lambda value: all(
        "max_detection_conf" not in image for image in value["images"]
    ),
    "an image whose detections are null is passed over, one with an empty list counts as empty": lambda value: all(
        (image["detections"] is None) == ("failure" in image) for image in value["images"]
    ),
    "failures are those of MegaDetector's run_detector.py": lambda value: (
        {image["failure"] for image in value["images"] if "failure" in image}
        == {"image access failure", "inference failure"}
    ),
    "it splits folder and name at slashes": lambda value: all("\\" not in image["file"] for image in value["images"]),
    "without a frame rate, a file is no video": lambda value: all(
        "frame_rate" not in image for image in value["images"]
    ),
}


@pytest.mark.parametrize("rule", TIMELAPSE)
def test_the_rules_of_timelapse(rule: str) -> None:
    assert TIMELAPSE[rule](_results(list(ROWS)))
