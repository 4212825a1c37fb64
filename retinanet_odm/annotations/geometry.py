"""Geometry of annotations: from a drawn shape to an upright box, and from the annotated image to the real one.

Begin with `enclosing_box` and its siblings, which the readers of the formats use: each returns the axis-aligned box
around one kind of shape. Then `find_placement`: the image that was annotated need not be the one that is stored. It may
be a smaller or larger copy, or the image before its EXIF orientation was applied; `place_box` maps boxes onto
the real one, clips them and checks the result.

Boxes are (ymin, xmin, ymax, xmax) edges in pixels, y down; points, radii and sizes are (x, y) or (width, height).
Angles are degrees about the shape's centre, clockwise as seen on the screen, as CVAT writes them.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from retinanet_odm import boxes as box_ops
from retinanet_odm.annotations.types import BoxCorners

Size = tuple[int, int]  # (width, height) in pixels

# How the size that an annotation gives compares with that of the real image: equal; equal before the EXIF orientation
# was applied; of the same shape, but smaller or larger; both of these. They are part of reasons in problems.jsonl.
SIZE_EQUAL = "equal"
SIZE_TURNED = "turned"
SIZE_SCALED = "scaled"
SIZE_TURNED_AND_SCALED = "turned_and_scaled"

# Pixels of the shortest side: below it, images of different shapes have the same rounded size when they are scaled.
_MIN_SCALED_SIDE = 16


def enclosing_box(points: Iterable[tuple[float, float]]) -> BoxCorners:
    """Return the box around one or more (x, y) points.

    Example:
      >>> enclosing_box([(30, 10), (50, 40), (20, 25)])
      (10, 20, 40, 50)
    """
    xs, ys = zip(*points, strict=True)
    return min(ys), min(xs), max(ys), max(xs)


def rotated_corners(box: BoxCorners, degrees: float) -> list[tuple[float, float]]:
    """Return the four (x, y) corners of a box rotated about its centre, as CVAT's formats/transformations.py does."""
    ymin, xmin, ymax, xmax = box
    centre_x, centre_y = (xmin + xmax) / 2, (ymin + ymax) / 2
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        (centre_x + cosine * dx - sine * dy, centre_y + sine * dx + cosine * dy)
        for dx, dy in ((x - centre_x, y - centre_y) for x in (xmin, xmax) for y in (ymin, ymax))
    ]


def rotated_box(box: BoxCorners, degrees: float) -> BoxCorners:
    """Return the box around a rotated box; for an angle of 0 the box itself, even if its corners are swapped.

    Example:
      >>> tuple(round(edge, 1) for edge in rotated_box((0, 0, 2, 4), 90))
      (-1.0, 1.0, 3.0, 3.0)
    """
    return enclosing_box(rotated_corners(box, degrees)) if degrees % 360 else box


def ellipse_box(centre: tuple[float, float], radii: tuple[float, float], degrees: float) -> BoxCorners:
    """Return the tight box around a rotated ellipse; centre and radii are (x, y).

    Example:
      >>> ellipse_box((10, 20), (3, 2), 0)
      (18.0, 7.0, 22.0, 13.0)
    """
    (centre_x, centre_y), (radius_x, radius_y) = centre, radii
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # The extent of an ellipse along an axis is the length of both radii projected onto it.
    half_width = math.hypot(radius_x * cosine, radius_y * sine)
    half_height = math.hypot(radius_x * sine, radius_y * cosine)
    return centre_y - half_height, centre_x - half_width, centre_y + half_height, centre_x + half_width


def mask_box(runs: Sequence[int], *, width: int) -> BoxCorners | None:
    """Return the box around the foreground of a run-length mask, relative to the mask's corner; None if it is empty.

    Args:
      runs: lengths of alternating runs along the rows; the first is background and may be 0.
      width: pixels in a row, 1 or more.

    Example:
      >>> mask_box([5, 2, 4, 1], width=6)
      (0.0, 0.0, 2.0, 6.0)
    """
    ends = list(itertools.accumulate(runs))
    # The first and last pixel of each run of foreground, counted along the rows.
    spans = [(ends[index - 1], ends[index] - 1) for index in range(1, len(ends), 2) if runs[index]]
    if not spans:
        return None
    columns = [pixel % width for span in spans for pixel in span]
    if any(first // width != last // width for first, last in spans):
        columns += [0, width - 1]  # a run that continues in the next row touches both sides
    return float(spans[0][0] // width), float(min(columns)), spans[-1][1] // width + 1.0, max(columns) + 1.0


@dataclass(frozen=True, kw_only=True)
class ImagePlacement:
    """Maps boxes from the annotated image to the real one; sizes are (width, height) in pixels.

    Attributes:
      annotated_size: of the image that was annotated.
      image_size: of the real image, upright.
      orientation: the EXIF orientation, 1 to 8, that was applied to make the real image upright.
      fit: SIZE_EQUAL, SIZE_TURNED, SIZE_SCALED or SIZE_TURNED_AND_SCALED.
    """

    annotated_size: Size
    image_size: Size
    orientation: int
    fit: str

    def to_image(self, box: BoxCorners) -> BoxCorners:
        """Return a box of the annotation in pixels of the real, upright image."""
        size = self.annotated_size
        if self.fit in (SIZE_TURNED, SIZE_TURNED_AND_SCALED):
            box, size = _apply_orientation(box, size, self.orientation), size[::-1]
        scale_x, scale_y = self.image_size[0] / size[0], self.image_size[1] / size[1]
        ymin, xmin, ymax, xmax = box
        return ymin * scale_y, xmin * scale_x, ymax * scale_y, xmax * scale_x


class PlacedBox(NamedTuple):
    """A box on the real image.

    Attributes:
      pixels: [1, 4] (ymin, xmin, ymax, xmax) in pixels of the real image, clipped to it.
      fault: why it cannot be used, or "".
      is_clipped: whether a part of it was outside of the image.
    """

    pixels: box_ops.Boxes
    fault: str
    is_clipped: bool


def place_box(box: BoxCorners, placement: ImagePlacement) -> PlacedBox:
    """Convert a box of the annotation to pixels of the real image, and clip it to the image.

    Example:
      >>> place_box((-10, 20, 30, 40), find_placement(640, 480, image_size=(640, 480))).pixels.tolist()
      [[0.0, 20.0, 30.0, 40.0]]
    """
    width, height = placement.image_size
    placed = placement.to_image(box)
    before = box_ops.as_boxes([placed])
    pixels = box_ops.clip(before, height, width)
    # The box is judged together with what is left of it inside the image.
    fault = _box_fault(placed, pixels, placement.image_size)
    return PlacedBox(pixels, fault, bool((pixels != before).any()))


def find_placement(
    width: int | None, height: int | None, *, image_size: Size, orientation: int = 1, is_relative: bool = False
) -> ImagePlacement | None:
    """Return the placement of an annotation of this size; None if the annotated image had another shape.

    Args:
      width: of the annotated image in pixels, as the annotation gives it; None if it does not.
      height: likewise.
      image_size: (width, height) of the real image, upright.
      orientation: the EXIF orientation, 1 to 8, of the real image.
      is_relative: the boxes are fractions of the upright image: width and height do not matter.

    Example:
      >>> find_placement(640, 480, image_size=(1280, 960)).to_image((10, 20, 30, 40))
      (20.0, 40.0, 60.0, 80.0)
    """
    if is_relative:
        return ImagePlacement(annotated_size=(1, 1), image_size=image_size, orientation=orientation, fit=SIZE_EQUAL)
    if width in (None, image_size[0]) and height in (None, image_size[1]):
        return ImagePlacement(annotated_size=image_size, image_size=image_size, orientation=orientation, fit=SIZE_EQUAL)
    if not width or not height:
        return None
    annotated = width, height
    # Orientations 2 to 4 keep the size, and so does any orientation of a square image: nothing shows whether the
    # annotation tool had applied it, so these count as equal or scaled.
    upright = annotated[::-1] if orientation >= 5 else annotated
    # The order matters: the first that holds is taken, and an exact size says more than an equal shape.
    fits = {
        SIZE_TURNED: upright == image_size,
        SIZE_SCALED: _same_shape(annotated, image_size),
        SIZE_TURNED_AND_SCALED: _same_shape(upright, image_size),
    }
    for fit, holds in fits.items():
        if holds:
            return ImagePlacement(annotated_size=annotated, image_size=image_size, orientation=orientation, fit=fit)
    return None


def _same_shape(one: Size, other: Size) -> bool:
    """Return whether one size is the other scaled, with one side rounded up or down to a full pixel."""
    if min(*one, *other) < _MIN_SCALED_SIDE:
        return False
    # Cross-multiplied ratios: rounding one side by a pixel changes the difference by less than the longest side.
    return abs(one[0] * other[1] - one[1] * other[0]) < max(*one, *other)


def _apply_orientation(box: BoxCorners, size: Size, orientation: int) -> BoxCorners:
    """Return the box after an EXIF orientation of 5 to 8, all of which swap the axes, was applied (CIPA DC-008)."""
    width, height = size
    ymin, xmin, ymax, xmax = box
    left, right = (width - xmax, width - xmin) if orientation in (7, 8) else (xmin, xmax)
    top, bottom = (height - ymax, height - ymin) if orientation in (6, 7) else (ymin, ymax)
    return left, top, right, bottom  # x has become y


def _box_fault(box: BoxCorners, clipped: box_ops.Boxes, size: Size) -> str:
    """Return the reason why a box cannot be used; "" for a good one.

    Args:
      box: in pixels of the real image.
      clipped: [1, 4], the same box clipped to the image.
      size: (width, height) of the real image.
    """
    width, height = size
    ymin, xmin, ymax, xmax = box
    if ymin >= ymax or xmin >= xmax:
        return "zero_size_box"
    if ymax <= 0 or xmax <= 0 or xmin >= width or ymin >= height:
        return "box_outside_image"
    # The record stores float32: a box thinner than one step of it would have no extent there.
    relative = box_ops.to_relative(clipped, height, width)[0]
    return "" if (relative[:2] < relative[2:]).all() else "zero_size_box"
