"""The boxes of the training split, and where they lie on the canvas."""

from pathlib import Path

import numpy as np
import pytest

from tests.trainer.conftest import SIZE, make_example
from trainer.data import records, training_boxes
from trainer.presets import make_config


def test_boxes_are_read_as_they_lie_on_the_canvas(dataset: Path) -> None:
    config = make_config("tiny", {"dataset": str(dataset)})
    found = training_boxes.read_boxes(config, records.read_dataset_manifest(str(dataset)))
    examples = [make_example(source_id) for source_id in [*range(1, 25, 2), *range(2, 25, 2)]]
    boxes = np.concatenate([example.boxes for example in examples]) * np.tile(SIZE, 2)
    np.testing.assert_allclose(found.place("256")[0], boxes * 2, rtol=1e-6)
    assert found.labels.tolist() == [item.label_id for example in examples for item in example.objects]
    assert (found.images, found.is_complete) == (24, True)


def test_a_large_split_is_read_in_part(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_boxes, "MAX_BOXES", 1)
    monkeypatch.setattr(training_boxes, "_BATCH", 4)
    config = make_config("tiny", {"dataset": str(dataset)})
    found = training_boxes.read_boxes(config, records.read_dataset_manifest(str(dataset)))
    assert (found.images, found.is_complete) == (4, False)
