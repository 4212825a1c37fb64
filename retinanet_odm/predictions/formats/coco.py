"""COCO results (https://cocodataset.org/#format-results) and the list of images that they refer to.

By default with all scores of the rows, as the format's evaluation needs them; `info` of the images has the thresholds.

Boxes are ``[x, y, width, height]`` in pixels, 0-based and continuous. Image ids are the numbers of the rows, from 1:
pycocotools treats an id of 0 as missing in some places. Category ids are the label ids.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from retinanet_odm.predictions.formats.encoding import json_list, json_object
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun

_BOX_DIGITS = 3
_FIRST_ID = 1


def result_entry(image_id: int, label_id: int, score: float, box: Iterable[float]) -> dict[str, Any]:
    """Return one entry of a results file.

    Example:
      >>> result_entry(1, 2, 0.5, (10, 20, 30, 50))["bbox"]
      [20.0, 10.0, 30.0, 20.0]

    Args:
      image_id: COCO's id of the image.
      label_id: COCO's id of the category.
      score: 0 to 1.
      box: (ymin, xmin, ymax, xmax) in pixels.
    """
    ymin, xmin, ymax, xmax = (float(edge) for edge in box)
    return {
        "image_id": image_id,
        "category_id": label_id,
        "bbox": [round(value, _BOX_DIGITS) for value in (xmin, ymin, xmax - xmin, ymax - ymin)],
        "score": score,
    }


def result_entries(image_id: int, row: PredictionRow) -> Iterator[dict[str, Any]]:
    """Yield the entries of a results file for the detections of a row."""
    for item in row.detections:
        yield result_entry(image_id, item.label_id, item.score, item.corners)


def to_coco_results(rows: Iterable[PredictionRow], _: ScoringRun) -> Iterator[bytes]:
    """Yield coco_results.json: the flat list that COCO.loadRes takes, with the image ids of to_coco_images."""
    yield from json_list(
        entry for image_id, row in enumerate(rows, start=_FIRST_ID) for entry in result_entries(image_id, row)
    )
    yield b"\n"


def to_coco_images(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield coco_images.json: the images and categories of the results, as ground truth without annotations.

    Images that failed are not listed: in an evaluation they would count as images without detections.
    """
    categories = [{"id": label_id, "name": label} for label_id, label in run.classes.items()]
    head = {"info": run.describe(), "categories": categories, "annotations": []}
    entries = (
        {"id": image_id, "file_name": row.image, "width": row.width, "height": row.height}
        # Failed images are counted too, so that both files number the images alike.
        for image_id, row in enumerate(rows, start=_FIRST_ID)
        if row.status == OK
    )
    return json_object(head, "images", entries)
