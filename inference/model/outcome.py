"""The result of scoring one image: `ModelOutput`, or `Failure` where there is none."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retinanet_odm.boxes import Boxes

# A detection is at least one pixel high and wide; less by what the conversion of edges between units may round.
MIN_EXTENT = 0.99


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelOutput:
    """The output of the model for one image.

    Attributes:
      status: exported_model.STATUS_OK, or a code for why there are no detections.
      height, width: of the decoded image, in pixels.
      boxes: [n, 4] (ymin, xmin, ymax, xmax) in pixels.
      scores: [n], falling.
      classes: [n] label ids.
      without_extent: number of boxes of the model that `drop_without_extent` has dropped.
      novelty: how unlike the training images the image is (retinanet_odm.novelty); None if the model has no reference.
    """

    status: int
    height: int
    width: int
    boxes: Boxes
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    without_extent: int = 0
    novelty: float | None = None


def drop_without_extent(output: ModelOutput) -> ModelOutput:
    """Drop boxes that are less than one pixel high or wide, or whose edges are no numbers.

    The trainer's exports return no such boxes. Those of its earlier versions, and models of other programs, clip a box
    that lies beside the image to a line at its border.
    """
    has_extent = (output.boxes[:, 2:] - output.boxes[:, :2] >= MIN_EXTENT).all(axis=1)  # false for nan
    if has_extent.all():  # the usual case
        return output
    return dataclasses.replace(
        output,
        boxes=output.boxes[has_extent],
        scores=output.scores[has_extent],
        classes=output.classes[has_extent],
        without_extent=output.without_extent + int((~has_extent).sum()),
    )


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The reason why an image has no output: a short stable word, and a text about this image."""

    reason: str
    why: str
