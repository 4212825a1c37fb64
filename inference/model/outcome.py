"""The result of scoring one image: `ModelOutput`, or `Failure` where there is none."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retinanet_odm.boxes import Boxes


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelOutput:
    """The output of the model for one image.

    Attributes:
      status: exported_model.STATUS_OK, or a code for why there are no detections.
      height, width: of the decoded image, in pixels.
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
    """The reason why an image has no output: a short stable word, and a text about this image."""

    reason: str
    why: str
