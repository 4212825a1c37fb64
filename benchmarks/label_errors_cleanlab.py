"""Scores labels by cleanlab, for benchmarks.label_errors, in an environment that has cleanlab.

    python -m benchmarks.label_errors_cleanlab GIVEN RESULT

GIVEN is a JSON file with the number of classes, images with boxes (xmin, ymin, xmax, ymax), labels and detections
(class, box, score), and a threshold of certainty or null. RESULT gets its errors, the lowest score first.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from cleanlab.object_detection import rank


def main() -> None:
    given, result = map(Path, sys.argv[1:])
    request = json.loads(given.read_text())
    # Its scores need boxes on both sides.
    images = [image for image in request["images"] if image["boxes"] and image["found"]]
    labels = [{"bboxes": np.array(image["boxes"], float), "labels": np.array(image["labels"], int)} for image in images]
    predictions = [_by_class(image["found"], request["classes"]) for image in images]
    certain = {} if request["certainty"] is None else {"high_probability_threshold": request["certainty"]}
    found = {} if request["certainty"] is None else {"low_probability_threshold": min(request["certainty"], 0.5)}
    scored: list[tuple[float, dict[str, Any]]] = []
    overlooked = rank.compute_overlooked_box_scores(labels=labels, predictions=predictions, **certain)
    for image, prediction, scores in zip(images, predictions, overlooked, strict=True):
        boxes = [box[:4].tolist() for boxes in prediction for box in boxes]
        scored += [
            (float(score), {"image": image["image"], "kind": "missing", "label": None, "proposed": box})
            for box, score in zip(boxes, scores, strict=True)
        ]
    by_kind = {
        "class": rank.compute_swap_box_scores(labels=labels, predictions=predictions, **certain),
        "loose": rank.compute_badloc_box_scores(labels=labels, predictions=predictions, **found),
    }
    for kind, of_images in by_kind.items():
        for image, scores in zip(images, of_images, strict=True):
            scored += [
                (float(score), {"image": image["image"], "kind": kind, "label": box, "proposed": None})
                for box, score in zip(image["boxes"], scores, strict=True)
            ]
    ranked = sorted((entry for entry in scored if not np.isnan(entry[0])), key=lambda entry: entry[0])
    result.write_text(json.dumps([entry for _, entry in ranked]))


def _by_class(found: list[list[float]], classes: int) -> list[Any]:
    """Return one array [D, 5] for each class, and an empty one more: of three, it would take them for another form."""
    rows = np.array(found, float)
    return [rows[rows[:, 0] == label][:, 1:] for label in range(classes + 1)]


if __name__ == "__main__":
    main()
