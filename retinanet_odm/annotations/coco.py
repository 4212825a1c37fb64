"""Reads COCO detection JSON (cocodataset.org, format "instances"): images, annotations, categories.

Boxes are [x, y, width, height] in continuous pixels counted from 0. Of the attributes that Datumaro and CVAT add, flags
are used; rotation is not, because CVAT's COCO export has already applied it to the box.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from retinanet_odm.annotations.collector import ObjectCollector, are_relative, describe_relative
from retinanet_odm.annotations.geometry import enclosing_box
from retinanet_odm.annotations.json_values import (
    JsonObject,
    is_bbox,
    is_coordinate,
    is_name,
    kind_of,
    parse_json,
    shown,
    side_of,
)
from retinanet_odm.annotations.types import BoxCorners, ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.values import is_true, parse_flag
from retinanet_odm.errors import AnnotationError

# Flags that Datumaro and CVAT write into "attributes".
_FLAGS = ("difficult", "truncated", "occluded", "ignore")

# The part of a box's side that leaves the image, from which on its numbers look like corners; people and tools draw
# boxes that leave it by a little.
_MIN_OVERHANG = 0.1


def parse_coco(data: bytes, *, source: str) -> Iterator[ImageAnnotation]:
    """Yield every image of a COCO file, in the order of its images, also images without annotations.

    The box is the bbox, or if that is missing or has no extent the box around the polygons of segmentation. iscrowd
    becomes is_crowd. The complete file is held in memory, because the order of a JSON file does not allow streaming.

    An object that has no readable box, or a category that the file does not list, makes its image unreadable, not the
    file. An annotation of an image that the file does not list is an error of the file: there is no image to reject.

    Args:
      data: the file's bytes.
      source: the file's name, for messages.

    Raises:
      AnnotationError: the file is not JSON or not COCO, an image has no id or name, an id or a key is repeated, an
        image id is unknown, an object is outside of annotations, or the boxes are not in pixels or not as COCO has
        them.

    Example:
      >>> data = (b'{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 7, "name": "crab"}],'
      ...         b' "annotations": [{"image_id": 1, "category_id": 7, "bbox": [10, 20, 30, 40]}]}')
      >>> [(item.label, item.box) for image in parse_coco(data, source="a.json") for item in image.objects]
      [('crab', (20.0, 10.0, 60.0, 40.0))]
    """
    document, annotations = _parse(data, source)
    # Group the annotations by image first: the lists of the file may come in any order.
    images = _by_id(document, "images", source)
    categories = _by_id(document, "categories", source)
    entries = _entries(document, "annotations", source)
    # Objects that stand elsewhere would be lost, and their images learned as background.
    if elsewhere := annotations - sum(map(_is_annotation, entries)):
        detail = f"{source}: expected objects only in 'annotations'; elsewhere, the file has {elsewhere} with a bbox"
        raise AnnotationError("element_misplaced", detail)
    entries_of: dict[int | str, list[JsonObject]] = defaultdict(list)
    for index, entry in enumerate(entries):
        image_id = _id(entry.get("image_id"), f"image_id of annotations[{index}]", source)
        if image_id not in images:
            detail = f"{source}: annotations[{index}]: image_id {shown(image_id)} is not among the file's images"
            raise AnnotationError("coco_unknown_image", detail)
        entries_of[image_id].append(entry)
    _check_boxes(images, entries_of, source)
    # Images without an entry are yielded too: they are true negatives.
    for key, image in images.items():
        yield _image(image, entries_of[key], categories, source)


def _is_annotation(entry: JsonObject) -> bool:
    return ("bbox" in entry or "segmentation" in entry) and ("category_id" in entry or "image_id" in entry)


def _parse(data: bytes, source: str) -> tuple[JsonObject, int]:
    """Return the file's object, and how many objects anywhere in it look like an annotation."""
    document, annotations = parse_json(data, source, _is_annotation)
    if not isinstance(document, dict):
        detail = f"{source}: expected an object with images, annotations and categories, found {kind_of(document)}"
        raise AnnotationError("not_coco", detail)
    return document, annotations


def _entries(document: JsonObject, key: str, source: str) -> list[JsonObject]:
    entries = document.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        seen = "a list with other values" if isinstance(entries, list) else kind_of(entries)
        raise AnnotationError("not_coco", f"{source}: expected a list of objects under {key!r}, found {seen}")
    return entries


def _by_id(document: JsonObject, key: str, source: str) -> dict[int | str, JsonObject]:
    found: dict[int | str, JsonObject] = {}
    for index, entry in enumerate(_entries(document, key, source)):
        number = _id(entry.get("id"), f"id of {key}[{index}]", source)
        if number in found:
            raise AnnotationError("coco_id_twice", f"{source}: {key}[{index}]: id {shown(number)} is repeated")
        found[number] = entry
        name = "file_name" if key == "images" else "name"
        if not is_name(entry.get(name)):
            detail = f"{source}: {key}[{index}]: expected a {name}, found {shown(entry.get(name))}"
            raise AnnotationError("coco_without_name", detail)
    return found


def _id(value: object, what: str, source: str) -> int | str:
    # COCO's ids are integers, but some tools write text; true and false are integers only to Python.
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise AnnotationError(
            "coco_id_not_readable", f"{source}: {what}: expected a number or text, found {shown(value)}"
        )
    return value


def _image(
    image: JsonObject, entries: list[JsonObject], categories: Mapping[int | str, JsonObject], source: str
) -> ImageAnnotation:
    collector = ObjectCollector()
    for entry in entries:
        try:
            collector.add(_object(entry, categories, source))
        except AnnotationError as error:
            collector.add_unreadable(error)
    return collector.annotation(image["file_name"], _size(image), source)


def _size(image: JsonObject) -> tuple[int | None, int | None]:
    return side_of(image.get("width")), side_of(image.get("height"))


def _object(entry: JsonObject, categories: Mapping[int | str, JsonObject], source: str) -> ObjectAnnotation:
    what = f"annotation {shown(entry.get('id'))}"
    # The category first: without a label, a box is of no use.
    category = categories.get(_id(entry.get("category_id"), f"category_id of {what}", source))
    if category is None:
        detail = f"{source}: {what}: category_id {shown(entry.get('category_id'))} is not among the file's categories"
        raise AnnotationError("coco_unknown_category", detail)
    attributes = entry.get("attributes")
    flags = attributes if isinstance(attributes, dict) else {}
    return ObjectAnnotation(
        label=category["name"].strip(),
        box=_box(entry, what, source),
        is_crowd=parse_flag(entry.get("iscrowd"), f"iscrowd of {what}", source),
        **{name: is_true(flags.get(name)) for name in _FLAGS},
    )


def _box(entry: JsonObject, what: str, source: str) -> BoxCorners:
    bbox, polygons = entry.get("bbox"), entry.get("segmentation")
    # Missing, null and [] alike.
    if not bbox:
        return _polygon_box(polygons, what, source)
    if not is_bbox(bbox):
        detail = f"{source}: {what}: expected a bbox [x, y, width, height] in pixels, found {shown(bbox)}"
        raise AnnotationError("number_not_readable", detail)
    x, y, width, height = map(float, bbox)
    # Some tools write [0, 0, 0, 0] beside an outline.
    if not (width and height) and polygons and isinstance(polygons, list):
        return _polygon_box(polygons, what, source)
    return y, x, y + height, x + width


def _check_boxes(
    images: Mapping[int | str, JsonObject], entries_of: Mapping[int | str, list[JsonObject]], source: str
) -> None:
    """Check the boxes of all images together.

    Raises:
      AnnotationError: the boxes look like fractions of their images, or like corners [xmin, ymin, xmax, ymax].
    """
    placed = [
        (_size(images[key]), tuple(map(float, entry["bbox"])))
        for key, entries in entries_of.items()
        for entry in entries
        if is_bbox(entry.get("bbox"))
    ]
    corners = [(size, (y, x, y + height, x + width)) for size, (x, y, width, height) in placed if width and height]
    if corners and all(are_relative([box], size) for size, box in corners):
        raise AnnotationError("coordinates_relative", f"{source}: {describe_relative(corners[0][1])}")
    known = [(size, bbox) for size, bbox in placed if None not in size]
    overhanging = sum(_overhangs(bbox, size) for size, bbox in known)
    # A single box may leave its image. Of many boxes, few are wider than they are far from the left, and all of them
    # inside of the image if they are read as corners.
    if 2 * overhanging > len(known) and all(_are_corners(bbox, size) for size, bbox in known):
        detail = (
            f"{source}: expected a bbox [x, y, width, height]; {overhanging} of {len(known)} leave their image, and all"
            f" fit as corners [xmin, ymin, xmax, ymax], such as {shown(list(known[0][1]))}"
        )
        raise AnnotationError("coordinates_are_corners", detail)


def _overhangs(bbox: Sequence[float], size: Sequence[Any]) -> bool:
    """Return whether a considerable part of a box [x, y, width, height] is right of its image or below it."""
    ends = (
        start + length - side - _MIN_OVERHANG * length
        for start, length, side in zip(bbox[:2], bbox[2:], size, strict=True)
    )
    return any(end > 0 for end in ends)


def _are_corners(bbox: Sequence[float], size: Sequence[Any]) -> bool:
    """Return whether a box is inside of its image if it is read as corners."""
    return all(0 <= start < end <= side + 1 for start, end, side in zip(bbox[:2], bbox[2:], size, strict=True))


def _polygon_box(polygons: object, what: str, source: str) -> BoxCorners:
    """Return the box around segmentation [[x, y, x, y, …], …]; a run-length mask (an object or text) is not read."""
    rings = polygons if isinstance(polygons, list) else []
    if not rings or not all(isinstance(ring, list) and ring and len(ring) % 2 == 0 for ring in rings):
        detail = f"{source}: {what}: expected a bbox, or polygons in segmentation; found {shown(polygons)}"
        raise AnnotationError("object_without_box", detail)
    if not all(is_coordinate(value) for ring in rings for value in ring):
        raise AnnotationError("number_not_readable", f"{source}: {what}: a number in segmentation is not a coordinate")
    return enclosing_box((float(x), float(y)) for ring in rings for x, y in zip(ring[::2], ring[1::2], strict=True))
