"""The output row: one JSON line an image, whatever became of it."""

import json

from detection.predictions import FAILED, Detection, PredictionRow


def test_a_scored_image() -> None:
    found = Detection(label="größer sp. A", label_id=2, score=0.123456, box=(1.005, 2.0, 30.123, 40.0))
    row = PredictionRow(image="a.zip/sub/x.JPG", width=640, height=360, detections=(found,))
    line = row.to_json()
    assert "\n" not in line
    assert "größer" in line
    assert json.loads(line) == {
        "image": "a.zip/sub/x.JPG",
        "width": 640,
        "height": 360,
        "status": "ok",
        "detections": [{"label": "größer sp. A", "label_id": 2, "score": 0.1235, "box": [1.0, 2.0, 30.12, 40.0]}],
    }


def test_nothing_found_is_not_a_failure() -> None:
    value = json.loads(PredictionRow(image="x", width=1, height=1).to_json())
    assert (value["status"], value["detections"]) == ("ok", [])
    assert "reason" not in value


def test_a_failed_image_says_why() -> None:
    value = json.loads(PredictionRow(image="x", status=FAILED, reason="image_empty", detail="x: 0 bytes").to_json())
    assert value["status"] == "failed"
    assert (value["width"], value["reason"], value["detail"]) == (None, "image_empty", "x: 0 bytes")
