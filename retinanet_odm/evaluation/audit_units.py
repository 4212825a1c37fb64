"""Groups images into the units of an audit, which a person labels as a whole.

Begin with `group_units`. An image alone is a unit for mean counts. MaxN, the most animals in one image of a period
(Cappo, Speare & De'ath 2004), needs all images of the period, so a burst or a day is a unit then.
"""

import numpy as np
import numpy.typing as npt

from retinanet_odm.evaluation.audit_terms import BURST, IMAGE
from retinanet_odm.evaluation.matching import Floats, Ints


def group_units(deployments: Ints, seconds: Floats, *, unit: str, gap: float) -> Ints:
    """Return the number of each image's unit [N]: 0, 1, … in the order of deployments and times, or of the images.

    Args:
      deployments: [N] number of the deployment of each image.
      seconds: [N] its time, since any moment; not used for single images.
      unit: one of UNITS.
      gap: of the times of two images that follow each other; if it is larger, a new burst begins.

    Example:
      >>> group_units(np.array([0, 0, 0, 1]), np.array([0.0, 9.0, 1.0, 1.0]), unit="burst", gap=2).tolist()
      [0, 1, 0, 2]
    """
    if unit == IMAGE:
        return np.arange(len(deployments))
    order = np.lexsort((seconds, deployments))
    times, places = seconds[order], deployments[order]
    days = np.floor(times / 86_400)
    apart = np.diff(times) > gap if unit == BURST else np.diff(days) > 0
    numbers = np.zeros(len(order), np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(apart | (np.diff(places) != 0))])
    return numbers


def sums_by_unit(values: Floats, units: Ints, *, count: int) -> Floats:
    """Return the sum over the images of each unit [count, K] of values [N, K]."""
    found = np.zeros((count, values.shape[1]))
    np.add.at(found, units, values)
    return found


def maxima_by_unit(values: Floats, units: Ints, *, count: int) -> Floats:
    """Return the maximum over the images of each unit [count, K] of values [N, K], which are 0 or more."""
    found: npt.NDArray[np.float64] = np.zeros((count, values.shape[1]))
    np.maximum.at(found, units, values)
    return found
