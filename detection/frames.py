"""Which picture an annotation's coordinates count from: people draw on scaled copies, and before the EXIF turn."""

from dataclasses import dataclass

from detection import boxes as box_ops
from detection.annotations import Box

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
class Frame:
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

    def place(self, box: Box) -> Box:
        """The box (ymin, xmin, ymax, xmax) in pixels of the upright photograph."""
        size = self.size
        if self.fit in (TURNED, TURNED_AND_SCALED):
            box, size = _turned(box, size, self.orientation), size[::-1]
        across, down = self.real[0] / size[0], self.real[1] / size[1]
        ymin, xmin, ymax, xmax = box
        return ymin * down, xmin * across, ymax * down, xmax * across


def find_frame(width: int | None, height: int | None, *, real: Size, orientation: int = 1) -> Frame | None:
    """The frame of an annotation that gives this size; None where the annotator saw a picture of another shape.

    Args:
      width, height: as the annotation gives them; None where it does not.
      real, orientation: as in Frame.
    """
    if width in (None, real[0]) and height in (None, real[1]):
        return Frame(size=real, real=real, orientation=orientation, fit=EQUAL)
    if width and height:
        said = width, height
        # Orientations 2 to 4 keep the size, as any does with a square picture: what the annotator saw cannot be told.
        upright = said[::-1] if orientation >= 5 else said
        ways = {TURNED: upright == real, SCALED: _alike(said, real), TURNED_AND_SCALED: _alike(upright, real)}
        for fit, holds in ways.items():
            if holds:
                return Frame(size=said, real=real, orientation=orientation, fit=fit)
    return None


def _alike(one: Size, other: Size) -> bool:
    """Whether the one size is the other scaled, with one side rounded up or down to a whole pixel."""
    if min(*one, *other) < _LEAST_SCALED_SIDE:
        return False
    return abs(one[0] * other[1] - one[1] * other[0]) < max(*one, *other)


def _turned(box: Box, size: Size, orientation: int) -> Box:
    """The box of a picture of this size once a viewer has turned it; EXIF orientations are stated in CIPA DC-008."""
    width, height = size
    ymin, xmin, ymax, xmax = box
    left, right = (width - xmax, width - xmin) if orientation in (7, 8) else (xmin, xmax)
    top, bottom = (height - ymax, height - ymin) if orientation in (6, 7) else (ymin, ymax)
    return left, top, right, bottom  # x has become y: orientations 5 to 8 swap the axes


def box_fault(box: Box, pixels: box_ops.Boxes, size: Size) -> str:
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
