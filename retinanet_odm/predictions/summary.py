"""Counts over time in a bounded number of steps, whatever the time between the first photograph and the last."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from retinanet_odm.dataset.source_ids import name_hash
from retinanet_odm.predictions.rows import MIN_SHOWN_SCORE, OK, PredictionRow, ScoringRun
from retinanet_odm.predictions.uncertainty import UncertainImage, UncertaintySampler

# Each is a multiple of the one before, so that steps can be joined.
TIME_STEPS = (
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(days=1),
    timedelta(weeks=1),
    timedelta(weeks=4),
    timedelta(weeks=52),
    timedelta(weeks=520),
)
MAX_TIME_STEPS = 64
_ORIGIN = datetime(1900, 1, 1)  # a Monday


@dataclass(eq=False)
class TimeStep:
    """What was seen in one step of time: photographs, and detections by label id."""

    images: int = 0
    counts: Counter[int] = field(default_factory=Counter)

    def join(self, images: int, counts: Mapping[int, int]) -> None:
        """Adds what was seen."""
        self.images += images
        self.counts.update(counts)


@dataclass(eq=False)
class Timeline:
    """Photographs and detections by steps of time, whose length grows until MOST_STEPS of them hold everything.

    Attributes:
      steps: by their number since 1900; steps without a photograph are left out.
      first, last: times of the first and last photograph.
    """

    steps: dict[int, TimeStep] = field(default_factory=dict)
    first: datetime = datetime.max
    last: datetime = datetime.min
    _level: int = 0

    @property
    def length(self) -> timedelta:
        """Of one step."""
        return TIME_STEPS[self._level]

    @property
    def images(self) -> int:
        return sum(step.images for step in self.steps.values())

    def totals(self) -> Counter[int]:
        """Detections by label id."""
        return sum((step.counts for step in self.steps.values()), Counter())

    def add(self, when: datetime, counts: Mapping[int, int]) -> None:
        """Counts one photograph and the detections on it, by label id."""
        self.first, self.last = min(self.first, when), max(self.last, when)
        while self._number(self.last) - self._number(self.first) >= MAX_TIME_STEPS and self.length != TIME_STEPS[-1]:
            self._lengthen()
        self.steps.setdefault(self._number(when), TimeStep()).join(1, counts)

    def start(self, number: int) -> datetime:
        """When a step begins."""
        return _ORIGIN + number * self.length

    def _number(self, when: datetime) -> int:
        return (when - _ORIGIN) // self.length

    def _lengthen(self) -> None:
        shorter, finer = self.steps, self.length
        self._level += 1
        self.steps = {}
        for number, step in shorter.items():
            self.steps.setdefault(number * finer // self.length, TimeStep()).join(step.images, step.counts)


SCORE_BINS = 20  # of scores, each a twentieth
MAX_DEPLOYMENTS = 200  # with a timeline of their own; names that number the images would make a million
_EXAMPLES = 4  # of a class
_LEAST_CERTAIN = 12


@dataclass(eq=False)
class ClassSummary:
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
    scores: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)
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
            self.scores[min(int(score * SCORE_BINS), SCORE_BINS - 1)] += 1
        if max(scores) >= MIN_SHOWN_SCORE:
            heapq.heappush(self._drawn, (lot, row.image, row))
            if len(self._drawn) > _EXAMPLES:
                heapq.heappop(self._drawn)


@dataclass(eq=False)
class FailureSummary:
    """How often images failed for one reason, and the detail of the first."""

    detail: str
    images: int = 0


@dataclass(eq=False)
class RepeatSummary:
    """A place where a class was seen again and again, and the first photograph that shows it."""

    label: str
    deployment: str
    first: str
    detections: int = 0


class PredictionSummary:
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

    def __init__(self, run: ScoringRun) -> None:
        self.run = run
        self.ok = 0
        self.classes = {label_id: ClassSummary() for label_id in run.classes}
        self.failures: dict[str, FailureSummary] = {}
        self.places: dict[int, RepeatSummary] = {}
        self.whole = Timeline()
        self.deployments: dict[str, Timeline] = {}
        self.undrawn = self.timeless = 0
        self._least_certain = UncertaintySampler(_LEAST_CERTAIN)

    @property
    def failed(self) -> int:
        return sum(failure.images for failure in self.failures.values())

    @property
    def detections(self) -> int:
        return sum(found.detections for found in self.classes.values())

    @property
    def least_certain(self) -> list[UncertainImage]:
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
                place = RepeatSummary(label=item.label, deployment=row.deployment, first=row.image)
                self.places.setdefault(item.repeat, place).detections += 1
        if scores:
            lot = int(name_hash(row.image), 16)
            for label_id, found in scores.items():
                self.classes[label_id].add(row, found, lot)
            self._least_certain.add(row)
        self._place_in_time(row, Counter({label_id: len(found) for label_id, found in scores.items()}))

    def _fail(self, row: PredictionRow) -> None:
        failure = self.failures.setdefault(str(row.reason), FailureSummary(detail=str(row.detail)))
        failure.images += 1

    def _place_in_time(self, row: PredictionRow, counts: Counter[int]) -> None:
        frame = row.frame
        if frame is None:
            self.timeless += 1
            return
        self.whole.add(frame.when, counts)
        if frame.deployment not in self.deployments:
            if len(self.deployments) == MAX_DEPLOYMENTS:
                self.undrawn += 1
                return
            self.deployments[frame.deployment] = Timeline()
        self.deployments[frame.deployment].add(frame.when, counts)
