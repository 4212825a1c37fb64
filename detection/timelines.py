"""Counts over time in a bounded number of steps, whatever the time between the first photograph and the last."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

# Each is a multiple of the one before, so that steps can be joined.
STEPS = (
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
MOST_STEPS = 64
_ORIGIN = datetime(1900, 1, 1)  # a Monday


@dataclass(eq=False)
class Step:
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

    steps: dict[int, Step] = field(default_factory=dict)
    first: datetime = datetime.max
    last: datetime = datetime.min
    _level: int = 0

    @property
    def length(self) -> timedelta:
        """Of one step."""
        return STEPS[self._level]

    @property
    def images(self) -> int:
        return sum(step.images for step in self.steps.values())

    def totals(self) -> Counter[int]:
        """Detections by label id."""
        return sum((step.counts for step in self.steps.values()), Counter())

    def add(self, when: datetime, counts: Mapping[int, int]) -> None:
        """Counts one photograph and the detections on it, by label id."""
        self.first, self.last = min(self.first, when), max(self.last, when)
        while self._number(self.last) - self._number(self.first) >= MOST_STEPS and self.length != STEPS[-1]:
            self._lengthen()
        self.steps.setdefault(self._number(when), Step()).join(1, counts)

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
            self.steps.setdefault(number * finer // self.length, Step()).join(step.images, step.counts)
