"""Reads the shapes of CVAT XML 1.1 as labelled boxes; exports for images and for video use the same elements.

Begin with `read_shape`, which reads one; `add_shape` adds it to an image. `_READERS` at the end of the module lists the
kinds of shapes; a new kind needs a function and a line there.

Coordinates are continuous pixels counted from 0, y down (CVAT documentation, manual/advanced/xml_format).
"""

from collections.abc import Callable

from lxml import etree

from retinanet_odm.annotations.collector import EMPTY_MASK, POINTS, SKELETON, ObjectCollector
from retinanet_odm.annotations.geometry import ellipse_box, enclosing_box, mask_box, rotated_box
from retinanet_odm.annotations.safe_xml import element_position, line_of, misplaced
from retinanet_odm.annotations.types import BoxCorners, ObjectAnnotation
from retinanet_odm.annotations.values import is_true, parse_index, parse_number, quoted
from retinanet_odm.errors import AnnotationError

# Shapes without a box by design: counted, but no fault of the file. See collector for images that have nothing else.
WITHOUT_BOX = frozenset((POINTS, SKELETON, "tag"))
# Names of elements in lower case that must not stand where nobody reads them.
SHAPE_NAMES = frozenset(("image", "track", "box", "polygon", "polyline", "ellipse", "mask", "cuboid", POINTS, SKELETON))
# Attributes that every shape has one of, and no tag.
_COORDINATES = frozenset(("xtl", "points", "cx", "rle", "xtl1"))
# Checkboxes of a label that become flags of the object.
_FLAGS = frozenset(("difficult", "truncated", "occluded", "is_crowd", "ignore"))
# The corners of a cuboid's front and back face, as attributes name them: xtl1, ytl1, …
_CORNERS = tuple(corner + face for face in "12" for corner in ("tl", "bl", "tr", "br"))


def add_shape(collector: ObjectCollector, shape: etree._Element, label: str | None, source: str) -> None:
    """Add one shape element of an image; one that cannot be read is kept as an UnreadableObject with its line."""
    try:
        item = read_shape(shape, label, source)
    except AnnotationError as error:
        collector.add_unreadable(error, line_of(shape))
        return
    if item is not None:
        collector.add(item)
    else:
        collector.ignore(EMPTY_MASK if shape.tag == "mask" else str(shape.tag))


def read_shape(shape: etree._Element, label: str | None, source: str) -> ObjectAnnotation | None:
    """Read a box, polygon, polyline, ellipse, mask or cuboid as the box around it.

    Returns None for a shape without a box by design, and for a mask without pixels.

    Raises:
      AnnotationError: the label is missing, a number cannot be read, or the kind of shape is not known.
    """
    # The order matters: what stands in the wrong place is reported before the shape itself is looked at.
    check_inside(shape, source)
    if shape.tag == "tag" and not _COORDINATES.isdisjoint(shape.attrib):
        raise misplaced(shape, "a shape, because it has coordinates", source)
    if shape.tag in WITHOUT_BOX:
        return None
    reader = _READERS.get(str(shape.tag))
    if reader is None:
        detail = f"{source}: {element_position(shape)}: expected one of {', '.join(_READERS)}, found <{shape.tag}>"
        raise AnnotationError("shape_not_known", detail)
    label = (label or "").strip()  # in a video, the label of the track
    if not label:
        raise AnnotationError(
            "object_without_label", f"{source}: {element_position(shape)}: <{shape.tag}> has no label"
        )
    box = reader(shape, f"<{shape.tag}> of {quoted(label)}, {element_position(shape)}", source)
    flags = _true_flags(shape)
    if box is None:
        return None
    return ObjectAnnotation(label=label, box=box, line=line_of(shape), **dict.fromkeys(flags, True))


def check_inside(shape: etree._Element, source: str) -> None:
    """Raise AnnotationError if a shape holds elements other than its own: a shape that is moved there would be lost.

    Shapes hold attributes, and skeletons also points.
    """
    allowed = ("attribute", POINTS) if shape.tag == SKELETON else ("attribute",)
    for inner in shape.iterdescendants("*"):
        parent = inner.getparent()
        if inner.tag not in allowed or (parent is not shape and (parent is None or parent.tag != POINTS)):
            raise misplaced(inner, f"only {' and '.join(f'<{tag}>' for tag in allowed)} in <{shape.tag}>", source)


def _true_flags(shape: etree._Element) -> set[str]:
    """Return the flags that are set: occluded is CVAT's own; each, occluded too, may be a checkbox of the label."""
    checked = {
        (attribute.get("name") or "").strip().lower()
        for attribute in shape.iterchildren("attribute")
        if is_true(attribute.text)
    }
    own = {"occluded"} if is_true(shape.get("occluded")) else set()
    return (checked & _FLAGS) | own


def _numbers(shape: etree._Element, names: tuple[str, ...], where: str, source: str) -> list[float]:
    return [parse_number(shape.get(name), f"{name} of {where}", source) for name in names]


def _rotation(shape: etree._Element, where: str, source: str) -> float:
    """Read the rotation in degrees; CVAT writes the attribute only if it is not 0."""
    return parse_number(shape.get("rotation", "0"), f"rotation of {where}", source)


def _box(shape: etree._Element, where: str, source: str) -> BoxCorners:
    ymin, xmin, ymax, xmax = _numbers(shape, ("ytl", "xtl", "ybr", "xbr"), where, source)
    return rotated_box((ymin, xmin, ymax, xmax), _rotation(shape, where, source))


def _points(shape: etree._Element, where: str, source: str) -> BoxCorners:
    """Read points="x,y;x,y;…" of a polygon or polyline."""
    pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        detail = f"{source}: points of {where}: expected x,y;x,y;…, found {quoted(shape.get('points'))}"
        raise AnnotationError("points_not_readable", detail)
    what = f"points of {where}"
    return enclosing_box((parse_number(x, what, source), parse_number(y, what, source)) for x, y in pairs)


def _ellipse(shape: etree._Element, where: str, source: str) -> BoxCorners:
    x, y, radius_x, radius_y = _numbers(shape, ("cx", "cy", "rx", "ry"), where, source)
    return ellipse_box((x, y), (radius_x, radius_y), _rotation(shape, where, source))


def _cuboid(shape: etree._Element, where: str, source: str) -> BoxCorners:
    xs = _numbers(shape, tuple(f"x{corner}" for corner in _CORNERS), where, source)
    ys = _numbers(shape, tuple(f"y{corner}" for corner in _CORNERS), where, source)
    return enclosing_box(zip(xs, ys, strict=True))


def _mask(shape: etree._Element, where: str, source: str) -> BoxCorners | None:
    """Return the box around the mask's pixels; around its frame if there is no rle, which is not an empty rle."""
    left, top = _numbers(shape, ("left", "top"), where, source)
    width, height = (parse_index(shape.get(name), f"{name} of {where}", source) for name in ("width", "height"))
    rle = shape.get("rle")
    if rle is None:
        return top, left, top + height, left + width
    runs = _runs(rle, width * height, where, source)
    box = mask_box(runs, width=width)  # relative to the frame's corner
    return box and (top + box[0], left + box[1], top + box[2], left + box[3])


def _runs(rle: str, pixels: int, where: str, source: str) -> list[int]:
    """Read run lengths along the rows of the mask's frame, background first (cvat-ai/cvat#6487).

    The last run may be missing.
    """
    try:
        runs = [int(text) for text in rle.split(",")]
    except ValueError:
        runs = [-1]
    if min(runs) < 0 or sum(runs) > pixels:
        detail = f"{source}: rle of {where}: expected run lengths of {pixels} pixels together, found {quoted(rle)}"
        raise AnnotationError("mask_not_readable", detail)
    return runs


# A new kind of shape is one line here; a reader returns None for a shape without pixels.
_READERS: dict[str, Callable[[etree._Element, str, str], BoxCorners | None]] = {
    "box": _box,
    "polygon": _points,
    "polyline": _points,
    "ellipse": _ellipse,
    "mask": _mask,
    "cuboid": _cuboid,
}
