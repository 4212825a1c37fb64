"""Trains RetinaNet (Lin et al. 2017, arXiv 1708.02002) on a data set, evaluates it and exports a SavedModel.

From Python: `open_dataset(DATASET, split)` gives the examples of a data set (docs/python.md). Everything else is for
the program, and may change.
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from trainer.data.decoded import DecodedSplit, open_dataset

__all__ = ["DecodedSplit", "open_dataset"]

# Imported on first use, because TensorFlow takes seconds to import.
_MODULES = {"DecodedSplit": "data.decoded", "open_dataset": "data.decoded"}

__getattr__ = lazy_exports(__name__, _MODULES)
