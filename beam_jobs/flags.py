"""Defines the command line of `python -m beam_jobs`; beam_jobs.request turns its flags into PrepareOptions."""

import argparse

from beam_jobs.export.flags import add_export_command
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
)
from retinanet_odm.beam.options import BEAM_HELP, add_estimate_flags
from retinanet_odm.cli.program import Parser
from retinanet_odm.dataset.frame_names import DEPLOYMENT_HELP
from retinanet_odm.dataset.splits import DEPLOYMENT, DEPLOYMENT_DAY
from retinanet_odm.imaging.images import VERIFY_FULL, VERIFY_HEADER
from retinanet_odm.systems import with_slashes

DESCRIPTION = """\
Writes a TFRecord data set from labelled images. Images and annotations are only read. One process decodes on all cores;
one process per core (see below) is worth its start from about 20,000 images on machines with more than two cores.

  python -m beam_jobs prepare --images 'DIR/images/*' --annotations 'DIR/annotations/*.xml' --output DATASET
"""
CHECK_DESCRIPTION = """\
Validates images and annotations as prepare would, with the same flags, and writes no data set: problems.jsonl and
check.html in --output list everything wrong or doubtful. Exit status: 0 without errors, 1 with errors, 2 for an invalid
request.

  python -m beam_jobs check --images 'DIR/images/*' --annotations 'DIR/annotations/*.xml' --output DATASET
"""
LABELS_DESCRIPTION = """\
Writes a label map of all labels in annotation files, or appends new labels to an existing map. Exit status 1: the map
is written, but a file could not be read completely, so labels may be missing.

  python -m beam_jobs labels --annotations 'DIR/annotations/*.xml' --output labels.pbtxt
  python -m beam_jobs labels --annotations 'DIR/annotations/*.xml' --labels labels.pbtxt --output labels.pbtxt
"""
_ALIASES_HELP = "CSV file with the columns alias,name: boxes of label alias count as name"


def make_prepare_parser() -> Parser:
    """Make the parser of `python -m beam_jobs`. Its parse_known_args leaves Beam's own flags over."""
    parser = Parser(prog="python -m beam_jobs", description="Data set jobs of RetinaNet-ODM.", epilog=BEAM_HELP)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # Flags are checked in three places: argparse knows their form, PrepareOptions what contradicts itself, and
    # read_inputs the files that they name.
    prepare = commands.add_parser(
        PREPARE, help="write a TFRecord data set from labelled images", description=DESCRIPTION, epilog=BEAM_HELP
    )
    _add_job_flags(prepare)
    prepare.add_argument(
        "--resume",
        action="store_true",
        help="reuse shards from a previous run in the same output folder if their images, annotations and flags are"
        " unchanged",
    )
    replace = "replace a data set whose images are not in this request; never a file that was changed by hand"
    prepare.add_argument("--replace", action="store_true", help=replace)
    check = commands.add_parser(
        CHECK,
        help="validate the input without writing a data set",
        description=CHECK_DESCRIPTION,
        epilog=BEAM_HELP,
    )
    _add_job_flags(check)
    # Without Beam's epilog: `labels` is no Beam job.
    labels = commands.add_parser(
        LABELS, help="write a label map of all labels in annotation files", description=LABELS_DESCRIPTION
    )
    _add_label_flags(labels)
    add_export_command(commands)
    return parser


def _add_label_flags(labels: argparse.ArgumentParser) -> None:
    """Add the flags of `labels`."""
    labels.add_argument(
        "--annotations",
        type=with_slashes,
        nargs="+",
        required=True,
        metavar="PATTERN",
        help="annotation files, as prepare reads them",
    )
    labels.add_argument(
        "--output",
        type=with_slashes,
        required=True,
        metavar="FILE",
        help="label map to write: a new file, or the file of --labels",
    )
    labels.add_argument(
        "--labels",
        type=with_slashes,
        metavar="FILE",
        help="label map to extend: its text is kept, and new labels are appended",
    )
    labels.add_argument("--label_aliases", type=with_slashes, metavar="FILE", help=_ALIASES_HELP)
    _add_ignore_label(labels)
    _add_min_score(labels)


# --- prepare and check: one function for each group of flags, in the order of --help ---


def _add_job_flags(job: argparse.ArgumentParser) -> None:
    """Add the flags that prepare and check share."""
    _add_inputs(job)
    _add_labels_and_ids(job)
    _add_splits(job)
    _add_partial_labels(job)
    _add_policies(job)
    _add_content(job)
    add_estimate_flags(job)


def _add_inputs(job: argparse.ArgumentParser) -> None:
    job.add_argument(
        "--images",
        type=with_slashes,
        nargs="+",
        default=(),
        metavar="PATTERN",
        help="images, such as 'DIR/images/*', or a folder: all files below it; a zip file is read like a folder",
    )
    job.add_argument(
        "--annotations",
        type=with_slashes,
        nargs="+",
        default=(),
        metavar="PATTERN",
        help="annotation files, such as 'DIR/annotations/*.xml': Pascal VOC, CVAT 1.1 for images or video, COCO,"
        " LabelMe, VIA, Label Studio, YOLO with its data.yaml or classes.txt, VIAME CSV, MegaDetector. The format is"
        " detected from the file content. Annotations are matched to images by path, file name or stem",
    )
    job.add_argument(
        "--exports",
        type=with_slashes,
        nargs="+",
        default=(),
        metavar="PATTERN",
        help="CVAT export archives (zip files with images and annotations). Annotations are matched only to images of"
        " the same archive. Can be combined with --images and --annotations",
    )
    _add_min_score(job)
    job.add_argument(
        "--output",
        type=with_slashes,
        required=True,
        metavar="DIR",
        help="folder of the data set: new, empty, or an earlier data set",
    )


def _add_min_score(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--min_score",
        type=float,
        metavar="SCORE",
        help="accept predictions (MegaDetector, VIAME, YOLO with scores, Label Studio) as annotations, from this score"
        " on, such as 0.8; those below are left out. Default: predictions are rejected",
    )


def _add_labels_and_ids(job: argparse.ArgumentParser) -> None:
    job.add_argument(
        "--labels",
        type=with_slashes,
        metavar="FILE",
        help="label map (labels.pbtxt); default: all labels found, numbered in alphabetical order",
    )
    job.add_argument("--label_aliases", type=with_slashes, metavar="FILE", help=_ALIASES_HELP)
    job.add_argument(
        "--id_map",
        type=with_slashes,
        metavar="FILE",
        help="id_map.csv of an earlier data set: its images keep their source ids",
    )


def _add_splits(job: argparse.ArgumentParser) -> None:
    job.add_argument(
        "--splits", default=DEFAULT_SPLITS, help="names and fractions that add up to 1; default: %(default)s"
    )
    job.add_argument(
        "--num_shards",
        help=f"maximum number of files per split, such as train=32,val=4; default: {DEFAULT_NUM_SHARDS['train']} for"
        f" train, {DEFAULT_NUM_SHARDS_ELSE} for other splits. A split never has more files than images",
    )
    job.add_argument(
        "--split_group",
        metavar="RULE",
        help=f"keep images of one group in one split. RULE is {DEPLOYMENT}, {DEPLOYMENT_DAY}, or a regular"
        " expression that is searched in the image name: its capturing groups, or the complete match, name the group",
    )
    job.add_argument("--deployment", metavar="REGEX", help=DEPLOYMENT_HELP)
    job.add_argument(
        "--split_from",
        type=with_slashes,
        metavar="FILE",
        help="CSV file with the columns image,split, which alone decides the splits",
    )


def _add_partial_labels(job: argparse.ArgumentParser) -> None:
    job.add_argument(
        "--exhaustive",
        type=with_slashes,
        metavar="FILE",
        help="CSV file with the columns image,exhaustive_classes or deployment,exhaustive_classes: the classes of which"
        " every object has a box there, separated by ;, or * for all. Of other classes, a place without a box is"
        " not learned as background. The row * is for all that is not listed; default: all classes, everywhere",
    )
    _add_ignore_label(job)


def _add_ignore_label(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--ignore_label",
        nargs="+",
        default=(),
        metavar="LABEL",
        help="labels of boxes that mark areas in which nobody has looked for objects; so does the checkbox ignore of a"
        " CVAT label. Nothing is learned there, neither objects nor background",
    )


def _add_policies(job: argparse.ArgumentParser) -> None:
    job.add_argument(
        "--without_annotation",
        choices=(REJECT, NEGATIVE),
        default=REJECT,
        help="how to treat images without an annotation: reject them, or use them as negative examples; default:"
        " %(default)s",
    )
    job.add_argument(
        "--without_image",
        choices=(TELL, REFUSE),
        default=TELL,
        help="how to handle annotations without a matching image: tell reports them, refuse aborts with exit status 1;"
        " default: %(default)s",
    )
    job.add_argument(
        "--negatives",
        choices=(KEEP, DROP),
        default=KEEP,
        help="how to treat images without objects: keep or drop them; default: %(default)s",
    )
    job.add_argument(
        "--max_rejected",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="maximum fraction of rejected images, such as 0.01. With more, no data set is written and the exit status"
        " is 1; default: no limit",
    )


def _add_content(job: argparse.ArgumentParser) -> None:
    job.add_argument(
        "--verify",
        choices=(VERIFY_FULL, VERIFY_HEADER),
        default=VERIFY_FULL,
        help="full decodes every image once. header only checks the beginning and the end of valid JPEG and PNG files:"
        " faster, but damage in between is missed; default: %(default)s",
    )
    job.add_argument(
        "--max_side",
        type=int,
        metavar="PIXELS",
        help="scale down images with a longer side, keeping their aspect ratio; default: no scaling",
    )
    job.add_argument("--grayscale", action="store_true", help="convert images to grayscale")
    job.add_argument(
        "--min_box",
        metavar="WxH",
        help="drop boxes smaller than WxH pixels of the original image (both sides). Dropped boxes are listed in"
        " rejected.jsonl; default: keep all",
    )
