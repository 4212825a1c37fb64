"""inference.model.outcome."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retinanet_odm.boxes import Boxes


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelOutput:
    """The model's answer for one image.

    Attributes:
      status: signatures.STATUS_OK or why there is no answer.
      height, width: pixels of the decoded image.
      boxes: [n, 4] (ymin, xmin, ymax, xmax) in pixels.
      scores: [n], falling.
      classes: [n] label ids.
    """

    status: int
    height: int
    width: int
    boxes: Boxes
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why the model gave no answer for one image: a short stable word, and the rest of a sentence about it."""

    reason: str
    why: str
