"""Options of exports, shared by `score` and `convert`: formats, and which rows and detections the files hold."""

import argparse
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from inference.rows.taxa import add_taxa_flag
from inference.rows.thresholds import add_min_score_flag, check_score_flag
from retinanet_odm.dataset.frame_names import DEPLOYMENT_HELP, DeploymentRule
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.formats import ALL_SCORES, EXPORTERS, PUBLISHERS
from retinanet_odm.systems import with_slashes

REPORT_FORMAT = "report"

# File names by name of the format. The report is a page with a table beside it, and pages are made above the formats of
# rows; see inference.rows.exports.
EXPORT_FILES: Mapping[str, tuple[str, ...]] = {
    **{name: tuple(exporters) for name, exporters in EXPORTERS.items()},
    REPORT_FORMAT: ("report.html", "to_label.csv"),
}
# Those that also need the images or files about the survey, which only convert takes.
PUBLISHED_FILES: Mapping[str, tuple[str, ...]] = {name: tuple(found) for name, found in PUBLISHERS.items()}
ALL_FILES: Mapping[str, tuple[str, ...]] = {**EXPORT_FILES, **PUBLISHED_FILES}
FILE_NAMES = frozenset(name for names in ALL_FILES.values() for name in names)

# Made by `repeats`. They are no exports of the rows, but flags for their detections.
REPEAT_FLAGS, REPEAT_TABLE = "repeats.jsonl", "repeats.csv"

# Made by `review`: files of its --export by format, and the decisions of a person.
REVIEW_FILES = {"cvat": "review_cvat.xml", "voc": "review_voc.zip", "audit": "review_audit.xml"}
DECISIONS_FILE = "review.jsonl"


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Which exports are written; the rows themselves always hold everything.

    Attributes:
      formats: names of formats.
      classes: names of the classes in the files; empty for all classes of the model.
      min_score: minimum score of the detections that count; BEST for the thresholds in model.json; None for those of
        the run.
      below: folder or archive whose images the files hold, without this prefix in their names; "" for all images.
      images: where the images for the report and for publications are; empty for where score had them from.
      without_repeats: the files do not hold detections that `repeats` has flagged.
      deployment: a regular expression that finds the deployments (dataset.frame_names.DeploymentRule); "" for that of
        score, or else the names.
      deployments: CSV file about the deployments (predictions.deployments); "" for none.
      publication: JSON file about the publication (predictions.publication); "" for none.
      taxa: CSV file of the taxa of the classes and above them (labels.taxa); "" for none.

    Raises:
      UsageError: a format is unknown, a value is out of its range, or a value has no effect without a format.
    """

    formats: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    min_score: float | str | None = None
    below: str = ""
    images: tuple[str, ...] = ()
    without_repeats: bool = False
    deployment: str = ""
    deployments: str = ""
    publication: str = ""
    taxa: str = ""

    def __post_init__(self) -> None:
        if not self.formats and (self.classes or self.below):
            raise UsageError("--classes and --below have no effect without --formats")
        self._check_files()
        for name in self.formats:
            if name not in ALL_FILES:
                raise UsageError(f"--formats: unknown format {name!r}; expected any of {', '.join(ALL_FILES)}")
        check_score_flag(self.min_score)
        DeploymentRule(self.deployment)

    def _check_files(self) -> None:
        published = PUBLISHED_FILES.keys() & set(self.formats)
        if self.images and REPORT_FORMAT not in self.formats and not published:
            expected = ", ".join((REPORT_FORMAT, *PUBLISHED_FILES))
            raise UsageError(f"--images has no effect without any of --formats={expected}: no other reads images")
        for flag, path in self._survey_files.items():
            if path and not published:
                raise UsageError(f"--{flag} has no effect without any of --formats={', '.join(PUBLISHED_FILES)}")

    @property
    def _survey_files(self) -> dict[str, str]:
        """The files about the survey, which only publications take, by name of the flag."""
        return {"deployments": self.deployments, "publication": self.publication, "taxa": self.taxa}

    def to_json(self) -> dict[str, Any]:
        """Return the options as summary.json holds them; those of publications are in the entries of their files."""
        return {
            "formats": self.formats,
            "classes": self.classes,
            "min_score": self.min_score,
            "below": self.below,
            "images": self.images,
            "without_repeats": self.without_repeats,
            "deployment": self.deployment,
        }

    @property
    def file_names(self) -> tuple[str, ...]:
        """The names of the files of all formats."""
        return tuple(name for format_name in self.formats for name in ALL_FILES[format_name])

    def settings(self, format_name: str) -> dict[str, Any]:
        """Return what decides the content of the files of a format, as their entries in summary.json hold it."""
        value = json.loads(json.dumps(self.to_json()))  # tuples become lists, as in the file
        del value["formats"]
        reads_images = format_name == REPORT_FORMAT or format_name in PUBLISHED_FILES
        return {
            **value,
            "images": value["images"] if reads_images else [],
            **(self._survey_files if format_name in PUBLISHED_FILES else {}),
        }


def add_export_flags(
    parser: argparse.ArgumentParser, *, min_score_default: str, formats: Iterable[str] = EXPORT_FILES
) -> None:
    """Add the flags that score and convert share.

    Args:
      parser: of the command.
      min_score_default: what holds without --min_score, in words.
      formats: the formats that the command writes.
    """
    parser.add_argument(
        "--formats",
        metavar="NAME,NAME",
        default="",
        help=f"write the predictions in other formats too, any of {', '.join(formats)}",
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME",
        default=(),
        help="classes in the files of --formats; default: all classes of the model",
    )
    note = f"; {', '.join(sorted(ALL_SCORES))} hold all detections of the rows unless the flag is given"
    add_min_score_flag(parser, default=min_score_default + note)
    add_deployment_flag(parser)


def add_publication_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the formats that are published, which only convert writes."""
    parser.add_argument(
        "--deployments",
        type=with_slashes,
        metavar="FILE",
        default=ExportOptions.deployments,
        help="CSV file with the columns of Camtrap DP's table of deployments, such as deploymentID, latitude,"
        " longitude, deploymentStart, deploymentEnd: where and when each camera was",
    )
    parser.add_argument(
        "--publication",
        type=with_slashes,
        metavar="FILE",
        default=ExportOptions.publication,
        help="JSON file with what the documents of the standards say beside the data: created, image_url, and an object"
        " for each standard",
    )
    add_taxa_flag(
        parser,
        effect="an object whose species is unsure gets the lowest taxon whose classes together reach its minimum score",
    )


def add_replace_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag by which every command that writes into the output folder may replace what lies there."""
    parser.add_argument(
        "--replace",
        action="store_true",
        help="permit to delete or overwrite what an earlier run wrote, if the request differs; default: refuse, and"
        " name it. A file that was changed by hand is never deleted or overwritten",
    )


def add_run_argument(parser: argparse.ArgumentParser, *, needs: str = "summary.json") -> None:
    """Add the folder of a finished run, and say what it needs."""
    parser.add_argument("output", type=with_slashes, metavar="OUT", help=f"folder of a finished run, with {needs}")


def add_images_flag(
    parser: argparse.ArgumentParser, *, purpose: str = "", default: str = "where score read them"
) -> None:
    """Add --images, for commands that read the images of a run again; the purpose and the default are for the help."""
    parser.add_argument(
        "--images",
        type=with_slashes,
        nargs="+",
        metavar="PATH",
        default=(),
        help=f"location of the images{purpose}, as for score; default: {default}",
    )


def add_deployment_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag by which deployments are found; all commands but score take the value of score by default."""
    parser.add_argument("--deployment", metavar="REGEX", default="", help=DEPLOYMENT_HELP)


def add_label_aliases_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag of the commands that read annotations."""
    parser.add_argument(
        "--label_aliases",
        type=with_slashes,
        metavar="CSV",
        help="CSV file with the columns alias,name: labels of the annotations that mean a class of the model",
    )


def export_options(flags: argparse.Namespace, **more: Any) -> ExportOptions:
    """Return the options that the flags of add_export_flags specify.

    Args:
      flags: as parsed.
      more: fields of ExportOptions for which only convert has flags.

    Raises:
      UsageError: as ExportOptions.
    """
    names = re.split(r"[,\s]+", flags.formats)
    # In the order of the flag; a format that is named twice is written once.
    formats = tuple(dict.fromkeys(name for name in names if name))
    return ExportOptions(
        formats=formats,
        classes=tuple(flags.classes),
        min_score=flags.min_score,
        deployment=flags.deployment,
        **more,
    )
