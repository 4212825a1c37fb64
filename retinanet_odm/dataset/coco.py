"""COCO ground truth of a data set: the entries of "images" and "annotations", and the complete file.

Workers make the entries of their examples (`image_entry`, `annotation_entries`), and `ground_truth` joins them to the
document that pycocotools and other evaluators read. Boxes are [x, y, width, height] in pixels, rounded to hundredths.
The other direction, COCO as annotation format, is `retinanet_odm.annotations.coco`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from retinanet_odm import PROGRAM
from retinanet_odm import boxes as box_ops
from retinanet_odm.dataset.examples import DetectionExample
from retinanet_odm.labels.label_map import LabelMap

# Of an entry of "images": ids of the classes of which it may show objects without an annotation. The name is that of
# LVIS (Gupta et al. 2019, arXiv:1908.03195; lvisdataset.org, "Data format").
NOT_EXHAUSTIVE = "not_exhaustive_category_ids"


def image_entry(example: DetectionExample) -> dict[str, Any]:
    """Return the entry of "images"; its id is the example's source_id."""
    return {
        "id": example.source_id,
        "file_name": example.filename,
        "width": example.width,
        "height": example.height,
        **not_exhaustive_entry(label_id for label_id, _ in example.not_exhaustive),
    }


def not_exhaustive_entry(label_ids: Iterable[int]) -> dict[str, list[int]]:
    """Return what the entry of an image has for classes that are not exhaustive: nothing if all are.

    Example:
      >>> not_exhaustive_entry([3, 1]), not_exhaustive_entry([])
      ({'not_exhaustive_category_ids': [1, 3]}, {})
    """
    found = sorted(label_ids)
    return {NOT_EXHAUSTIVE: found} if found else {}


def annotation_entries(example: DetectionExample) -> list[dict[str, Any]]:
    """Return the entries of "annotations", without ids: these number all annotations of the file.

    Those of ignored regions come last.
    """
    # COCO's boxes are in pixels of the image that the record holds, which --max_side may have reduced.
    pixels = box_ops.to_pixels(example.boxes, example.height, example.width)
    regions = box_ops.to_pixels(box_ops.as_boxes(example.ignored_regions), example.height, example.width)
    objects = [
        {
            "image_id": example.source_id,
            "category_id": item.label_id,
            "bbox": [round(float(value), 2) for value in (xmin, ymin, xmax - xmin, ymax - ymin)],
            "area": round(float(item.area), 2),  # of the example: relative boxes have lost some precision
            "iscrowd": int(item.is_crowd),
        }
        for item, (ymin, xmin, ymax, xmax) in zip(example.objects, pixels, strict=True)
    ]
    return [*objects, *(object_entry(example.source_id, None, box, is_crowd=True) for box in regions)]


def object_entry(image_id: int, label_id: int | None, box: Iterable[float], *, is_crowd: bool) -> dict[str, Any]:
    """Return an entry of "annotations" without id for a box (ymin, xmin, ymax, xmax) in pixels.

    An ignored region has no class: label_id is None, and `ground_truth` makes a crowd of each class of it, because COCO
    has crowds, and no areas that are ignored for all classes.

    Example:
      >>> object_entry(7, 1, (10, 20, 40, 60), is_crowd=False)
      {'image_id': 7, 'category_id': 1, 'bbox': [20.0, 10.0, 40.0, 30.0], 'area': 1200.0, 'iscrowd': 0}
    """
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
    """Return the content of a COCO ground-truth file, in the order of the image ids.

    Args:
      images: entries from image_entry.
      annotations: entries without ids, from annotation_entries or object_entry.
      labels: the label map, which becomes "categories".
    """
    # Sorted, so that the file does not depend on the order in which workers finish; the sort keeps objects in order.
    ordered = sorted(_with_categories(annotations, labels), key=lambda entry: entry["image_id"])
    return {
        "info": {"description": f"written by {PROGRAM}"},
        "images": sorted(images, key=lambda entry: entry["id"]),
        "annotations": [{"id": number, **entry} for number, entry in enumerate(ordered, start=1)],
        "categories": [{"id": label_id, "name": name} for label_id, name in sorted(labels.items)],
    }


def _with_categories(annotations: Iterable[dict[str, Any]], labels: LabelMap) -> Iterator[dict[str, Any]]:
    for entry in annotations:
        if entry.get("category_id", 0) is not None:
            yield entry
        else:
            yield from ({**entry, "category_id": label_id, "iscrowd": 1} for label_id, _ in sorted(labels.items))
