"""Active learning: the images that the model is least certain about, and to_label.csv, which lists them.

The uncertainty of a detection is 1 minus the margin between its score and 1 - score. An image sums it over its few most
uncertain detections; Brust et al. (2019), "Active Learning for Deep Object Detection", section 3, sum over all, but of
hundreds of weak detections that sum would be noise. To vary the selection, the most uncertain image of each deployment
and day comes first.

Begin with `image_uncertainty`, then `UncertaintySampler`.
"""

import dataclasses
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from retinanet_odm.predictions.formats.encoding import CsvCell, csv_line
from retinanet_odm.predictions.rows import Detection, PredictionRow, ScoringRun

MAX_COUNTED = 3  # detections of an image that its uncertainty is summed over
MAX_TO_LABEL = 200  # lines of to_label.csv: more than anybody labels before the model is trained again
LABELING_COLUMNS = (
    *("image", "deployment", "time", "uncertainty", "chosen"),
    *("label", "score", "detections", "model", "threshold"),
)

_UNCERTAINTY_DIGITS = 4
_Stratum = tuple[str, str]  # deployment and day


def detection_uncertainty(item: Detection) -> float:
    """Return 1 for a score of 0.5, falling to 0 for a score of 0 or 1.

    Example:
      >>> detection_uncertainty(Detection(label="crab", label_id=1, score=0.75, box=(0, 0, 9, 9)))
      0.5
    """
    return 1 - abs(2 * item.score - 1)


def image_uncertainty(row: PredictionRow) -> float:
    """Return 0 to 1: the uncertainties of the MAX_COUNTED most uncertain detections, summed, over MAX_COUNTED.

    Example:
      >>> found = Detection(label="crab", label_id=1, score=0.5, box=(0, 0, 9, 9))
      >>> image_uncertainty(PredictionRow(image="a.jpg", detections=(found, found, found)))
      1.0
    """
    return sum(heapq.nlargest(MAX_COUNTED, map(detection_uncertainty, row.detections))) / MAX_COUNTED


@dataclass(frozen=True, kw_only=True, order=True)
class UncertainImage:
    """An image to label, ordered by uncertainty.

    Attributes:
      uncertainty: of the image.
      image: its name; breaks ties, so that the order of the rows does not matter.
      row: its row.
      is_stratum_leader: whether it is the most uncertain image of its deployment and day.
    """

    uncertainty: float
    image: str
    row: PredictionRow = field(compare=False)
    is_stratum_leader: bool = field(compare=False, default=False)

    @property
    def most_uncertain(self) -> Detection:
        """The most uncertain detection."""
        return max(self.row.detections, key=detection_uncertainty)


class UncertaintySampler:
    """Selects the images to label next from a stream of rows, in memory that depends on ``size`` only.

    The most uncertain image of each deployment and day comes first (of each folder, where there is no time), then the
    most uncertain of all other images.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._leaders: dict[_Stratum, UncertainImage] = {}
        self._overall: list[UncertainImage] = []  # a heap: the least uncertain image is at the front

    def add(self, row: PredictionRow) -> None:
        """Consider an image. Images without an uncertain detection are never selected."""
        candidate = UncertainImage(uncertainty=image_uncertainty(row), image=row.image, row=row)
        if candidate.uncertainty:
            self._add_to_stratum(_stratum(row), candidate)
            self._add_overall(candidate)

    def selected(self) -> list[UncertainImage]:
        """Return at most ``size`` images, the one to label first at the front."""
        leaders = [dataclasses.replace(leader, is_stratum_leader=True) for leader in self._top_leaders().values()]
        names = {leader.image for leader in leaders}
        # Leaders are in both heaps.
        others = (image for image in sorted(self._overall, reverse=True) if image.image not in names)
        return [*leaders, *others][: self._size]

    def _add_to_stratum(self, stratum: _Stratum, candidate: UncertainImage) -> None:
        leader = self._leaders.get(stratum)
        if leader is None or leader < candidate:
            self._leaders[stratum] = candidate
        # Trimmed only when twice as many have come, so that an image costs little on average.
        if len(self._leaders) > 2 * self._size:
            # Dropped leaders would not be selected anyway: ``size`` others rank before them, and those only get better.
            self._leaders = self._top_leaders()

    def _top_leaders(self) -> dict[_Stratum, UncertainImage]:
        return dict(heapq.nlargest(self._size, self._leaders.items(), key=lambda item: item[1]))

    def _add_overall(self, candidate: UncertainImage) -> None:
        if len(self._overall) < self._size:
            heapq.heappush(self._overall, candidate)
        else:
            heapq.heappushpop(self._overall, candidate)


def _stratum(row: PredictionRow) -> _Stratum:
    frame = row.frame
    return (frame.deployment, str(frame.time.date())) if frame else (row.deployment, "")


def to_label_csv(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield to_label.csv: a line for each selected image, the image to label first at the top."""
    sampler = UncertaintySampler(MAX_TO_LABEL)
    # The best images are known only after the last row; the sampler keeps as many as are listed.
    for row in rows:
        sampler.add(row)
    yield csv_line(LABELING_COLUMNS)
    for found in sampler.selected():
        yield csv_line(_label_cells(found, run))


def _label_cells(found: UncertainImage, run: ScoringRun) -> tuple[CsvCell, ...]:
    row, item, frame = found.row, found.most_uncertain, found.row.frame
    time = frame.time.isoformat(sep=" ") if frame else ""
    image = (row.image, row.deployment, time, round(found.uncertainty, _UNCERTAINTY_DIGITS), _selection_reason(found))
    return *image, item.label, item.score, len(row.detections), run.model, run.threshold


def _selection_reason(found: UncertainImage) -> str:
    # Values of the column `chosen`; docs/scoring.md lists them.
    if not found.is_stratum_leader:
        return "least certain of all"
    return "least certain of its deployment and day" if found.row.frame else "least certain of its folder"
