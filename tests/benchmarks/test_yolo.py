"""Labels for Ultralytics and its predictions: the classes have numbers from 0 there, and label ids with gaps here."""

import json
from pathlib import Path

from benchmarks.yolo import read_results, yolo_lines
from retinanet_odm.dataset.examples import DetectionExample, ExampleObject


def test_labels_are_fractions_of_the_image() -> None:
    item = ExampleObject(label_id=7, label="crab", box=(0.25, 0.1, 0.75, 0.3), area=1.0)
    image = DetectionExample(
        encoded=b"", format="jpeg", height=4, width=5, filename="a.jpg", source_id=3, sha256="", objects=(item, item)
    )
    assert yolo_lines(image, {2: 0, 7: 1}) == "1 0.200000 0.500000 0.200000 0.500000\n" * 2


def test_predictions_get_our_label_ids(tmp_path: Path) -> None:
    truth = {"categories": [{"id": 7, "name": "crab"}, {"id": 2, "name": "urchin"}]}
    (tmp_path / "val.json").write_text(json.dumps(truth))
    row = {"image_id": 31, "file_name": "31.jpeg", "category_id": 2, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 0.5}
    (tmp_path / "predictions.json").write_text(json.dumps([row]))
    (found,) = read_results(tmp_path / "predictions.json", tmp_path)
    assert found == {"image_id": 31, "category_id": 7, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 0.5}
