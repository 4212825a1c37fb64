"""What a prediction row is, and what the rows of a run add up to.

Begin with `rows`: `PredictionRow` is one image with its detections. The other modules only read rows:

  summary      statistics of a run, for its report
  uncertainty  which images to label next
  repeats      detections that are repeated at one location over many frames
  formats      the rows in the file formats of other tools
  drawing      detections as boxes to draw

Nothing here reads or writes files: rows come in, values or bytes go out.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retinanet_odm.predictions.repeats import find_repeats
    from retinanet_odm.predictions.rows import Detection, PredictionRow, ScoringRun
    from retinanet_odm.predictions.summary import PredictionSummary
    from retinanet_odm.predictions.uncertainty import UncertaintySampler, image_uncertainty

__all__ = [
    "Detection",
    "PredictionRow",
    "PredictionSummary",
    "ScoringRun",
    "UncertaintySampler",
    "find_repeats",
    "image_uncertainty",
]

_MODULES = {
    "Detection": "rows",
    "PredictionRow": "rows",
    "PredictionSummary": "summary",
    "ScoringRun": "rows",
    "UncertaintySampler": "uncertainty",
    "find_repeats": "repeats",
    "image_uncertainty": "uncertainty",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: a program that reads rows needs no numpy."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
