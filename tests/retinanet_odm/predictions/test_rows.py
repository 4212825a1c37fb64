"""Prediction rows: one JSON line for each image, also for failed ones."""

import dataclasses
import json
from datetime import datetime

import pytest
from hypothesis import given

from retinanet_odm.errors import ContractError
from retinanet_odm.predictions.rows import FAILED, Detection, PredictionRow
from tests.retinanet_odm.prediction_rows import CRAB, PIG, STAR, random_rows, scored


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


def test_no_detections_is_not_a_failure() -> None:
    value = json.loads(PredictionRow(image="x", width=1, height=1).to_json())
    assert (value["status"], value["detections"]) == ("ok", [])
    assert "reason" not in value


def test_a_failed_image_has_a_reason() -> None:
    value = json.loads(PredictionRow(image="x", status=FAILED, reason="image_empty", detail="x: 0 bytes").to_json())
    assert value["status"] == "failed"
    assert (value["width"], value["reason"], value["detail"]) == (None, "image_empty", "x: 0 bytes")


@pytest.mark.parametrize(
    ("novelty", "written", "unlike"),
    [
        pytest.param(None, None, False, id="a model without a reference: not known"),
        pytest.param(0.0, 0.0, False, id="a training image"),
        pytest.param(1.0, 1.0, False, id="at the limit"),
        pytest.param(1.0004, 1.0, False, id="above it by less than a row shows"),
        pytest.param(1.0006, 1.001, True, id="above it"),
    ],
)
def test_novelty(novelty: float | None, written: float | None, unlike: bool) -> None:
    row = dataclasses.replace(scored("a.jpg", PIG), novelty=novelty, key="0" * 20)
    assert json.loads(row.to_json()).get("novelty") == written
    read = PredictionRow.from_json(row.to_json(), source="x")
    assert read.novelty == written and row.is_unlike_training == read.is_unlike_training == unlike


WHEN = datetime(2016, 11, 10, 14, 24, 12)


def test_the_time_of_exif_is_read_back_and_old_rows_have_none() -> None:
    row = dataclasses.replace(scored("DCIM/100/a.jpg", PIG), time=WHEN)
    assert json.loads(row.to_json())["time"] == "2016-11-10 14:24:12"
    assert PredictionRow.from_json(row.to_json(), source="x") == row
    assert "time" not in json.loads(scored("a.jpg").to_json())


@pytest.mark.parametrize(
    ("image", "time", "deployment", "when"),
    [
        pytest.param("d/east_20170203_000102.jpg", None, "d/east", datetime(2017, 2, 3, 0, 1, 2), id="from its name"),
        pytest.param("site/DCIM/a.jpg", WHEN, "site", WHEN, id="from EXIF, and the folder"),
        pytest.param("a.jpg", WHEN, "", WHEN, id="EXIF, without a folder"),
        pytest.param("site/DCIM/a.jpg", None, "site", None, id="no time"),
    ],
)
def test_deployment_and_time(image: str, time: datetime | None, deployment: str, when: datetime | None) -> None:
    row = dataclasses.replace(scored(image), time=time)
    assert (row.deployment, row.frame.time if row.frame else None) == (deployment, when)
    assert row.frame is None or row.frame.deployment == deployment


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
        pytest.param('{"image": "a", "detections": [], "time": "noon"}', id="no time"),
        pytest.param(
            '{"image": "a", "detections": [{"label": "x", "label_id": 1, "score": 1, "box": [1]}]}', id="half a box"
        ),
    ],
)
def test_no_row(line: str) -> None:
    with pytest.raises(ContractError, match=r"x\.jsonl: expected a row of predictions"):
        PredictionRow.from_json(line, source="x.jsonl")


@pytest.mark.parametrize(
    ("min_scores", "expected"),
    [
        pytest.param({1: 0.25, 2: 0.25, 4: 0.25}, (PIG, CRAB, STAR), id="all, one just reaching it"),
        pytest.param({1: 0.25}, (CRAB,), id="one class"),
        pytest.param({1: 0.51, 2: 0.51}, (PIG,), id="a higher threshold"),
        pytest.param({1: 0.5, 2: 0.95, 4: 0.2}, (CRAB, STAR), id="each class has its own"),
        pytest.param({2: 0.90001}, (PIG,), id="rounded as the scores in rows are"),
        pytest.param({3: 0.0}, (), id="none"),
    ],
)
def test_filtered(min_scores: dict[int, float], expected: tuple[Detection, ...]) -> None:
    assert scored("a", PIG, CRAB, STAR).filtered(min_scores) == scored("a", *expected)


def test_a_row_keeps_the_same_before_it_is_written_and_after() -> None:
    weak = dataclasses.replace(CRAB, score=0.29996)
    row = scored("a", weak)
    again = PredictionRow.from_json(row.to_json(), source="x")
    assert len(row.filtered({1: 0.3}).detections) == len(again.filtered({1: 0.3}).detections) == 1
