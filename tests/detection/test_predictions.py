"""The output row: one JSON line an image, whatever became of it."""

import dataclasses
import json

import pytest
from hypothesis import given

from detection.errors import ContractError
from detection.predictions import FAILED, Detection, PredictionRow
from tests.detection.predicted import CRAB, PIG, RUN, STAR, random_rows, scored


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


@given(random_rows)
def test_a_row_is_read_back(rows: list[PredictionRow]) -> None:
    assert [PredictionRow.from_json(row.to_json(), source="x.jsonl") for row in rows] == rows


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("{", id="not JSON"),
        pytest.param("[]", id="no object"),
        pytest.param('{"image": "a"}', id="no detections"),
        pytest.param('{"image": "a", "detections": [], "colour": 1}', id="a field of another version"),
        pytest.param('{"image": "a", "detections": [{"label": "x"}]}', id="a detection without a box"),
        pytest.param(
            '{"image": "a", "detections": [{"label": "x", "label_id": 1, "score": 1, "box": [1]}]}', id="half a box"
        ),
    ],
)
def test_no_row(line: str) -> None:
    with pytest.raises(ContractError, match=r"x\.jsonl: expected a row of predictions"):
        PredictionRow.from_json(line, source="x.jsonl")


@pytest.mark.parametrize(
    ("classes", "threshold", "expected"),
    [
        pytest.param({1: "crab", 2: "sea pig", 4: "star"}, 0.25, (PIG, CRAB, STAR), id="all, one just reaching it"),
        pytest.param({1: "crab"}, 0.25, (CRAB,), id="one class"),
        pytest.param({1: "crab", 2: "sea pig"}, 0.51, (PIG,), id="a higher threshold"),
        pytest.param({2: "sea pig"}, 0.90001, (PIG,), id="rounded as the scores in rows are"),
        pytest.param({3: "urchin"}, 0.0, (), id="none"),
    ],
)
def test_kept(classes: dict[int, str], threshold: float, expected: tuple[Detection, ...]) -> None:
    run = dataclasses.replace(RUN, classes=classes, threshold=threshold)
    assert scored("a", PIG, CRAB, STAR).kept(run) == scored("a", *expected)
