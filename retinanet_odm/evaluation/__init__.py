"""How good detections are, compared with ground truth, and what they say about abundance.

Begin with `coco_metrics.all_metrics`, which makes eval.json, and `analysis.Analysis`, from which most of it comes:

  matching           ground truth and detections as arrays, and COCO's matching
  average_precision  AP with weighted images, bootstrap intervals
  precision_recall   curves over the score threshold, best thresholds
  error_types        kinds of errors (TIDE), confusion matrix
  breakdown          by size, count, score, deployment
  taxon_ranks        by rank of a tree of taxa, and of what is rolled up
  gallery            images for the page
  learning_curve     what more labels would bring
  coco_metrics       pycocotools, the reference implementation
  label_errors       labels that are probably wrong
  agreement          how probable, by labels and detections that agree
  rounding           numbers as eval.json has them

Mean counts with intervals, from an audit of some images; begin with `abundance.estimate_abundance`:

  audit_terms        units and periods
  audit_units        images by burst or day
  audit_design       strata, and the sample drawn from them
  prediction_powered estimates with their errors
  abundance          the estimates of a survey, its deployments and periods

Everything is numpy; pycocotools is imported only when its metrics are computed.
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from retinanet_odm.evaluation.analysis import Analysis, analyse
    from retinanet_odm.evaluation.coco_metrics import all_metrics
    from retinanet_odm.evaluation.matching import ScoredSplit, match_detections, overlapping_pairs

__all__ = ["Analysis", "ScoredSplit", "all_metrics", "analyse", "match_detections", "overlapping_pairs"]

_MODULES = {
    "Analysis": "analysis",
    "ScoredSplit": "matching",
    "all_metrics": "coco_metrics",
    "analyse": "analysis",
    "match_detections": "matching",
    "overlapping_pairs": "matching",
}

__getattr__ = lazy_exports(__name__, _MODULES)
