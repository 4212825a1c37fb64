"""What a prediction row is, and what the rows of a run add up to.

Begin with `rows`: `PredictionRow` is one image with its detections. The other modules only read rows:

  summary          statistics of a run, for its report
  uncertainty      which images to label next
  unlike_training  how many images are unlike the training images
  repeats          detections that are repeated at one location over many frames
  formats          the rows in the file formats of other tools
  publication      what archives of field data need beside the rows; hashes and identifiers of what is published
  deployments      where and when a camera was
  drawing          detections as boxes to draw

Nothing here reads or writes files: rows come in, values or bytes go out.
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from retinanet_odm.predictions.repeats import find_repeats
    from retinanet_odm.predictions.rows import Detection, PredictionRow, ScoringRun
    from retinanet_odm.predictions.summary import PredictionSummary
    from retinanet_odm.predictions.uncertainty import UncertaintySampler, class_uncertainty

__all__ = [
    "Detection",
    "PredictionRow",
    "PredictionSummary",
    "ScoringRun",
    "UncertaintySampler",
    "class_uncertainty",
    "find_repeats",
]

# Imported on first use: a program that reads rows needs no numpy.
_MODULES = {
    "Detection": "rows",
    "PredictionRow": "rows",
    "PredictionSummary": "summary",
    "ScoringRun": "rows",
    "UncertaintySampler": "uncertainty",
    "class_uncertainty": "uncertainty",
    "find_repeats": "repeats",
}

__getattr__ = lazy_exports(__name__, _MODULES)
