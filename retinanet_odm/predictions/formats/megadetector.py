"""MegaDetector results, format version 1.6 (agentmorris/MegaDetector, megadetector-output-format.md).

Timelapse, AddaxAI and the tools of MegaDetector read it. Microsoft documents another format by that name.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from retinanet_odm.predictions.formats.encoding import json_object
from retinanet_odm.predictions.rows import MIN_SHOWN_SCORE, MODEL_REASONS, OK, Detection, PredictionRow, ScoringRun

FORMAT_VERSION = "1.6"
# The two words of MegaDetector's own run_detector.py.
_NO_ACCESS, _NO_INFERENCE = "image access failure", "inference failure"


def to_megadetector(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """The whole file; boxes are [x_min, y_min, width, height] as fractions of the upright image."""
    info = {
        "format_version": FORMAT_VERSION,
        "detector": f"{run.program} {run.model}",
        "detector_metadata": {
            # What Timelapse shows at first, and what it may be told to show.
            "typical_detection_threshold": max(MIN_SHOWN_SCORE, run.threshold),
            "conservative_detection_threshold": run.threshold,
            **run.describe(),
        },
    }
    categories = {str(label_id): label for label_id, label in run.classes.items()}
    head = {"info": info, "detection_categories": categories}
    yield from json_object(head, "images", map(_entry, rows))


def _entry(row: PredictionRow) -> dict[str, Any]:
    # Where a Windows archiver wrote backslashes into a zip file, the tools' folders have slashes.
    entry: dict[str, Any] = {"file": row.image.replace("\\", "/")}
    if row.status == OK:
        entry["detections"] = [_detection(item, row) for item in row.detections]
        entry |= {"width": row.width, "height": row.height}
    else:
        # An empty list would say that nothing was found.
        entry["detections"] = None
        entry["failure"] = _NO_INFERENCE if row.reason in MODEL_REASONS else _NO_ACCESS
    if frame := row.frame:
        entry["datetime"] = frame.time.isoformat(sep=" ")
    return entry


def _detection(item: Detection, row: PredictionRow) -> dict[str, Any]:
    sides = (row.width, row.height)
    xmin, ymin, xmax, ymax = (
        min(max(edge / side, 0.0), 1.0) for edge, side in zip(item.box, (*sides, *sides), strict=True) if side
    )
    # Six digits are a hundredth of a pixel in an image of 10,000.
    bbox = [round(value, 6) for value in (xmin, ymin, xmax - xmin, ymax - ymin)]
    return {"category": str(item.label_id), "conf": item.score, "bbox": bbox}
