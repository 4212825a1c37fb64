"""MegaDetector results, format version 1.6 (agentmorris/MegaDetector, megadetector-output-format.md).

Boxes are ``[x_min, y_min, width, height]`` as fractions of the upright image. Timelapse, AddaxAI and MegaDetector's own
tools read the format. Microsoft documents a different format of the same name.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from retinanet_odm.predictions.formats.encoding import box_fractions, json_object
from retinanet_odm.predictions.rows import MODEL_REASONS, OK, Detection, PredictionRow, ScoringRun

FORMAT_VERSION = "1.6"
# The failures that MegaDetector's run_detector.py distinguishes.
_NO_ACCESS, _NO_INFERENCE = "image access failure", "inference failure"
_BOX_DIGITS = 6  # a hundredth of a pixel in an image of 10,000 pixels


def to_megadetector(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield megadetector.json."""
    info = {
        "format_version": FORMAT_VERSION,
        "detector": f"{run.program} {run.model}",
        "detector_metadata": {
            # Timelapse shows detections from the first of these, and lets its user go down to the second. The format
            # has one number for all classes: the lowest hides nothing that counts. Those of the classes are below.
            "typical_detection_threshold": min(run.thresholds.values()),
            "conservative_detection_threshold": min(run.min_scores.values()),
            **run.describe(),
        },
    }
    # Ids are text in this format, also in the detections below.
    categories = {str(label_id): label for label_id, label in run.classes.items()}
    head = {"info": info, "detection_categories": categories}
    yield from json_object(head, "images", map(_entry, rows))


def _entry(row: PredictionRow) -> dict[str, Any]:
    # Some Windows archivers write backslashes into zip files; the tools expect slashes.
    entry: dict[str, Any] = {"file": row.image.replace("\\", "/")}
    if row.status == OK:
        entry["detections"] = [_detection(item, row) for item in row.detections]
        entry |= {"width": row.width, "height": row.height}
    else:
        # Null, because an empty list means that the image has no detections.
        entry["detections"] = None
        entry["failure"] = _NO_INFERENCE if row.reason in MODEL_REASONS else _NO_ACCESS
    if frame := row.frame:
        entry["datetime"] = frame.time.isoformat(sep=" ")
    return entry


def _detection(item: Detection, row: PredictionRow) -> dict[str, Any]:
    xmin, ymin, xmax, ymax = box_fractions(item, row)
    bbox = [round(value, _BOX_DIGITS) for value in (xmin, ymin, xmax - xmin, ymax - ymin)]
    return {"category": str(item.label_id), "conf": item.score, "bbox": bbox}
