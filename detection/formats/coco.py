"""COCO ground truth and results (cocodataset.org, format-data): 0-based ``[x, y, width, height]`` in pixels."""

from collections.abc import Iterable, Iterator
from typing import Any

from detection import boxes as box_ops
from detection.examples import DetectionExample
from detection.formats.pieces import json_list, json_object
from detection.labels import LabelMap
from detection.predictions import OK, PROGRAM, PredictionRow, Run


def image_entry(example: DetectionExample) -> dict[str, Any]:
    """The entry of "images"; its id is the example's source_id."""
    return {
        "id": example.source_id,
        "file_name": example.filename,
        "width": example.width,
        "height": example.height,
    }


def annotation_entries(example: DetectionExample) -> list[dict[str, Any]]:
    """The entries of "annotations", without their ids, which number the whole file."""
    pixels = box_ops.to_pixels(example.boxes, example.height, example.width)
    return [
        {
            "image_id": example.source_id,
            "category_id": item.label_id,
            "bbox": [round(float(value), 2) for value in (xmin, ymin, xmax - xmin, ymax - ymin)],
            "area": round(float(item.area), 2),
            "iscrowd": int(item.is_crowd),
        }
        for item, (ymin, xmin, ymax, xmax) in zip(example.objects, pixels, strict=True)
    ]


def object_entry(image_id: int, label_id: int, box: Iterable[float], *, is_crowd: bool) -> dict[str, Any]:
    """An entry of "annotations", without its id; box is (ymin, xmin, ymax, xmax) in pixels."""
    ymin, xmin, ymax, xmax = (float(edge) for edge in box)
    return {
        "image_id": image_id,
        "category_id": label_id,
        "bbox": [round(value, 2) for value in (xmin, ymin, xmax - xmin, ymax - ymin)],
        "area": round((xmax - xmin) * (ymax - ymin), 2),
        "iscrowd": int(is_crowd),
    }


def ground_truth(
    images: Iterable[dict[str, Any]], annotations: Iterable[dict[str, Any]], labels: LabelMap
) -> dict[str, Any]:
    """A whole COCO ground-truth file, in the order of the image ids."""
    ordered = sorted(annotations, key=lambda entry: entry["image_id"])
    return {
        "info": {"description": f"written by {PROGRAM}"},
        "images": sorted(images, key=lambda entry: entry["id"]),
        "annotations": [{"id": number, **entry} for number, entry in enumerate(ordered, start=1)],
        "categories": [{"id": label_id, "name": name} for label_id, name in sorted(labels.items)],
    }


def result_entry(image_id: int, label_id: int, score: float, box: Iterable[float]) -> dict[str, Any]:
    """One entry of a COCO results file; box is (ymin, xmin, ymax, xmax) in pixels."""
    ymin, xmin, ymax, xmax = (float(edge) for edge in box)
    return {
        "image_id": image_id,
        "category_id": label_id,
        "bbox": [round(value, 3) for value in (xmin, ymin, xmax - xmin, ymax - ymin)],
        "score": score,
    }


def to_results(rows: Iterable[PredictionRow], _: Run) -> Iterator[bytes]:
    """A results file: the flat list that COCO.loadRes takes. Its image ids are those of to_images."""
    yield from json_list(entry for number, row in _numbered(rows) for entry in results_of(number, row))
    yield b"\n"


def to_images(rows: Iterable[PredictionRow], run: Run) -> Iterator[bytes]:
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
