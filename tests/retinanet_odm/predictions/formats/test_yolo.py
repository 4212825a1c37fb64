"""YOLO text with scores."""

import dataclasses
import io
import zipfile

import pytest
import yaml

from retinanet_odm.predictions.formats.yolo import to_yolo
from retinanet_odm.predictions.rows import Detection, PredictionRow, ScoringRun
from tests.retinanet_odm.prediction_rows import CRAB, PIG, RUN, STAR, failed, scored


def _members(rows: list[PredictionRow], run: ScoringRun = RUN) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(b"".join(to_yolo(rows, run)))) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_the_text() -> None:
    rows = [scored("x.zip/a.jpg", PIG, CRAB), scored("x.zip/a.png", STAR), failed("b.jpg"), scored("c.jpg")]
    members = _members(rows)
    assert list(members) == ["data.yaml", "labels/x.zip/a.txt", "labels/x.zip/a.png.txt", "labels/c.txt"]
    # The label id 4 is the class 2: there is no label id 3.
    assert list(members.values())[1:] == [
        "1 0.315625 0.366667 0.381250 0.333333 0.9\n0 0.500000 0.500000 1.000000 1.000000 0.5\n",
        "2 0.065625 0.104167 0.056250 0.058333 0.25\n",
        "",
    ]


def test_boxes_are_cut_at_the_borders() -> None:
    beyond = Detection(label="crab", label_id=1, score=0.5, box=(-20.0, -3.0, 20.0, 33.0))
    members = _members([scored("a.jpg", beyond)])
    assert members["labels/a.txt"] == "0 0.250000 0.500000 0.500000 1.000000 0.5\n"


@pytest.mark.parametrize("label", ["no", "1", "a: b", "# a", "'", 'a "b"', "a\nb", "é 🐟", "x" * 300])
def test_names_of_classes_are_read_as_yaml(label: str) -> None:
    run = dataclasses.replace(RUN, classes={**RUN.classes, 4: label})
    text = _members([], run)["data.yaml"]
    assert yaml.safe_load(text) == {"names": {0: "crab", 1: "sea pig", 2: label}}
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert comments == [
        f"# {run.title}",
        "# scores from 0.3: 'crab'",
        "# scores from 0.4: 'sea pig'",
        f"# scores from 0.25: {label!r}",
    ]
