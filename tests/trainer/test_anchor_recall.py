"""What the trainer says of its anchors before it trains."""

import logging
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.conftest import SIZE, make_example
from trainer import anchor_tuning
from trainer.anchor_tuning import BoxesOnCanvas, ClassRecall
from trainer.data import records
from trainer.presets import make_config

CANVAS = (320, 320)


def boxes_of(*shapes: tuple[float, float]) -> BoxesOnCanvas:
    """Boxes of these (height, width) about one centre of the level of stride 8, of class 1."""
    halves = np.array(shapes).reshape(-1, 2) / 2
    boxes = np.concatenate([164 - halves, 164 + halves], axis=1)
    return BoxesOnCanvas(boxes=boxes, labels=np.ones(len(boxes), int), canvas=CANVAS, images=1, is_complete=True)


ROWS = [
    ("the smallest anchor itself", (32, 32), 4, (5, 1, 1)),
    ("far below the smallest anchor", (6, 6), 4, (2, 1, 0)),
    ("a smaller scale reaches it", (6, 6), 0.75, (2, 1, 1)),
    ("too thin for ratios of 0.5 to 2", (10, 100), 4, (4, 1, 0)),
    ("below two pixels is one octave", (0.5, 0.5), 4, (0, 1, 0)),
]


@pytest.mark.parametrize(("why", "shape", "scale", "octave"), ROWS, ids=[row[0] for row in ROWS])
def test_reach_of_one_box(why: str, shape: tuple[float, float], scale: float, octave: tuple[int, int, int]) -> None:
    found = boxes_of(shape)
    config = make_config("tiny", {"anchor_scale": scale})
    shapes = anchor_tuning.anchor_shapes(config)
    whole, eel = anchor_tuning.measure_recall(found, {1: "eel", 2: "crab"}, shapes)
    assert (whole.name, eel.name, whole.octaves, eel.octaves) == ("all classes", "eel", (octave,), (octave,)), why


def test_a_line_tells_recall_by_size() -> None:
    reach = ClassRecall(name="eel", boxes=4, reached=3, octaves=((0, 1, 0), (4, 3, 3)))
    assert reach.line() == " 75.0 % of 4 boxes  eel  (0-2 px: 0.0 % of 1, 16-32 px: 100.0 % of 3)"


def test_no_box_is_no_row() -> None:
    found = boxes_of()
    shapes = anchor_tuning.anchor_shapes(make_config("tiny", {}))
    assert anchor_tuning.measure_recall(found, {1: "eel"}, shapes) == ()


def test_boxes_are_read_as_they_lie_on_the_canvas(dataset: Path) -> None:
    config = make_config("tiny", {"dataset": str(dataset), "image_size": "256"})
    found = anchor_tuning.read_boxes(config, records.read_dataset_manifest(str(dataset)))
    examples = [make_example(source_id) for source_id in [*range(1, 25, 2), *range(2, 25, 2)]]
    boxes = np.concatenate([example.boxes for example in examples]) * np.tile(SIZE, 2) * 2
    np.testing.assert_allclose(found.boxes, boxes, rtol=1e-6)
    assert found.labels.tolist() == [item.label_id for example in examples for item in example.objects]
    assert (found.images, found.is_complete) == (24, True)


def test_a_large_split_is_read_in_part(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchor_tuning, "MAX_BOXES", 1)
    monkeypatch.setattr(anchor_tuning, "_BATCH", 4)
    config = make_config("tiny", {"dataset": str(dataset)})
    found = anchor_tuning.read_boxes(config, records.read_dataset_manifest(str(dataset)))
    assert (found.images, found.is_complete) == (4, False)


ANNOUNCED = [
    ("boxes of 20 to 40 pixels suit the preset", {"image_size": "128"}, 0),
    ("anchors of 160 pixels and more suit none: all, bright, dark", {"image_size": "128", "anchor_scale": 20.0}, 3),
]


@pytest.mark.parametrize(("why", "given", "warnings"), ANNOUNCED, ids=[row[0] for row in ANNOUNCED])
def test_it_is_loud_about_classes_that_are_missed(
    dataset: Path, caplog: pytest.LogCaptureFixture, why: str, given: dict[str, object], warnings: int
) -> None:
    caplog.set_level(logging.INFO)
    config = make_config("tiny", {"dataset": str(dataset), **given})
    manifest = records.read_dataset_manifest(str(dataset))
    anchor_tuning.log_anchor_recall(config, manifest, anchor_tuning.read_boxes(config, manifest))
    lines = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith("warning: ") for line in lines) == warnings, (why, lines)
    assert sum(" boxes  " in line for line in lines) == 3
