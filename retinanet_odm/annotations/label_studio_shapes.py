"""Reads the shapes of Label Studio (labelstud.io/tags): the results of one annotation of an image.

Begin with `add_results`. A region is one result, such as a rectanglelabels; or several results with one id: a rectangle
and its labels. Coordinates are percent of original_width and original_height. A rectangle is rotated about its upper
left corner, an ellipse about its centre, in degrees clockwise.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from retinanet_odm.annotations.collector import BRUSH, POINTS, ObjectCollector
from retinanet_odm.annotations.geometry import ellipse_box, enclosing_box
from retinanet_odm.annotations.json_values import (
    JsonObject,
    label_of,
    numbers_of,
    object_of,
    points_of,
    shown,
    side_of,
)
from retinanet_odm.annotations.types import BoxCorners, ObjectAnnotation
from retinanet_odm.errors import AnnotationError

# Results that say something about the image, a region or a pair of regions, and are no region. A choice, a text or a
# number of a region repeats its coordinates.
_NO_REGIONS = frozenset(
    ("labels", "choices", "textarea", "rating", "number", "taxonomy", "datetime", "relation", "pairwise", "ranker")
)
_WITHOUT_BOX = {"keypoint": POINTS, "brush": BRUSH, "bitmask": BRUSH}
# A shape has these in its value, by which it is known where nobody names its kind.
_KEYS = {"polygon": "points", "ellipse": "radiusX", "brush": "rle", "rectangle": "height", "keypoint": "x"}
_SIZE = ("original_width", "original_height")


def is_shape(entry: JsonObject) -> bool:
    """Return whether an object of a file looks like a shape: it has the size of its image, or a kind and a value."""
    return _SIZE[0] in entry or _SIZE[1] in entry or ("type" in entry and "value" in entry)


def size_of(results: Sequence[object], what: str, source: str) -> tuple[int | None, int | None]:
    """Return the (width, height) of the image in pixels that the results give; (None, None) if there are none.

    Raises:
      AnnotationError: they give several.
    """
    found = (each for each in results if isinstance(each, dict) and _SIZE[0] in each)
    sizes = {(side_of(each[_SIZE[0]]), side_of(each.get(_SIZE[1]))) for each in found}
    if len(sizes) > 1:
        detail = f"{source}: {what}: expected one size of the image, found {shown(sorted(map(str, sizes)))}"
        raise AnnotationError("structure_unexpected", detail)
    return next(iter(sizes), (None, None))


def add_results(
    collector: ObjectCollector, results: Sequence[object], what: str, source: str, min_score: float | None = None
) -> None:
    """Add the regions of one annotation to those of its image; with a minimum score, those of a prediction."""
    regions: dict[object, list[JsonObject]] = {}
    for index, result in enumerate(results):
        place = f"{what}, result {index}"
        try:
            entry = object_of(result, place, source)
            key = entry.get("id")
            regions.setdefault(key if isinstance(key, str) and key else index, []).append(entry)
        except AnnotationError as error:
            collector.add_unreadable(error)
    for key, parts in regions.items():
        try:
            _add_region(collector, parts, f"{what}, region {shown(key)}", source, min_score)
        except AnnotationError as error:
            collector.add_unreadable(error)


def _add_region(
    collector: ObjectCollector, parts: Sequence[JsonObject], what: str, source: str, min_score: float | None
) -> None:
    shapes = [part for part in parts if _kind(part) not in _NO_REGIONS]
    if len(shapes) > 1:
        detail = f"{source}: {what}: expected one shape, found {', '.join(shown(part.get('type')) for part in shapes)}"
        raise AnnotationError("element_repeated", detail)
    if not shapes:
        if any(_kind(part) == "labels" for part in parts):
            raise AnnotationError("object_without_box", f"{source}: {what}: expected a shape, found only its label")
        collector.ignore("tag")
        return
    (shape,) = shapes
    kind = _kind(shape)
    if kind in _WITHOUT_BOX:
        collector.ignore(_WITHOUT_BOX[kind])
        return
    reader = _READERS.get(kind)
    if reader is None:
        names = ", ".join((*_READERS, *_WITHOUT_BOX))
        detail = f"{source}: {what}: expected one of {names}, found {shown(shape.get('type'))}"
        raise AnnotationError("shape_not_known", detail)
    value = object_of(shape.get("value"), f"value of {what}", source)
    label = _label(parts, what, source)
    item = ObjectAnnotation(label=label, box=reader(value, _scale(shape, what, source), what, source))
    if min_score is None:
        collector.add(item)
    else:
        (score,) = numbers_of(shape, ("score",), what, source)
        collector.add_predicted(item, score, min_score)


def _kind(part: JsonObject) -> str:
    """Return the kind of a result, without "labels" at its end; by its value if it has no type, as in JSON-MIN."""
    kind, value = part.get("type"), part.get("value")
    if not kind and isinstance(value, dict):
        named = (str(key) for key in value if str(key).endswith("labels") and str(key) != "labels")
        by_keys = (name for name, key in _KEYS.items() if key in value)
        kind = next(named, None) or next(by_keys, "")
    text = str(kind).lower()
    return text if text == "labels" else text.removesuffix("labels")


def _label(parts: Iterable[JsonObject], what: str, source: str) -> str:
    """Return the only label of a region; a region may be given several, of which none is chosen."""
    values = [
        part.get("value") for part in parts if not _kind(part) or _kind(part) == "labels" or _kind(part) in _READERS
    ]
    lists = [
        names
        for value in values
        if isinstance(value, dict)
        for key, names in value.items()
        if str(key).endswith("labels") and isinstance(names, list)
    ]
    found = [name for names in lists for name in names]
    if len(found) > 1:
        detail = f"{source}: {what}: expected one label, found {', '.join(map(shown, found))}"
        raise AnnotationError("element_repeated", detail)
    return label_of(found[0] if found else None, what, source)


def _scale(shape: JsonObject, what: str, source: str) -> tuple[float, float]:
    """Return the pixels of one percent, in x and in y.

    Raises:
      AnnotationError: the size of the image is not known, or the annotator had turned the image.
    """
    width, height = numbers_of(shape, _SIZE, what, source)
    if width <= 0 or height <= 0:
        detail = f"{source}: {what}: expected the size of the image in pixels, found {width:g}x{height:g}"
        raise AnnotationError("number_not_readable", detail)
    (turned,) = numbers_of({"image_rotation": 0, **shape}, ("image_rotation",), what, source)
    if turned % 360:
        detail = f"{source}: {what}: expected an image that is not turned, found image_rotation {turned:g}"
        raise AnnotationError("image_turned", detail)
    return width / 100, height / 100


_Value = Mapping[str, Any]
_Scale = tuple[float, float]


def _rotation(value: _Value, what: str, source: str) -> float:
    return numbers_of({"rotation": 0, **value}, ("rotation",), what, source)[0]


def _rectangle(value: _Value, scale: _Scale, what: str, source: str) -> BoxCorners:
    x, y, width, height = numbers_of(value, ("x", "y", "width", "height"), what, source)
    left, top, across, down = x * scale[0], y * scale[1], width * scale[0], height * scale[1]
    degrees = _rotation(value, what, source)
    if not degrees % 360:
        return top, left, top + down, left + across
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = ((0, 0), (across, 0), (0, down), (across, down))
    return enclosing_box((left + cosine * dx - sine * dy, top + sine * dx + cosine * dy) for dx, dy in corners)


def _ellipse(value: _Value, scale: _Scale, what: str, source: str) -> BoxCorners:
    x, y, radius_x, radius_y = numbers_of(value, ("x", "y", "radiusX", "radiusY"), what, source)
    centre, radii = (x * scale[0], y * scale[1]), (radius_x * scale[0], radius_y * scale[1])
    return ellipse_box(centre, radii, _rotation(value, what, source))


def _polygon(value: _Value, scale: _Scale, what: str, source: str) -> BoxCorners:
    points = points_of(value.get("points"), what, source, at_least=3)
    return enclosing_box((x * scale[0], y * scale[1]) for x, y in points)


_READERS: Mapping[str, Callable[[_Value, _Scale, str, str], BoxCorners]] = {
    "rectangle": _rectangle,
    "ellipse": _ellipse,
    "polygon": _polygon,
}
