"""The forms in which score and convert hand predictions back: what each is called, its files, who makes them."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.formats import EXPORTERS, Exporter
from retinanet_odm.predictions.uncertainty import to_label_csv
from retinanet_odm.reports.predictions_page import predictions_report

# By name of the format and name of the file. The report is a page, and pages lie in a room above the formats of rows.
FORMATS: Mapping[str, Mapping[str, Exporter]] = {
    **EXPORTERS,
    "report": {"report.html": predictions_report, "to_label.csv": to_label_csv},
}

# Not forms of the rows but marks on them, made by `repeats`.
REPEATS, PLACES = "repeats.jsonl", "repeats.csv"
FILE_NAMES = frozenset(name for files in FORMATS.values() for name in files)


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Other forms of the predictions; the rows themselves always hold everything.

    Attributes:
      formats: names of FORMATS.
      classes: names of the classes in the files; none for all of the model's.
      min_score: the files hold detections with at least this score, and with the rows' own threshold.
      below: the files hold the images below this folder or archive only, with names that begin there; "" for all.
      images: where the photographs are that the report shows; none for where score had them from.
      without_repeats: the files hold no detections that `repeats` has marked.

    Raises:
      UsageError: a format is unknown, a value is out of its range, or there is no file for it to say anything about.
    """

    formats: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    min_score: float = 0.0
    below: str = ""
    images: tuple[str, ...] = ()
    without_repeats: bool = False

    def __post_init__(self) -> None:
        if not self.formats and (self.classes or self.min_score or self.below):
            raise UsageError("--formats: none is asked for, so --classes, --min_score and --below have no effect")
        if self.images and "report" not in self.formats:
            raise UsageError("--images: only the report shows photographs: it has no effect without --formats=report")
        for name in self.formats:
            if name not in FORMATS:
                raise UsageError(f"--formats: there is no format {name!r}; expected any of {', '.join(FORMATS)}")
        check_score("--min_score", self.min_score)


def check_score(flag: str, value: float | None) -> None:
    """Raises UsageError when a flag's value is no score."""
    if value is not None and not 0 <= value <= 1:  # also refuses nan
        raise UsageError(f"{flag}: expected a score from 0 to 1, found {value:g}")


def add_exports(parser: argparse.ArgumentParser) -> None:
    """The flags that score and convert share."""
    parser.add_argument(
        "--formats",
        metavar="NAME,NAME",
        default="",
        help=f"other forms of the predictions, any of {', '.join(FORMATS)}",
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME",
        default=(),
        help="classes in the files of --formats; default: all of the model's",
    )
    parser.add_argument(
        "--min_score",
        type=float,
        metavar="SCORE",
        default=ExportOptions.min_score,
        help="detections in the files of --formats have at least this score; default: all that are in the rows",
    )


def export_options(flags: argparse.Namespace, **further: Any) -> ExportOptions:
    """The request that the flags of add_exports make.

    Args:
      flags: as parsed.
      further: fields of ExportOptions that have flags in convert only.

    Raises:
      UsageError: as ExportOptions.
    """
    names = (name.strip() for name in flags.formats.split(","))
    formats = tuple(dict.fromkeys(name for name in names if name))
    return ExportOptions(formats=formats, classes=tuple(flags.classes), min_score=flags.min_score, **further)
