"""What the programs write for a small project, as far as the page reads it."""

from typing import Any

from retinanet_odm.dataset.manifest import ShardInfo, SplitInfo

METRICS: dict[str, Any] = {
    "split": "val",
    "images": 75,
    "at_thresholds": {"recall": 0.76, "precision": 0.78, "f1": 0.77},
    "intervals": [{"recall": [0.71, 0.8], "precision": [0.73, 0.82], "count_ratio": [0.9, 1.04]}],
    "per_class": {"Actiniaria": {"ground_truth": 200, "recall": 0.8, "precision": 0.9, "f1": 0.85}},
    "details": {
        "counts": {"Actiniaria": {"true": 200, "found": 194}},
        "mistakes": {"kinds": {"missed": {"count": 50}, "background": {"count": 20}}},
    },
}
SUMMARY: dict[str, Any] = {"images": 60, "failed": {"image_not_decodable": 1}, "counted": {"Actiniaria": 143}}


def split(examples: int, **boxes: int) -> SplitInfo:
    """Returns a split of so many images, with these boxes by class."""
    shards = (ShardInfo(name="a", examples=examples, sha256="ab"),) if examples else ()
    return SplitInfo(examples=examples, boxes=sum(boxes.values()), boxes_per_class=boxes, shards=shards)
