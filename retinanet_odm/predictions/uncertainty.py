"""Active learning: the images that the model is least certain about, and to_label.csv, which lists them.

A detection at the threshold of its class is the least certain: a little more or less, and it counts or not. The
uncertainty of a class on an image sums over its few most uncertain detections there; Brust et al. (2019), "Active
Learning for Deep Object Detection", section 3, sum over all, but of hundreds of weak detections that would be noise.

To vary the selection, the classes take turns, so that a common one does not crowd out the others. Of each class, the
most uncertain image of each deployment and day comes first.

Begin with `score_uncertainty`, then `UncertaintySampler`.
"""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from retinanet_odm.predictions.formats.encoding import CsvCell, csv_line
from retinanet_odm.predictions.rows import Detection, PredictionRow, ScoringRun

MAX_COUNTED = 3  # detections of a class that its uncertainty on an image is summed over
MAX_TO_LABEL = 200  # lines of to_label.csv: more than anybody labels before the model is trained again
LABELING_COLUMNS = (
    *("image", "deployment", "time", "uncertainty", "chosen"),
    *("label", "score", "detections", "model", "threshold"),
)

_UNCERTAINTY_DIGITS = 4
_Stratum = tuple[str, str]  # deployment and day


def score_uncertainty(score: float, threshold: float) -> float:
    """Return 1 for a score at the threshold, falling to 0 for a score of 0 or 1.

    Example:
      >>> score_uncertainty(0.75, 0.75), score_uncertainty(0.375, 0.75), score_uncertainty(0.875, 0.75)
      (1.0, 0.5, 0.5)
    """
    # A share of the way from the threshold to the end of the scale on the side of the score.
    way = threshold if score < threshold else 1 - threshold
    return 1 - abs(score - threshold) / way if way else 1.0


def class_uncertainty(uncertainties: Iterable[float]) -> float:
    """Return 0 to 1 for the detections of a class on an image: the sum of the MAX_COUNTED largest, over MAX_COUNTED.

    Example:
      >>> class_uncertainty([1.0, 1.0, 1.0, 0.2]), class_uncertainty([])
      (1.0, 0.0)
    """
    return sum(heapq.nlargest(MAX_COUNTED, uncertainties)) / MAX_COUNTED


@dataclass(frozen=True, kw_only=True, order=True)
class UncertainImage:
    """An image to label, ordered by uncertainty.

    Attributes:
      uncertainty: of one class on the image.
      image: its name; breaks ties, so that the order of the rows does not matter.
      most_uncertain: the most uncertain detection of this class.
      row: its row, with the detections that count.
      is_stratum_leader: whether it is the most uncertain image of its deployment and day for this class.
    """

    uncertainty: float
    image: str
    most_uncertain: Detection = field(compare=False)
    row: PredictionRow = field(compare=False)
    is_stratum_leader: bool = field(compare=False, default=False)

    @property
    def shown_row(self) -> PredictionRow:
        """The row with the detection that the image was selected for, even if that does not count."""
        return replace(self.row, detections=tuple(dict.fromkeys((*self.row.detections, self.most_uncertain))))


class UncertaintySampler:
    """Selects the images to label next from a stream of rows, in memory that depends on size and classes only.

    The classes take turns, the one with the most uncertain image first, and each names its next image that is not yet
    selected. First of a class comes its most uncertain image of each deployment and day (of each folder, where there is
    no time), then its most uncertain of all other images.
    """

    def __init__(self, size: int, thresholds: Mapping[int, float]) -> None:
        """Select up to ``size`` images; thresholds by label id."""
        self._size, self._thresholds = size, thresholds
        self._classes = {label_id: _ClassSampler(size) for label_id in thresholds}

    def add(self, row: PredictionRow) -> None:
        """Consider an image, with weak detections too. Without an uncertain detection it is never selected."""
        by_class: dict[int, list[Detection]] = defaultdict(list)
        for item in row.detections:
            by_class[item.label_id].append(item)
        counted = row.filtered(self._thresholds)
        for label_id, found in by_class.items():
            values = [score_uncertainty(item.score, self._thresholds[label_id]) for item in found]
            if uncertainty := class_uncertainty(values):
                # Of equally uncertain ones the first, which has the higher score.
                best = found[values.index(max(values))]
                candidate = UncertainImage(uncertainty=uncertainty, image=row.image, most_uncertain=best, row=counted)
                self._classes[label_id].add(candidate)

    def selected(self) -> list[UncertainImage]:
        """Return at most ``size`` images, the one to label first at the front."""
        # Each class ranks as many images as are wanted in all: more could not be selected, whatever the others select.
        rankings = [sampler.ranking() for sampler in self._classes.values()]
        rankings = sorted(filter(None, rankings), key=lambda ranking: -ranking[0].uncertainty)
        chosen: dict[str, UncertainImage] = {}
        queues = [iter(ranking) for ranking in rankings]
        while queues and len(chosen) < self._size:
            # A class without a further image leaves the round.
            queues = [queue for queue in queues if _take_next(queue, chosen)]
        return list(chosen.values())[: self._size]


def _take_next(queue: Iterator[UncertainImage], chosen: dict[str, UncertainImage]) -> bool:
    """Choose the next image of a class that is not chosen yet; return whether there was one."""
    found = next((image for image in queue if image.image not in chosen), None)
    if found is not None:
        chosen[found.image] = found
    return found is not None


class _ClassSampler:
    """Ranks the images of one class."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._leaders: dict[_Stratum, UncertainImage] = {}
        self._overall: list[UncertainImage] = []  # a heap: the least uncertain image is at the front

    def add(self, candidate: UncertainImage) -> None:
        self._add_to_stratum(_stratum(candidate.row), candidate)
        if len(self._overall) < self._size:
            heapq.heappush(self._overall, candidate)
        else:
            heapq.heappushpop(self._overall, candidate)

    def ranking(self) -> list[UncertainImage]:
        """Return at most ``size`` images, the leaders of their strata first."""
        leaders = [replace(leader, is_stratum_leader=True) for leader in self._top_leaders().values()]
        names = {leader.image for leader in leaders}
        # Leaders are in both heaps.
        others = (image for image in sorted(self._overall, reverse=True) if image.image not in names)
        return list(itertools.islice(itertools.chain(leaders, others), self._size))

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


def _stratum(row: PredictionRow) -> _Stratum:
    frame = row.frame
    return (frame.deployment, str(frame.time.date())) if frame else (row.deployment, "")


def to_label_csv(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield to_label.csv: a line for each selected image, the image to label first at the top.

    Args:
      rows: with the detections of the run's classes, weak ones too: those below a threshold are uncertain as well.
      run: where they come from.
    """
    sampler = UncertaintySampler(MAX_TO_LABEL, run.thresholds)
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
    return *image, item.label, item.score, len(row.detections), run.model, run.thresholds[item.label_id]


def _selection_reason(found: UncertainImage) -> str:
    # Values of the column `chosen`; docs/outputs.md lists them.
    if not found.is_stratum_leader:
        return "least certain of its class"
    return (
        "least certain of its class, deployment and day" if found.row.frame else "least certain of its class and folder"
    )
