"""Options of audit and abundance, the commands that turn counts into estimates: descriptions, flags, values."""

import argparse
from dataclasses import dataclass
from typing import Any

from inference.rows.export_options import (
    add_deployment_flag,
    add_images_flag,
    add_label_aliases_flag,
    add_replace_flag,
    add_run_argument,
)
from inference.rows.thresholds import add_min_score_flag, check_score_flag
from retinanet_odm.cli.program import Parser
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.errors import UsageError
from retinanet_odm.evaluation.audit_terms import IMAGE, MIN_SIZE, PERIODS, UNITS
from retinanet_odm.systems import with_slashes

AUDIT_DESCRIPTION = """\
Draw a random sample of the scored images for a person to label, so that `abundance` can correct the counts of all.

  python -m inference audit OUT --size 200

OUT/audit_cvat.xml            the sampled images for CVAT, without boxes
OUT/audit_cvat_predicted.xml  the same, with the detections as pre-annotations
OUT/audit.csv                 one line per scored image: unit, deployment, period, predicted count, stratum, probability
                              of being sampled, whether it was
OUT/audit.json                the design: strata, settings, seed; written last
OUT/audit_images.zip          with --copy_images: copies of the sampled images

The sample is stratified by deployment, time and predicted count. The same rows, flags and seed give the same files.
"""
ABUNDANCE_DESCRIPTION = """\
Estimate the mean count of each class, with 95 % intervals, from the predictions of all images and the labels of an
audit.

  python -m inference abundance OUT --audit LABELS.zip

OUT/abundance.csv   one line per class and survey, deployment, period: mean, interval, labels, what more would bring
OUT/abundance.html  the same as tables and charts
OUT/abundance.json  the same numbers, written last

The detections correct nothing by themselves: the errors that the audit finds correct them, whatever the detector's
quality; a better detector makes the intervals narrower. They hold for the scored images.
"""


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """Options of ``audit``.

    Attributes:
      output: output folder of a finished run of ``score``.
      size: number of units to audit.
      unit: what is labelled as a whole, one of UNITS.
      burst_gap: seconds between the images of two bursts.
      period: for which abundance is reported, one of PERIODS.
      seed: of the random sample.
      classes: names of the classes that are counted; empty for all classes.
      min_score: minimum score of detections that count; BEST for the thresholds in model.json; None for those of the
        run.
      deployment: a regular expression that finds the deployments; "" for that of score, or else the names.
      copy_images: whether copies of the audited images are written.
      images: where the images are; empty for where score had them from.
      replace: an audit with other settings may be overwritten.

    Raises:
      UsageError: a value is out of its range.
    """

    output: str
    size: int = 200
    unit: str = IMAGE
    burst_gap: float = 60.0
    period: str = "month"
    seed: int = 0
    classes: tuple[str, ...] = ()
    min_score: float | str | None = None
    deployment: str = ""
    copy_images: bool = False
    images: tuple[str, ...] = ()
    replace: bool = False

    def __post_init__(self) -> None:
        DeploymentRule(self.deployment)
        check_score_flag(self.min_score)
        if self.size < MIN_SIZE:
            raise UsageError(f"--size: expected {MIN_SIZE} or more, found {self.size}")
        if not 0 < self.burst_gap < float("inf"):  # also refuses nan
            raise UsageError(f"--burst_gap: expected a number of seconds above 0, found {self.burst_gap:g}")
        if self.images and not self.copy_images:
            raise UsageError("--images has no effect without --copy_images")

    def settings(self) -> dict[str, Any]:
        """Return what decides the content of the audit, beside the run, as its entries in summary.json hold it."""
        return {
            "size": self.size,
            "unit": self.unit,
            "burst_gap": self.burst_gap,
            "period": self.period,
            "seed": self.seed,
        }


@dataclass(frozen=True, kw_only=True)
class AbundanceOptions:
    """Options of ``abundance``.

    Attributes:
      output: output folder of a finished run of ``score``, with an audit.
      audit: patterns of the annotation files of the audited images, as for ``prepare``.
      label_aliases: CSV file with the columns alias,name; None for none.
      ignore_others: labels of images that are not audited are ignored instead of refused.
      replace: an estimate with other settings may be overwritten.

    Raises:
      UsageError: a value is out of its range.
    """

    output: str
    audit: tuple[str, ...]
    label_aliases: str | None = None
    ignore_others: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        if "" in self.audit:
            raise UsageError("--audit: expected a pattern of files, found an empty name")

    def settings(self) -> dict[str, Any]:
        """Return what decides the content of the estimates, as their entries in summary.json hold it."""
        return {
            "audit": list(self.audit),
            "label_aliases": self.label_aliases,
            "ignore_others": self.ignore_others,
        }


def add_abundance_commands(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the two commands to the parser of the program."""
    summary = "draw a random sample of the images to label, for `abundance`"
    _add_audit_flags(commands.add_parser("audit", help=summary, description=AUDIT_DESCRIPTION))
    summary = "estimate mean counts with 95%% intervals from predictions and an audit"
    _add_abundance_flags(commands.add_parser("abundance", help=summary, description=ABUNDANCE_DESCRIPTION))


def _add_audit_flags(parser: argparse.ArgumentParser) -> None:
    default = AuditOptions
    add_run_argument(parser)
    parser.add_argument(
        "--size",
        type=int,
        metavar="N",
        default=default.size,
        help="number of images to label, or of bursts or days with --unit; default: %(default)s",
    )
    parser.add_argument(
        "--unit",
        choices=UNITS,
        default=default.unit,
        help="what is labelled as a whole: an image gives mean counts; a burst or a day of a deployment, of which every"
        " image is to be labelled, gives MaxN too; default: %(default)s",
    )
    parser.add_argument(
        "--burst_gap",
        type=float,
        metavar="SECONDS",
        default=default.burst_gap,
        help="a burst ends where no image follows within this time; default: %(default)g",
    )
    parser.add_argument(
        "--period",
        choices=PERIODS,
        default=default.period,
        help="periods of time for which `abundance` reports; default: %(default)s",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", default=default.seed, help="another number draws another sample; default: 0"
    )
    parser.add_argument(
        "--classes", nargs="+", metavar="NAME", default=default.classes, help="classes that are counted; default: all"
    )
    parser.add_argument(
        "--copy_images", action="store_true", help="write audit_images.zip, copies of the sampled images for CVAT"
    )
    add_images_flag(parser, purpose=" for --copy_images")
    add_min_score_flag(parser, default="the thresholds of the run")
    add_deployment_flag(parser)
    add_replace_flag(parser)


def _add_abundance_flags(parser: argparse.ArgumentParser) -> None:
    add_run_argument(parser, needs="an audit")
    parser.add_argument(
        "--audit",
        type=with_slashes,
        nargs="+",
        required=True,
        metavar="LABELS",
        help="annotation files of all audited images, in any format that prepare reads, or a zip export of them; an"
        " image without objects needs an annotation without boxes",
    )
    add_label_aliases_flag(parser)
    parser.add_argument(
        "--ignore_others",
        action="store_true",
        help="ignore labels of images that are not in the audit, such as those of an earlier one; default: refuse them",
    )
    add_replace_flag(parser)


def audit_options(flags: argparse.Namespace) -> AuditOptions:
    """Return the options that the flags of audit specify.

    Raises:
      UsageError: a value is out of its range.
    """
    return AuditOptions(
        output=flags.output.rstrip("/"),
        size=flags.size,
        unit=flags.unit,
        burst_gap=flags.burst_gap,
        period=flags.period,
        seed=flags.seed,
        classes=tuple(flags.classes),
        min_score=flags.min_score,
        deployment=flags.deployment,
        copy_images=flags.copy_images,
        images=tuple(flags.images),
        replace=flags.replace,
    )


def abundance_options(flags: argparse.Namespace) -> AbundanceOptions:
    """Return the options that the flags of abundance specify.

    Raises:
      UsageError: a value is out of its range.
    """
    return AbundanceOptions(
        output=flags.output.rstrip("/"),
        audit=tuple(flags.audit),
        label_aliases=flags.label_aliases,
        ignore_others=flags.ignore_others,
        replace=flags.replace,
    )
