"""The command line of `convert`."""

import argparse
from dataclasses import dataclass

from inference.rows.export_options import (
    ALL_FILES,
    ExportOptions,
    add_export_flags,
    add_images_flag,
    add_publication_flags,
    add_replace_flag,
    add_run_argument,
    export_options,
)
from retinanet_odm.errors import UsageError
from retinanet_odm.systems import with_slashes

CONVERT_DESCRIPTION = """\
Write the predictions of a finished run in other formats, beside its rows, and list the files in OUT/summary.json.

  python -m inference convert OUT --formats=csv,counts,cvat
  python -m inference convert OUT --formats=camtrapdp --deployments deployments.csv --publication publication.json
"""


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Options of ``convert``.

    Attributes:
      output: output folder of a finished run of ``score``.
      exports: which exports are written there.
      replace: files with other settings may be overwritten.

    Raises:
      UsageError: there is no format.
    """

    output: str
    exports: ExportOptions
    replace: bool = False

    def __post_init__(self) -> None:
        if not self.exports.formats:
            raise UsageError(f"--formats: expected one or more of {', '.join(ALL_FILES)}, found none")


def add_convert_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of convert."""
    add_run_argument(parser)
    add_export_flags(parser, min_score_default="the thresholds of the run", formats=ALL_FILES)
    parser.add_argument(
        "--below",
        type=with_slashes,
        metavar="NAME",
        default=ExportOptions.below,
        help="only images in this folder or archive, such as ARCHIVE.zip; strip it from image names",
    )
    add_images_flag(parser, purpose=" for the report and for what is published")
    add_publication_flags(parser)
    parser.add_argument("--without_repeats", action="store_true", help="drop detections that `repeats` has flagged")
    add_replace_flag(parser)


def convert_options(flags: argparse.Namespace) -> ConvertOptions:
    """Return the options that the flags of convert specify.

    Raises:
      UsageError: a format is unknown, or a value is out of its range.
    """
    exports = export_options(
        flags,
        below=flags.below.rstrip("/"),
        images=tuple(flags.images),
        without_repeats=flags.without_repeats,
        deployments=flags.deployments,
        publication=flags.publication,
        taxa=flags.taxa,
    )
    return ConvertOptions(output=flags.output.rstrip("/"), exports=exports, replace=flags.replace)
