"""What a user may ask of evaluate: flags → frozen options."""

import argparse
from dataclasses import dataclass

from detection.errors import UsageError
from inference.export_options import check_score

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
