"""Detections that come back at one place over many frames of a camera that stands still: a rock is not an animal.

The field calls the search "repeat detection elimination" (MegaDetector). Here nothing is eliminated: detections get the
number of their place, and a person decides. Animals that stay, such as anemones and sponges, repeat as rocks do.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]
RelativeBox = tuple[float, float, float, float]

NOT_REPEATED = -1
_Key = tuple[int, int, int, int, int]


@dataclass(eq=False)
class _Place:
    """Where something of a class was seen: the mean of its boxes, how many they are, and on how many frames."""

    label: int
    box: RelativeBox
    boxes: int = 1
    frames: int = 1
    last_frame: int = 0


class _Places:
    """Places by class, size and position, so that those which a box may overlap enough are found at once.

    Two boxes of IoU t or more have sides with a ratio of t to 1 / t, and centres no further apart than 1 - t of the
    longer side. Sides are put into classes whose bounds are 1 / t² apart, and centres, for each class of sides, into
    cells that are twice as wide as such centres can be apart. So a box has to look at two classes and two cells along
    each axis, those next to it: 16 of all.
    """

    def __init__(self, iou: float) -> None:
        self._iou = iou
        self._class_width = -2 * math.log(iou)
        self._cells: dict[_Key, list[_Place]] = defaultdict(list)

    def nearest(self, label: int, box: RelativeBox) -> _Place | None:
        """The place of the class that a box with area overlaps most, if it is enough."""
        xmin, ymin, xmax, ymax = box
        across = list(self._near((xmin + xmax) / 2, xmax - xmin))
        down = list(self._near((ymin + ymax) / 2, ymax - ymin))
        best, most = None, self._iou
        for (wide, column), (high, row) in itertools.product(across, down):
            for place in self._cells.get((label, wide, column, high, row), ()):
                shared = _iou(place.box, box)
                if shared > most or (shared == most and best is None):
                    best, most = place, shared
        return best

    def add(self, place: _Place) -> None:
        self._cells[self._key(place)].append(place)

    def move(self, place: _Place, box: RelativeBox) -> None:
        """Gives a place another box."""
        before = self._key(place)
        place.box = box
        if (after := self._key(place)) != before:
            self._cells[before].remove(place)
            self._cells[after].append(place)

    def _key(self, place: _Place) -> _Key:
        xmin, ymin, xmax, ymax = place.box
        wide, high = (math.floor(math.log(side) / self._class_width) for side in (xmax - xmin, ymax - ymin))
        column = math.floor((xmin + xmax) / 2 / self._cell(wide))
        row = math.floor((ymin + ymax) / 2 / self._cell(high))
        return place.label, wide, column, high, row

    def _cell(self, size_class: int) -> float:
        """Twice the distance along an axis between the centres of a side of this class and of one that may match."""
        longest = math.exp((size_class + 1) * self._class_width) / self._iou
        return 2 * (1 - self._iou) * longest

    def _near(self, centre: float, side: float) -> Iterator[tuple[int, int]]:
        """Classes and cells of the places that may match, along one axis."""
        at = math.log(side) / self._class_width
        for size_class in {math.floor(at - 0.5), math.floor(at + 0.5)}:
            cell = self._cell(size_class)
            for number in {math.floor(centre / cell - 0.5), math.floor(centre / cell + 0.5)}:
                yield size_class, number


def find_repeats(
    frames: Int32Array, labels: Int32Array, boxes: npt.NDArray[np.float32], *, iou: float, min_frames: int
) -> Int32Array:
    """The place of each detection of a deployment, or NOWHERE.

    Places are found frame by frame: a box joins the place of its class that it overlaps most, with ``iou`` or more, or
    begins a new one; a place's box is the mean of those that joined it. Places on fewer than ``min_frames`` frames are
    then dropped. Last, every box is at the place that it overlaps most, if with ``iou`` or more, whichever it joined:
    the first boxes of a place are no worse than the last ones.

    Each box is compared with its neighbours only: work grows with the number of detections, not with its square.

    Args:
      frames: [n] number of the frame, rising.
      labels: [n] label ids.
      boxes: [n, 4] (xmin, ymin, xmax, ymax) in one unit for all; a box without area is nowhere.
      iou: above 0, below 1.
      min_frames: the least number of frames.

    Returns:
      [n] places, numbered from 0 in the order in which they were first seen.
    """
    detections = list(zip(frames.tolist(), labels.tolist(), map(_as_box, boxes.tolist()), strict=True))
    kept = _Places(iou)
    numbers: dict[int, int] = {}
    for place in _settle(detections, iou):
        if place.frames >= min_frames:
            numbers[id(place)] = len(numbers)
            kept.add(place)
    nearest = (kept.nearest(label, box) if _has_area(box) else None for _, label, box in detections)
    return np.fromiter((NOT_REPEATED if place is None else numbers[id(place)] for place in nearest), np.int32)


def _settle(detections: Iterable[tuple[int, int, RelativeBox]], iou: float) -> list[_Place]:
    """All places in the order in which they were first seen."""
    found: list[_Place] = []
    places = _Places(iou)
    for frame, label, box in detections:
        if not _has_area(box):
            continue
        place = places.nearest(label, box)
        if place is None:
            found.append(_Place(label=label, box=box, last_frame=frame))
            places.add(found[-1])
            continue
        place.boxes += 1
        place.frames += frame != place.last_frame
        place.last_frame = frame
        places.move(place, _mean(place.box, box, place.boxes))
    return found


def _mean(mean: RelativeBox, box: RelativeBox, count: int) -> RelativeBox:
    """The mean of so many boxes, from that of all but the last."""
    xmin, ymin, xmax, ymax = (old + (new - old) / count for old, new in zip(mean, box, strict=True))
    return xmin, ymin, xmax, ymax


def _as_box(edges: list[float]) -> RelativeBox:
    xmin, ymin, xmax, ymax = edges
    return xmin, ymin, xmax, ymax


def _has_area(box: RelativeBox) -> bool:
    return box[2] > box[0] and box[3] > box[1]


def _iou(a: RelativeBox, b: RelativeBox) -> float:
    """Intersection over union of two boxes with area."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
