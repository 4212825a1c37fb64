"""Options of review, the command that opens a page in the browser: description, flags, values."""

import argparse
import re
from dataclasses import dataclass

from inference.rows.export_options import (
    DECISIONS_FILE,
    REVIEW_FILES,
    add_deployment_flag,
    add_images_flag,
    add_run_argument,
)
from inference.rows.thresholds import add_min_score_flag, check_score_flag
from retinanet_odm.cli.program import Parser
from retinanet_odm.dataset.frame_names import DeploymentRule
from retinanet_odm.errors import UsageError
from retinanet_odm.systems import with_slashes

REVIEW_DESCRIPTION = """\
Look through the scored images of a finished run in the browser: accept, reject, relabel, draw and move boxes.

  python -m inference review OUT
  python -m inference review OUT --export=cvat,voc

OUT/review.jsonl      the decisions, one line each, on the disk before the page goes on; a kill loses none
OUT/review_cvat.xml   --export=cvat: the reviewed images for CVAT
OUT/review_voc.zip    --export=voc: the same in Pascal VOC
OUT/review_audit.xml  --export=audit: labels of the images of an audit, for `abundance --audit`

The page is served to this machine only (127.0.0.1), behind a random token, and loads nothing from elsewhere. Your
images and the rows do not change. It needs the extra [review].
"""
_MAX_PORT = 65_535


@dataclass(frozen=True, kw_only=True)
class ReviewOptions:
    """Options of ``review``.

    Attributes:
      output: output folder of a finished run of ``score``.
      images: where the images are; empty for where score had them from.
      below: list only images in this folder or archive; "" for all.
      audited: list only the images of the audit.
      min_score: minimum score of detections that count; BEST for the thresholds in model.json; None for those of the
        run.
      deployment: a regular expression that finds the deployments; "" for that of score, or else the names.
      decisions: path of the file of decisions.
      export: formats to write instead of serving the page; empty for the page.
      port: of the server; 0 for a free one.
      open_browser: whether the page is opened.

    Raises:
      UsageError: a value is out of its range.
    """

    output: str
    images: tuple[str, ...] = ()
    below: str = ""
    audited: bool = False
    min_score: float | str | None = None
    deployment: str = ""
    decisions: str = ""
    export: tuple[str, ...] = ()
    port: int = 0
    open_browser: bool = True

    def __post_init__(self) -> None:
        DeploymentRule(self.deployment)
        check_score_flag(self.min_score)
        if not 0 <= self.port <= _MAX_PORT:
            raise UsageError(f"--port: expected 0 to {_MAX_PORT}, found {self.port}")
        for name in self.export:
            if name not in REVIEW_FILES:
                raise UsageError(f"--export: unknown format {name!r}; expected any of {', '.join(REVIEW_FILES)}")
        if "://" in self.decisions_path:
            raise UsageError(
                f"--decisions: expected a file of this machine, found {self.decisions_path}: decisions are appended,"
                " which object stores cannot do"
            )

    @property
    def decisions_path(self) -> str:
        """The file of decisions."""
        return self.decisions or f"{self.output}/{DECISIONS_FILE}"


def add_review_command(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the command to the parser of the program."""
    summary = "look through the scored images in the browser, and correct their boxes"
    _add_review_flags(commands.add_parser("review", help=summary, description=REVIEW_DESCRIPTION))


def _add_review_flags(parser: argparse.ArgumentParser) -> None:
    default = ReviewOptions
    add_run_argument(parser)
    add_images_flag(parser)
    parser.add_argument(
        "--below",
        type=with_slashes,
        metavar="NAME",
        default=default.below,
        help="list only images in this folder or archive, such as ARCHIVE.zip",
    )
    parser.add_argument("--audited", action="store_true", help="list only the images that `audit` has drawn")
    add_min_score_flag(parser, default="the thresholds of the run")
    add_deployment_flag(parser)
    parser.add_argument(
        "--decisions",
        type=with_slashes,
        metavar="FILE",
        default=default.decisions,
        help=f"file that decisions are read from and appended to, on this machine; default: OUT/{DECISIONS_FILE}",
    )
    parser.add_argument(
        "--export",
        metavar="NAME,NAME",
        default="",
        help=f"write the reviewed images to OUT and exit, without a page; any of {', '.join(REVIEW_FILES)}",
    )
    parser.add_argument(
        "--port", type=int, metavar="N", default=default.port, help="port of the page; default: any that is free"
    )
    parser.add_argument("--no_browser", action="store_true", help="print the address of the page, and do not open it")


def review_options(flags: argparse.Namespace) -> ReviewOptions:
    """Return the options that the flags of review specify.

    Raises:
      UsageError: a value is out of its range.
    """
    names = re.split(r"[,\s]+", flags.export)
    return ReviewOptions(
        output=flags.output.rstrip("/"),
        images=tuple(flags.images),
        below=flags.below.rstrip("/"),
        audited=flags.audited,
        min_score=flags.min_score,
        deployment=flags.deployment,
        decisions=flags.decisions,
        export=tuple(dict.fromkeys(name for name in names if name)),
        port=flags.port,
        open_browser=not flags.no_browser,
    )
