"""Reads COCO detection JSON (cocodataset.org, format "instances"): images, annotations, categories.

Boxes are [x, y, width, height] in continuous pixels counted from 0. Of the attributes that Datumaro and CVAT add, flags
are used; rotation is not, because CVAT's COCO export has already applied it to the box.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from retinanet_odm.annotations.geometry import enclosing_box
from retinanet_odm.annotations.types import BoxCorners, ImageAnnotation, ObjectAnnotation, UnreadableObject
from retinanet_odm.errors import AnnotationError

_MAX_NUMBER = 1e9  # no coordinate in pixels is larger
# Flags that Datumaro and CVAT write into "attributes".
_FLAGS = ("difficult", "truncated", "occluded")

_Entry = Mapping[str, Any]  # of the lists images, annotations and categories


def parse_coco(data: bytes, *, source: str) -> Iterator[ImageAnnotation]:
    """Yields every image of a COCO file, in the order of its images, also images without annotations.

    The box is the bbox, or if that is missing the box around the polygons of segmentation. iscrowd becomes is_crowd.
    The complete file is held in memory, because the order of a JSON file does not allow streaming.

    An object that has no readable box, or a category that the file does not list, makes its image unreadable, not the
    file. An annotation of an image that the file does not list is an error of the file: there is no image to reject.

    Args:
      data: the file's bytes.
      source: the file's name, for messages.

    Raises:
      AnnotationError: the file is not JSON or not COCO, an image has no id or name, an id is repeated, or an image id
        is unknown.

    Example:
      >>> data = (b'{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 7, "name": "crab"}],'
      ...         b' "annotations": [{"image_id": 1, "category_id": 7, "bbox": [10, 20, 30, 40]}]}')
      >>> [(item.label, item.box) for image in parse_coco(data, source="a.json") for item in image.objects]
      [('crab', (20.0, 10.0, 60.0, 40.0))]
    """
    document = _parse(data, source)
    # Group the annotations by image first: the lists of the file may come in any order.
    images = _by_id(document, "images", source)
    categories = _by_id(document, "categories", source)
    entries_of: dict[int | str, list[_Entry]] = defaultdict(list)
    for index, entry in enumerate(_entries(document, "annotations", source)):
        image_id = _id(entry.get("image_id"), f"image_id of annotations[{index}]", source)
        if image_id not in images:
            detail = f"{source}: annotations[{index}]: image_id {_short(image_id)} is not among the file's images"
            raise AnnotationError("coco_unknown_image", detail)
        entries_of[image_id].append(entry)
    # Images without an entry are yielded too: they are true negatives.
    for key, image in images.items():
        yield _image(image, entries_of[key], categories, source)


def _parse(data: bytes, source: str) -> _Entry:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:  # ValueError: bad syntax, bad UTF-8, a number of 5,000 digits
        line = getattr(error, "lineno", None)  # of json.JSONDecodeError
        raise AnnotationError("json_not_well_formed", f"{source}: not well-formed JSON: {error}", line) from error
    if not isinstance(document, dict):
        detail = f"{source}: expected an object with images, annotations and categories, found a {_kind(document)}"
        raise AnnotationError("not_coco", detail)
    return document


def _kind(value: object) -> str:
    return {dict: "object", list: "list", str: "string", bool: "true or false"}.get(type(value), type(value).__name__)


def _entries(document: _Entry, key: str, source: str) -> list[_Entry]:
    entries = document.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        seen = "a list with other values" if isinstance(entries, list) else _kind(entries)
        raise AnnotationError("not_coco", f"{source}: expected a list of objects under {key!r}, found {seen}")
    return entries


def _by_id(document: _Entry, key: str, source: str) -> dict[int | str, _Entry]:
    found: dict[int | str, _Entry] = {}
    for index, entry in enumerate(_entries(document, key, source)):
        number = _id(entry.get("id"), f"id of {key}[{index}]", source)
        if number in found:
            raise AnnotationError("coco_id_twice", f"{source}: {key}[{index}]: id {_short(number)} is repeated")
        found[number] = entry
        name = "file_name" if key == "images" else "name"
        if not _is_name(entry.get(name)):
            detail = f"{source}: {key}[{index}]: expected a {name}, found {_short(entry.get(name))}"
            raise AnnotationError("coco_without_name", detail)
    return found


def _is_name(value: object) -> bool:
    """Returns whether a value is a text that is not blank and can be encoded as UTF-8.

    JSON allows half of a surrogate pair, which cannot.
    """
    return (
        isinstance(value, str)
        and bool(value.strip())
        and not any("\ud800" <= character <= "\udfff" for character in value)
    )


def _short(value: object) -> str:
    return ascii(value)[:60]


def _id(value: object, what: str, source: str) -> int | str:
    # COCO's ids are integers, but some tools write text; true and false are integers only to Python.
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise AnnotationError(
            "coco_id_not_readable", f"{source}: {what}: expected a number or text, found {_short(value)}"
        )
    return value


def _image(
    image: _Entry, entries: list[_Entry], categories: Mapping[int | str, _Entry], source: str
) -> ImageAnnotation:
    objects: list[ObjectAnnotation] = []
    unreadable: list[UnreadableObject] = []
    for entry in entries:
        try:
            objects.append(_object(entry, categories, source))
        except AnnotationError as error:
            unreadable.append(UnreadableObject(reason=error.reason, detail=error.detail))
    return ImageAnnotation(
        filename=image["file_name"],
        width=_side(image.get("width")),
        height=_side(image.get("height")),
        objects=tuple(objects),
        source=source,
        unreadable=tuple(unreadable),
    )


def _side(value: Any) -> int | None:
    """Returns a side in pixels; None for anything but a positive number, which tools write if they do not know it."""
    return int(value) or None if _is_number(value) and value > 0 else None


def _object(entry: _Entry, categories: Mapping[int | str, _Entry], source: str) -> ObjectAnnotation:
    what = f"annotation {_short(entry.get('id'))}"
    # The category first: without a label, a box is of no use.
    category = categories.get(_id(entry.get("category_id"), f"category_id of {what}", source))
    if category is None:
        detail = f"{source}: {what}: category_id {_short(entry.get('category_id'))} is not among the file's categories"
        raise AnnotationError("coco_unknown_category", detail)
    attributes = entry.get("attributes")
    flags = attributes if isinstance(attributes, dict) else {}
    return ObjectAnnotation(
        label=category["name"].strip(),
        box=_box(entry, what, source),
        is_crowd=entry.get("iscrowd") in (1, True),
        **{name: flags.get(name) in (1, True, "true", "True", "1") for name in _FLAGS},
    )


def _box(entry: _Entry, what: str, source: str) -> BoxCorners:
    bbox = entry.get("bbox")
    if not bbox:
        return _polygon_box(entry.get("segmentation"), what, source)
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        detail = f"{source}: {what}: expected a bbox [x, y, width, height] in pixels, found {_short(bbox)}"
        raise AnnotationError("number_not_readable", detail)
    x, y, width, height = map(float, bbox)
    return y, x, y + height, x + width


def _polygon_box(polygons: object, what: str, source: str) -> BoxCorners:
    """Returns the box around segmentation [[x, y, x, y, …], …]; a run-length mask (an object or text) is not read."""
    rings = polygons if isinstance(polygons, list) else []
    if not rings or not all(isinstance(ring, list) and ring and len(ring) % 2 == 0 for ring in rings):
        detail = f"{source}: {what}: expected a bbox, or polygons in segmentation; found {_short(polygons)}"
        raise AnnotationError("object_without_box", detail)
    if not all(_is_number(value) for ring in rings for value in ring):
        raise AnnotationError("number_not_readable", f"{source}: {what}: a number in segmentation is not a coordinate")
    return enclosing_box((float(x), float(y)) for ring in rings for x, y in zip(ring[::2], ring[1::2], strict=True))


def _is_number(value: Any) -> bool:
    """Returns whether a value is a finite coordinate: json also parses NaN, Infinity and integers of any length."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER
