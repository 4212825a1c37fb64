"""What a data set is: records in TFRecord shards, and one manifest that lists them.

Begin with `examples`, the record schema, and `manifest`, the content of ``dataset.json``. What decides where an image
goes:

  source_ids       numeric ids that survive float32, and the id map that keeps them stable
  splits           the split of an image, by its name alone
  subsets          the order in which subsets take images, mixed as all of them
  frame_names      deployment and time of a camera frame, from its file name

What is computed from a data set:

  statistics       counts of boxes by class, size and aspect ratio
  anchor_coverage  the anchor defaults, and how well anchors cover boxes
  leakage          equal and nearly equal images in several splits
  problem_codes    the catalogue of problems: severities and suggestions
  problems         problems of a data set, and ``problems.jsonl``
  coco             the ground truth of a split as COCO JSON
  tfds_metadata    the files by which TensorFlow Datasets reads a data set

Bytes and text come in, values go out: nothing here opens a file.
"""

from typing import TYPE_CHECKING

from retinanet_odm.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from retinanet_odm.dataset.anchor_coverage import best_overlap
    from retinanet_odm.dataset.coco import ground_truth
    from retinanet_odm.dataset.examples import DetectionExample, ExampleObject, decode_example, encode_example
    from retinanet_odm.dataset.frame_names import FrameName, parse_frame_name
    from retinanet_odm.dataset.leakage import find_leakage
    from retinanet_odm.dataset.manifest import DatasetManifest
    from retinanet_odm.dataset.problems import Problem, make_problem
    from retinanet_odm.dataset.source_ids import IdMap, assign_ids
    from retinanet_odm.dataset.splits import GroupRule, SplitPlan, Splits, parse_splits
    from retinanet_odm.dataset.statistics import BoxStatistics

__all__ = [
    "BoxStatistics",
    "DatasetManifest",
    "DetectionExample",
    "ExampleObject",
    "FrameName",
    "GroupRule",
    "IdMap",
    "Problem",
    "SplitPlan",
    "Splits",
    "assign_ids",
    "best_overlap",
    "decode_example",
    "encode_example",
    "find_leakage",
    "ground_truth",
    "make_problem",
    "parse_frame_name",
    "parse_splits",
]

# Imported on first use: a program that parses flags needs neither numpy nor protobuf.
_MODULES = {
    "BoxStatistics": "statistics",
    "DatasetManifest": "manifest",
    "DetectionExample": "examples",
    "ExampleObject": "examples",
    "FrameName": "frame_names",
    "GroupRule": "splits",
    "IdMap": "source_ids",
    "Problem": "problems",
    "SplitPlan": "splits",
    "Splits": "splits",
    "assign_ids": "source_ids",
    "best_overlap": "anchor_coverage",
    "decode_example": "examples",
    "encode_example": "examples",
    "find_leakage": "leakage",
    "ground_truth": "coco",
    "make_problem": "problems",
    "parse_frame_name": "frame_names",
    "parse_splits": "splits",
}

__getattr__ = lazy_exports(__name__, _MODULES)
