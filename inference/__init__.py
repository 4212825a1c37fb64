"""Scoring: images in, one prediction row per image out, and what can be done with the rows of a finished run.

From Python: `load_detector(MODEL)` is called with images, `read_rows(OUT)` reads a finished run (docs/python.md).
Everything else is for the programs, and may change.

Begin with `main`, which has a function per command, and `options`, the command line. Each command is a module of its
name: `score`, `convert`, `repeats`, `evaluate`, `detect`; `score --estimate` is `estimate`. `score` makes a `request`,
finds what of it is still to do, and starts the Beam job of `pipeline` and `transforms` if images have no row yet.
`detector` and `results` are what Python programs call; `detect` calls the former, too, and so do the two doors to tools
of annotation: `cvat_function`, which CVAT's own program calls, and `label_studio`, a server that Label Studio asks.

Below are three rooms, each imports only those after it: `rows` (prediction rows and the output folder), `model`
(loading and calling a model), `image_sources` (finding and reading images). TensorFlow is imported only where a model
is loaded, Keras never.
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from inference.detector import ImageDetector, ScoredImage, load_detector
    from inference.results import ScoredRows, read_rows

__all__ = ["ImageDetector", "ScoredImage", "ScoredRows", "load_detector", "read_rows"]

# Imported when they are first used: the programs must start fast.
_MODULES = {
    "ImageDetector": "detector",
    "ScoredImage": "detector",
    "ScoredRows": "results",
    "load_detector": "detector",
    "read_rows": "results",
}

__getattr__ = lazy_exports(__name__, _MODULES)
