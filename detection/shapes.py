"""The upright box around a drawn shape; pixels, y down, boxes as (ymin, xmin, ymax, xmax) edges.

Angles are degrees about the shape's centre, visually clockwise, as CVAT writes them.
"""

import itertools
import math
from collections.abc import Iterable, Sequence

from detection.annotations import Box


def enclosing_box(points: Iterable[tuple[float, float]]) -> Box:
    """The box around one or more (x, y) points."""
    xs, ys = zip(*points, strict=True)
    return min(ys), min(xs), max(ys), max(xs)


def rotated_corners(box: Box, degrees: float) -> list[tuple[float, float]]:
    """The four (x, y) corners of a box turned about its centre: CVAT, formats/transformations.py."""
    ymin, xmin, ymax, xmax = box
    centre_x, centre_y = (xmin + xmax) / 2, (ymin + ymax) / 2
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (centre_x + cosine * dx - sine * dy, centre_y + sine * dx + cosine * dy)
        for dx, dy in ((x - centre_x, y - centre_y) for x in (xmin, xmax) for y in (ymin, ymax))
    ]


def rotated_box(box: Box, degrees: float) -> Box:
    """The box around a turned box; an angle of 0 leaves the numbers, and even their order, untouched."""
    return enclosing_box(rotated_corners(box, degrees)) if degrees % 360 else box


def ellipse_box(centre: tuple[float, float], radii: tuple[float, float], degrees: float) -> Box:
    """The box that touches a turned ellipse; centre and radii as (x, y)."""
    (centre_x, centre_y), (radius_x, radius_y) = centre, radii
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half_width = math.hypot(radius_x * cosine, radius_y * sine)
    half_height = math.hypot(radius_x * sine, radius_y * cosine)
    return centre_y - half_height, centre_x - half_width, centre_y + half_height, centre_x + half_width


def mask_box(runs: Sequence[int], *, width: int) -> Box | None:
    """The box around the foreground of a run-length mask, relative to the mask's corner; None where there is none.

    Args:
      runs: lengths of alternating runs along the rows, the first of them background (it may be 0).
      width: pixels in a row, 1 or more.
    """
    ends = list(itertools.accumulate(runs))
    spans = [(ends[index - 1], ends[index] - 1) for index in range(1, len(ends), 2) if runs[index]]
    if not spans:
        return None
    columns = [pixel % width for span in spans for pixel in span]
    if any(first // width != last // width for first, last in spans):
        columns += [0, width - 1]  # a run that goes on in the next row touches both sides
    return float(spans[0][0] // width), float(min(columns)), spans[-1][1] // width + 1.0, max(columns) + 1.0
