"""Statistics of all rows of a run, added up row by row in bounded memory, whatever the number of images.

Begin with `PredictionSummary`. `Timeline` counts over time; its steps grow longer as the covered time grows.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from retinanet_odm.dataset.source_ids import name_hash
from retinanet_odm.predictions.rows import OK, PredictionRow, ScoringRun, reaches
from retinanet_odm.predictions.sampling import TIME_ORIGIN, CountSpread, SampleSplitter
from retinanet_odm.predictions.uncertainty import UncertainImage, UncertaintySampler
from retinanet_odm.predictions.unlike_training import NoveltySummary

# Lengths of a step. Each is a multiple of the one before, so that whole steps can be joined.
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
SCORE_BINS = 20  # of equal width, from 0 to 1
MAX_DEPLOYMENTS = 200  # with a timeline; names that number the images would otherwise make a million of them

_MAX_EXAMPLES = 4  # images of each class
_MAX_UNCERTAIN = 12  # images


@dataclass(eq=False)
class Timeline:
    """Counts of images and detections in at most MAX_TIME_STEPS steps of time, however long the covered time is.

    Attributes:
      steps: by their number since 1900; only steps with images.
      first, last: times of the first and the last image.
    """

    steps: dict[int, CountSpread] = field(default_factory=dict)
    first: datetime = datetime.max
    last: datetime = datetime.min
    _level: int = 0

    @property
    def step_length(self) -> timedelta:
        """The length of a step, one of TIME_STEPS."""
        return TIME_STEPS[self._level]

    @property
    def images(self) -> int:
        """The number of images."""
        return sum(step.images for step in self.steps.values())

    def totals(self) -> Counter[int]:
        """Return the number of detections by label id."""
        return sum((step.counts for step in self.steps.values()), Counter())

    def step_at(self, when: datetime) -> CountSpread:
        """Return the step to which an image of this time is to be added."""
        # The order matters: the range grows first, then the steps, so that the new image already has a step of the
        # final length.
        self.first, self.last = min(self.first, when), max(self.last, when)
        while self._is_too_long() and self.step_length != TIME_STEPS[-1]:
            self._lengthen_steps()
        return self.steps.setdefault(self._number(when), CountSpread())

    def start(self, number: int) -> datetime:
        """Return the time at which a step begins."""
        return TIME_ORIGIN + number * self.step_length

    def _is_too_long(self) -> bool:
        return self._number(self.last) - self._number(self.first) >= MAX_TIME_STEPS

    def _number(self, when: datetime) -> int:
        return (when - TIME_ORIGIN) // self.step_length

    def _lengthen_steps(self) -> None:
        before, length_before = self.steps, self.step_length
        self._level += 1
        self.steps = {}
        for number, step in before.items():
            # Steps begin at multiples of their length since 1900, so a longer step contains whole shorter ones.
            longer = self.steps.setdefault(number * length_before // self.step_length, CountSpread())
            longer.update(step)


@dataclass(eq=False)
class ClassSummary:
    """Statistics of one class.

    Attributes:
      detections, images: how many detections there are, and images with any.
      max_per_image, max_image: the largest number of detections on one image, and the image's name.
      scores: detections by score, in SCORE_BINS bins.
      weaker: number of detections below the threshold, which are in none of the other numbers.
    """

    detections: int = 0
    images: int = 0
    max_per_image: int = 0
    max_image: str = ""
    scores: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)
    weaker: int = 0
    _examples: list[tuple[int, str, PredictionRow]] = field(default_factory=list)  # a heap of the largest sort keys

    @property
    def examples(self) -> list[PredictionRow]:
        """A random sample of the images with a detection of the class."""
        return [row for _, _, row in sorted(self._examples, reverse=True)]

    def add(self, row: PredictionRow, scores: Sequence[float], sort_key: int) -> None:
        """Add an image with detections of this class.

        Args:
          row: the image.
          scores: of its detections of this class, at least one.
          sort_key: a pseudo-random number that depends on the image only; the images with the largest ones are sampled.
        """
        self.detections += len(scores)
        self.images += 1
        if len(scores) > self.max_per_image:
            self.max_per_image, self.max_image = len(scores), row.image
        for score in scores:
            self.scores[min(int(score * SCORE_BINS), SCORE_BINS - 1)] += 1
        # A sample by hash instead of a random generator: the page is the same whatever the order of the rows.
        heapq.heappush(self._examples, (sort_key, row.image, row))
        if len(self._examples) > _MAX_EXAMPLES:
            heapq.heappop(self._examples)


@dataclass(eq=False)
class FailureSummary:
    """The number of images that failed for one reason, and the detail of the first one."""

    detail: str
    images: int = 0


@dataclass(eq=False)
class RepeatSummary:
    """A location at which detections of a class are repeated, and the first image that shows it."""

    label_id: int
    deployment: str
    first_image: str
    detections: int = 0


class PredictionSummary:
    """Statistics of the rows of a run.

    Attributes:
      run: the run that the rows come from.
      ok: number of images that were scored.
      classes: by label id, for all classes of the run.
      failures: by reason.
      repeats: by the number of the location; empty if `repeats` was not run.
      timeline: all images that have a time.
      deployments: the images that have a time, by deployment; only the first MAX_DEPLOYMENTS deployments.
      images_of_further_deployments: number of images that have a time, of all other deployments.
      images_without_time: number of images without a time.
      spread: of the counts of all scored images.
      novelty: how many images are unlike the training images.
    """

    def __init__(self, run: ScoringRun) -> None:
        self.run = run
        self.ok = 0
        self.classes = {label_id: ClassSummary() for label_id in run.classes}
        self.failures: dict[str, FailureSummary] = {}
        self.repeats: dict[int, RepeatSummary] = {}
        self.timeline = Timeline()
        self.deployments: dict[str, Timeline] = {}
        self.images_of_further_deployments = 0
        self.images_without_time = 0
        self.spread = CountSpread()
        self._splitter = SampleSplitter()
        self.novelty = NoveltySummary()
        self._sampler = UncertaintySampler(_MAX_UNCERTAIN, run.thresholds)

    @property
    def failed(self) -> int:
        """The number of images that could not be scored."""
        return sum(failure.images for failure in self.failures.values())

    @property
    def detections(self) -> int:
        """The number of detections of all classes."""
        return sum(one.detections for one in self.classes.values())

    @property
    def least_certain(self) -> list[UncertainImage]:
        """A few images that the model is least certain about."""
        return self._sampler.selected()

    def add(self, row: PredictionRow) -> None:
        """Add an image; its detections must be of the run's classes. Those below the thresholds do not count."""
        if row.status != OK:
            self._add_failure(row)
            return
        self.ok += 1
        self._sampler.add(row)
        for item in row.detections:
            self.classes[item.label_id].weaker += not reaches(item, self.run.thresholds)
        self.novelty.add(row)
        self._add_counted(row.filtered(self.run.thresholds))

    def _add_counted(self, row: PredictionRow) -> None:
        # By class, because each class counts an image once, however many detections it has there.
        scores: dict[int, list[float]] = defaultdict(list)
        for item in row.detections:
            scores[item.label_id].append(item.score)
            if item.repeat is not None:
                location = RepeatSummary(label_id=item.label_id, deployment=row.deployment, first_image=row.image)
                self.repeats.setdefault(item.repeat, location).detections += 1
        # Images without detections count in the timelines too: the charts show means per image.
        if scores:
            sort_key = int(name_hash(row.image), 16)
            for label_id, of_class in scores.items():
                self.classes[label_id].add(row, of_class, sort_key)
        spreads = [self.spread, *self._steps_of(row)]
        self._splitter.add(row, {label_id: len(of_class) for label_id, of_class in scores.items()}, spreads)

    def _add_failure(self, row: PredictionRow) -> None:
        # One example for each reason is enough; the rows hold all of them.
        failure = self.failures.setdefault(str(row.reason), FailureSummary(detail=str(row.detail)))
        failure.images += 1

    def _steps_of(self, row: PredictionRow) -> Iterator[CountSpread]:
        """Yield the steps of the timelines to which an image is to be added."""
        frame = row.frame
        if frame is None:
            self.images_without_time += 1
            return
        yield self.timeline.step_at(frame.time)
        if frame.deployment in self.deployments or len(self.deployments) < MAX_DEPLOYMENTS:
            yield self.deployments.setdefault(frame.deployment, Timeline()).step_at(frame.time)
        else:
            self.images_of_further_deployments += 1
