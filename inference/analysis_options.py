"""Options of evaluate and repeats, the commands that analyse a finished run: descriptions, flags, values."""

import argparse
from dataclasses import dataclass
from typing import Any

from inference.rows.export_options import (
    add_deployment_flag,
    add_label_aliases_flag,
    add_replace_flag,
    add_run_argument,
)
from inference.rows.taxa import add_taxa_flag
from inference.rows.thresholds import add_min_score_flag, check_score_flag
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.errors import UsageError
from retinanet_odm.systems import with_slashes

EVALUATE_DESCRIPTION = """\
Evaluate the predictions of a finished run against ground-truth annotations of all or some of its images.

  python -m inference evaluate OUT --annotations 'annotations/*.xml'

OUT/evaluation.html  tables, curves, counts, error types
OUT/evaluation.json  the same numbers, written last
"""
REPEATS_DESCRIPTION = """\
Flag detections of a finished run that are repeated at one location over many frames of a deployment: before a fixed
camera, a rock is not an animal. Nothing is deleted, and the rows do not change. detections.csv and .parquet show the
flags when they are written next, and convert --without_repeats drops the flagged detections.

  python -m inference repeats OUT

OUT/repeats.csv    one line per location: deployment, class, box, number of frames, first and last image
OUT/repeats.jsonl  one line per image with flagged detections: the location of each, or null

Animals that do not move are repeated too: check the locations, and list the classes that move by --classes.
"""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of ``evaluate``.

    Attributes:
      output: output folder of a finished run of ``score``.
      annotations: patterns of annotation files, as for ``prepare``.
      label_aliases: CSV file with the columns alias,name; None for none.
      exhaustive: CSV file of the classes that are annotated exhaustively (dataset.exhaustive); None: all, everywhere.
      ignore_labels: labels of areas in which nobody has looked for objects.
      min_score: minimum score of detections that count; BEST for the thresholds in model.json; None for those of the
        run.
      refit: whether detections count from the score of the best F1 of each class on these images instead.
      deployment: a regular expression that finds the deployments; "" for that of score, or else the names.
      max_detections: how many detections of one class in one image AP counts beside COCO's 100; None for all.
      taxa: CSV file of the taxa of the classes and above them (labels.taxa); "" for none.
      replace: an evaluation with other settings may be overwritten.

    Raises:
      UsageError: a value is out of its range.
    """

    output: str
    annotations: tuple[str, ...]
    label_aliases: str | None = None
    exhaustive: str | None = None
    ignore_labels: tuple[str, ...] = ()
    min_score: float | str | None = None
    refit: bool = False
    deployment: str = ""
    max_detections: int | None = None
    taxa: str = ""
    replace: bool = False

    def __post_init__(self) -> None:
        DeploymentRule(self.deployment)
        if self.max_detections is not None and self.max_detections < 1:
            raise UsageError(f"--max_detections: expected 1 or more, found {self.max_detections}")
        if "" in self.annotations:
            raise UsageError("--annotations: expected a pattern of files, found an empty name")
        check_score_flag(self.min_score)
        if self.refit and self.min_score is not None:
            raise UsageError("--refit and --min_score exclude each other: --refit finds the minimum scores")

    def settings(self) -> dict[str, Any]:
        """Return what decides the content of the evaluation, as its entries in summary.json hold it."""
        return {
            "annotations": list(self.annotations),
            "label_aliases": self.label_aliases,
            "exhaustive": self.exhaustive,
            "ignore_label": list(self.ignore_labels),
            "min_score": self.min_score,
            "refit": self.refit,
            "deployment": self.deployment,
            "max_detections": self.max_detections,
            **({"taxa": self.taxa} if self.taxa else {}),  # entries of earlier versions have no such key
        }


@dataclass(frozen=True, kw_only=True)
class RepeatOptions:
    """Options of ``repeats``.

    Attributes:
      output: output folder of a finished run of ``score``.
      iou: minimum IoU of two boxes of a class at one location.
      min_frames: minimum number of frames of a deployment on which a detection is repeated.
      classes: names of the classes to search; empty for all classes.
      deployment: as in EvaluateOptions.
      replace: flags with other settings may be overwritten.
      min_score: as in EvaluateOptions.

    Raises:
      UsageError: a value is out of its range.
    """

    output: str
    iou: float = 0.7
    min_frames: int = 20
    classes: tuple[str, ...] = ()
    deployment: str = ""
    replace: bool = False
    min_score: float | str | None = None

    def __post_init__(self) -> None:
        DeploymentRule(self.deployment)
        check_score_flag(self.min_score)
        if not 0 < self.iou < 1:  # also refuses nan
            raise UsageError(f"--iou: expected a number above 0 and below 1, found {self.iou:g}")
        # On a single frame nothing is repeated.
        if self.min_frames < 2:
            raise UsageError(f"--min_frames: expected 2 or more, found {self.min_frames}")


def add_truth_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the commands that compare rows with annotations: which, and what they leave unknown."""
    parser.add_argument(
        "--annotations",
        type=with_slashes,
        nargs="+",
        required=True,
        metavar="PATTERN",
        help="annotation files in any format that prepare reads, detected by content, or a zip export of them",
    )
    add_label_aliases_flag(parser)
    parser.add_argument(
        "--exhaustive",
        type=with_slashes,
        metavar="CSV",
        help="CSV file with the columns image,exhaustive_classes or deployment,exhaustive_classes, as for prepare: a"
        " class counts only in images in which every object of it has a box; default: all classes, everywhere",
    )
    parser.add_argument(
        "--ignore_label",
        nargs="+",
        default=(),
        metavar="LABEL",
        help="labels of boxes that mark areas in which nobody has looked for objects: detections there are neither"
        " right nor wrong",
    )


def add_evaluate_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of evaluate."""
    add_run_argument(parser)
    add_truth_flags(parser)
    add_min_score_flag(parser, default="the thresholds of the run, so that what was delivered is evaluated")
    parser.add_argument(
        "--refit",
        action="store_true",
        help="count from the score of the best F1 of each class on these images: the counts are then better than on"
        " other images",
    )
    parser.add_argument(
        "--max_detections",
        type=int,
        metavar="N",
        help="COCO's AP counts the best 100 detections of a class in an image. A second AP counts N; default: all"
        " detections of the rows, as many as the model returns",
    )
    add_taxa_flag(parser, effect="also evaluate genera, families and so on, and what convert --taxa would publish")
    add_deployment_flag(parser)
    add_replace_flag(parser)


def add_repeat_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of repeats."""
    default = RepeatOptions
    add_run_argument(parser)
    parser.add_argument(
        "--iou",
        type=float,
        metavar="SHARE",
        default=default.iou,
        help="minimum IoU (intersection over union) of two boxes of a class at one location; default: %(default)s",
    )
    parser.add_argument(
        "--min_frames",
        type=int,
        metavar="N",
        default=default.min_frames,
        help="minimum number of frames of a deployment on which a detection is repeated; default: %(default)s",
    )
    parser.add_argument(
        "--classes", nargs="+", metavar="NAME", default=default.classes, help="classes to search; default: all"
    )
    add_min_score_flag(parser, default="the thresholds of the run")
    add_deployment_flag(parser)
    add_replace_flag(parser)


def evaluate_options(flags: argparse.Namespace) -> EvaluateOptions:
    """Return the options that the flags of evaluate specify.

    Raises:
      UsageError: a value is out of its range.
    """
    return EvaluateOptions(
        output=flags.output.rstrip("/"),
        annotations=tuple(flags.annotations),
        label_aliases=flags.label_aliases,
        exhaustive=flags.exhaustive,
        ignore_labels=tuple(flags.ignore_label),
        min_score=flags.min_score,
        refit=flags.refit,
        deployment=flags.deployment,
        max_detections=flags.max_detections,
        taxa=flags.taxa,
        replace=flags.replace,
    )


def repeat_options(flags: argparse.Namespace) -> RepeatOptions:
    """Return the options that the flags of repeats specify.

    Raises:
      UsageError: a value is out of its range.
    """
    return RepeatOptions(
        output=flags.output.rstrip("/"),
        iou=flags.iou,
        min_frames=flags.min_frames,
        classes=tuple(flags.classes),
        deployment=flags.deployment,
        replace=flags.replace,
        min_score=flags.min_score,
    )
