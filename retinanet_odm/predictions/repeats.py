"""Repeat detections: boxes that come back at one location over many frames of a fixed camera, such as rocks.

MegaDetector calls the search "repeat detection elimination". Nothing is eliminated here: detections get the number of
their location, and the user decides. Animals that do not move, such as anemones and sponges, are repeated as rocks are.

Begin with `find_repeats`.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]
RelativeBox = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax

NOT_REPEATED = -1
_CellKey = tuple[int, int, int, int, int]  # label, size class and cell along x, size class and cell along y


def find_repeats(
    frames: Int32Array, labels: Int32Array, boxes: npt.NDArray[np.float32 | np.float64], *, iou: float, min_frames: int
) -> Int32Array:
    """Return the number of the location of each detection of a deployment, or NOT_REPEATED.

    The search has three steps:

    1. Frame by frame, a box joins the location of its class that it overlaps most, with ``iou`` or more, or begins a
       new location. The box of a location is the mean of the boxes that joined it.
    2. Locations on fewer than ``min_frames`` frames are dropped.
    3. Every box is assigned to the remaining location that it overlaps most, with ``iou`` or more, whichever it joined:
       the mean boxes are final only now, so this treats the first boxes of a location like the last ones.

    Each box is compared with its neighbours only, so the time grows with the number of detections, not with its square.

    Args:
      frames: [n] number of the frame, not falling.
      labels: [n] label ids.
      boxes: [n, 4] (xmin, ymin, xmax, ymax), all in one unit; a box without area is not repeated.
      iou: above 0, below 1.
      min_frames: the minimum number of frames of a location.

    Returns:
      [n] numbers of locations, from 0 in the order of their first detections.
    """
    detections = list(zip(frames.tolist(), labels.tolist(), map(_as_box, boxes.tolist()), strict=True))
    kept = _LocationIndex(iou)  # step 2
    numbers: dict[int, int] = {}
    for location in _cluster(detections, iou):
        if location.frames >= min_frames:
            numbers[id(location)] = len(numbers)
            kept.add(location)
    # Step 3.
    nearest = (kept.nearest(label, box) if _has_area(box) else None for _, label, box in detections)
    return np.fromiter((NOT_REPEATED if found is None else numbers[id(found)] for found in nearest), np.int32)


@dataclass(eq=False)
class _Location:
    """A location of a class: the mean of its boxes, how many they are, and on how many frames."""

    label: int
    box: RelativeBox
    boxes: int = 1
    frames: int = 1
    last_frame: int = 0

    def join(self, frame: int) -> None:
        """Count one more box; the index moves the mean box."""
        self.boxes += 1
        self.frames += frame != self.last_frame
        self.last_frame = frame


def _cluster(detections: Iterable[tuple[int, int, RelativeBox]], iou: float) -> list[_Location]:
    """Return all locations in the order of their first detections (step 1 of find_repeats)."""
    locations: list[_Location] = []
    index = _LocationIndex(iou)
    for frame, label, box in detections:
        if not _has_area(box):
            continue
        # Step 1 is greedy: a box joins or begins a location at once, so frames must come in order.
        location = index.nearest(label, box)
        if location is None:
            locations.append(_Location(label=label, box=box, last_frame=frame))
            index.add(locations[-1])
        else:
            location.join(frame)
            index.move(location, _updated_mean(location.box, box, location.boxes))
    return locations


class _LocationIndex:
    """Locations by class, size and position, so that those that a box may match are found at once.

    Two boxes of IoU t or more have sides with a ratio of t to 1 / t, and centres no further apart than 1 - t of the
    longer side. Sides are put into size classes whose bounds are 1 / t² apart. Centres are put, for each size class,
    into cells twice as wide as the largest distance of matching centres. So a box has to search two size classes and
    two cells along each axis, the nearest ones: 16 in all.
    """

    def __init__(self, iou: float) -> None:
        self._iou = iou
        # The logarithm of 1 / t²: size classes are equally wide on the scale of logarithms.
        self._class_width = -2 * math.log(iou)
        self._cells: dict[_CellKey, list[_Location]] = defaultdict(list)

    def nearest(self, label: int, box: RelativeBox) -> _Location | None:
        """Return the location of the class that a box with area overlaps most, with the minimum IoU or more."""
        xmin, ymin, xmax, ymax = box
        along_x = list(self._near((xmin + xmax) / 2, xmax - xmin))
        along_y = list(self._near((ymin + ymax) / 2, ymax - ymin))
        best, best_iou = None, self._iou
        for (wide, column), (high, row) in itertools.product(along_x, along_y):
            for location in self._cells.get((label, wide, column, high, row), ()):
                found = _box_iou(location.box, box)
                # Of equal ones the first counts, also one with exactly the minimum IoU.
                if found > best_iou or (found == best_iou and best is None):
                    best, best_iou = location, found
        return best

    def add(self, location: _Location) -> None:
        self._cells[self._key(location)].append(location)

    def move(self, location: _Location, box: RelativeBox) -> None:
        """Change the box of a location."""
        before = self._key(location)
        location.box = box
        # A mean box moves little, so it mostly stays in its cell.
        if (after := self._key(location)) != before:
            self._cells[before].remove(location)
            self._cells[after].append(location)

    def _key(self, location: _Location) -> _CellKey:
        xmin, ymin, xmax, ymax = location.box
        wide, high = (math.floor(math.log(side) / self._class_width) for side in (xmax - xmin, ymax - ymin))
        column = math.floor((xmin + xmax) / 2 / self._cell_width(wide))
        row = math.floor((ymin + ymax) / 2 / self._cell_width(high))
        return location.label, wide, column, high, row

    def _cell_width(self, size_class: int) -> float:
        """Return twice the largest distance along an axis between centres of matching sides, one of this class."""
        longest = math.exp((size_class + 1) * self._class_width) / self._iou
        return 2 * (1 - self._iou) * longest

    def _near(self, centre: float, side: float) -> Iterator[tuple[int, int]]:
        """Yield size classes and cells of the locations that may match, along one axis."""
        position = math.log(side) / self._class_width
        for size_class in {math.floor(position - 0.5), math.floor(position + 0.5)}:
            width = self._cell_width(size_class)
            for cell in {math.floor(centre / width - 0.5), math.floor(centre / width + 0.5)}:
                yield size_class, cell


def _updated_mean(mean: RelativeBox, box: RelativeBox, count: int) -> RelativeBox:
    """Return the mean of count boxes from the mean of all but the last, and the last."""
    xmin, ymin, xmax, ymax = (old + (new - old) / count for old, new in zip(mean, box, strict=True))
    return xmin, ymin, xmax, ymax


def _as_box(edges: list[float]) -> RelativeBox:
    xmin, ymin, xmax, ymax = edges
    return xmin, ymin, xmax, ymax


def _has_area(box: RelativeBox) -> bool:
    return box[2] > box[0] and box[3] > box[1]


def _box_iou(a: RelativeBox, b: RelativeBox) -> float:
    """Return the IoU of two boxes with area. Plain floats: for single boxes an array would be slower."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
