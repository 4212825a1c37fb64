"""The detector as a function for CVAT's auto-annotation, which CVAT's own program calls for each image of a task.

    cvat-cli task auto-annotate ID --function-module inference.cvat_function -p model_dir=str:MODEL/export

Begin with `create`, which cvat-cli calls; a Python program passes a `CvatFunction` to
`cvat_sdk.auto_annotation.annotate_task`. The interface is that of docs.cvat.ai, "Auto-annotation API". The extra [cvat]
has CVAT's packages.

Pixels are those that CVAT shows. CVAT turns an image upright by its EXIF orientation wherever it shows it, but gives a
function either the turned image or the bytes of the file, with the orientation (CVAT, media_extractors.py,
ZipChunkWriter). The detector turns a Pillow image that still has an orientation, so both give the same boxes.
"""

import contextlib
import functools
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from inference.detector import ImageDetector, load_detector
from retinanet_odm.cli.installation import check_extras
from retinanet_odm.errors import DataError, UsageError

if TYPE_CHECKING:
    from cvat_sdk.auto_annotation import DetectionFunctionContext, DetectionFunctionSpec
    from cvat_sdk.models import AttributeValRequest, LabeledShapeRequest, PatchedLabelRequest

_logger = logging.getLogger(__name__)

# By name of a parameter, its type in `-p NAME=TYPE:VALUE`.
_PARAMETERS: Mapping[str, type] = {
    "model_dir": str,
    "score_attribute": str,
    "tile": int,
    "tile_overlap": float,
    "tile_merge": str,
    "signature_map": str,
    "batch_size": int,
    "batch_megabytes": int,
    "runtime": str,
}
_ATTRIBUTE_ID = 1
_MAX_NAME = 64  # characters of a label or an attribute in CVAT (cvat_sdk.models.PatchedLabelRequest)


def create(**parameters: str | float) -> "CvatFunction":
    """Load the model; cvat-cli calls this with the parameters of its command line.

    Args:
      parameters: `model_dir`, folder of the export, with model.json. `score_attribute`, name of a text attribute of the
        task's labels that gets the score of each box too. The others are the flags of these names of `score`.

    Raises:
      SystemExit: the request cannot be carried out. The line that says why is printed, as by our own programs: cvat-cli
        would print a stack trace.
    """
    with _ended_by_one_line():
        check_extras("cvat_function", tensorflow="cpu", cvat_sdk="cvat")
        check_parameters(parameters)
        values: dict[str, Any] = dict(parameters)
        attribute = values.pop("score_attribute", None)
        function = CvatFunction(load_detector(values.pop("model_dir"), **values), attribute)
        # A model that fails on every image fails here, before the images of the task are downloaded.
        function.detector(np.zeros((64, 64, 3), np.uint8))
        return function


class CvatFunction:
    """A detector with the interface of `cvat_sdk.auto_annotation.DetectionFunction`.

    Attributes:
      detector: the model in memory. Detections are those that count, unless CVAT is given a --conf-threshold.
      spec: the classes as CVAT's labels of rectangles, for CVAT, which finds those of the task by name.
    """

    def __init__(self, detector: ImageDetector, score_attribute: str | None = None) -> None:
        """Describe the classes of a model to CVAT.

        Raises:
          UsageError: CVAT allows no label or attribute of such a name.
        """
        import cvat_sdk.auto_annotation as cvataa

        self.detector = detector
        self._has_score = score_attribute is not None
        attributes = [] if score_attribute is None else [score_attribute]
        for name in (*detector.classes.values(), *attributes):
            if not 0 < len(name) <= _MAX_NAME:
                raise UsageError(
                    f"cvat_function: CVAT allows names of 1 to {_MAX_NAME} characters, found {len(name)}: {name!r}"
                )
        self.spec: DetectionFunctionSpec = cvataa.DetectionFunctionSpec(
            labels=[_label(label_id, name, score_attribute) for label_id, name in detector.classes.items()]
        )
        # CVAT passes the same --conf-threshold with every image; a warning about it is logged once.
        self._counting_from = functools.cache(detector.with_min_score)

    def detect(self, context: "DetectionFunctionContext", image: Image.Image) -> list["LabeledShapeRequest"]:
        """Return the rectangles of an image for CVAT, in pixels of the upright image, continuous 0-based edges.

        An image that cannot be scored has none, and is named in a warning: the boxes of all others would be lost with
        an error, since CVAT uploads them together.

        Args:
          context: the name of the image, and the minimum score of every class that replaces the thresholds of the
            model, if it is given.
          image: as CVAT has opened it.
        """
        import cvat_sdk.auto_annotation as cvataa

        given = context.conf_threshold
        detector = self.detector if given is None else self._counting_from(given)
        try:
            found = detector(image).detections
        except DataError as error:
            _logger.warning("%s: no boxes, because it cannot be scored: %s", context.frame_name, error)
            return []
        # With CVAT's own field for a score, which would be 1 without it (cvat_sdk.models.LabeledShapeRequest).
        return [
            cvataa.rectangle(item.label_id, list(item.box), score=item.score, attributes=self._attributes(item.score))
            for item in found
        ]

    def _attributes(self, score: float) -> list["AttributeValRequest"]:
        from cvat_sdk.attributes import attribute_vals_from_dict

        return attribute_vals_from_dict({_ATTRIBUTE_ID: str(score)}) if self._has_score else []


def check_parameters(parameters: Mapping[str, object]) -> None:
    """Raise UsageError for a parameter that is unknown, of another type, or missing."""
    for name, value in parameters.items():
        expected = _PARAMETERS.get(name)
        if expected is None:
            raise UsageError(f"cvat_function: unknown parameter {name}; expected one of {', '.join(_PARAMETERS)}")
        # A whole number is fine for a fraction, as in Python.
        if not isinstance(value, (int, float) if expected is float else expected) or isinstance(value, bool):
            raise UsageError(
                f"cvat_function: expected -p {name}={expected.__name__}:…, found {type(value).__name__}:{value}"
            )
    if not parameters.get("model_dir"):
        raise UsageError("cvat_function: expected the folder of an export: -p model_dir=str:MODEL/export")


def _label(label_id: int, name: str, score_attribute: str | None) -> "PatchedLabelRequest":
    import cvat_sdk.auto_annotation as cvataa

    if score_attribute is None:
        return cvataa.label_spec(name, label_id, type="rectangle")
    # A text: the numbers of CVAT's attributes are whole (cvat_sdk.attributes).
    attribute = cvataa.text_attribute_spec(score_attribute, _ATTRIBUTE_ID)
    return cvataa.label_spec(name, label_id, type="rectangle", attributes=[attribute])


@contextlib.contextmanager
def _ended_by_one_line() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the one line for the user
        raise SystemExit(error.status) from error
