"""The grid of tiles of a large image: the trainer learns from the tiles that ``score`` looks at. See `plan_tiles`."""

import itertools
import math

from retinanet_odm.errors import UsageError

# Smaller tiles show a model almost nothing; with more overlap there are too many of them.
MIN_SIDE, MAX_OVERLAP = 32, 0.9
OVERLAP = 0.2  # where none is given

Window = tuple[int, int, int, int]  # (top, left, bottom, right) in pixels of the upright image


def check_grid(side: int, overlap: float) -> None:
    """Check the values of --tile and --tile_overlap.

    Raises:
      UsageError: The side is below MIN_SIDE, or the overlap is not a fraction from 0 to MAX_OVERLAP.
    """
    if side < MIN_SIDE:
        raise UsageError(f"--tile: expected {MIN_SIDE} pixels or more, found {side}")
    if not 0 <= overlap <= MAX_OVERLAP:  # also refuses nan
        raise UsageError(f"--tile_overlap: expected a fraction from 0 to {MAX_OVERLAP}, found {overlap:g}")


def plan_tiles(height: int, width: int, *, side: int, overlap: float) -> list[Window]:
    """Return the tiles of an image, row by row, all of one size; none for an image no larger than a tile.

    Tiles are as high and wide as ``side``, or as the image where that is less. They cover the image and are spread
    evenly, so that adjacent tiles overlap by at least the minimum.

    Args:
      height: Of the upright image, in pixels.
      width: Of the upright image, in pixels.
      side: Of a tile, in pixels.
      overlap: Minimum overlap of adjacent tiles as a fraction of the side, 0 to MAX_OVERLAP.

    Example:
      >>> plan_tiles(100, 180, side=100, overlap=0.2)
      [(0, 0, 100, 100), (0, 80, 100, 180)]
    """
    if max(height, width) <= side:
        return []
    rows, columns = (_spans(length, side, overlap) for length in (height, width))
    return [(top, left, bottom, right) for (top, bottom), (left, right) in itertools.product(rows, columns)]


def _spans(length: int, longest: int, overlap: float) -> list[tuple[int, int]]:
    # An image that is shorter than a tile in one direction is not padded: its tiles are as short.
    side = min(longest, length)
    step = max(1, int(longest * (1 - overlap)))
    # As few spans as the minimum overlap allows; rounding then distributes the rest evenly.
    count = math.ceil((length - side) / step)
    starts = [round(number * (length - side) / count) for number in range(count + 1)] if count else [0]
    return [(start, start + side) for start in starts]
