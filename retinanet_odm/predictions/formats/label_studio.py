"""Predictions for Label Studio (labelstud.io/guide/predictions): tasks to import, and the interface that shows them.

Boxes are x, y (upper left), width, height in percent of the upright image. An image is given as a file of Label
Studio's local storage, whose document root is the folder of the images (labelstud.io/guide/storage).
"""

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from lxml import etree

from retinanet_odm.predictions.formats.encoding import box_fractions, json_list, legible, xml_text
from retinanet_odm.predictions.rows import OK, Detection, PredictionRow, ScoringRun

# The names in Label Studio's own template for boxes.
_CONTROL, _OBJECT = "label", "image"
_LOCAL_FILE = "/data/local-files/?d="
_DIGITS = 6


def to_label_studio(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield labelstudio.json: a task with one prediction for each image. Images that failed are not listed."""
    model = f"{run.program}, model {run.model}"
    yield from json_list(_task(row, model) for row in rows if row.status == OK)
    yield b"\n"


def to_labeling_interface(_: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield labelstudio.xml, the labeling interface of a project into which the tasks are imported."""
    view = etree.Element("View")
    etree.SubElement(view, "Image", {"name": _OBJECT, "value": f"${_OBJECT}"})
    labels = etree.SubElement(view, "RectangleLabels", {"name": _CONTROL, "toName": _OBJECT})
    for label in run.classes.values():
        etree.SubElement(labels, "Label", {"value": xml_text(label)})
    yield etree.tostring(view, pretty_print=True, encoding="utf-8")


def _task(row: PredictionRow, model: str) -> dict[str, Any]:
    prediction: dict[str, Any] = {
        "model_version": model,
        "result": [_region(number, item, row) for number, item in enumerate(row.detections)],
    }
    if row.detections:
        # Label Studio sorts tasks by it: those with the weakest detection come first.
        prediction["score"] = min(item.score for item in row.detections)
    return {"data": {_OBJECT: _LOCAL_FILE + quote(legible(row.image))}, "predictions": [prediction]}


def _region(number: int, item: Detection, row: PredictionRow) -> dict[str, Any]:
    xmin, ymin, xmax, ymax = box_fractions(item, row)
    sides = {"x": xmin, "y": ymin, "width": xmax - xmin, "height": ymax - ymin}
    percent = {key: round(100 * value, _DIGITS) for key, value in sides.items()}
    return {
        "id": str(number),
        "from_name": _CONTROL,
        "to_name": _OBJECT,
        "type": "rectanglelabels",
        "original_width": row.width,
        "original_height": row.height,
        "image_rotation": 0,
        "score": item.score,
        "value": {**percent, "rotation": 0, "rectanglelabels": [xml_text(item.label)]},
    }
