"""Which images to label next: those that the model is least certain of, spread over deployments and days.

Doubt is the margin of a detector's scores, summed over the few that matter, as Brust et al. (2019), "Active learning
for deep object detection", section 3, sum it over all: of hundreds of weak detections the sum would be noise.
"""

import dataclasses
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from retinanet_odm.predictions.formats.encoding import CsvCell, csv_line
from retinanet_odm.predictions.rows import Detection, PredictionRow, ScoringRun

MAX_UNCERTAIN = 3  # detections of an image that count
_Stratum = tuple[str, str]


def detection_uncertainty(item: Detection) -> float:
    """1 for a detection with a score of 0.5, 0 for one with 0 or 1."""
    return 1 - abs(2 * item.score - 1)


def image_uncertainty(row: PredictionRow) -> float:
    """The doubts of the MOST_DOUBTFUL detections, added up and divided by their number: 0 to 1."""
    return sum(heapq.nlargest(MAX_UNCERTAIN, map(detection_uncertainty, row.detections))) / MAX_UNCERTAIN


@dataclass(frozen=True, kw_only=True, order=True)
class UncertainImage:
    """An image and how uncertain it is; those of more doubt are greater."""

    doubt: float
    image: str  # parts equal doubts, so that the order of the rows does not matter
    row: PredictionRow = field(compare=False)
    leads: bool = field(compare=False, default=False)

    @property
    def weakest(self) -> Detection:
        """The detection of the most doubt."""
        return max(self.row.detections, key=detection_uncertainty)


class UncertaintySampler:
    """Chooses from rows, one by one, the images to label next; memory is bounded by how many are wanted.

    First comes the least certain image of each deployment and day (of each folder, where there is no time), then the
    least certain of all that are left.
    """

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._leaders: dict[_Stratum, UncertainImage] = {}
        self._of_all: list[UncertainImage] = []  # a heap, the least doubtful first

    def add(self, row: PredictionRow) -> None:
        """Considers an image; one of which every detection is certain, or that has none, is never chosen."""
        found = UncertainImage(doubt=image_uncertainty(row), image=row.image, row=row)
        if found.doubt:
            self._lead(_stratum(row), found)
            self._follow(found)

    def chosen(self) -> list[UncertainImage]:
        """At most as many as are wanted, what is to be labelled first at the front."""
        leaders = [dataclasses.replace(found, leads=True) for found in self._foremost().values()]
        names = {found.image for found in leaders}
        others = (found for found in sorted(self._of_all, reverse=True) if found.image not in names)
        return [*leaders, *others][: self._wanted]

    def _lead(self, stratum: _Stratum, found: UncertainImage) -> None:
        known = self._leaders.get(stratum)
        if known is None or known < found:
            self._leaders[stratum] = found
        if len(self._leaders) > 2 * self._wanted:
            # Those that go cannot come back: there are as many before them as are wanted.
            self._leaders = self._foremost()

    def _foremost(self) -> dict[_Stratum, UncertainImage]:
        return dict(heapq.nlargest(self._wanted, self._leaders.items(), key=lambda item: item[1]))

    def _follow(self, found: UncertainImage) -> None:
        if len(self._of_all) < self._wanted:
            heapq.heappush(self._of_all, found)
        else:
            heapq.heappushpop(self._of_all, found)


def _stratum(row: PredictionRow) -> _Stratum:
    frame = row.frame
    return (frame.deployment, str(frame.when.date())) if frame else (row.deployment, "")


LABELING_COLUMNS = (
    *("image", "deployment", "time", "doubt", "chosen"),
    *("label", "score", "detections", "model", "threshold"),
)
MAX_TO_LABEL = 200  # more than a person labels before the model is trained again


def to_label_csv(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """CSV with a line for each image, the first to be labelled first; see retinanet_odm.predictions.uncertainty."""
    least_certain = UncertaintySampler(MAX_TO_LABEL)
    for row in rows:
        least_certain.add(row)
    yield csv_line(LABELING_COLUMNS)
    for found in least_certain.chosen():
        yield csv_line(_line(found, run))


def _line(found: UncertainImage, run: ScoringRun) -> tuple[CsvCell, ...]:
    row, weakest, frame = found.row, found.weakest, found.row.frame
    time = frame.when.isoformat(sep=" ") if frame else ""
    about = (row.image, row.deployment, time, round(found.doubt, 4), _why(found))
    return *about, weakest.label, weakest.score, len(row.detections), run.model, run.threshold


def _why(found: UncertainImage) -> str:
    if not found.leads:
        return "least certain of all"
    return "least certain of its deployment and day" if found.row.frame else "least certain of its folder"
