"""What the rows of a run add up to, for a page: counts over time, scores, failures, examples; memory is bounded."""

import heapq
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from detection.doubt import Doubtful, LeastCertain
from detection.drawing import SHOWN_FROM
from detection.ids import name_hash
from detection.predictions import OK, PredictionRow, Run
from detection.timelines import Timeline

BINS = 20  # of scores, each a twentieth
MOST_DEPLOYMENTS = 200  # with a timeline of their own; names that number the images would make a million
_EXAMPLES = 4  # of a class
_LEAST_CERTAIN = 12


@dataclass(eq=False)
class ClassSurvey:
    """What is known of one class.

    Attributes:
      detections, images: how many there are, and on how many photographs.
      most, most_on: the most on one photograph, and which.
      scores: detections by the twentieth of the score.
      examples: photographs with detections of SHOWN_FROM or more, drawn at random by their names.
    """

    detections: int = 0
    images: int = 0
    most: int = 0
    most_on: str = ""
    scores: list[int] = field(default_factory=lambda: [0] * BINS)
    _drawn: list[tuple[int, str, PredictionRow]] = field(default_factory=list)

    @property
    def examples(self) -> list[PredictionRow]:
        return [row for _, _, row in sorted(self._drawn, reverse=True)]

    def add(self, row: PredictionRow, scores: list[float], lot: int) -> None:
        """Counts a photograph with detections of these scores; the lot is a random number of its own."""
        self.detections += len(scores)
        self.images += 1
        if len(scores) > self.most:
            self.most, self.most_on = len(scores), row.image
        for score in scores:
            self.scores[min(int(score * BINS), BINS - 1)] += 1
        if max(scores) >= SHOWN_FROM:
            heapq.heappush(self._drawn, (lot, row.image, row))
            if len(self._drawn) > _EXAMPLES:
                heapq.heappop(self._drawn)


@dataclass(eq=False)
class FailureSurvey:
    """How often images failed for one reason, and the detail of the first."""

    detail: str
    images: int = 0


@dataclass(eq=False)
class PlaceSurvey:
    """A place where a class was seen again and again, and the first photograph that shows it."""

    label: str
    deployment: str
    first: str
    detections: int = 0


class Survey:
    """Adds up rows, one by one.

    Attributes:
      run: where the rows come from.
      ok: images that were scored.
      classes: by label id, all that the run has.
      failures: by reason.
      places: by the number that `repeats` gave; none where it was not run.
      whole: all photographs with a time.
      deployments: photographs with a time by deployment, the first MOST_DEPLOYMENTS of them.
      undrawn: photographs with a time in further deployments.
      timeless: photographs without a time.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.ok = 0
        self.classes = {label_id: ClassSurvey() for label_id in run.classes}
        self.failures: dict[str, FailureSurvey] = {}
        self.places: dict[int, PlaceSurvey] = {}
        self.whole = Timeline()
        self.deployments: dict[str, Timeline] = {}
        self.undrawn = self.timeless = 0
        self._least_certain = LeastCertain(_LEAST_CERTAIN)

    @property
    def failed(self) -> int:
        return sum(failure.images for failure in self.failures.values())

    @property
    def detections(self) -> int:
        return sum(found.detections for found in self.classes.values())

    @property
    def least_certain(self) -> list[Doubtful]:
        return self._least_certain.chosen()

    def add(self, row: PredictionRow) -> None:
        """Counts an image; its detections are of the run's classes."""
        if row.status != OK:
            self._fail(row)
            return
        self.ok += 1
        scores: dict[int, list[float]] = defaultdict(list)
        for item in row.detections:
            scores[item.label_id].append(item.score)
            if item.repeat is not None:
                place = PlaceSurvey(label=item.label, deployment=row.deployment, first=row.image)
                self.places.setdefault(item.repeat, place).detections += 1
        if scores:
            lot = int(name_hash(row.image), 16)
            for label_id, found in scores.items():
                self.classes[label_id].add(row, found, lot)
            self._least_certain.add(row)
        self._place_in_time(row, Counter({label_id: len(found) for label_id, found in scores.items()}))

    def _fail(self, row: PredictionRow) -> None:
        failure = self.failures.setdefault(str(row.reason), FailureSurvey(detail=str(row.detail)))
        failure.images += 1

    def _place_in_time(self, row: PredictionRow, counts: Counter[int]) -> None:
        frame = row.frame
        if frame is None:
            self.timeless += 1
            return
        self.whole.add(frame.when, counts)
        if frame.deployment not in self.deployments:
            if len(self.deployments) == MOST_DEPLOYMENTS:
                self.undrawn += 1
                return
            self.deployments[frame.deployment] = Timeline()
        self.deployments[frame.deployment].add(frame.when, counts)
