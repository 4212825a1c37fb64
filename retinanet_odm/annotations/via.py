"""Reads VGG Image Annotator (VIA, robots.ox.ac.uk/~vgg/software/via): annotations and projects as JSON.

Begin with `parse_via`; `via_csv` reads the same from a table. An image has regions, with a shape and attributes. VIA 1
and 2 differ in little: VIA 1 has its regions as an object {"0": …} instead of a list.

A region's label is one of its attributes, whose names the annotator chose. It is the same for a whole file: the only
attribute that is used in it, or else the only one named class, label, name, species or type.

Coordinates are pixels counted from 0; the angle of an ellipse is in radians.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from retinanet_odm.annotations.collector import POINTS, ObjectCollector
from retinanet_odm.annotations.geometry import ellipse_box, enclosing_box
from retinanet_odm.annotations.json_values import (
    JsonObject,
    check_all_read,
    image_name_of,
    kind_of,
    label_of,
    numbers_of,
    object_of,
    parse_json,
    points_of,
    shown,
)
from retinanet_odm.annotations.types import BoxCorners, ImageAnnotation, ObjectAnnotation
from retinanet_odm.errors import AnnotationError

_LABEL_NAMES = frozenset(("class", "label", "name", "species", "type"))


@dataclass(frozen=True, kw_only=True)
class ViaRegion:
    """A region: its shape and its attributes as the file has them, and what they are, for messages."""

    shape: JsonObject
    attributes: JsonObject
    what: str
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class ViaImage:
    """An image with its regions, and what is wrong with other ones."""

    filename: str
    regions: list[ViaRegion] = field(default_factory=list)
    faults: list[AnnotationError] = field(default_factory=list)
    line: int | None = None


def parse_via(data: bytes, *, source: str) -> Iterator[ImageAnnotation]:
    """Yield every image of annotations or a project of VIA, saved as JSON.

    Args:
      data: the file's bytes.
      source: the file's name, for messages.

    Raises:
      AnnotationError: the file is not JSON or not VIA's, an image has no name, regions are elsewhere, or no attribute
        or several may be the label.

    Example:
      >>> region = b'{"shape_attributes": {"name": "rect", "x": 10, "y": 20, "width": 20, "height": 20},'
      >>> region += b' "region_attributes": {"species": "crab"}}'
      >>> data = b'{"a.jpg99": {"filename": "a.jpg", "size": 99, "regions": [' + region + b'], "file_attributes": {}}}'
      >>> [(item.label, item.box) for image in parse_via(data, source="a.json") for item in image.objects]
      [('crab', (20.0, 10.0, 40.0, 30.0))]
    """
    parsed, counted = parse_json(data, source, _is_region)
    document = object_of(parsed, "the file", source)
    entries = object_of(document.get("_via_img_metadata", document), "_via_img_metadata", source)
    images = [_image(object_of(entry, shown(key), source), shown(key), source) for key, entry in entries.items()]
    regions = (region for entry in entries.values() for region in _regions(entry, "an image", source))
    check_all_read(counted, regions, _is_region, "'regions' of an image", source)
    yield from annotations_of(images, source)


def _is_region(entry: JsonObject) -> bool:
    return "shape_attributes" in entry or "region_attributes" in entry


def _regions(entry: JsonObject, key: str, source: str) -> list[object]:
    found = entry.get("regions")
    regions = list(found.values()) if isinstance(found, dict) else found
    if not isinstance(regions, list):
        detail = f"{source}: regions of {key}: expected a list, found {kind_of(regions)}"
        raise AnnotationError("structure_unexpected", detail)
    return regions


def _image(entry: JsonObject, key: str, source: str) -> ViaImage:
    image = ViaImage(filename=image_name_of(entry.get("filename"), f"filename of {key}", source))
    for index, region in enumerate(_regions(entry, key, source)):
        what = f"{key}, region {index}"
        try:
            shape, attributes = (
                object_of(object_of(region, what, source).get(part), f"{part} of {what}", source)
                for part in ("shape_attributes", "region_attributes")
            )
            image.regions.append(ViaRegion(shape=shape, attributes=attributes, what=what))
        except AnnotationError as error:
            image.faults.append(error)
    return image


def annotations_of(images: Iterable[ViaImage], source: str) -> Iterator[ImageAnnotation]:
    """Yield the annotation of every image of a file.

    Raises:
      AnnotationError: no attribute of the regions is certain to be their label.
    """
    found = list(images)
    key = _label_attribute((region for image in found for region in image.regions), source)
    for image in found:
        collector = ObjectCollector()
        for fault in image.faults:
            collector.add_unreadable(fault)
        for region in image.regions:
            try:
                item = _object(region, key, source)
            except AnnotationError as error:
                collector.add_unreadable(error, region.line)
                continue
            if item is None:
                collector.ignore(POINTS)
            else:
                collector.add(item)
        yield collector.annotation(image.filename, (None, None), source, line=image.line)


def _label_attribute(regions: Iterable[ViaRegion], source: str) -> str:
    """Return the name of the attribute that is the label; "" if no region has an attribute.

    Raises:
      AnnotationError: several may be it.
    """
    used = {name for region in regions for name, value in region.attributes.items() if value not in ("", None, {})}
    candidates = [name for name in used if name.strip().lower() in _LABEL_NAMES] if len(used) > 1 else list(used)
    if len(used) > 1 and len(candidates) != 1:
        detail = (
            f"{source}: expected one attribute of the regions, or one named {', '.join(sorted(_LABEL_NAMES))}; found"
            f" {', '.join(map(shown, sorted(used)))}"
        )
        raise AnnotationError("label_ambiguous", detail)
    return candidates[0] if candidates else ""


def _object(region: ViaRegion, key: str, source: str) -> ObjectAnnotation | None:
    """Read a region; None for a point, which has no box."""
    kind = region.shape.get("name")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        detail = f"{source}: {region.what}: expected one of {', '.join(_READERS)}, found {shown(kind)}"
        raise AnnotationError("shape_not_known", detail)
    box = reader(region.shape, region.what, source)
    if box is None:
        return None
    return ObjectAnnotation(label=_label(region, key, source), box=box, line=region.line)


def _label(region: ViaRegion, key: str, source: str) -> str:
    """Read the label: a text, the id of an option, or the one option of a checkbox that is checked."""
    value = region.attributes.get(key)
    if isinstance(value, dict):
        checked = [name for name, is_checked in value.items() if is_checked is True]
        value = checked[0] if len(checked) == 1 else checked
    return label_of(value, f"{region.what}, attribute {shown(key)}", source)


def _rect(shape: JsonObject, what: str, source: str) -> BoxCorners:
    x, y, width, height = numbers_of(shape, ("x", "y", "width", "height"), what, source)
    return y, x, y + height, x + width


def _circle(shape: JsonObject, what: str, source: str) -> BoxCorners:
    x, y, radius = numbers_of(shape, ("cx", "cy", "r"), what, source)
    return ellipse_box((x, y), (radius, radius), 0)


def _ellipse(shape: JsonObject, what: str, source: str) -> BoxCorners:
    x, y, radius_x, radius_y, theta = numbers_of({"theta": 0, **shape}, ("cx", "cy", "rx", "ry", "theta"), what, source)
    return ellipse_box((x, y), (radius_x, radius_y), math.degrees(theta))


def _outline(at_least: int) -> Callable[[JsonObject, str, str], BoxCorners]:
    def read(shape: JsonObject, what: str, source: str) -> BoxCorners:
        xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
        if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
            detail = (
                f"{source}: {what}: expected as many all_points_x as all_points_y, found {shown(xs)} and {shown(ys)}"
            )
            raise AnnotationError("points_not_readable", detail)
        points = [[x, y] for x, y in zip(xs, ys, strict=True)]
        return enclosing_box(points_of(points, what, source, at_least=at_least))

    return read


def _point(shape: JsonObject, what: str, source: str) -> None:
    numbers_of(shape, ("cx", "cy"), what, source)


_READERS: Mapping[str, Callable[[JsonObject, str, str], BoxCorners | None]] = {
    "rect": _rect,
    "circle": _circle,
    "ellipse": _ellipse,
    "polygon": _outline(3),
    "polyline": _outline(2),
    "point": _point,
}
