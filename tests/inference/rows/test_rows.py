"""Rows from the output of a model, and their keys."""

import numpy as np
import pytest

from inference.model.outcome import ModelOutput
from inference.rows.rows import RowCounts, SerializedRow, ShotFacts, failed_row, key_of_line, make_row, with_key
from retinanet_odm.boxes import as_boxes
from retinanet_odm.errors import DataError
from retinanet_odm.predictions.rows import MODEL_REFUSED, PredictionRow
from retinanet_odm.storage.files import FileError


def test_make_row() -> None:
    output = ModelOutput(
        status=0,
        height=10,
        width=20,
        boxes=as_boxes([(1, 2, 3, 4), (5, 6, 7, 8), (0, 0, 1, 1)]),
        scores=np.float32([0.9, 0.5, 0.49]),
        classes=np.int32([2, 7, 1]),
        without_extent=3,
    )
    row = make_row("a", output, ShotFacts(), labels={1: "crab", 2: "fish"}, min_score=0.5)
    found = [(item.label, item.label_id, item.box) for item in row.detections]
    assert found == [("fish", 2, (2, 1, 4, 3)), ("id 7", 7, (6, 5, 8, 7))], "a score equal to the threshold stays"
    read = PredictionRow.from_json(row.to_json(), source="rows")
    assert RowCounts.of([SerializedRow.of(read)]).without_extent == row.without_extent == 3


@pytest.mark.parametrize(
    ("error", "keyed"),
    [
        (DataError("image_empty", "0 bytes"), True),
        (DataError("image_not_decodable", "not an image"), True),
        (DataError(MODEL_REFUSED, "the model's own decoder"), True),
        (FileError("file_not_readable", "the disk may come back"), False),
        (DataError("zip_member_not_readable", "a better copy has the same checksum in its directory"), False),
    ],
)
def test_permanent_failures_have_a_key(error: DataError, keyed: bool) -> None:
    assert with_key(failed_row("a", error), "k").key == ("k" if keyed else None)
    assert with_key(PredictionRow(image="a"), "k").key == "k"


def test_the_key_of_a_line() -> None:
    key = "0123456789abcdef0123"
    row = PredictionRow(image="a", key=key)
    assert key_of_line(row.to_json().encode() + b"\n") == key_of_line(row.to_json().encode()) == key
    for line in (PredictionRow(image=key).to_json(), f'{{"key": "{key}"}}x', ""):
        assert key_of_line(line.encode()) == ""
