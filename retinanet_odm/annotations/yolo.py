"""Reads YOLO's text files (docs.ultralytics.com/datasets/detect, /segment, /obb): one for each image, a row per object.

Begin with `parse_yolo`. Numbers are fractions of the width and height of the upright image, so that the boxes are, too.
Rows of 5 numbers are class, centre and size of a box; of 7 or more, class and the points of an outline, or the four
corners of a rotated box; of 6, a box with its score, which only predictions have. An empty file says that nothing is
there. The names of the classes are in another file: see `class_names`.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from retinanet_odm.annotations.class_names import ClassNames
from retinanet_odm.annotations.collector import ObjectCollector
from retinanet_odm.annotations.geometry import enclosing_box
from retinanet_odm.annotations.predictions import check_accepted
from retinanet_odm.annotations.types import BoxCorners, ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.values import parse_index, parse_number
from retinanet_odm.errors import AnnotationError

_VISIBILITY = frozenset((0.0, 1.0, 2.0))  # of a keypoint
_BOX, _SCORED, _FIRST_OUTLINE = 5, 6, 7  # numbers in a row


def parse_yolo(data: bytes, *, source: str, names: ClassNames, min_score: float | None = None) -> ImageAnnotation:
    """Read one file of YOLO.

    Args:
      data: the file's bytes, UTF-8.
      source: the file's name, which stands for that of the image.
      names: of the classes.
      min_score: predictions with a lower score are left out; None if predictions are not accepted.

    Raises:
      AnnotationError: the file is not text, or has predictions that are not accepted.

    Example:
      >>> image = parse_yolo(b"1 0.5 0.5 0.2 0.4", source="a.txt", names=ClassNames(names={0: "star", 1: "crab"}))
      >>> image.filename, image.objects[0].label, [round(edge, 2) for edge in image.objects[0].box]
      ('a', 'crab', [0.3, 0.4, 0.7, 0.6])
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise AnnotationError("number_not_readable", f"{source}: not UTF-8: {error}") from error
    rows = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    if any(len(row) == _SCORED for _, row in rows):
        check_accepted(min_score, "rows of 6 numbers, of which the last is a score", source)
    collector = ObjectCollector()
    for number, row in rows:
        what = f"line {number}"
        try:
            score = parse_number(row[-1], f"score in {what}", source, number) if len(row) == _SCORED else None
            item = _object(row, what, number, names, source)
        except AnnotationError as error:
            collector.add_unreadable(error, number)
            continue
        if score is None:
            collector.add(item)
        else:
            collector.add_predicted(item, score, min_score or 0.0)
    return collector.annotation(PurePosixPath(source).stem, (None, None), source, is_relative=True)


def _object(row: Sequence[str], what: str, line: int, names: ClassNames, source: str) -> ObjectAnnotation:
    label = _label(row[0], what, line, names.names, source)
    numbers = [parse_number(text, what, source, line) for text in row[1:]]
    if len(row) < _BOX or names.has_keypoints or _has_visibility(numbers):
        seen = "keypoints" if len(row) >= _BOX else f"{len(row)} numbers"
        detail = f"{source}: {what}: expected class, centre and size, or class and an outline; found {seen}"
        raise AnnotationError("shape_not_known", detail, line)
    box = _centred(numbers) if len(row) < _FIRST_OUTLINE else _outline(numbers, what, line, source)
    return ObjectAnnotation(label=label, box=box, line=line)


def _has_visibility(numbers: Sequence[float]) -> bool:
    """Return whether a box is followed by keypoints with x, y and visibility; an outline has no such numbers."""
    points = numbers[4:]
    return len(points) >= 3 and len(points) % 3 == 0 and set(points[2::3]) <= _VISIBILITY


def _label(text: str, what: str, line: int, names: Mapping[int, str], source: str) -> str:
    index = parse_index(text, f"class in {what}", source, line)
    if index not in names:
        known = f"the file of class names has {len(names)}" if names else "no data.yaml or classes.txt was found"
        cure = "give the file that names it by --annotations, or add it to the zip file"
        detail = f"{source}: {what}: class {index} has no name: {known}; {cure}"
        raise AnnotationError("class_without_name", detail, line)
    return names[index]


def _centred(numbers: Sequence[float]) -> BoxCorners:
    x, y, width, height = numbers[:4]
    return y - height / 2, x - width / 2, y + height / 2, x + width / 2


def _outline(numbers: Sequence[float], what: str, line: int, source: str) -> BoxCorners:
    if len(numbers) % 2:
        detail = f"{source}: {what}: expected pairs of x and y, found {len(numbers)} numbers"
        raise AnnotationError("points_not_readable", detail, line)
    return enclosing_box(zip(numbers[::2], numbers[1::2], strict=True))
