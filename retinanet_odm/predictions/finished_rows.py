"""The files of a finished run: names, and their content for programs that have all rows at once.

`inference score` writes the same files row by row, in parallel (inference.rows); the trainer writes those of the images
that a training has not seen.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from retinanet_odm.predictions.rows import OK, PredictionRow, reaches, utf8

SUMMARY_FILE = "summary.json"  # written last: if it exists, the run is complete
SUMMARY_SCHEMA_VERSION = 1


def predictions_shard_name(shard: int, num_shards: int) -> str:
    """Return the name of a prediction file.

    Example:
      >>> predictions_shard_name(0, 4)
      'predictions-00000-of-00004.jsonl'
    """
    return f"predictions-{shard:05d}-of-{num_shards:05d}.jsonl"


def finished_files(rows: Iterable[PredictionRow], header: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the content of the files of a finished run by name, in the order in which they are to be written.

    Args:
      rows: of all images, none of which failed.
      header: entries of summary.json besides counts and files, see docs/outputs.md: model, labels, thresholds, sources.
    """
    ordered = sorted(rows, key=lambda row: row.image)
    text = b"".join(utf8(row.to_json() + "\n") for row in ordered)
    name = predictions_shard_name(0, 1)
    found = Counter(item.label for row in ordered for item in row.detections)
    lowest = header["thresholds"]["classes"]
    counted = Counter(
        item.label for row in ordered for item in row.detections if reaches(item, {item.label_id: lowest[item.label]})
    )
    summary = {
        "schema_version": SUMMARY_SCHEMA_VERSION,
        **header,
        "images": len(ordered),
        OK: len(ordered),
        "failed": {},
        "detections": dict(found),
        "counted": dict(counted),
        "shards": [{"name": name, "images": len(ordered), "sha256": hashlib.sha256(text).hexdigest()}],
        "exports": [],
    }
    return {name: text, SUMMARY_FILE: utf8(json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False) + "\n")}
