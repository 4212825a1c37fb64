"""COCO ground truth of a data set: the entries of "images" and "annotations", and the complete file.

Workers make the entries of their examples (`image_entry`, `annotation_entries`), and `ground_truth` joins them to the
document that pycocotools and other evaluators read. Boxes are [x, y, width, height] in pixels; those of examples have
as many digits as `prepare` needs to make the same boxes of them. The other direction, COCO as annotation format, is
`retinanet_odm.annotations.coco`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from retinanet_odm import PROGRAM
from retinanet_odm import boxes as box_ops
from retinanet_odm.dataset.exact_boxes import exact_coco_boxes, exact_pixels
from retinanet_odm.dataset.examples import DetectionExample, ExampleObject
from retinanet_odm.labels.label_map import LabelMap

# Of an entry of "images": ids of the classes of which it may show objects without an annotation, and of those of which
# it shows none. The names are those of LVIS (Gupta et al. 2019, arXiv:1908.03195; lvisdataset.org, "Data format").
NOT_EXHAUSTIVE, NEGATIVE_CLASSES = "not_exhaustive_category_ids", "neg_category_ids"


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


def negative_classes_entry(example: DetectionExample, labels: LabelMap) -> dict[str, list[int]]:
    """Return what the entry of an image has for classes that are exhaustive in it, and of which it shows none.

    Readers of LVIS take a class that is in neither list of an image as not known there, so data sets with partial
    labels have both in every image.
    """
    shown = {item.label_id for item in example.objects} | dict(example.not_exhaustive).keys()
    return {NEGATIVE_CLASSES: sorted(labels.name_by_id.keys() - shown)}


def annotation_entries(example: DetectionExample) -> list[dict[str, Any]]:
    """Return the entries of "annotations", without ids: these number all annotations of the file.

    Those of ignored regions come last. Flags of objects are in "attributes", as CVAT and Datumaro write them.
    """
    # COCO's boxes are in pixels of the image that the record holds, which --max_side may have reduced.
    relative = box_ops.as_boxes([*(item.box for item in example.objects), *example.ignored_regions])
    boxes = exact_coco_boxes(exact_pixels(relative, example.height, example.width)).tolist()
    count = len(example.objects)
    objects = [
        {
            "image_id": example.source_id,
            "category_id": item.label_id,
            "bbox": box,
            "area": round(float(item.area), 2),  # of the example: relative boxes have lost some precision
            "iscrowd": int(item.is_crowd),
            **_flags_entry(item),
        }
        for item, box in zip(example.objects, boxes[:count], strict=True)
    ]
    regions = [
        {
            "image_id": example.source_id,
            "category_id": None,
            "bbox": box,
            "area": round(box[2] * box[3], 2),
            "iscrowd": 1,
            "attributes": {"ignore": True},
        }
        for box in boxes[count:]
    ]
    return [*objects, *regions]


def _flags_entry(item: ExampleObject) -> dict[str, dict[str, bool]]:
    flags = {"difficult": item.difficult, "truncated": item.truncated, "occluded": item.occluded}
    found = {name: True for name, is_set in flags.items() if is_set}
    return {"attributes": found} if found else {}


def object_entry(image_id: int, label_id: int | None, box: Iterable[float], *, is_crowd: bool) -> dict[str, Any]:
    """Return an entry of "annotations" without id for a box (ymin, xmin, ymax, xmax) in pixels.

    An ignored region has no class: label_id is None, see `with_categories`.

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
    ordered = sorted(with_categories(annotations, labels), key=lambda entry: entry["image_id"])
    return {
        "info": {"description": f"written by {PROGRAM}"},
        "images": sorted(images, key=lambda entry: entry["id"]),
        "annotations": [{"id": number, **entry} for number, entry in enumerate(ordered, start=1)],
        "categories": [{"id": label_id, "name": name} for label_id, name in sorted(labels.items)],
    }


def with_categories(annotations: Iterable[dict[str, Any]], labels: LabelMap) -> Iterator[dict[str, Any]]:
    """Yield entries of which each has a class: of an ignored region, a crowd of each class.

    COCO has crowds, and no areas that are ignored for all classes.
    """
    for entry in annotations:
        if entry.get("category_id", 0) is not None:
            yield entry
        else:
            yield from ({**entry, "category_id": label_id, "iscrowd": 1} for label_id, _ in sorted(labels.items))
