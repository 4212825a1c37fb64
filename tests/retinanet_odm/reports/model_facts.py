"""Facts of models, as summary.json holds them, for runs of tests.retinanet_odm.prediction_rows."""

from typing import Any

from tests.retinanet_odm.prediction_rows import RUN

FACTS: dict[str, Any] = {
    "backbone": "resnet50",
    "image_size": [192, 320],
    "steps": 1200,
    "code_version": "1.2.0",
    "versions": {"tensorflow": "2.21.0", "keras": "3.15.1"},
    "dataset": {
        "name": "reef",
        "fingerprint": "fedcba9876543210" * 4,
        "splits": {"train": {"images": 1, "boxes": 2}, "val": {"images": 48, "boxes": 136}},
    },
    "evaluation": {
        "split": "val",
        "images": 48,
        "AP50": 0.8123,
        "recall": 0.76,
        "precision": 0.81,
        "f1": 0.78,
        "count_ratio": 0.94,
        "interval": {
            "over": "deployments and days",
            "units": 8,
            "AP50": [0.7, 0.9],
            "recall": [0.7, 0.8],
            "precision": None,
            "count_ratio": [0.88, 1.02],
        },
        "per_class": {
            "crab": {"threshold": 0.3, "count_ratio": 0.9, "interval": [0.8, 1.1]},
            "sea pig": {"threshold": 0.4, "count_ratio": 1.0, "interval": None},
            RUN.classes[4]: {"threshold": 0.25, "count_ratio": None, "interval": None},
        },
    },
    "threshold_origin": "model.json",
}
