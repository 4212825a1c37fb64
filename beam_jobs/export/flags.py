"""The flags of `python -m beam_jobs export`."""

import argparse
from typing import Any

from beam_jobs.export.options import COCO, COPY, NONE, YOLO, DatasetExportOptions
from retinanet_odm.beam.options import BEAM_HELP
from retinanet_odm.systems import with_slashes

EXPORT = "export"  # the command
_DESCRIPTION = """\
Writes all splits of a data set as COCO or YOLO, with the images as they are in its records: checked and upright.

  python -m beam_jobs export DATASET --format=coco --output EXPORT

coco  EXPORT/images/NAME and EXPORT/annotations/instances_SPLIT.json
yolo  EXPORT/images/SPLIT/NAME, EXPORT/labels/SPLIT/NAME.txt and EXPORT/data.yaml
EXPORT/README.md     the command by which prepare makes the same data set again
EXPORT/export.json   written last: if it exists, the export is complete
"""


def add_export_command(commands: Any) -> None:
    """Add the command to those of a parser (argparse has no public type for them)."""
    export: argparse.ArgumentParser = commands.add_parser(
        EXPORT, help="write a data set as COCO or YOLO", description=_DESCRIPTION, epilog=BEAM_HELP
    )
    export.add_argument(
        "dataset", type=with_slashes, metavar="DATASET", help="folder of a data set that prepare wrote, local or gs://"
    )
    export.add_argument("--format", choices=(COCO, YOLO), required=True, help="format of the annotations")
    export.add_argument(
        "--output", type=with_slashes, required=True, metavar="DIR", help="folder of the export: new or empty"
    )
    export.add_argument(
        "--images",
        choices=(COPY, NONE),
        default=COPY,
        help="copy writes the images of the records; none writes annotations only, for images that are already there;"
        " default: %(default)s",
    )
    export.add_argument(
        "--license",
        metavar="TEXT",
        help="name or address of the licence of the images, which COCO names for each image; default: not known",
    )


def dataset_export_options(flags: argparse.Namespace) -> DatasetExportOptions:
    """Make the request from parsed flags.

    Raises:
      UsageError: a value is empty.
    """
    return DatasetExportOptions(
        dataset=flags.dataset.rstrip("/"),  # files.join adds the slash
        output=flags.output.rstrip("/"),
        format=flags.format,
        images=flags.images,
        license=flags.license or "",
    )
