"""Options of label_errors, the command that looks for errors of the labels: description, flags, values."""

import argparse
from dataclasses import dataclass
from typing import Any

from inference.analysis_options import add_truth_flags
from inference.rows.export_options import add_deployment_flag, add_images_flag, add_replace_flag, add_run_argument
from retinanet_odm.cli.program import Parser
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.errors import UsageError

LABEL_ERRORS_DESCRIPTION = """\
List labels that are probably wrong, by the detections of models that have not seen them: missing boxes, wrong classes
and badly located boxes, the most probable first. No label changes.

  python -m trainer --mode=folds --dataset=DATASET --model_dir=MODEL
  python -m inference label_errors MODEL/folds/predictions --annotations 'annotations/*.xml'

OUT/label_errors.html      pictures of the most probable errors, and how many errors to expect
OUT/label_errors.csv       one line per error: image, error, probability, label and box, proposed label and box
OUT/label_errors_cvat.xml  the proposed boxes, for CVAT
OUT/label_errors.json      the settings and the expected numbers, written last

The rows must be of models that were not trained on these labels: a model repeats the errors that it has learned.
"""


@dataclass(frozen=True, kw_only=True)
class LabelErrorOptions:
    """Options of ``label_errors``.

    Attributes:
      output: output folder of a finished run of ``score``, or of the trainer's ``--mode=folds``.
      annotations, label_aliases, exhaustive, ignore_labels, deployment: as for ``evaluate``.
      min_probability: of an error that is listed.
      images: where the images for the page are; empty for where the run had them from.
      replace: files of other settings may be overwritten.

    Raises:
      UsageError: a value is out of its range.
    """

    output: str
    annotations: tuple[str, ...]
    label_aliases: str | None = None
    exhaustive: str | None = None
    ignore_labels: tuple[str, ...] = ()
    min_probability: float = 0.5
    deployment: str = ""
    images: tuple[str, ...] = ()
    replace: bool = False

    def __post_init__(self) -> None:
        DeploymentRule(self.deployment)
        if "" in self.annotations:
            raise UsageError("--annotations: expected a pattern of files, found an empty name")
        if not 0 <= self.min_probability < 1:  # also refuses nan
            raise UsageError(f"--min_probability: expected 0 or more and below 1, found {self.min_probability:g}")

    def settings(self) -> dict[str, Any]:
        """Return what decides the content of the files, as their entries in summary.json hold it."""
        return {
            "annotations": list(self.annotations),
            "label_aliases": self.label_aliases,
            "exhaustive": self.exhaustive,
            "ignore_label": list(self.ignore_labels),
            "min_probability": self.min_probability,
            "deployment": self.deployment,
        }


def add_label_errors_command(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the command to the parser of the program."""
    summary = "list labels that are probably wrong, by models that have not seen them"
    parser = commands.add_parser("label_errors", help=summary, description=LABEL_ERRORS_DESCRIPTION)
    add_run_argument(parser)
    add_truth_flags(parser)
    parser.add_argument(
        "--min_probability",
        type=float,
        metavar="P",
        default=LabelErrorOptions.min_probability,
        help="probability from which an error is listed; default: %(default)g",
    )
    add_images_flag(parser, purpose=" for the page", default="where the rows are from")
    add_deployment_flag(parser)
    add_replace_flag(parser)


def label_error_options(flags: argparse.Namespace) -> LabelErrorOptions:
    """Return the options that the flags of label_errors specify.

    Raises:
      UsageError: a value is out of its range.
    """
    return LabelErrorOptions(
        output=flags.output.rstrip("/"),
        annotations=tuple(flags.annotations),
        label_aliases=flags.label_aliases,
        exhaustive=flags.exhaustive,
        ignore_labels=tuple(flags.ignore_label),
        min_probability=flags.min_probability,
        deployment=flags.deployment,
        images=tuple(flags.images),
        replace=flags.replace,
    )
