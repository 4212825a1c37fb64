"""retinanet_odm.dataset.coco."""

from collections.abc import Iterable
from typing import Any

from retinanet_odm import PROGRAM
from retinanet_odm import boxes as box_ops
from retinanet_odm.dataset.examples import DetectionExample
from retinanet_odm.labels.label_map import LabelMap


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
