"""What a user may ask of evaluate: flags → frozen options."""

import argparse
from dataclasses import dataclass

from inference.rows.export_options import check_score
from retinanet_odm.errors import UsageError

EVALUATE_DESCRIPTION = """\
Holds the rows of a finished run against annotations of some or all of its images, and prints how good they are.

  python -m inference evaluate OUT --annotations 'annotations/*.xml'

OUT/evaluation.html  tables, curves, counts, kinds of mistakes
OUT/evaluation.json  the same in numbers, written last
"""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """One run of ``evaluate``.

    Attributes:
      output: the output folder of a finished run of ``score``.
      annotations: patterns of annotation files, as for ``prepare``.
      label_aliases: CSV with the columns alias,name; None for none.
      min_score: count detections with at least this score; None for the score of the best F1 of each class.

    Raises:
      UsageError: a value is out of its range.
    """

    output: str
    annotations: tuple[str, ...]
    label_aliases: str | None = None
    min_score: float | None = None

    def __post_init__(self) -> None:
        if "" in self.annotations:
            raise UsageError("--annotations: expected a pattern of files, found an empty name")
        check_score("--min_score", self.min_score)


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """The flags of evaluate."""
    parser.add_argument("output", metavar="OUT", help="folder of a finished run, with summary.json")
    parser.add_argument(
        "--annotations",
        nargs="+",
        required=True,
        metavar="PATTERN",
        help="annotation files: CVAT XML 1.1, Pascal VOC, COCO JSON, told by content; a zip export of them too",
    )
    parser.add_argument(
        "--label_aliases",
        metavar="CSV",
        help="columns alias,name: labels of the annotations that mean a class of the model",
    )
    parser.add_argument(
        "--min_score",
        type=float,
        metavar="SCORE",
        help="count detections with at least this score; default: for each class that of the best F1 on these images",
    )


def evaluate_options(flags: argparse.Namespace) -> EvaluateOptions:
    """The request that evaluate's parsed flags make.

    Raises:
      UsageError: a value is out of its range.
    """
    return EvaluateOptions(
        output=flags.output.rstrip("/"),
        annotations=tuple(flags.annotations),
        label_aliases=flags.label_aliases,
        min_score=flags.min_score,
    )


REPEATS_DESCRIPTION = """\
Marks detections of a finished run that come back at one place over many frames of a deployment: with a camera that
stands still, a rock is not an animal. Nothing is deleted: the rows stay as they are; detections.csv and .parquet show
the marks when they are made the next time, and convert leaves marked detections out with --without_repeats.

  python -m inference repeats OUT

OUT/repeats.csv    one line per place: deployment, class, box, on how many frames, first and last image
OUT/repeats.jsonl  one line per image with marked detections: the place of each, or null

Animals that do not move repeat too: look at the places, and name the classes that move by --classes.
"""


@dataclass(frozen=True, kw_only=True)
class RepeatOptions:
    """One run of ``repeats``.

    Attributes:
      output: the output folder of a finished run of ``score``.
      iou: overlap from which two boxes of a class are at one place.
      min_frames: a place is seen on at least so many frames of a deployment.
      classes: names of the classes that are looked at; none for all.

    Raises:
      UsageError: a value is out of its range.
    """

    output: str
    iou: float = 0.7
    min_frames: int = 20
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.iou < 1:  # also refuses nan
            raise UsageError(f"--iou: expected a number above 0 and below 1, found {self.iou:g}")
        if self.min_frames < 2:
            raise UsageError(f"--min_frames: expected 2 or more, found {self.min_frames}")


def add_repeats(parser: argparse.ArgumentParser) -> None:
    """The flags of repeats."""
    default = RepeatOptions
    parser.add_argument("output", metavar="OUT", help="folder of a finished run, with summary.json")
    parser.add_argument(
        "--iou",
        type=float,
        metavar="SHARE",
        default=default.iou,
        help="boxes of a class that overlap so much (intersection over union) are at one place; default: %(default)s",
    )
    parser.add_argument(
        "--min_frames",
        type=int,
        metavar="N",
        default=default.min_frames,
        help="a place is seen on at least so many frames of a deployment; default: %(default)s",
    )
    parser.add_argument(
        "--classes", nargs="+", metavar="NAME", default=default.classes, help="classes to look at; default: all"
    )


def repeat_options(flags: argparse.Namespace) -> RepeatOptions:
    """The request that the parsed flags make.

    Raises:
      UsageError: a value is out of its range.
    """
    return RepeatOptions(
        output=flags.output.rstrip("/"), iou=flags.iou, min_frames=flags.min_frames, classes=tuple(flags.classes)
    )
