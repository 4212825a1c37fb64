"""COCO detection JSON (cocodataset.org, format of "instances"): images, annotations, categories → ImageAnnotation.

Boxes are [x, y, width, height] in continuous pixels counted from 0. Attributes that Datumaro and CVAT add are honoured
where they are flags; their rotation is not, since CVAT's COCO export has turned the box already.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from retinanet_odm.annotations.geometry import enclosing_box
from retinanet_odm.annotations.types import BoxCorners, ImageAnnotation, ObjectAnnotation, UnreadableObject
from retinanet_odm.errors import AnnotationError

_MAX_NUMBER = 1e9
_FLAGS = ("difficult", "truncated", "occluded")

Entry = Mapping[str, Any]


def parse_coco(data: bytes, *, source: str) -> Iterator[ImageAnnotation]:
    """Yields every image of a COCO file, in the order of its images, those without annotations too.

    The bbox counts; where it is missing, the box around the polygons of segmentation. iscrowd is kept as is_crowd. The
    whole file is in memory while it is read: JSON has no order that would allow otherwise. An object without a readable
    box, or of a category that the file does not list, makes its image unread, not the file; an annotation of an image
    that the file does not list is an error of the file, since there is no image to set apart.

    Raises:
      AnnotationError: not JSON, not COCO, an image without id or name, an id twice, or an unknown image id.
    """
    document = _parse(data, source)
    images = _by_id(document, "images", source)
    categories = _by_id(document, "categories", source)
    objects: dict[int | str, list[Entry]] = defaultdict(list)
    for index, entry in enumerate(_entries(document, "annotations", source)):
        image_id = _id(entry.get("image_id"), f"image_id of annotations[{index}]", source)
        if image_id not in images:
            detail = f"{source}: annotations[{index}]: image_id {_short(image_id)} is not among the file's images"
            raise AnnotationError("coco_unknown_image", detail)
        objects[image_id].append(entry)
    for key, image in images.items():
        yield _image(image, objects[key], categories, source)


def _parse(data: bytes, source: str) -> Entry:
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


def _entries(document: Entry, key: str, source: str) -> list[Entry]:
    entries = document.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        seen = "a list with other values" if isinstance(entries, list) else _kind(entries)
        raise AnnotationError("not_coco", f"{source}: expected a list of objects under {key!r}, found {seen}")
    return entries


def _by_id(document: Entry, key: str, source: str) -> dict[int | str, Entry]:
    found: dict[int | str, Entry] = {}
    for index, entry in enumerate(_entries(document, key, source)):
        number = _id(entry.get("id"), f"id of {key}[{index}]", source)
        if number in found:
            raise AnnotationError("coco_id_twice", f"{source}: {key}[{index}]: id {_short(number)} was given before")
        found[number] = entry
        name = "file_name" if key == "images" else "name"
        if not _is_name(entry.get(name)):
            detail = f"{source}: {key}[{index}]: expected a {name}, found {_short(entry.get(name))}"
            raise AnnotationError("coco_without_name", detail)
    return found


def _is_name(value: object) -> bool:
    """Text that is not blank and can be written as UTF-8, which half of a surrogate pair, legal in JSON, cannot."""
    return isinstance(value, str) and bool(value.strip()) and not any("\ud800" <= sign <= "\udfff" for sign in value)


def _short(value: object) -> str:
    return ascii(value)[:60]


def _id(value: object, what: str, source: str) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise AnnotationError(
            "coco_id_not_readable", f"{source}: {what}: expected a number or text, found {_short(value)}"
        )
    return value


def _image(image: Entry, entries: list[Entry], categories: Mapping[int | str, Entry], source: str) -> ImageAnnotation:
    objects: list[ObjectAnnotation] = []
    unread: list[UnreadableObject] = []
    for entry in entries:
        try:
            objects.append(_object(entry, categories, source))
        except AnnotationError as error:
            unread.append(UnreadableObject(reason=error.reason, detail=error.detail))
    return ImageAnnotation(
        filename=image["file_name"],
        width=_side(image.get("width")),
        height=_side(image.get("height")),
        objects=tuple(objects),
        source=source,
        unreadable=tuple(unread),
    )


def _side(value: Any) -> int | None:
    """Pixels; anything but a positive number means that the tool did not know it."""
    return int(value) or None if _is_number(value) and value > 0 else None


def _object(entry: Entry, categories: Mapping[int | str, Entry], source: str) -> ObjectAnnotation:
    what = f"annotation {_short(entry.get('id'))}"
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


def _box(entry: Entry, what: str, source: str) -> BoxCorners:
    bbox = entry.get("bbox")
    if not bbox:
        return _polygon_box(entry.get("segmentation"), what, source)
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        detail = f"{source}: {what}: expected a bbox [x, y, width, height] in pixels, found {_short(bbox)}"
        raise AnnotationError("number_not_readable", detail)
    x, y, width, height = map(float, bbox)
    return y, x, y + height, x + width


def _polygon_box(polygons: object, what: str, source: str) -> BoxCorners:
    """The box around segmentation [[x, y, x, y, …], …]; a run-length mask is an object or text, and not read."""
    rings = polygons if isinstance(polygons, list) else []
    if not rings or not all(isinstance(ring, list) and ring and len(ring) % 2 == 0 for ring in rings):
        detail = f"{source}: {what}: expected a bbox, or polygons in segmentation; found {_short(polygons)}"
        raise AnnotationError("object_without_box", detail)
    if not all(_is_number(value) for ring in rings for value in ring):
        raise AnnotationError("number_not_readable", f"{source}: {what}: a number in segmentation is not a coordinate")
    return enclosing_box((float(x), float(y)) for ring in rings for x, y in zip(ring[::2], ring[1::2], strict=True))


def _is_number(value: Any) -> bool:
    """A finite coordinate; JSON as Python reads it also knows NaN, Infinity and numbers of any length."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER
