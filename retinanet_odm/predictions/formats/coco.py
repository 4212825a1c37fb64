"""COCO ground truth and results (cocodataset.org, format-data): 0-based ``[x, y, width, height]`` in pixels."""

from collections.abc import Iterable, Iterator
from typing import Any

from retinanet_odm.predictions.formats.encoding import json_list, json_object
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun


def result_entry(image_id: int, label_id: int, score: float, box: Iterable[float]) -> dict[str, Any]:
    """One entry of a COCO results file; box is (ymin, xmin, ymax, xmax) in pixels."""
    ymin, xmin, ymax, xmax = (float(edge) for edge in box)
    return {
        "image_id": image_id,
        "category_id": label_id,
        "bbox": [round(value, 3) for value in (xmin, ymin, xmax - xmin, ymax - ymin)],
        "score": score,
    }


def to_coco_results(rows: Iterable[PredictionRow], _: ScoringRun) -> Iterator[bytes]:
    """A results file: the flat list that COCO.loadRes takes. Its image ids are those of to_images."""
    yield from json_list(entry for number, row in _numbered(rows) for entry in results_of(number, row))
    yield b"\n"


def to_coco_images(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """The images that the results are about, as a ground-truth file without annotations.

    An image that failed is left out: in an evaluation it would count as one where nothing was found.
    """
    categories = [{"id": label_id, "name": label} for label_id, label in run.classes.items()]
    head = {"info": run.describe(), "categories": categories, "annotations": []}
    entries = (
        {"id": number, "file_name": row.image, "width": row.width, "height": row.height}
        for number, row in _numbered(rows)
        if row.status == OK
    )
    return json_object(head, "images", entries)


def _numbered(rows: Iterable[PredictionRow]) -> Iterator[tuple[int, PredictionRow]]:
    """Ids from 1 over all rows: pycocotools takes an id of 0 for none in some places."""
    return enumerate(rows, start=1)


def results_of(number: int, row: PredictionRow) -> Iterator[dict[str, Any]]:
    """The entries of a results file for the image of this id."""
    for item in row.detections:
        xmin, ymin, xmax, ymax = item.box
        yield result_entry(number, item.label_id, item.score, (ymin, xmin, ymax, xmax))
