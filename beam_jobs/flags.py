"""The command lines of `python -m beam_jobs`: flags → PrepareOptions."""

import argparse
import re

from beam_jobs.options import (
    CHECK,
    DEFAULT_NUM_SHARDS,
    DEFAULT_NUM_SHARDS_ELSE,
    DEFAULT_SPLITS,
    DROP,
    KEEP,
    LABELS,
    NEGATIVE,
    PREPARE,
    REFUSE,
    REJECT,
    TELL,
    Inputs,
    PrepareOptions,
    RecordOptions,
)
from retinanet_odm.beam.options import BEAM_HELP
from retinanet_odm.cli.estimate import add_estimate_flags
from retinanet_odm.cli.parser import Parser
from retinanet_odm.dataset.splits import DEPLOYMENT_DAY, GroupRule, parse_assignments, parse_splits
from retinanet_odm.errors import UsageError
from retinanet_odm.imaging.images import VERIFY_FULL, VERIFY_HEADER, ImageRule

DESCRIPTION = """\
Turns labelled photographs into a TFRecord data set. Photographs and annotations are only read.

  python -m beam_jobs prepare --images 'DIR/images/*' --annotations 'DIR/annotations/*.xml' --output DATASET
"""
CHECK_DESCRIPTION = """\
Looks at photographs and annotations as prepare does, with the same flags, and writes no data set: problems.jsonl and
check.html in --output name everything that is wrong or doubtful. Exit status: 0 without errors, 1 with, 2 for a request
that cannot be carried out.

  python -m beam_jobs check --images 'DIR/images/*' --annotations 'DIR/annotations/*.xml' --output DATASET
"""

LABELS_DESCRIPTION = """\
Writes a label map of all names in annotation files, or adds the new ones to an old map. Exit status 1: it is written,
but a file could not be read whole, so that labels may be missing.

  python -m beam_jobs labels --annotations 'DIR/annotations/*.xml' --output labels.pbtxt
  python -m beam_jobs labels --annotations 'DIR/annotations/*.xml' --labels labels.pbtxt --output labels.pbtxt
"""


def make_prepare_parser() -> Parser:
    """The parser of `python -m beam_jobs`; Beam's own flags are left over by parse_known_args."""
    parser = Parser(prog="python -m beam_jobs", description="Data set jobs of RetinaNet-ODM.", epilog=BEAM_HELP)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    prepare = commands.add_parser(
        PREPARE,
        help="photographs and annotations in, TFRecord data set out",
        description=DESCRIPTION,
        epilog=BEAM_HELP,
    )
    _add_job(prepare)
    prepare.add_argument(
        "--resume",
        action="store_true",
        help="keep the shards of an earlier run into the same folder whose photographs, annotations and flags are the"
        " same, and write only the others",
    )
    check = commands.add_parser(
        CHECK,
        help="everything that prepare would complain about, in one pass; writes no shards",
        description=CHECK_DESCRIPTION,
        epilog=BEAM_HELP,
    )
    _add_job(check)
    labels = commands.add_parser(
        LABELS, help="annotations in, label map out, or one extended by new names", description=LABELS_DESCRIPTION
    )
    _add_label_flags(labels)
    return parser


def _add_label_flags(labels: argparse.ArgumentParser) -> None:
    labels.add_argument(
        "--annotations", nargs="+", required=True, metavar="PATTERN", help="annotation files, as prepare reads them"
    )
    labels.add_argument(
        "--output", required=True, metavar="FILE", help="label map to write: a new file, or the very one of --labels"
    )
    labels.add_argument(
        "--labels", metavar="FILE", help="label map whose ids and names stay; new names follow after its text"
    )
    labels.add_argument(
        "--label_aliases", metavar="FILE", help="CSV with the columns alias,name: labels that count under another name"
    )


def _add_job(job: argparse.ArgumentParser) -> None:
    """The flags that prepare and check share."""
    _add_files(job)
    _add_choices(job)
    _add_content(job)
    add_estimate_flags(job)


def _add_files(prepare: argparse.ArgumentParser) -> None:
    prepare.add_argument(
        "--images",
        nargs="+",
        default=(),
        metavar="PATTERN",
        help="photographs, such as 'DIR/images/*'; a zip file counts as a folder",
    )
    prepare.add_argument(
        "--annotations",
        nargs="+",
        default=(),
        metavar="PATTERN",
        help="annotation files, such as 'DIR/annotations/*.xml': Pascal VOC, CVAT 1.1 for images or video, COCO JSON,"
        " told by their content; an annotation belongs to the image of the same path, file name or stem",
    )
    prepare.add_argument(
        "--exports",
        nargs="+",
        default=(),
        metavar="PATTERN",
        help="zip files with photographs and annotations inside, as CVAT exports them: each is matched only within"
        " itself; beside --images and --annotations, or in their place",
    )
    prepare.add_argument(
        "--output", required=True, metavar="DIR", help="folder of the data set: new, empty, or an earlier data set"
    )
    prepare.add_argument(
        "--labels", metavar="FILE", help="label map, labels.pbtxt; without it all names found are numbered in order"
    )
    prepare.add_argument(
        "--splits", default=DEFAULT_SPLITS, help="names and fractions that add up to 1; default: %(default)s"
    )
    prepare.add_argument(
        "--num_shards",
        help=f"most files of a split, such as train=32,val=4; default: {DEFAULT_NUM_SHARDS['train']} for train,"
        f" {DEFAULT_NUM_SHARDS_ELSE} for another; never more than the split has images",
    )


def _add_choices(prepare: argparse.ArgumentParser) -> None:
    prepare.add_argument(
        "--label_aliases", metavar="FILE", help="CSV with the columns alias,name: labels that count under another name"
    )
    prepare.add_argument(
        "--id_map", metavar="FILE", help="id_map.csv of an earlier data set: its images keep their source ids"
    )
    prepare.add_argument(
        "--split_group",
        metavar="RULE",
        help=f"images of one group stay in one split: {DEPLOYMENT_DAY}, or a regular expression that is searched in"
        " the image's name; the group is what its parentheses hold, or else the whole match",
    )
    prepare.add_argument(
        "--split_from", metavar="FILE", help="CSV with the columns image,split, which alone decides on splits"
    )
    prepare.add_argument(
        "--without_annotation",
        choices=(REJECT, NEGATIVE),
        default=REJECT,
        help="what an image without annotation is: a reject, or one without objects; default: %(default)s",
    )
    prepare.add_argument(
        "--without_image",
        choices=(TELL, REFUSE),
        default=TELL,
        help="what an annotation that belongs to no image means: it is listed, or there is no data set, and the exit"
        " status is 1; default: %(default)s",
    )
    prepare.add_argument(
        "--negatives",
        choices=(KEEP, DROP),
        default=KEEP,
        help="what becomes of an image without objects; default: %(default)s",
    )


def _add_content(job: argparse.ArgumentParser) -> None:
    job.add_argument(
        "--verify",
        choices=(VERIFY_FULL, VERIFY_HEADER),
        default=VERIFY_FULL,
        help="full decodes every photograph once; header looks at the beginning and the end of good JPEG and PNG files"
        " only, which is faster and misses damage in between; default: %(default)s",
    )
    job.add_argument(
        "--max_side",
        type=int,
        metavar="PIXELS",
        help="photographs with a longer side are made smaller, keeping their aspect; default: as they are",
    )
    job.add_argument("--grayscale", action="store_true", help="photographs become grey")
    job.add_argument(
        "--min_box",
        metavar="WxH",
        help="boxes narrower than W and lower than H, in pixels of the photograph, are left out and listed; default:"
        " none",
    )
    job.add_argument(
        "--max_rejected",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="largest share of photographs that may be rejected, such as 0.01; with more there is no data set, and the"
        " exit status is 1; default: any",
    )


def prepare_options(flags: argparse.Namespace, inputs: Inputs) -> PrepareOptions:
    """The request that parsed flags and the files that they name make.

    Raises:
      UsageError: a flag cannot be read or contradicts another.
    """
    return PrepareOptions(
        images=tuple(flags.images),
        annotations=tuple(flags.annotations),
        exports=tuple(flags.exports),
        output=flags.output.rstrip("/"),
        splits=parse_splits(flags.splits),
        num_shards=parse_num_shards(flags.num_shards) if flags.num_shards is not None else {},
        labels=inputs.labels,
        labels_file=flags.labels,
        aliases=inputs.aliases,
        aliases_file=inputs.aliases_file,
        id_map=inputs.id_map,
        split_group=GroupRule(flags.split_group) if flags.split_group is not None else None,
        split_from=inputs.split_from,
        without_annotation=flags.without_annotation,
        without_image=flags.without_image,
        negatives=flags.negatives,
        content=RecordOptions(
            pixels=ImageRule(
                verify=flags.verify, max_side=flags.max_side, grayscale=flags.grayscale, perceptual_hash=True
            ),
            min_box=parse_min_box(flags.min_box) if flags.min_box is not None else None,
        ),
        max_rejected=flags.max_rejected,
        writes=flags.command == PREPARE,
        resume=flags.command == PREPARE and flags.resume,
    )


def parse_min_box(text: str) -> tuple[float, float]:
    """Reads ``75x75``: width and height in pixels.

    Raises:
      UsageError: not of that form.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)", text)
    if match is None:
        raise UsageError(f"--min_box: expected WIDTHxHEIGHT in pixels, such as 75x75; found {text!r}")
    return float(match[1]), float(match[2])


def parse_num_shards(text: str) -> dict[str, int]:
    """Reads ``train=32,val=4``.

    Raises:
      UsageError: not of that form.
    """
    try:
        return {split: int(count) for split, count in parse_assignments(text, flag="--num_shards").items()}
    except ValueError as error:
        raise UsageError(f"--num_shards: expected whole numbers such as train=32,val=4: {error}") from error
