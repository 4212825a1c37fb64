"""COCO metrics by pycocotools, the reference implementation. It is imported only when the metrics are computed."""

import contextlib
import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from retinanet_odm.evaluation.analysis import Analysis
from retinanet_odm.evaluation.average_precision import COCO_LIMIT
from retinanet_odm.evaluation.exhaustive_images import Results, Truth, exhaustive_table, known_only
from retinanet_odm.evaluation.matching import Floats
from retinanet_odm.evaluation.rounding import format_metric

# The twelve numbers of COCOeval.stats, in its order.
_AT_LIMIT = ("AP50", "AP")
SUMMARY_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def coco_metrics(truth: Truth, results: Results) -> dict[str, Any]:
    """Return the twelve COCO metrics and the AP of each class.

    Args:
      truth: COCO ground truth (dataset.coco.ground_truth).
      results: COCO results: image_id, category_id, bbox [x, y, width, height], score.

    Returns:
      Numbers by name, 0 to 1, None where COCO has none (no object of that size); ``per_class`` by name, in the order of
      the label ids: ``label_id``, ``AP``, ``AP50``, ``ground_truth`` boxes without crowds. Of a class, only the images
      count in which it is exhaustive; ``exhaustive_images`` is their number, if classes differ in it from all images.
    """
    truth, results = known_only(truth, results)
    evaluation = _evaluate(truth, results)
    metrics: dict[str, Any] = {
        name: float(value) if value > -1 else None  # -1: COCO has no value
        for name, value in zip(SUMMARY_METRICS, evaluation.stats, strict=True)
    }
    # Classes without a box are listed too, with 0.
    counts = {category["id"]: 0 for category in truth["categories"]}
    for annotation in truth["annotations"]:
        counts[annotation["category_id"]] += not annotation.get("iscrowd")  # breakdown.count_table has the rule
    # precision: [IoU thresholds from 0.50, recalls, classes, areas (0: all), detections (-1: 100)]
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    categories = sorted(truth["categories"], key=lambda entry: entry["id"])
    exhaustive = exhaustive_table(truth["images"], [category["id"] for category in categories])  # [I, K]
    metrics["per_class"] = {
        category["name"]: {
            "label_id": category["id"],
            "AP": _mean(precision[:, :, column]),
            "AP50": _mean(precision[0, :, column]),
            "ground_truth": counts[category["id"]],
            **({} if exhaustive.all() else {"exhaustive_images": int(exhaustive[:, column].sum())}),
        }
        for column, category in enumerate(categories)
    }
    return metrics


def all_metrics(truth: Truth, results: Results, analysis: Analysis) -> dict[str, Any]:
    """Return eval.json's metrics: coco_metrics and the analysis of the same truth and results; ``details`` last."""
    # The order of the keys is that of eval.json: the numbers that people read come first.
    metrics = coco_metrics(truth, results)
    analysed = analysis.per_class()
    per_class = {name: {**values, **analysed[name]} for name, values in metrics["per_class"].items()}
    return {**metrics, "per_class": per_class, **analysis.summary(), "details": analysis.details()}


def describe_limit(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line if images have more objects or detections of one class than COCO's limit of 100.

    Args:
      metrics: of all_metrics.
    """
    found = metrics.get("at_limit")  # evaluations of earlier versions have none
    if found and found["images_beyond_coco"]:
        limit = found["max_detections"]
        scores = "  ".join(f"{name} {format_metric(found[name])}" for name in _AT_LIMIT)
        yield (
            f"{found['images_beyond_coco']} images have more than {COCO_LIMIT} objects or detections of one class;"
            f" COCO's metrics stop at {COCO_LIMIT}. With {'all' if limit is None else f'up to {limit}'} detections:"
            f" {scores}"
        )


def _evaluate(truth: Truth, results: Results) -> Any:
    """Run COCOeval."""
    # Imported here: inference and the data set job must start without pycocotools.
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        coco = COCO()
        coco.dataset = dict(truth)
        coco.createIndex()
        detections = coco.loadRes(list(results)) if results else _no_results(COCO(), truth)
        evaluation = COCOeval(coco, detections, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _no_results(empty: Any, truth: Truth) -> Any:
    # loadRes refuses an empty list, but no detections at all is a valid result.
    empty.dataset = {"images": truth["images"], "annotations": [], "categories": truth["categories"]}
    empty.createIndex()
    return empty


def _mean(values: Floats) -> float | None:
    """Return the mean of the entries that COCO could compute; -1 marks the others."""
    valid = values[values > -1]
    return float(np.mean(valid)) if valid.size else None
