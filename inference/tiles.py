"""Small animals in large photographs: overlapping tiles, each scored as a photograph of its own."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detection.errors import UsageError

NMS, WBF = "nms", "wbf"
MERGES = (NMS, WBF)
# Smaller ones show a model next to nothing; and above this share of overlap the tiles become too many to score.
LEAST_SIDE, MOST_OVERLAP = 32, 0.9

Pixels = npt.NDArray[np.uint8]
Window = tuple[int, int, int, int]  # (top, left, bottom, right) in pixels of the photograph


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How photographs are cut, and how what is found in tiles becomes one answer.

    Attributes:
      side: of a tile, in pixels of the upright photograph.
      overlap: the least share of a tile's side that it has in common with the next one, 0 to MOST_OVERLAP.
      merge: NMS or WBF (inference.merging).

    Raises:
      UsageError: a value is out of its range.
    """

    side: int
    overlap: float = 0.2
    merge: str = NMS

    def __post_init__(self) -> None:
        if self.side < LEAST_SIDE:
            raise UsageError(f"--tile: expected {LEAST_SIDE} pixels or more, found {self.side}")
        if not 0 <= self.overlap <= MOST_OVERLAP:  # also refuses nan
            raise UsageError(f"--tile_overlap: expected a share from 0 to {MOST_OVERLAP}, found {self.overlap:g}")
        if self.merge not in MERGES:
            raise UsageError(f"--tile_merge: expected {' or '.join(MERGES)}, found {self.merge!r}")


def plan_tiles(height: int, width: int, tiling: Tiling) -> list[Window]:
    """The tiles of a photograph, row by row, all of one size; none where the photograph is no larger than a tile.

    A tile is as high and wide as ``side``, or as the photograph where that is less. Together they cover it, and they
    are spread evenly: neighbours have at least the overlap in common.
    """
    if max(height, width) <= tiling.side:
        return []
    rows, columns = (_spans(length, tiling) for length in (height, width))
    return [(top, left, bottom, right) for (top, bottom), (left, right) in itertools.product(rows, columns)]


def _spans(length: int, tiling: Tiling) -> list[tuple[int, int]]:
    side = min(tiling.side, length)
    step = max(1, int(tiling.side * (1 - tiling.overlap)))
    count = math.ceil((length - side) / step)
    starts = [round(number * (length - side) / count) for number in range(count + 1)] if count else [0]
    return [(start, start + side) for start in starts]


def cut_tiles(pixels: Pixels, windows: Sequence[Window]) -> Pixels:
    """The tiles [N, height, width, 3] of a photograph [H, W, 3]."""
    return np.stack([pixels[top:bottom, left:right] for top, left, bottom, right in windows])
