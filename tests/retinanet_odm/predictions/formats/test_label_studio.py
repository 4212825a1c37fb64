"""Predictions for Label Studio."""

import json

from lxml import etree

from retinanet_odm.predictions.formats.label_studio import to_label_studio, to_labeling_interface
from tests.retinanet_odm.prediction_rows import CRAB, PIG, RUN, failed, scored


def test_the_tasks() -> None:
    rows = [scored("dive 1/é.jpg", PIG, CRAB), failed("b.jpg"), scored("c.jpg")]
    found, nothing = json.loads(b"".join(to_label_studio(rows, RUN)))
    model = f"{RUN.program}, model 0123456789ab"
    assert nothing == {
        "data": {"image": "/data/local-files/?d=c.jpg"},
        "predictions": [{"model_version": model, "result": []}],
    }
    assert found["data"] == {"image": "/data/local-files/?d=dive%201/%C3%A9.jpg"}
    (prediction,) = found["predictions"]
    assert (prediction["model_version"], prediction["score"]) == (model, 0.5)
    first, second = prediction["result"]
    assert first == {
        "id": "0",
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": 40,
        "original_height": 30,
        "image_rotation": 0,
        "score": 0.9,
        "value": {
            "x": 12.5,
            "y": 20.0,
            "width": 38.125,
            "height": 33.333333,
            "rotation": 0,
            "rectanglelabels": ["sea pig"],
        },
    }
    assert second["value"]["rectanglelabels"] == ["crab"]


def test_the_interface_has_the_names_that_the_tasks_use() -> None:
    view = etree.fromstring(b"".join(to_labeling_interface([], RUN)))
    assert view.xpath("string(Image/@name)") == view.xpath("string(RectangleLabels/@toName)") == "image"
    assert view.xpath("string(Image/@value)") == "$image"
    assert view.xpath("string(RectangleLabels/@name)") == "label"
    assert view.xpath("RectangleLabels/Label/@value") == [*RUN.classes.values()]
