"""Which images of a run a person labels to check its counts: a stratified random sample, drawn the same way each time.

Begin with `draw_audit`. The population is divided into strata by deployment, time and predicted count, and a simple
random sample without replacement is drawn from each, so that the probability of every unit is known (Särndal, Swensson
& Wretman 1992, Model Assisted Survey Sampling, section 3.7). `prediction_powered` estimates means from the labels.

A unit is an image, or a burst or a day of images (`inference.audit`). Shapes: N units, C cells of deployment and time,
H strata.
"""

import heapq
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retinanet_odm.evaluation.audit_terms import MIN_SIZE
from retinanet_odm.evaluation.matching import Floats, Ints

LABELS_PER_CELL = 8  # on average at least; with fewer, neighbouring cells are joined
LABELS_PER_STRATUM = 5  # on average at least; with fewer, a cell is divided into fewer levels of the predicted count
MAX_LEVELS = 5  # of the predicted count; more gain little (Cochran 1977, Sampling Techniques, section 5A.8)
MIN_LABELS = 2  # of a stratum: of one, no variance can be estimated
# Power allocation (Bankier 1988, The American Statistician 42, 174): the share of a cell is that of the root of its
# measure, so that small deployments get more than their share, and the survey's mean loses little.
POWER = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditDesign:
    """A stratified sample of units.

    Attributes:
      strata: int [N], the stratum of each unit.
      populations: int [H], number of units of each stratum.
      samples: int [H], how many of them are audited.
      audited: bool [N], which ones.
    """

    strata: Ints
    populations: Ints
    samples: Ints
    audited: npt.NDArray[np.bool_]

    @property
    def probabilities(self) -> Floats:
        """[H] inclusion probability of the units of each stratum."""
        shares: Floats = self.samples / self.populations
        return shares


def draw_audit(
    deployments: Ints, periods: Ints, predicted: Floats, keys: npt.NDArray[np.uint64], *, size: int
) -> AuditDesign:
    """Divide units into strata and draw the audited ones.

    Args:
      deployments: [N] number of each unit's deployment, 0, 1, …
      periods: [N] number of its period of time, rising with time.
      predicted: [N] predicted count, all classes together.
      keys: [N] a pseudo-random number that depends on the unit and the seed only: the smallest of a stratum are drawn,
        so that the sample does not depend on the order of the units.
      size: number of units to audit; all of them if there are no more.

    Raises:
      ValueError: size is below MIN_SIZE.
    """
    if size < MIN_SIZE:
        raise ValueError(f"expected a size of {MIN_SIZE} or more, found {size}")
    # The residual of a count grows with its root, as that of a Poisson count; 1, because a count of 0 can be wrong too.
    measures = np.sqrt(predicted + 1.0)
    cells = join_cells(deployments, periods, most=max(size // LABELS_PER_CELL, 1))
    of_cell = _sums(cells, measures)
    shares = of_cell**POWER
    levels = np.clip(size * shares / shares.sum() / LABELS_PER_STRATUM, 1, MAX_LEVELS).astype(int)
    strata = _split_cells(cells, predicted, measures, levels)
    populations = np.bincount(strata)
    cell_of_stratum = np.zeros(len(populations), int)
    cell_of_stratum[strata] = cells
    of_stratum = _sums(strata, measures) * (shares / of_cell)[cell_of_stratum]
    samples = allocate(of_stratum, populations, size)
    # Within each stratum in the order of the keys, whose first ones are drawn.
    order = np.lexsort((keys, strata))
    starts = np.cumsum(populations) - populations
    rank = np.arange(len(strata)) - starts[strata[order]]
    audited = np.zeros(len(strata), bool)
    audited[order] = rank < samples[strata[order]]
    return AuditDesign(strata=strata, populations=populations, samples=samples, audited=audited)


def _sums(groups: Ints, values: Floats) -> Floats:
    """Return the sum of the values of each group, rounded: the last bits depend on the order of the units."""
    sums: Floats = np.round(np.bincount(groups, weights=values), 6)
    return sums


def join_cells(deployments: Ints, periods: Ints, *, most: int) -> Ints:
    """Return the cell of each unit [N]: its deployment and period, of which at most so many stay apart.

    If there are more, as many neighbouring periods of each deployment are joined as necessary; then, neighbouring
    deployments.

    Example:
      >>> join_cells(np.array([0, 0, 0, 1]), np.array([5, 6, 7, 6]), most=3).tolist()
      [0, 0, 1, 2]
    """
    pairs, cells = np.unique(np.stack([deployments, periods], axis=1), axis=0, return_inverse=True)
    cells = cells.reshape(-1)
    of = pairs[:, 0]
    # The rank of each period within its deployment: `pairs` is sorted by deployment, then period.
    starts = np.searchsorted(of, of)
    rank = np.arange(len(of)) - starts
    joined = 1
    while len(np.unique(np.stack([of, rank // joined], axis=1), axis=0)) > most and joined <= rank.max(initial=0):
        joined += 1
    together = math.ceil(len(np.unique(of)) / most) if joined > rank.max(initial=0) else 1
    number = np.unique(of, return_inverse=True)[1].reshape(-1) // together
    groups = np.unique(np.stack([number, rank // joined], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    found: Ints = groups[cells].astype(np.int64)
    return found


def _split_cells(cells: Ints, predicted: Floats, measures: Floats, levels: Ints) -> Ints:
    """Return the stratum of each unit [N]: cells, split by the predicted count into levels of about equal measure."""
    strata = np.zeros(len(cells), np.int64)
    order = np.lexsort((predicted, cells))
    count = 0
    for cell, members in enumerate(np.split(order, np.flatnonzero(np.diff(cells[order])) + 1)):
        # Units with the same count stay together: a level is a range of counts, which a person can read.
        _, groups = np.unique(predicted[members], return_inverse=True)
        masses = np.bincount(groups, weights=measures[members])
        middles = (np.cumsum(masses) - masses / 2) / masses.sum()
        level = np.unique((middles * levels[cell]).astype(int), return_inverse=True)[1].reshape(-1)
        strata[members] = count + level[groups]
        count += int(level.max()) + 1
    return strata


def allocate(measures: Floats, populations: Ints, size: int) -> Ints:
    """Return the number of units to audit in each stratum [H].

    The variance of the total is the least that whole numbers reach (Wright 2012, The American Statistician 66, 217),
    with MIN_LABELS in each stratum, and no more than it has.

    Args:
      measures: [H] sum of the expected standard deviations of the units of a stratum.
      populations: [H] their number.
      size: to distribute; more are taken where MIN_LABELS of all strata are more.

    Example:
      >>> allocate(np.array([10.0, 30.0]), np.array([100, 100]), 20).tolist()
      [5, 15]
    """
    samples = np.minimum(populations, MIN_LABELS)
    # The next unit goes where it lowers the variance the most: it falls by measure² / (k (k + 1)).
    heap = [
        (-measures[row] / math.sqrt(samples[row] * (samples[row] + 1)), row)
        for row in range(len(samples))
        if samples[row] < populations[row]
    ]
    heapq.heapify(heap)
    for _ in range(size - int(samples.sum())):
        if not heap:
            break
        _, row = heapq.heappop(heap)
        samples[row] += 1
        if samples[row] < populations[row]:
            heapq.heappush(heap, (-measures[row] / math.sqrt(samples[row] * (samples[row] + 1)), row))
    return samples.astype(np.int64)
