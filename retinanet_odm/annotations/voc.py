"""Reads and writes Pascal VOC XML, in the variants of CVAT, LabelImg, labelme2voc and Roboflow.

Begin with `parse_voc`. Elements are found by name, never by position, and numbers are floats: CVAT writes fractions of
a pixel. A file without <object> means that the image shows none, so nothing that looks like an object may be passed
over: `_check_places` rejects a file with such elements elsewhere, or in another case.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from lxml import etree

from retinanet_odm.annotations.collector import ObjectCollector
from retinanet_odm.annotations.geometry import enclosing_box, rotated_box
from retinanet_odm.annotations.safe_xml import (
    element_position,
    elements_at,
    line_of,
    local_name,
    misplaced,
    only_child,
    parse_xml,
    text_of,
)
from retinanet_odm.annotations.types import BoxCorners, ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.values import is_true, parse_index, parse_number, quoted
from retinanet_odm.errors import AnnotationError

# In the order of BoxCorners.
_BOX_EDGES = ("ymin", "xmin", "ymax", "xmax")
_VERTEX = re.compile(r"[xy]([0-9]{1,6})")

# Where an object, its box and CVAT's rotation stand, as paths below the root.
_BOXES = ("object/bndbox", "object/part/bndbox")
_ROTATION = "rotation"
_BOX_PLACES = frozenset((*_BOXES, *(f"{box}/{edge}" for box in _BOXES for edge in _BOX_EDGES)))
_ROTATION_PLACES = frozenset(("object/attributes/attribute/name", "object/name"))  # a label may have this name
# Names, in lower case, of elements that hold an object, its box or a coordinate of it. Elsewhere nobody reads them.
_OBJECT_NAMES = frozenset(("object", "objects"))
_BOX_NAMES = frozenset(
    ("bndbox", "bbox", "box", "boundingbox", "bounding_box", "rectangle", "robndbox", "polygon", *_BOX_EDGES)
)


def parse_voc(data: bytes, *, source: str, origin: int = 0) -> ImageAnnotation:
    """Read one Pascal VOC file.

    A box rotated in CVAT (an <attribute> named rotation, in degrees) becomes the box around it; an object with a
    <polygon> of x1, y1, x2, … and no <bndbox> (Roboflow) becomes the box around that. Each <part> is ignored and
    counted.

    Args:
      data: the file's bytes.
      source: the file's name, for messages; its stem replaces a missing <filename>.
      origin: 0 if coordinates are edges counted from 0 (CVAT, labelme2voc); 1 if they are indices, counted from 1, of
        the first and last pixel inside the box (the VOC challenges): then 1 is subtracted from xmin and ymin.

    Raises:
      AnnotationError: the file is not well-formed XML or not Pascal VOC, an object has no readable label and box, or
        something that looks like an object is not where Pascal VOC has it.
      ValueError: origin is neither 0 nor 1.

    Example:
      >>> box = b"<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
      >>> image = parse_voc(b"<annotation><object><name>crab</name>" + box + b"</object></annotation>", source="a.xml")
      >>> image.filename, image.objects[0].label, image.objects[0].box
      ('a', 'crab', (20.0, 10.0, 40.0, 30.0))
    """
    if origin not in (0, 1):
        raise ValueError(f"origin: expected 0 or 1, found {origin}")
    root = parse_xml(data, source=source)
    if root.tag != "annotation":
        detail = f"{source}: expected the root element <annotation> of Pascal VOC, found <{root.tag}>"
        raise AnnotationError("not_pascal_voc", detail, line_of(root))
    _check_places(root, source)
    collector = ObjectCollector()
    # Unlike in formats of many images, the first object that cannot be read ends the file.
    for element in root.iterfind("object"):
        collector.add(_object(element, source, origin))
    # Parts (heads, hands) have boxes of their own inside their object's box; they are counted, but not read.
    collector.ignore("part", len(elements_at(root, "object/part")))
    name = text_of(root, "filename", source) or PurePosixPath(source).stem
    size = _side(root, "width", source), _side(root, "height", source)
    annotation = collector.annotation(name, size, source, line=line_of(root))
    # The file is of this image alone: what makes the image unreadable is an error of the file.
    for fault in annotation.unreadable:
        raise AnnotationError(fault.reason, fault.detail, fault.line)
    return annotation


def format_voc(annotation: ImageAnnotation, *, database: str | None = None) -> bytes:
    """Format the objects of one image as Pascal VOC XML with float coordinates, as CVAT does.

    Args:
      annotation: the image and its objects.
      database: the origin of the boxes, written to <source><database>.
    """
    root = etree.Element("annotation")
    _append(root, "filename", annotation.filename)
    # As LabelImg writes it: MBARI's aidata reads no other name.
    _append(root, "path", annotation.filename)
    if database is not None:
        _append(etree.SubElement(root, "source"), "database", database)
    size = etree.SubElement(root, "size")
    _append(size, "width", annotation.width)
    _append(size, "height", annotation.height)
    _append(size, "depth", 3)
    for item in annotation.objects:
        element = etree.SubElement(root, "object")
        _append(element, "name", item.label)
        for flag in ("truncated", "occluded", "difficult"):
            _append(element, flag, int(getattr(item, flag)))
        # In the order of the VOC development kit: xmin, ymin, xmax, ymax.
        bndbox = etree.SubElement(element, "bndbox")
        edges = dict(zip(_BOX_EDGES, item.box, strict=True))
        for name in ("xmin", "ymin", "xmax", "ymax"):
            _append(bndbox, name, f"{edges[name]:.2f}")
    return etree.tostring(root, pretty_print=True, encoding="utf-8", xml_declaration=True)


def _append(parent: etree._Element, tag: str, value: object) -> None:
    etree.SubElement(parent, tag).text = "" if value is None else str(value)


def _check_places(root: etree._Element, source: str) -> None:
    """Raise AnnotationError for what looks like an object or a part of one, and is where nobody reads it."""
    for element in root.iterdescendants("*"):
        name = local_name(element)
        if name in _OBJECT_NAMES and (element.tag != "object" or element.getparent() is not root):
            raise misplaced(element, "each <object> directly in <annotation>", source)
        if name in _BOX_NAMES and not _is_box_place(name, _path(element, root)):
            raise misplaced(element, "<bndbox> directly in <object>, and coordinates directly in it", source)
        # Without its rotation, a box would silently be another one.
        if _is_rotation(element) and _path(element, root) not in _ROTATION_PLACES:
            raise misplaced(element, f"{_ROTATION} as the <name> of an <attribute> in <attributes> of <object>", source)
    if root.find("object") is None and any(is_true(found.text) for found in root.iterfind("segmented")):
        detail = (
            f"{source}: <segmented> is 1, but there is no <object>: outlines and masks are not in this file; export as"
            " CVAT for images or COCO"
        )
        raise AnnotationError("segmented_without_objects", detail, line_of(root))


def _is_box_place(name: str, path: str) -> bool:
    """Return whether an element is where it is read; beside the box of an object, other outlines do not matter."""
    is_outline = name != "bndbox" and name not in _BOX_EDGES
    return path in _BOX_PLACES or (is_outline and path.startswith("object/"))


def _is_rotation(element: etree._Element) -> bool:
    text = element.text
    return text is not None and len(text) >= len(_ROTATION) and text.strip().lower() == _ROTATION


def _path(element: etree._Element, root: etree._Element) -> str:
    """Return the tags from below the root to an element, joined by slashes."""
    path, parent = str(element.tag), element.getparent()
    while parent is not None and parent is not root:
        path, parent = f"{parent.tag}/{path}", parent.getparent()
    return path


def _side(root: etree._Element, side: str, source: str) -> int | None:
    """Read a side of <size> in pixels; empty or 0 means that the tool did not know it."""
    element = only_child(root, f"size/{side}", source)
    line = None if element is None else line_of(element)
    return parse_index(text_of(root, f"size/{side}", source) or "0", f"<{side}>", source, line) or None


def _object(element: etree._Element, source: str, origin: int) -> ObjectAnnotation:
    label, line = text_of(element, "name", source), line_of(element)
    if not label:
        raise AnnotationError(
            "object_without_label", f"{source}: {element_position(element)}: <object> has no <name>", line
        )
    where = f"of {quoted(label)}, {element_position(element)}"
    ymin, xmin, ymax, xmax = _box(element, where, source)
    return ObjectAnnotation(
        label=label,
        # Pixel 1 begins at edge 0 and pixel n ends at edge n: an origin of 1 shifts only the minima.
        box=rotated_box((ymin - origin, xmin - origin, ymax, xmax), _rotation(element, where, source)),
        difficult=is_true(text_of(element, "difficult", source)),
        truncated=is_true(text_of(element, "truncated", source)),
        occluded=is_true(text_of(element, "occluded", source)),
        line=line,
    )


def _box(element: etree._Element, where: str, source: str) -> BoxCorners:
    """Read <bndbox>; where there is none, or an empty one, the box around <polygon>, as Roboflow writes it."""
    bndbox = only_child(element, "bndbox", source)
    # An empty <bndbox> beside an outline is none.
    if bndbox is None or not len(bndbox):
        points = [point for polygon in element.iterfind("polygon") for point in _vertices(polygon, where, source)]
        if points:
            return enclosing_box(points)
    if bndbox is None:
        found = ", ".join(f"<{child.tag}>" for child in element.iterchildren("*"))
        detail = f"{source}: <object> {where}: expected a <bndbox>, found {found}"
        raise AnnotationError("object_without_box", detail, line_of(element))
    ymin, xmin, ymax, xmax = (
        parse_number(text_of(bndbox, edge, source), f"<{edge}> {where}", source, line_of(element))
        for edge in _BOX_EDGES
    )
    return ymin, xmin, ymax, xmax


def _vertices(polygon: etree._Element, where: str, source: str) -> Iterator[tuple[float, float]]:
    """Yield the (x, y) of <x1>, <y1>, <x2>, …, whatever the order of the elements."""
    numbers = {}
    for child in polygon.iterchildren("*"):
        vertex = _VERTEX.fullmatch(str(child.tag))
        if vertex is None:
            raise misplaced(child, "<x1>, <y1>, <x2>, … in a <polygon>", source)
        # By number: x1 and y1 are one point, wherever they stand.
        numbers[vertex[1]] = line_of(child)
    for number, line in numbers.items():
        names = f"x{number}", f"y{number}"
        x, y = (parse_number(text_of(polygon, name, source), f"<{name}> {where}", source, line) for name in names)
        yield x, y


def _rotation(element: etree._Element, where: str, source: str) -> float:
    """Read CVAT's rotation in degrees, which Datumaro exports as an attribute of the object; 0 if there is none."""
    attributes = elements_at(element, "attributes/attribute")
    names = [text_of(attribute, "name", source) for attribute in attributes]
    # An attribute without a name might be the rotation.
    if not all(names):
        raise misplaced(attributes[names.index("")], "a <name> in each <attribute>", source)
    angles = [
        parse_number(text_of(attribute, "value", source), f"{_ROTATION} {where}", source, line_of(attribute))
        for attribute, name in zip(attributes, names, strict=True)
        if name == _ROTATION
    ]
    if len(angles) > 1:
        detail = f"{source}: <object> {where}: expected one attribute {_ROTATION}, found {len(angles)}"
        raise AnnotationError("element_repeated", detail, line_of(element))
    return angles[0] if angles else 0.0
