"""Pascal VOC XML, as CVAT, LabelImg, labelme2voc and Roboflow write it.

Elements are read by name, never by position, and numbers as floats: CVAT writes fractions of a pixel.
"""

from pathlib import PurePosixPath

from lxml import etree

from detection.annotations import Box, ImageAnnotation, ObjectAnnotation
from detection.errors import AnnotationError

_BOX_EDGES = ("ymin", "xmin", "ymax", "xmax")


def parse_voc(data: bytes, *, source: str) -> ImageAnnotation:
    """Reads one Pascal VOC file.

    Args:
      data: the file's bytes.
      source: the file's name, for messages; its stem stands in for a missing <filename>.

    Raises:
      AnnotationError: not well-formed XML, not Pascal VOC, or an object without a readable label and box.
    """
    root = parse_xml(data, source=source)
    if root.tag != "annotation":
        raise AnnotationError(
            "not_pascal_voc", f"{source}: expected the root element <annotation> of Pascal VOC, found <{root.tag}>"
        )
    return ImageAnnotation(
        filename=_text(root, "filename") or PurePosixPath(source).stem,
        width=_size(root, "width", source),
        height=_size(root, "height", source),
        objects=tuple(_object(element, source) for element in root.iterfind("object")),
        source=source,
    )


def parse_xml(data: bytes, *, source: str) -> etree._Element:
    """The root element of an XML file; entities are not expanded and nothing outside the file is fetched."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise AnnotationError("xml_not_well_formed", f"{source}: not well-formed XML: {error}") from error


def format_voc(annotation: ImageAnnotation) -> bytes:
    """Writes one image's objects as Pascal VOC XML with float coordinates, as CVAT does."""
    root = etree.Element("annotation")
    _append(root, "filename", annotation.filename)
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


def _text(element: etree._Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _size(root: etree._Element, side: str, source: str) -> int | None:
    """A side of <size> in pixels; empty or 0 means that the tool did not know it."""
    text = _text(root, f"size/{side}")
    value = _number(text or "0", f"<{side}>", source)
    return int(value) or None


def _object(element: etree._Element, source: str) -> ObjectAnnotation:
    label = _text(element, "name")
    if not label:
        raise AnnotationError("object_without_label", f"{source}: line {element.sourceline}: <object> has no <name>")
    return ObjectAnnotation(
        label=label,
        box=_box(element, label, source),
        difficult=_flag(element, "difficult"),
        truncated=_flag(element, "truncated"),
        occluded=_flag(element, "occluded"),
    )


def _box(element: etree._Element, label: str, source: str) -> Box:
    ymin, xmin, ymax, xmax = (
        _number(_text(element, f"bndbox/{edge}"), f"<{edge}> of {label!r}, line {element.sourceline}", source)
        for edge in _BOX_EDGES
    )
    return ymin, xmin, ymax, xmax


def _number(text: str, what: str, source: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise AnnotationError("number_not_readable", f"{source}: {what}: expected a number, found {text!r}") from None
    if not abs(value) < 1e9:  # also refuses nan
        raise AnnotationError("number_not_readable", f"{source}: {what}: expected a pixel coordinate, found {text!r}")
    return value


def _flag(element: etree._Element, name: str) -> bool:
    """VOC flags are 0/1; labelme2voc leaves the element empty, Roboflow leaves it out."""
    return _text(element, name) in ("1", "true", "True")
