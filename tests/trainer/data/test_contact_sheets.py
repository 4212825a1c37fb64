"""Contact sheets for TensorBoard."""

import numpy as np

from tests.trainer.conftest import LABELS, make_example
from trainer.data import contact_sheets


def test_training_sheet_draws_the_boxes_but_no_padding() -> None:
    image = np.zeros((1, 60, 80, 3), np.uint8)
    boxes = np.array([[[20, 20, 50, 60], [0, 0, 0, 0]]], np.float32)
    sheet = contact_sheets.training_sheet({"image": image, "boxes": boxes, "labels": np.array([[1, 0]])}, LABELS)
    assert sheet.shape == (1, 60, 80, 3)
    assert sheet[0, 50, 21:59].any(axis=-1).all(), "the line below the box"
    assert not sheet[0, 56:].any() and not sheet[0, 25:45, 25:55].any()


def test_detection_sheet_shows_confident_detections() -> None:
    examples = [make_example(8), make_example(11, size=(60, 200)), make_example(14), make_example(17)]
    entry = {"image_id": 8, "category_id": 1, "bbox": [30.0, 40.0, 50.0, 30.0]}
    plain, faint, sure = (
        contact_sheets.detection_sheet(examples, results, LABELS)
        for results in ([], [{**entry, "score": 0.1}], [{**entry, "score": 0.9}])
    )
    assert plain.shape == (1, 2 * 96, 3 * 200, 3), "rows of three, cells of the largest"
    np.testing.assert_array_equal(faint, plain)
    assert (sure != plain).any(axis=-1)[0].sum() > 100
