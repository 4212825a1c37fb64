"""The command line of `python -m inference`: the parser, and the options of score and detect.

Options that a room below reads are defined there, with their flags: `model.options`, `rows.export_options`. Those of
the other commands are in `analysis_options`, `label_error_options`, `abundance_options`, `convert_options`,
`label_studio_options` and `review_options`.
"""

import argparse
from dataclasses import dataclass, field
from typing import Any

from inference.abundance_options import add_abundance_commands
from inference.analysis_options import EVALUATE_DESCRIPTION, REPEATS_DESCRIPTION, add_evaluate_flags, add_repeat_flags
from inference.convert_options import CONVERT_DESCRIPTION, add_convert_flags
from inference.label_error_options import add_label_errors_command
from inference.label_studio_options import add_label_studio_command
from inference.model.options import MODEL_HELP, ModelOptions, add_model_flags, model_options
from inference.review_options import add_review_command
from inference.rows.export_options import (
    PUBLISHED_FILES,
    ExportOptions,
    add_export_flags,
    add_replace_flag,
    export_options,
)
from inference.rows.thresholds import THRESHOLD_DEFAULT, add_min_score_flag, check_score_flag
from retinanet_odm.beam.options import BEAM_HELP, add_estimate_flags
from retinanet_odm.cli.program import Parser
from retinanet_odm.errors import UsageError
from retinanet_odm.systems import with_slashes

IMAGES_A_SECOND = 4.0  # of a virtual CPU; see inference.estimate
MAX_SHARDS = 99_999  # names of prediction files have five digits

SCORE_DESCRIPTION = """\
Run a detector on images and write one result row per image, failed ones included.

  python -m inference score --images 'ARCHIVE.zip' --model MODEL/export --output OUT

OUT/predictions-*.jsonl  one line per image: image, width, height, status (ok or failed), detections (label, label_id,
                         score, box [xmin, ymin, xmax, ymax] in pixels of the upright image); reason and detail
                         if it failed
OUT/*                    the files of --formats, with the detections that count (--min_score)
OUT/summary.json         written last, when every image has its row: counts, model, thresholds, options
OUT/part-*.jsonl         rows so far, while the job runs. Run the same command again after a crash, or when images were
                         added: only missing and changed images are scored.

Rows hold all detections that the model returns, so another --min_score needs no new scoring.

Rows and files of an earlier run are not deleted without --replace: if images or model differ, the run is refused, and
the message names what it would delete. --add keeps the rows of other images.

The name of an image is its path below the folder, below the folder above the first wildcard of a glob, or
ARCHIVE.zip/MEMBER; with several --images values, its path below the deepest folder that contains them all. A file that
two values match is scored once. A second member of the same name in one archive is named NAME#2. An image in a TFRecord
file has the file name in its record.
"""
DETECT_DESCRIPTION = """\
Run an exported model on a few images and print a table of the detections.

  python -m inference detect IMAGE [IMAGE ...] --model MODEL/export --draw OUT_DIR
"""
_IMAGES_HELP = """\
any of: a folder (every file below it that ends in .jpg .jpeg .png .bmp .gif .webp .tif or .tiff, except hidden ones and
__MACOSX/); a glob in quotes (every file that matches; ** crosses folders); an image file; a zip, tar or tar.gz archive
(detected by its content, read in place, its members selected as in a folder; also if a glob matches it); the folder of
a data set that prepare wrote (dataset.json), or TFRecord files of it"""


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """Options of ``score``.

    Attributes:
      images: folders, globs, image files and archives, as given.
      model: export folder with model.json.
      output: folder of the prediction rows.
      num_shards: maximum number of prediction files; there are never more than images.
      model_options: how the model is called.
      exports: which exports are written, and which detections count.
      add: earlier rows of other images stay.
      replace: rows and files of an earlier run may be deleted.

    Raises:
      UsageError: a value is out of its range.
    """

    images: tuple[str, ...]
    model: str
    output: str
    num_shards: int = 1
    model_options: ModelOptions = field(default_factory=ModelOptions)
    exports: ExportOptions = field(default_factory=ExportOptions)
    add: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        if not self.output:
            raise UsageError("--output: expected a folder, found an empty name")
        if "" in self.images:  # it would mean the working folder
            raise UsageError("--images: expected a folder, file or glob, found an empty name")
        for name in self.exports.formats:
            if name in PUBLISHED_FILES:
                command = f"python -m inference convert {self.output} --formats={name}"
                raise UsageError(f"--formats: {name} is written from a finished run: `{command}`")
        if not 1 <= self.num_shards <= MAX_SHARDS:
            raise UsageError(f"--num_shards: expected 1 to {MAX_SHARDS}, found {self.num_shards}")

    def to_json(self) -> dict[str, Any]:
        """Return the options as summary.json holds them. The keys are part of that format, unlike the field names."""
        # Not add and replace: they are no settings of the result.
        return {
            "images": self.images,
            "model": self.model,
            "output": self.output,
            "num_shards": self.num_shards,
            "model_options": self.model_options.to_json(),
            "exports": self.exports.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """Options of ``detect``; see ScoreOptions for fields that are not described here.

    Attributes:
      min_score: minimum score of detections; BEST and None as in ExportOptions.
      draw: folder for copies of the images with their boxes drawn; None for no copies.
    """

    images: tuple[str, ...]
    model: str
    min_score: float | str | None = None
    model_options: ModelOptions = field(default_factory=ModelOptions)
    draw: str | None = None

    def __post_init__(self) -> None:
        if self.draw == "":
            raise UsageError("--draw: expected a folder, found an empty name")
        check_score_flag(self.min_score)


def make_score_parser() -> Parser:
    """Return the parser of `python -m inference`; parse_known_args leaves the Beam flags of score over."""
    parser = Parser(prog="python -m inference", description="Score images with an exported detector.")
    # In the order in which a user needs them: score first, then what can be done with its rows.
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    summary = "run a detector on images and write one result row per image"
    _add_score_flags(commands.add_parser("score", help=summary, description=SCORE_DESCRIPTION, epilog=BEAM_HELP))
    summary = "write the rows of a finished run in other formats"
    add_convert_flags(commands.add_parser("convert", help=summary, description=CONVERT_DESCRIPTION))
    summary = "flag repeated detections at a fixed location (for example rocks)"
    add_repeat_flags(commands.add_parser("repeats", help=summary, description=REPEATS_DESCRIPTION))
    summary = "evaluate a finished run against ground-truth annotations"
    add_evaluate_flags(commands.add_parser("evaluate", help=summary, description=EVALUATE_DESCRIPTION))
    add_label_errors_command(commands)
    add_abundance_commands(commands)
    add_review_command(commands)
    summary = "run a detector on a few images: a table, and copies with boxes drawn"
    _add_detect_flags(commands.add_parser("detect", help=summary, description=DETECT_DESCRIPTION))
    add_label_studio_command(commands)
    return parser


def _add_score_flags(parser: argparse.ArgumentParser) -> None:
    # Defaults are those of the dataclass, so that --help and the program agree.
    default = ScoreOptions
    parser.add_argument("--images", type=with_slashes, nargs="+", required=True, metavar="PATH", help=_IMAGES_HELP)
    parser.add_argument("--model", type=with_slashes, required=True, metavar="DIR", help=MODEL_HELP)
    parser.add_argument(
        "--output",
        type=with_slashes,
        required=True,
        metavar="DIR",
        help="folder of the rows: a new or empty one, or that of an earlier run, which is continued",
    )
    add_model_flags(parser)
    parser.add_argument(
        "--num_shards",
        type=int,
        metavar="N",
        default=default.num_shards,
        help="maximum number of prediction files, never more than images; default: %(default)s, which suits up to some"
        " 100,000 images",
    )
    add_export_flags(parser, min_score_default=THRESHOLD_DEFAULT)
    parser.add_argument(
        "--add",
        action="store_true",
        help="keep the rows of images that are not in --images, and add those of --images; the files of --formats are"
        " written over all rows",
    )
    add_replace_flag(parser)
    add_estimate_flags(parser)
    parser.add_argument(
        "--images_a_second",
        type=float,
        metavar="RATE",
        help="with --estimate: number of images that one virtual CPU scores per second, that is the speed that score"
        f" printed for your model, divided by the number of busy virtual CPUs; default: {IMAGES_A_SECOND:g}, of a small"
        " model",
    )


def _add_detect_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", type=with_slashes, nargs="+", metavar="IMAGE", help="images, folders or patterns")
    parser.add_argument("--model", type=with_slashes, required=True, metavar="DIR", help=MODEL_HELP)
    add_min_score_flag(parser, default=THRESHOLD_DEFAULT)
    parser.add_argument(
        "--draw",
        type=with_slashes,
        metavar="OUT_DIR",
        help="write copies of the images with boxes drawn to this folder, which must not contain any of the images",
    )
    add_model_flags(parser)


def score_options(flags: argparse.Namespace) -> ScoreOptions:
    """Return the options that the flags of score specify.

    Raises:
      UsageError: a value is out of its range.
    """
    return ScoreOptions(
        images=tuple(flags.images),
        model=flags.model.rstrip("/"),
        output=flags.output.rstrip("/"),
        model_options=model_options(flags),
        num_shards=flags.num_shards,
        exports=export_options(flags),
        add=flags.add,
        replace=flags.replace,
    )


def detect_options(flags: argparse.Namespace) -> DetectOptions:
    """Return the options that the flags of detect specify.

    Raises:
      UsageError: a value is out of its range.
    """
    return DetectOptions(
        images=tuple(flags.images),
        model=flags.model.rstrip("/"),
        min_score=flags.min_score,
        model_options=model_options(flags),
        draw=flags.draw,
    )
