"""COCO metrics by pycocotools, the reference implementation; it is imported when it is called for and not before."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from retinanet_odm.evaluation.analysis import Analysis

# The twelve numbers of COCOeval.stats, in its order.
SUMMARY_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def coco_metrics(truth: dict[str, Any], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The twelve COCO numbers and AP per class.

    Args:
      truth: COCO ground truth (retinanet_odm.predictions.formats.coco.ground_truth).
      results: COCO results: image_id, category_id, bbox [x, y, width, height], score.

    Returns:
      Numbers by name, 0..1, None where COCO has none (no object of that size); ``per_class`` by name:
      ``AP``, ``AP50``, ``ground_truth`` boxes.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        found = coco.loadRes(list(results)) if results else _no_results(COCO(), truth)
        evaluation = COCOeval(coco, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    metrics: dict[str, Any] = {
        name: _number(value) for name, value in zip(SUMMARY_METRICS, evaluation.stats, strict=True)
    }
    counts = {category["id"]: 0 for category in truth["categories"]}
    for annotation in truth["annotations"]:
        counts[annotation["category_id"]] += 1
    # precision: [IoU thresholds from 0.50, recalls, classes, areas (0: all), detections (-1: 100)]
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    metrics["per_class"] = {
        category["name"]: {
            "AP": _mean(precision[:, :, column]),
            "AP50": _mean(precision[0, :, column]),
            "ground_truth": counts[category["id"]],
        }
        for column, category in enumerate(sorted(truth["categories"], key=lambda entry: entry["id"]))
    }
    return metrics


def all_metrics(truth: dict[str, Any], results: Sequence[dict[str, Any]], analysis: Analysis) -> dict[str, Any]:
    """coco_metrics, and what the analysis of the same truth and results adds to it; its ``details`` last."""
    found = coco_metrics(truth, results)
    analysed = analysis.per_class()
    per_class = {name: {**values, **analysed[name]} for name, values in found["per_class"].items()}
    return {**found, "per_class": per_class, **analysis.summary(), "details": analysis.details()}


def _no_results(found: Any, truth: dict[str, Any]) -> Any:
    """loadRes refuses an empty list; no detections at all is a legal, if sad, result."""
    found.dataset = {"images": truth["images"], "annotations": [], "categories": truth["categories"]}
    found.createIndex()
    return found


def _mean(values: np.ndarray) -> float | None:
    """Mean of the entries that COCO could compute; -1 marks the others."""
    real = values[values > -1]
    return float(np.mean(real)) if real.size else None


def _number(value: float) -> float | None:
    return float(value) if value > -1 else None
