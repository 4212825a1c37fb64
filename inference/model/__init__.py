"""Models and how they are called: an export is checked and loaded, and images become detections.

Begin with `loading`: `find_model` checks an export folder without TensorFlow, `load_scorer` loads it. `scorer` calls
the model so that a bad image fails alone; `tiling` cuts large images. `saved_model` and `third_party` are the two kinds
of SavedModel: exports of the trainer and models of other programs; `xla_model` runs the former by XLA. `handler` wraps
it all for Beam. TensorFlow is imported when a model is loaded, never before, and Keras not at all.
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from inference.model.loading import CheckedModel, find_model, load_scorer
    from inference.model.options import ModelOptions
    from inference.model.outcome import Failure, ModelOutput
    from inference.model.scorer import Scorer

__all__ = ["CheckedModel", "Failure", "ModelOptions", "ModelOutput", "Scorer", "find_model", "load_scorer"]

# Imported when they are first used: the parser of the command line reads `options` alone and must start fast.
_MODULES = {
    "CheckedModel": "loading",
    "Failure": "outcome",
    "ModelOptions": "options",
    "ModelOutput": "outcome",
    "Scorer": "scorer",
    "find_model": "loading",
    "load_scorer": "loading",
}

__getattr__ = lazy_exports(__name__, _MODULES)
