"""How much a mean count would vary if other moments had been recorded: 95 % intervals, added up row by row.

Images of one deployment within the same half hour may show the same animals, so they are one sample, not several; half
an hour is what camera-trap studies mostly take for independent events (O'Brien, Kinnaird & Wibisono 2003). The mean is
the ratio of two sums over samples, of detections and of images, and its variance that of the ratio estimator (Cochran
1977, Sampling Techniques, 3rd ed., section 6.3), which needs no more than sums of squares and products.

Begin with `SampleSplitter`, which feeds each image to some `CountSpread`.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from retinanet_odm.predictions.rows import PredictionRow

SAMPLE_TIME = timedelta(minutes=30)
MIN_SAMPLES = 5  # with fewer, the spread says too little about an interval; as in evaluation.analysis
_NORMAL = 1.959964  # the quantile of the normal distribution for 95 %
TIME_ORIGIN = datetime(1900, 1, 1)  # a Monday, so that weeks that are counted from it begin on Mondays

_Sample = tuple[str, object]


@dataclass(eq=False)
class CountSpread:
    """Sums over samples, from which the interval of a mean count per image follows.

    Attributes:
      samples: their number.
      images: of all samples.
      images_squared: sum of the squared numbers of images.
      counts: detections by label id.
      counts_squared: sums of the squared numbers of detections, by label id.
      products: sums of the products of detections and images, by label id.
    """

    samples: int = 0
    images: int = 0
    images_squared: int = 0
    counts: Counter[int] = field(default_factory=Counter)
    counts_squared: Counter[int] = field(default_factory=Counter)
    products: Counter[int] = field(default_factory=Counter)

    def grow(self, images: int, before: Mapping[int, int], counts: Mapping[int, int]) -> None:
        """Add one image to a sample that has some images and detections already; 0 images begin a sample."""
        self.samples += not images
        self.images += 1
        self.images_squared += 2 * images + 1
        self.counts.update(counts)
        for label_id in before.keys() | counts.keys():
            old, more = before.get(label_id, 0), counts.get(label_id, 0)
            self.counts_squared[label_id] += more * (2 * old + more)
            self.products[label_id] += old + more * (images + 1)

    def update(self, other: "CountSpread") -> None:
        """Add the samples of another one."""
        self.samples += other.samples
        self.images += other.images
        self.images_squared += other.images_squared
        self.counts.update(other.counts)
        self.counts_squared.update(other.counts_squared)
        self.products.update(other.products)

    def interval(self, label_id: int) -> tuple[float, float] | None:
        """Return the 95 % interval of the mean number of detections per image.

        None if there are fewer than MIN_SAMPLES, or no detection: equal counts have no spread to judge by.
        """
        if self.samples < MIN_SAMPLES or not self.counts[label_id]:
            return None
        mean = self.counts[label_id] / self.images
        squares = self.counts_squared[label_id] - 2 * mean * self.products[label_id] + mean * mean * self.images_squared
        # Rounding may leave a little less than nothing.
        variance = max(squares, 0.0) * self.samples / (self.samples - 1) / self.images**2
        half = t_quantile(self.samples - 1) * math.sqrt(variance)
        return max(mean - half, 0.0), mean + half


def t_quantile(freedom: float) -> float:
    """Return the two-sided 95 % quantile of Student's t distribution for 4 or more degrees of freedom.

    By the expansion in 1 / freedom (Abramowitz & Stegun 1964, 26.7.5), which is 0.3 % too small at 4.

    Example:
      >>> round(t_quantile(10), 2), round(t_quantile(10**6), 2)
      (2.23, 1.96)
    """
    x = _NORMAL
    return (
        x
        + (x**3 + x) / (4 * freedom)
        + (5 * x**5 + 16 * x**3 + 3 * x) / (96 * freedom**2)
        + (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / (384 * freedom**3)
    )


class SampleSplitter:
    """Splits a stream of images into samples, in the memory of one sample.

    The rows of a run are in the order of their names, so the images of a sample follow each other; where they do not,
    a sample is counted as two.
    """

    def __init__(self) -> None:
        self._sample: _Sample | None = None
        self._images = 0
        self._counts: Counter[int] = Counter()

    def add(self, row: PredictionRow, counts: Mapping[int, int], spreads: Iterable[CountSpread]) -> None:
        """Add an image with its detections by label id to each of the spreads."""
        sample = _sample_of(row)
        if sample != self._sample:
            self._sample, self._images, self._counts = sample, 0, Counter()
        for spread in spreads:
            spread.grow(self._images, self._counts, counts)
        self._images += 1
        self._counts.update(counts)


def _sample_of(row: PredictionRow) -> _Sample:
    """Return the sample of an image: its deployment's half hour; without a time its deployment, or else the image."""
    if frame := row.frame:
        return frame.deployment, (frame.time - TIME_ORIGIN) // SAMPLE_TIME
    # Nothing is known about when the images of a folder were taken, so they may all be of one moment.
    return (row.deployment, "") if row.deployment else ("", row.image)
