"""Reads MegaDetector results (agentmorris/MegaDetector, megadetector-output-format.md) as annotations.

They are predictions, so that a minimum score is required. Boxes are [x, y, width, height] as fractions of the upright
image. An image with an empty list was processed, and nothing was found; one with a failure says nothing.
"""

from collections.abc import Iterator, Mapping

from retinanet_odm.annotations.collector import ObjectCollector
from retinanet_odm.annotations.json_values import (
    JsonObject,
    check_all_read,
    entries_of,
    image_name_of,
    is_bbox,
    is_coordinate,
    label_of,
    object_of,
    parse_json,
    shown,
)
from retinanet_odm.annotations.predictions import check_accepted
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.errors import AnnotationError


def parse_megadetector(data: bytes, *, source: str, min_score: float | None = None) -> Iterator[ImageAnnotation]:
    """Yield every image of MegaDetector results; detections below the minimum score are left out, and counted.

    Args:
      data: the file's bytes.
      source: the file's name, for messages.
      min_score: minimum score of a detection, 0 to 1; None if predictions are not accepted.

    Raises:
      AnnotationError: predictions are not accepted, the file is not JSON or not MegaDetector's, an image has no name,
        or detections are elsewhere.

    Example:
      >>> found = b'{"category": "1", "conf": 0.9, "bbox": [0.1, 0.2, 0.3, 0.25]}'
      >>> data = b'{"detection_categories": {"1": "animal"}, "images": [{"file": "a.jpg", "detections": [%s]}]}' % found
      >>> [image] = parse_megadetector(data, source="md.json", min_score=0.8)
      >>> image.objects[0].label, image.is_relative, [round(edge, 2) for edge in image.objects[0].box]
      ('animal', True, [0.2, 0.1, 0.45, 0.4])
    """
    check_accepted(min_score, "MegaDetector results", source)
    parsed, counted = parse_json(data, source, _is_detection)
    document = object_of(parsed, "the file", source)
    categories = object_of(document.get("detection_categories"), "detection_categories", source)
    images = entries_of(document.get("images"), "images", source)
    lists = (entry.get("detections") for entry in images)
    read = (each for found in lists if isinstance(found, list) for each in found)
    check_all_read(counted, read, _is_detection, "'detections'", source)
    for index, entry in enumerate(images):
        yield _image(entry, f"images[{index}]", categories, min_score or 0.0, source)


def _is_detection(entry: JsonObject) -> bool:
    return "bbox" in entry or "conf" in entry


def _image(
    entry: JsonObject, what: str, categories: Mapping[str, object], min_score: float, source: str
) -> ImageAnnotation:
    name = image_name_of(entry.get("file"), f"file of {what}", source)
    collector = ObjectCollector()
    detections = entry.get("detections")
    if entry.get("failure") or not isinstance(detections, list):
        detail = f"{source}: {what}: expected detections of {name!r}, found failure {shown(entry.get('failure'))}"
        collector.add_unreadable(AnnotationError("image_not_annotated", detail))
        detections = []
    for index, found in enumerate(detections):
        place = f"{what}, detection {index}"
        try:
            detection = object_of(found, place, source)
            score, item = _score(detection, place, source), _object(detection, place, categories, source)
        except AnnotationError as error:
            collector.add_unreadable(error)
            continue
        collector.add_predicted(item, score, min_score)
    return collector.annotation(name, (None, None), source, is_relative=True)


def _score(detection: JsonObject, what: str, source: str) -> float:
    score = detection.get("conf")
    if not is_coordinate(score) or not 0 <= float(score or 0) <= 1:
        detail = f"{source}: {what}: expected a conf from 0 to 1, found {shown(score)}"
        raise AnnotationError("number_not_readable", detail)
    return float(score or 0)


def _object(detection: JsonObject, what: str, categories: Mapping[str, object], source: str) -> ObjectAnnotation:
    if "frame_number" in detection:
        detail = (
            f"{source}: {what}: expected detections of an image, found a frame_number: results of videos are not read"
        )
        raise AnnotationError("structure_unexpected", detail)
    category = detection.get("category")
    if not isinstance(category, str) or category not in categories:
        detail = f"{source}: {what}: category {shown(category)} is not among detection_categories"
        raise AnnotationError("class_without_name", detail)
    bbox = detection.get("bbox")
    if not is_bbox(bbox):
        detail = f"{source}: {what}: expected a bbox [x, y, width, height], found {shown(bbox)}"
        raise AnnotationError("number_not_readable", detail)
    x, y, width, height = map(float, bbox)
    return ObjectAnnotation(label=label_of(categories[category], what, source), box=(y, x, y + height, x + width))
