"""The shapes of CVAT XML 1.1 → labelled boxes; the same elements in exports for images and for video.

Coordinates are continuous pixels counted from 0, y down (CVAT documentation, manual/advanced/xml_format).
"""

from collections import Counter
from collections.abc import Callable

from lxml import etree

from retinanet_odm.annotations.geometry import ellipse_box, enclosing_box, mask_box, rotated_box
from retinanet_odm.annotations.safe_xml import element_position, is_true, line_of, parse_index, parse_number, quoted
from retinanet_odm.annotations.types import BoxCorners, ImageAnnotation, ObjectAnnotation, UnreadableObject
from retinanet_odm.errors import AnnotationError

_WITHOUT_BOX = frozenset(("points", "tag", "skeleton"))
_FLAGS = frozenset(("difficult", "truncated", "occluded", "is_crowd"))
_CORNERS = tuple(corner + face for face in "12" for corner in ("tl", "bl", "tr", "br"))


class ShapeCollector:
    """Gathers the shapes of one image, in the order of the file."""

    def __init__(self) -> None:
        self._objects: list[ObjectAnnotation] = []
        self._ignored: Counter[str] = Counter()
        self._unread: list[UnreadableObject] = []

    def add(self, shape: etree._Element, label: str | None, source: str) -> None:
        """Takes one shape element; one that cannot be read is kept as Unread, with its line."""
        kind = str(shape.tag)
        if kind in _WITHOUT_BOX:
            self._ignored[kind] += 1
            return
        try:
            item = read_shape(shape, label, source)
        except AnnotationError as error:
            self.add_unread(error, line_of(shape))
            return
        if item is None:
            self._ignored["empty mask"] += 1
        else:
            self._objects.append(item)

    def add_unread(self, error: AnnotationError, line: int | None) -> None:
        """Notes something of the image that could not be understood, and the line it stands on."""
        self._unread.append(UnreadableObject(reason=error.reason, detail=error.detail, line=line))

    def annotation(
        self,
        filename: str,
        size: tuple[int | None, int | None],
        source: str,
        *,
        subset: str | None,
        task: str | None,
        line: int | None = None,
    ) -> ImageAnnotation:
        """What was gathered, for an image of this name and (width, height)."""
        width, height = size
        return ImageAnnotation(
            filename=filename,
            width=width,
            height=height,
            objects=tuple(self._objects),
            source=source,
            subset=subset,
            task_id=task,
            ignored=tuple(sorted(self._ignored.items())),
            unreadable=tuple(self._unread),
            line=line,
        )


def read_shape(shape: etree._Element, label: str | None, source: str) -> ObjectAnnotation | None:
    """One box, polygon, polyline, ellipse, mask or cuboid as the box around it; None for a mask without pixels.

    Raises:
      AnnotationError: no label, a number that cannot be read, or a kind of shape that is not known; without a line,
        since that of the shape is known to the caller.
    """
    reader = _READERS.get(str(shape.tag))
    if reader is None:
        detail = f"{source}: {element_position(shape)}: expected one of {', '.join(_READERS)}, found <{shape.tag}>"
        raise AnnotationError("shape_not_known", detail)
    label = (label or "").strip()
    if not label:
        raise AnnotationError(
            "object_without_label", f"{source}: {element_position(shape)}: <{shape.tag}> has no label"
        )
    box = reader(shape, f"<{shape.tag}> of {quoted(label)}, {element_position(shape)}", source)
    flags = _true_flags(shape)
    if box is None:
        return None
    return ObjectAnnotation(label=label, box=box, line=line_of(shape), **dict.fromkeys(flags, True))


def _true_flags(shape: etree._Element) -> set[str]:
    """Flags that are set: occluded is CVAT's own, the rest (and it too) may be a checkbox of the label."""
    checked = {
        (attribute.get("name") or "").strip().lower()
        for attribute in shape.iterchildren("attribute")
        if is_true(attribute.text)
    }
    own = {"occluded"} if is_true(shape.get("occluded")) else set()
    return (checked & _FLAGS) | own


def _numbers(shape: etree._Element, names: tuple[str, ...], place: str, source: str) -> list[float]:
    return [parse_number(shape.get(name), f"{name} of {place}", source) for name in names]


def _rotation(shape: etree._Element, place: str, source: str) -> float:
    """Degrees; CVAT writes the attribute only where it is not 0."""
    return parse_number(shape.get("rotation", "0"), f"rotation of {place}", source)


def _box(shape: etree._Element, place: str, source: str) -> BoxCorners:
    ymin, xmin, ymax, xmax = _numbers(shape, ("ytl", "xtl", "ybr", "xbr"), place, source)
    return rotated_box((ymin, xmin, ymax, xmax), _rotation(shape, place, source))


def _line(shape: etree._Element, place: str, source: str) -> BoxCorners:
    """points="x,y;x,y;…" of polygon and polyline."""
    pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        detail = f"{source}: points of {place}: expected x,y;x,y;…, found {quoted(shape.get('points'))}"
        raise AnnotationError("points_not_readable", detail)
    what = f"points of {place}"
    return enclosing_box((parse_number(x, what, source), parse_number(y, what, source)) for x, y in pairs)


def _ellipse(shape: etree._Element, place: str, source: str) -> BoxCorners:
    x, y, radius_x, radius_y = _numbers(shape, ("cx", "cy", "rx", "ry"), place, source)
    return ellipse_box((x, y), (radius_x, radius_y), _rotation(shape, place, source))


def _cuboid(shape: etree._Element, place: str, source: str) -> BoxCorners:
    xs = _numbers(shape, tuple(f"x{corner}" for corner in _CORNERS), place, source)
    ys = _numbers(shape, tuple(f"y{corner}" for corner in _CORNERS), place, source)
    return enclosing_box(zip(xs, ys, strict=True))


def _mask(shape: etree._Element, place: str, source: str) -> BoxCorners | None:
    """The box around the mask's pixels; around its frame where no rle says which pixels those are."""
    left, top = _numbers(shape, ("left", "top"), place, source)
    width, height = (parse_index(shape.get(name), f"{name} of {place}", source) for name in ("width", "height"))
    if not (shape.get("rle") or "").strip():
        return top, left, top + height, left + width
    runs = _runs(shape.get("rle") or "", width * height, place, source)
    box = mask_box(runs, width=width)
    return box and (top + box[0], left + box[1], top + box[2], left + box[3])


def _runs(rle: str, pixels: int, place: str, source: str) -> list[int]:
    """Run lengths along the rows of the mask's frame, background first (cvat-ai/cvat#6487); the end may be left out."""
    try:
        runs = [int(text) for text in rle.split(",")]
    except ValueError:
        runs = [-1]
    if min(runs) < 0 or sum(runs) > pixels:
        detail = f"{source}: rle of {place}: expected run lengths of {pixels} pixels together, found {quoted(rle)}"
        raise AnnotationError("mask_not_readable", detail)
    return runs


_READERS: dict[str, Callable[[etree._Element, str, str], BoxCorners | None]] = {
    "box": _box,
    "polygon": _line,
    "polyline": _line,
    "ellipse": _ellipse,
    "mask": _mask,
    "cuboid": _cuboid,
}
