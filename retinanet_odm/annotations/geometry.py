"""The upright box around a drawn shape; pixels, y down, boxes as (ymin, xmin, ymax, xmax) edges.

Angles are degrees about the shape's centre, visually clockwise, as CVAT writes them.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retinanet_odm import boxes as box_ops
from retinanet_odm.annotations.types import BoxCorners


def enclosing_box(points: Iterable[tuple[float, float]]) -> BoxCorners:
    """The box around one or more (x, y) points."""
    xs, ys = zip(*points, strict=True)
    return min(ys), min(xs), max(ys), max(xs)


def rotated_corners(box: BoxCorners, degrees: float) -> list[tuple[float, float]]:
    """The four (x, y) corners of a box turned about its centre: CVAT, formats/transformations.py."""
    ymin, xmin, ymax, xmax = box
    centre_x, centre_y = (xmin + xmax) / 2, (ymin + ymax) / 2
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (centre_x + cosine * dx - sine * dy, centre_y + sine * dx + cosine * dy)
        for dx, dy in ((x - centre_x, y - centre_y) for x in (xmin, xmax) for y in (ymin, ymax))
    ]


def rotated_box(box: BoxCorners, degrees: float) -> BoxCorners:
    """The box around a turned box; an angle of 0 leaves the numbers, and even their order, untouched."""
    return enclosing_box(rotated_corners(box, degrees)) if degrees % 360 else box


def ellipse_box(centre: tuple[float, float], radii: tuple[float, float], degrees: float) -> BoxCorners:
    """The box that touches a turned ellipse; centre and radii as (x, y)."""
    (centre_x, centre_y), (radius_x, radius_y) = centre, radii
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half_width = math.hypot(radius_x * cosine, radius_y * sine)
    half_height = math.hypot(radius_x * sine, radius_y * cosine)
    return centre_y - half_height, centre_x - half_width, centre_y + half_height, centre_x + half_width


def mask_box(runs: Sequence[int], *, width: int) -> BoxCorners | None:
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


# How the size that an annotation gives agrees with the photograph's: it is the same; it is that from before the turn by
# the EXIF orientation; it is that of a smaller or larger copy; both of these.
EQUAL = "equal"
TURNED = "turned"
SCALED = "scaled"
TURNED_AND_SCALED = "turned_and_scaled"

# Below it, in pixels of the shorter side, rounding alone makes unlike shapes alike.
_LEAST_SCALED_SIDE = 16
Size = tuple[int, int]  # (width, height) in pixels


@dataclass(frozen=True, kw_only=True)
class ImagePlacement:
    """What an annotation's coordinates count from, and where they are to go; sizes are (width, height) in pixels.

    Attributes:
      size: of the picture that the annotation is for.
      real: of the upright photograph.
      orientation: EXIF's, 1 to 8, by which the photograph was turned upright.
      fit: EQUAL, TURNED, SCALED or TURNED_AND_SCALED.
    """

    size: Size
    real: Size
    orientation: int
    fit: str

    def place(self, box: BoxCorners) -> BoxCorners:
        """The box (ymin, xmin, ymax, xmax) in pixels of the upright photograph."""
        size = self.size
        if self.fit in (TURNED, TURNED_AND_SCALED):
            box, size = _turned(box, size, self.orientation), size[::-1]
        across, down = self.real[0] / size[0], self.real[1] / size[1]
        ymin, xmin, ymax, xmax = box
        return ymin * down, xmin * across, ymax * down, xmax * across


def find_placement(width: int | None, height: int | None, *, real: Size, orientation: int = 1) -> ImagePlacement | None:
    """The frame of an annotation that gives this size; None where the annotator saw a picture of another shape.

    Args:
      width, height: as the annotation gives them; None where it does not.
      real, orientation: as in Frame.
    """
    if width in (None, real[0]) and height in (None, real[1]):
        return ImagePlacement(size=real, real=real, orientation=orientation, fit=EQUAL)
    if width and height:
        said = width, height
        # Orientations 2 to 4 keep the size, as any does with a square picture: what the annotator saw cannot be told.
        upright = said[::-1] if orientation >= 5 else said
        ways = {TURNED: upright == real, SCALED: _alike(said, real), TURNED_AND_SCALED: _alike(upright, real)}
        for fit, holds in ways.items():
            if holds:
                return ImagePlacement(size=said, real=real, orientation=orientation, fit=fit)
    return None


def _alike(one: Size, other: Size) -> bool:
    """Whether the one size is the other scaled, with one side rounded up or down to a whole pixel."""
    if min(*one, *other) < _LEAST_SCALED_SIDE:
        return False
    return abs(one[0] * other[1] - one[1] * other[0]) < max(*one, *other)


def _turned(box: BoxCorners, size: Size, orientation: int) -> BoxCorners:
    """The box of a picture of this size once a viewer has turned it; EXIF orientations are stated in CIPA DC-008."""
    width, height = size
    ymin, xmin, ymax, xmax = box
    left, right = (width - xmax, width - xmin) if orientation in (7, 8) else (xmin, xmax)
    top, bottom = (height - ymax, height - ymin) if orientation in (6, 7) else (ymin, ymax)
    return left, top, right, bottom  # x has become y: orientations 5 to 8 swap the axes


def box_fault(box: BoxCorners, pixels: box_ops.Boxes, size: Size) -> str:
    """Why a placed box cannot be used; "" for a good one. pixels [1, 4] are what the borders leave of it."""
    width, height = size
    ymin, xmin, ymax, xmax = box
    if ymin >= ymax or xmin >= xmax:
        return "zero_size_box"
    if ymax <= 0 or xmax <= 0 or xmin >= width or ymin >= height:
        return "box_outside_image"
    # A sliver thinner than one float32 step has no extent in the record.
    relative = box_ops.to_relative(pixels, height, width)[0]
    return "" if (relative[:2] < relative[2:]).all() else "zero_size_box"
