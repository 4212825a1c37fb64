"""What a user may ask of ``score --estimate``."""

import argparse
from dataclasses import dataclass, field

from inference.analysis_options import EVALUATE_DESCRIPTION, REPEATS_DESCRIPTION, add_evaluate, add_repeats
from inference.model.options import ModelOptions, add_model_flags, model_options
from inference.model.thresholds import BEST, threshold_value
from inference.rows.export_options import FORMATS, ExportOptions, add_exports, check_score, export_options
from retinanet_odm.beam.options import BEAM_HELP
from retinanet_odm.cli.estimate import add_estimate_flags, check_estimate_flags
from retinanet_odm.cli.parser import Parser
from retinanet_odm.errors import UsageError
from retinanet_odm.predictions.rows import MIN_SHOWN_SCORE

IMAGES_A_SECOND = 4.0  # see inference.estimate


def add_estimate(parser: argparse.ArgumentParser) -> None:
    """The flags of an estimate."""
    add_estimate_flags(parser)
    parser.add_argument(
        "--images_a_second",
        type=float,
        metavar="RATE",
        help="with --estimate: images that one virtual CPU scores in a second; of your model: the speed that score"
        f" prints, divided by the virtual CPUs that were busy; default: {IMAGES_A_SECOND:g}, of a small model",
    )


def check_estimate(flags: argparse.Namespace) -> None:
    """Raises UsageError for a flag of an estimate that none is asked of, or a speed that is none."""
    check_estimate_flags(flags, "vcpu_hour_price", "images_a_second")
    rate = flags.images_a_second
    if rate is not None and not 0 < rate < float("inf"):  # also refuses nan
        raise UsageError(f"--images_a_second: expected a number above 0, found {rate:g}")


# Shards are named with five digits.
MAX_SHARDS = 99_999
SCORE_DESCRIPTION = """\
Scores images by an exported model: one row for every image, whatever becomes of it.

  python -m inference score --images 'ARCHIVE.zip' --model MODEL/export --output OUT

OUT/predictions-*.jsonl  one line per image: image, width, height, status (ok or failed), detections (label, label_id,
                         score, box [xmin, ymin, xmax, ymax] in pixels of the upright image); reason and detail
                         where it failed
OUT/*                    the files of --formats
OUT/summary.json         written last, when there are as many rows as images: counts, model, thresholds, options
OUT/part-*.jsonl         rows so far, while it runs. The same command again, after a kill or when images were added,
                         scores only what is missing or has changed; rows of another model or threshold are not used

An image's name is its path below the folder, below the folder above a glob's first wildcard, or ARCHIVE.zip/MEMBER;
with several --images values, its path below the deepest folder that holds them all. A file that two values match is
scored once. A second member of the same name in one archive is named NAME#2. An image in a TFRecord file has the file
name that its record holds.
"""
DETECT_DESCRIPTION = """\
Runs an exported model on a few images and prints a table of what it found.

  python -m inference detect IMAGE [IMAGE ...] --model MODEL/export --draw OUT_DIR
"""
CONVERT_DESCRIPTION = """\
Writes the predictions of a finished run in other forms, beside its rows, and names them in OUT/summary.json.

  python -m inference convert OUT --formats=csv,counts,cvat
"""
_IMAGES_HELP = """\
any of: a folder (every file below it that ends in .jpg .jpeg .png .bmp .gif .webp .tif or .tiff, hidden ones and
__MACOSX/ left out); a glob in quotes (every file it matches; ** crosses folders); an image file; a zip, tar or tar.gz
archive (known by its content, read in place, its members chosen as in a folder; also where a glob matches it); the
folder of a data set that prepare wrote (dataset.json), or TFRecord files of it"""
_MODEL_HELP = "folder of the exported model, with model.json"
_THRESHOLD_HELP = f"""\
keep detections with at least this score, or {BEST!r}: with the score of the best F1 of their class in the model's
evaluation; default: the model's own threshold"""


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """One run of ``score``.

    Attributes:
      images: folders, globs, image files and zip archives, as given.
      model: the export folder with model.json.
      output: the folder of the prediction rows.
      threshold: keep detections with at least this score; thresholds.BEST for each class's own in model.json; None for
        the model's own threshold.
      num_shards: the largest number of prediction files; never more are made than there are images.
      asking: how the model is asked.
      exports: what else is written.

    Raises:
      UsageError: a value is out of its range.
    """

    images: tuple[str, ...]
    model: str
    output: str
    threshold: float | str | None = None
    num_shards: int = 1
    asking: ModelOptions = field(default_factory=ModelOptions)
    exports: ExportOptions = field(default_factory=ExportOptions)

    def __post_init__(self) -> None:
        if not self.output:
            raise UsageError("--output: expected a folder, found an empty name")
        if "" in self.images:  # it would mean the working folder
            raise UsageError("--images: expected a folder, file or glob, found an empty name")
        _check_threshold(self.threshold)
        if not 1 <= self.num_shards <= MAX_SHARDS:
            raise UsageError(f"--num_shards: expected 1 to {MAX_SHARDS}, found {self.num_shards}")


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """One run of ``detect``; the fields mean what they mean in ScoreOptions.

    Attributes:
      threshold: show detections with at least this score; None for SHOWN_FROM, or the model's own if higher.
      draw: the folder for copies of the images with their boxes drawn; None for no copies.
    """

    images: tuple[str, ...]
    model: str
    threshold: float | str | None = None
    asking: ModelOptions = field(default_factory=ModelOptions)
    draw: str | None = None

    def __post_init__(self) -> None:
        if self.draw == "":
            raise UsageError("--draw: expected a folder, found an empty name")
        _check_threshold(self.threshold)


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """One run of ``convert``.

    Attributes:
      output: the output folder of a finished run of ``score``.
      exports: what is written there.

    Raises:
      UsageError: no format is asked for.
    """

    output: str
    exports: ExportOptions

    def __post_init__(self) -> None:
        if not self.exports.formats:
            raise UsageError(f"--formats: expected one or more of {', '.join(FORMATS)}, found none")


def _check_threshold(value: float | str | None) -> None:
    if not isinstance(value, str):
        check_score("--threshold", value)


def make_score_parser() -> Parser:
    """The parser of `python -m inference`; score's Beam flags are left over by parse_known_args."""
    parser = Parser(prog="python -m inference", description="Scores images by an exported detector.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_score(
        commands.add_parser(
            "score",
            help="an archive of images in, one row for each out",
            description=SCORE_DESCRIPTION,
            epilog=BEAM_HELP,
        )
    )
    _add_convert(
        commands.add_parser(
            "convert", help="the rows of a finished run in other forms", description=CONVERT_DESCRIPTION
        )
    )
    add_repeats(
        commands.add_parser(
            "repeats", help="mark what comes back at one place: rocks, not animals", description=REPEATS_DESCRIPTION
        )
    )
    add_evaluate(
        commands.add_parser(
            "evaluate", help="how good a finished run is against annotations", description=EVALUATE_DESCRIPTION
        )
    )
    _add_detect(
        commands.add_parser(
            "detect", help="a few images: a table, and copies with boxes drawn", description=DETECT_DESCRIPTION
        )
    )
    return parser


def _add_score(parser: argparse.ArgumentParser) -> None:
    default = ScoreOptions
    parser.add_argument("--images", nargs="+", required=True, metavar="PATH", help=_IMAGES_HELP)
    parser.add_argument("--model", required=True, metavar="DIR", help=_MODEL_HELP)
    parser.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        help="folder of the rows: new, empty, or of an earlier run, which this one goes on with",
    )
    parser.add_argument("--threshold", type=threshold_value, metavar="SCORE", help=_THRESHOLD_HELP)
    add_model_flags(parser)
    parser.add_argument(
        "--num_shards",
        type=int,
        metavar="N",
        default=default.num_shards,
        help="most prediction files; default: %(default)s, enough for some 100,000 images; never more than images",
    )
    add_exports(parser)
    add_estimate(parser)


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUT", help="folder of a finished run, with summary.json")
    add_exports(parser)
    parser.add_argument(
        "--below",
        metavar="NAME",
        default=ExportOptions.below,
        help="only images below this folder or archive, such as ARCHIVE.zip, which is left off their names",
    )
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="PATH",
        default=ExportOptions.images,
        help="where the photographs are that the report shows, as score takes them; default: where score had them from",
    )
    parser.add_argument(
        "--without_repeats", action="store_true", help="leave out the detections that `repeats` has marked"
    )


def _add_detect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="an image file")
    parser.add_argument("--model", required=True, metavar="DIR", help=_MODEL_HELP)
    parser.add_argument(
        "--threshold",
        type=threshold_value,
        metavar="SCORE",
        help=f"show detections with at least this score, or {BEST!r} as in score; default: {MIN_SHOWN_SCORE},"
        " or the model's own threshold if higher",
    )
    parser.add_argument(
        "--draw",
        metavar="OUT_DIR",
        help="write copies with the boxes drawn to this folder, which must not hold any of the images",
    )
    add_model_flags(parser)


def score_options(flags: argparse.Namespace) -> ScoreOptions:
    """The request that score's parsed flags make.

    Raises:
      UsageError: a value is out of its range.
    """
    return ScoreOptions(
        images=tuple(flags.images),
        model=flags.model.rstrip("/"),
        output=flags.output.rstrip("/"),
        threshold=flags.threshold,
        asking=model_options(flags),
        num_shards=flags.num_shards,
        exports=export_options(flags),
    )


def convert_options(flags: argparse.Namespace) -> ConvertOptions:
    """The request that convert's parsed flags make.

    Raises:
      UsageError: a format is unknown, or a value is out of its range.
    """
    exports = export_options(
        flags,
        below=flags.below.rstrip("/"),
        images=tuple(flags.images),
        without_repeats=flags.without_repeats,
    )
    return ConvertOptions(output=flags.output.rstrip("/"), exports=exports)


def detect_options(flags: argparse.Namespace) -> DetectOptions:
    """The request that detect's parsed flags make.

    Raises:
      UsageError: a value is out of its range.
    """
    return DetectOptions(
        images=tuple(flags.images),
        model=flags.model.rstrip("/"),
        threshold=flags.threshold,
        asking=model_options(flags),
        draw=flags.draw,
    )
