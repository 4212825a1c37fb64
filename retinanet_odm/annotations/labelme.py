"""Reads LabelMe JSON (github.com/wkentaro/labelme): one file for each image, with a list of shapes.

Points are (x, y) in continuous pixels counted from 0. Of the kinds of shapes (labelme/shape.py):

- rectangle: two opposite corners in any order; four points if it was rotated (X-AnyLabeling). mask: the corners of its
  box. polygon, linestrip, line, and rotation (X-AnyLabeling): their points. circle: its centre and a point on it.
- point and points have no box.
- Files of before 2019 name no kind: all of their shapes are polygons.

Shapes of one label with one group_id are one object, as in the tool's own labelme2coco: its box is around all of them.
"""

import math
import re
from collections.abc import Callable, Mapping

from retinanet_odm.annotations.collector import POINTS, ObjectCollector
from retinanet_odm.annotations.geometry import enclosing_box
from retinanet_odm.annotations.json_values import (
    JsonObject,
    check_all_read,
    entries_of,
    image_name_of,
    label_of,
    object_of,
    parse_json,
    points_of,
    shown,
    side_of,
)
from retinanet_odm.annotations.types import BoxCorners, ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.values import is_true
from retinanet_odm.errors import AnnotationError

# The image itself, in base64.
_IMAGE_DATA = re.compile(rb'("imageData"\s*:\s*)"[^"\\]*(?:\\.[^"\\]*)*"')
# Flags of a shape that become flags of the object; X-AnyLabeling has difficult as a key of the shape.
_FLAGS = ("difficult", "truncated", "occluded")
_WITHOUT_BOX = frozenset(("point", "points"))


def parse_labelme(data: bytes, *, source: str) -> ImageAnnotation:
    """Read one LabelMe file.

    Args:
      data: the file's bytes.
      source: the file's name, for messages.

    Raises:
      AnnotationError: the file is not JSON or not LabelMe's, names no image, or has shapes elsewhere.

    Example:
      >>> shape = b'{"label": "crab", "points": [[30, 40], [10, 20]], "shape_type": "rectangle"}'
      >>> image = parse_labelme(b'{"imagePath": "a.jpg", "shapes": [' + shape + b']}', source="a.json")
      >>> image.filename, image.objects[0].label, image.objects[0].box
      ('a.jpg', 'crab', (20.0, 10.0, 40.0, 30.0))
    """
    # Removed before it is decoded: it may be many megabytes, which would be held once as bytes and twice as text.
    parsed, counted = parse_json(_IMAGE_DATA.sub(rb"\1null", data), source, _is_shape)
    document = object_of(parsed, "the file", source)
    shapes = entries_of(document.get("shapes"), "shapes", source)
    check_all_read(counted, shapes, _is_shape, "'shapes'", source)
    name = image_name_of(document.get("imagePath"), "imagePath", source)
    collector = ObjectCollector()
    # By what the shapes of one object share; a shape without group_id is an object of its own.
    objects: dict[object, ObjectAnnotation] = {}
    for index, shape in enumerate(shapes):
        try:
            key, item = _group(shape, index, source), _object(shape, f"shapes[{index}]", source)
        except AnnotationError as error:
            collector.add_unreadable(error)
            continue
        if item is None:
            collector.ignore(POINTS)
        else:
            objects[key] = _merge(objects[key], item) if key in objects else item
    for item in objects.values():
        collector.add(item)
    return collector.annotation(
        name, (side_of(document.get("imageWidth")), side_of(document.get("imageHeight"))), source
    )


def _is_shape(entry: JsonObject) -> bool:
    return "points" in entry or "shape_type" in entry


def _group(shape: JsonObject, index: int, source: str) -> object:
    """Return what the shapes of one object have in common."""
    group = shape.get("group_id")
    if group is None:
        return index
    if not isinstance(group, int | float | str):
        detail = f"{source}: shapes[{index}]: expected a number or nothing as group_id, found {shown(group)}"
        raise AnnotationError("structure_unexpected", detail)
    return str(shape.get("label")).strip(), group


def _merge(one: ObjectAnnotation, other: ObjectAnnotation) -> ObjectAnnotation:
    corners = (
        (xmin, ymin) for item in (one, other) for ymin, xmin, ymax, xmax in (item.box, item.box[2:] + item.box[:2])
    )
    # A flag of a part is a flag of the object.
    flags = {name: getattr(one, name) or getattr(other, name) for name in _FLAGS}
    return ObjectAnnotation(label=one.label, box=enclosing_box(corners), **flags)


def _object(shape: JsonObject, what: str, source: str) -> ObjectAnnotation | None:
    """Read a shape; None for one without a box by design.

    Raises:
      AnnotationError: it has no label, an unknown kind, or points that do not belong to its kind.
    """
    # Only if the key is missing: an explicit null is a kind that nobody knows.
    kind = shape.get("shape_type", "polygon")
    if isinstance(kind, str) and kind in _WITHOUT_BOX:
        points_of(shape.get("points"), what, source, at_least=1)
        return None
    label = label_of(shape.get("label"), what, source)
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        detail = (
            f"{source}: {what}: expected one of {', '.join((*_READERS, *sorted(_WITHOUT_BOX)))}, found {shown(kind)}"
        )
        raise AnnotationError("shape_not_known", detail)
    box = reader(shape.get("points"), f"{what}, {kind} of {label!r}", source)
    flags = shape.get("flags")
    # The keys of the shape last: they override flags of the same name.
    known = {**(flags if isinstance(flags, dict) else {}), **shape}
    return ObjectAnnotation(label=label, box=box, **{name: is_true(known.get(name)) for name in _FLAGS})


def _rectangle(points: object, what: str, source: str) -> BoxCorners:
    found = points_of(points, what, source, at_least=2)
    if len(found) not in (2, 4):
        detail = f"{source}: {what}: expected two or four corners, found {len(found)}"
        raise AnnotationError("points_not_readable", detail)
    return enclosing_box(found)


def _circle(points: object, what: str, source: str) -> BoxCorners:
    found = points_of(points, what, source, at_least=2)
    if len(found) != 2:
        detail = f"{source}: {what}: expected the centre and a point on the circle, found {len(found)} points"
        raise AnnotationError("points_not_readable", detail)
    (x, y), edge = found
    radius = math.dist((x, y), edge)
    return y - radius, x - radius, y + radius, x + radius


def _outline(at_least: int) -> Callable[[object, str, str], BoxCorners]:
    return lambda points, what, source: enclosing_box(points_of(points, what, source, at_least=at_least))


_READERS: Mapping[str, Callable[[object, str, str], BoxCorners]] = {
    "rectangle": _rectangle,
    "polygon": _outline(3),
    "circle": _circle,
    "line": _outline(2),
    "linestrip": _outline(2),
    "mask": _rectangle,
    "rotation": _outline(4),
}
