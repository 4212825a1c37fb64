"""Reads VIAME CSV (viame.readthedocs.io, "Detection File Formats and Conversions") as VIAME and DIVE write it.

Each row is a detection, or a track on one frame: id, image, frame, left, top, right and bottom in pixels, score,
length, then pairs of species and score, and attributes in parentheses. The species with the highest score is the label.
Lines that begin with # are comments.

Scores below 1 are those of a model: then a minimum score is required. An image without detections has no row, so that
no image is said to be empty.
"""

import csv
import io
from collections.abc import Iterator, Sequence

from retinanet_odm.annotations.collector import ObjectCollector
from retinanet_odm.annotations.json_values import image_name_of
from retinanet_odm.annotations.predictions import check_accepted
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.values import parse_index, parse_number
from retinanet_odm.errors import AnnotationError

_FIXED = 9  # columns before the pairs
_Row = tuple[int, list[str]]  # line, cells


def parse_viame(data: bytes, *, source: str, min_score: float | None = None) -> Iterator[ImageAnnotation]:
    """Yield every image of a VIAME CSV file that has a row, in the order of their first rows.

    Args:
      data: the file's bytes, UTF-8.
      source: the file's name, for messages.
      min_score: rows with a lower score are left out, and counted; None if predictions are not accepted.

    Raises:
      AnnotationError: predictions are not accepted, the file is not CSV, or a row names no image or frame.

    Example:
      >>> row = b"0,a.jpg,0,10,20,30,40,1,-1,crab,1"
      >>> [(image.filename, image.objects[0].label, image.objects[0].box) for image in parse_viame(row, source="v.csv")]
      [('a.jpg', 'crab', (20.0, 10.0, 40.0, 30.0))]
    """
    rows = list(_rows(data, source))
    if any(_is_predicted(cells) for _, cells in rows):
        check_accepted(min_score, "VIAME CSV with scores below 1", source)
    frames: dict[int, str] = {}
    images: dict[str, ObjectCollector] = {}
    for line, cells in rows:
        name, frame = _place(cells, line, source)
        if frames.setdefault(frame, name) != name:
            detail = f"{source}: line {line}: frame {frame} is {frames[frame]!r} in another row, and here {name!r}"
            raise AnnotationError("structure_unexpected", detail, line)
        _add(images.setdefault(name, ObjectCollector()), cells, line, min_score or 0.0, source)
    if len(images) < len(frames):
        detail = (
            f"{source}: expected an image in each row, found {len(frames)} frames of {len(images)}: a video is not read"
        )
        raise AnnotationError("video_of_images", detail)
    for name, collector in images.items():
        yield collector.annotation(name, (None, None), source)


def _rows(data: bytes, source: str) -> Iterator[_Row]:
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        for cells in reader:
            if cells and not cells[0].lstrip().startswith("#"):
                yield reader.line_num, [cell.strip() for cell in cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise AnnotationError("csv_not_well_formed", f"{source}: not CSV: {error}") from error


def _is_predicted(cells: Sequence[str]) -> bool:
    try:
        best = max((float(score) for _, score in _pairs(cells)), default=1.0)
        return any(0 <= score < 1 for score in (best, *map(float, cells[7:8])))
    except ValueError:
        return False  # the row is reported where it is read


def _pairs(cells: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of species and score; attributes such as (kp) or (poly) come after them."""
    found = []
    for start in range(_FIXED, len(cells), 2):
        if not cells[start] or cells[start].startswith(("(", "+")):
            break
        found.append((cells[start], cells[start + 1] if start + 1 < len(cells) else ""))
    return found


def _place(cells: Sequence[str], line: int, source: str) -> tuple[str, int]:
    if len(cells) < _FIXED:
        detail = f"{source}: line {line}: expected {_FIXED} or more cells, found {len(cells)}"
        raise AnnotationError("csv_not_well_formed", detail, line)
    frame = parse_index(cells[2], f"frame in line {line}", source, line)
    return image_name_of(cells[1], f"image in line {line}", source), frame


def _add(collector: ObjectCollector, cells: Sequence[str], line: int, min_score: float, source: str) -> None:
    what = f"line {line}"
    try:
        left, top, right, bottom = (parse_number(cell, f"box in {what}", source, line) for cell in cells[3:7])
        pairs = [(parse_number(score, f"score in {what}", source, line), name) for name, score in _pairs(cells)]
        if not pairs:
            raise AnnotationError("object_without_label", f"{source}: {what}: expected a species, found none", line)
    except AnnotationError as error:
        collector.add_unreadable(error, line)
        return
    score, label = max(pairs, key=lambda pair: pair[0])
    collector.add_predicted(ObjectAnnotation(label=label, box=(top, left, bottom, right), line=line), score, min_score)
