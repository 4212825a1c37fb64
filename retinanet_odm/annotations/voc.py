"""Reads and writes Pascal VOC XML, in the variants of CVAT, LabelImg, labelme2voc and Roboflow.

Elements are found by name, never by position, and numbers are floats: CVAT writes fractions of a pixel.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from lxml import etree

from retinanet_odm.annotations.geometry import enclosing_box, rotated_box
from retinanet_odm.annotations.safe_xml import (
    element_position,
    is_true,
    line_of,
    parse_index,
    parse_number,
    parse_xml,
    quoted,
    text_of,
)
from retinanet_odm.annotations.types import BoxCorners, ImageAnnotation, ObjectAnnotation
from retinanet_odm.errors import AnnotationError

# In the order of BoxCorners.
_BOX_EDGES = ("ymin", "xmin", "ymax", "xmax")
_VERTEX = re.compile(r"x([0-9]{1,6})")


def parse_voc(data: bytes, *, source: str, origin: int = 0) -> ImageAnnotation:
    """Reads one Pascal VOC file.

    A box rotated in CVAT (an <attribute> named rotation, in degrees) becomes the box around it; an object with a
    <polygon> of x1, y1, x2, … and no <bndbox> (Roboflow) becomes the box around that. Each <part> is ignored and
    counted.

    Args:
      data: the file's bytes.
      source: the file's name, for messages; its stem replaces a missing <filename>.
      origin: 0 if coordinates are edges counted from 0 (CVAT, labelme2voc); 1 if they are indices, counted from 1, of
        the first and last pixel inside the box (the VOC challenges): then 1 is subtracted from xmin and ymin.

    Raises:
      AnnotationError: the file is not well-formed XML or not Pascal VOC, or an object has no readable label and box.
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
    # Parts (heads, hands) have boxes of their own inside their object's box; they are counted, but not read.
    parts = len(root.findall("object/part"))
    return ImageAnnotation(
        filename=text_of(root, "filename") or PurePosixPath(source).stem,
        width=_size(root, "width", source),
        height=_size(root, "height", source),
        objects=tuple(_object(element, source, origin) for element in root.iterfind("object")),
        source=source,
        ignored=(("part", parts),) if parts else (),
        line=line_of(root),
    )


def format_voc(annotation: ImageAnnotation, *, database: str | None = None) -> bytes:
    """Formats the objects of one image as Pascal VOC XML with float coordinates, as CVAT does.

    Args:
      annotation: the image and its objects.
      database: the origin of the boxes, written to <source><database>.
    """
    root = etree.Element("annotation")
    _append(root, "filename", annotation.filename)
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
        bndbox = etree.SubElement(element, "bndbox")
        edges = dict(zip(_BOX_EDGES, item.box, strict=True))
        for name in ("xmin", "ymin", "xmax", "ymax"):
            _append(bndbox, name, f"{edges[name]:.2f}")
    return etree.tostring(root, pretty_print=True, encoding="utf-8", xml_declaration=True)


def _append(parent: etree._Element, tag: str, value: object) -> None:
    etree.SubElement(parent, tag).text = "" if value is None else str(value)


def _size(root: etree._Element, side: str, source: str) -> int | None:
    """Reads a side of <size> in pixels; empty or 0 means that the tool did not know it."""
    element = root.find(f"size/{side}")
    if element is None:
        return None
    return parse_index((element.text or "").strip() or "0", f"<{side}>", source, line_of(element)) or None


def _object(element: etree._Element, source: str, origin: int) -> ObjectAnnotation:
    label, line = text_of(element, "name"), line_of(element)
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
        difficult=is_true(element.findtext("difficult")),
        truncated=is_true(element.findtext("truncated")),
        occluded=is_true(element.findtext("occluded")),
        line=line,
    )


def _box(element: etree._Element, where: str, source: str) -> BoxCorners:
    edges = [text_of(element, f"bndbox/{edge}") for edge in _BOX_EDGES]
    # Roboflow writes polygons without a box; where there is a box, it counts.
    polygon = element.find("polygon")
    if polygon is not None and not any(edges):
        points = list(_vertices(polygon, where, source))
        if points:
            return enclosing_box(points)
    ymin, xmin, ymax, xmax = (
        parse_number(text, f"<{edge}> {where}", source, line_of(element))
        for edge, text in zip(_BOX_EDGES, edges, strict=True)
    )
    return ymin, xmin, ymax, xmax


def _vertices(polygon: etree._Element, where: str, source: str) -> Iterator[tuple[float, float]]:
    """Yields the (x, y) of <x1>, <y1>, <x2>, …, whatever the order of the elements."""
    for child in polygon.iterchildren("*"):
        if vertex := _VERTEX.fullmatch(etree.QName(child).localname):
            names = f"x{vertex[1]}", f"y{vertex[1]}"
            x, y = (parse_number(text_of(polygon, name), f"<{name}> {where}", source, line_of(child)) for name in names)
            yield x, y


def _rotation(element: etree._Element, where: str, source: str) -> float:
    """Reads CVAT's rotation in degrees, which Datumaro exports as an attribute of the object; 0 if there is none."""
    for attribute in element.iterfind("attributes/attribute"):
        if text_of(attribute, "name") == "rotation":
            return parse_number(text_of(attribute, "value") or "0", f"rotation {where}", source, line_of(attribute))
    return 0.0
