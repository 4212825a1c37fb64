"""What `prepare` is asked to do: flags → PrepareOptions, everything checked that needs no file."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from beamio.options import BEAM_HELP, Parser
from detection.errors import UsageError
from detection.labels import LabelMap
from detection.splits import Splits, parse_assignments, parse_splits

DEFAULT_SPLITS = "train=0.8,val=0.1,test=0.1"
# TPU RetinaNet reads 32 files at once (parallel_interleave(cycle_length=32)); evaluation needs no such width.
DEFAULT_NUM_SHARDS = {"train": 32}
DEFAULT_NUM_SHARDS_ELSE = 4
_MAX_SHARDS = 99_999  # five digits in the file name

DESCRIPTION = """\
Turns labelled photographs into a TFRecord data set. Photographs and annotations are only read.

  python -m beam_jobs prepare --images 'DIR/images/*' --annotations 'DIR/annotations/*.xml' --output DATASET
"""


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """The request.

    Attributes:
      images, annotations: patterns, local or gs://.
      output: the data set's folder, without a slash at its end.
      splits: names and fractions.
      num_shards: the largest number of shards by split; a split that is not named gets the default.
      labels: the user's label map; None makes one of all names found. labels_file: where it was read.

    Raises:
      UsageError: the request contradicts itself.
    """

    images: tuple[str, ...]
    annotations: tuple[str, ...]
    output: str
    splits: Splits = field(default_factory=lambda: parse_splits(DEFAULT_SPLITS))
    num_shards: Mapping[str, int] = field(default_factory=dict)
    labels: LabelMap | None = None
    labels_file: str | None = None

    def __post_init__(self) -> None:
        if not self.output:
            raise UsageError("--output: expected a folder, found an empty name")
        for split, count in self.num_shards.items():
            if split not in self.splits.names:
                raise UsageError(f"--num_shards: there is no split {split!r}; --splits has {list(self.splits.names)}")
            if not 1 <= count <= _MAX_SHARDS:
                raise UsageError(f"--num_shards: {split} must lie in 1..{_MAX_SHARDS}, found {count}")

    def shards_of(self, split: str) -> int:
        """The largest number of shards of a split."""
        return self.num_shards.get(split, DEFAULT_NUM_SHARDS.get(split, DEFAULT_NUM_SHARDS_ELSE))

    def to_json(self) -> dict[str, Any]:
        """The part that decides the content of the data set, for its manifest."""
        return {
            "images": list(self.images),
            "annotations": list(self.annotations),
            "labels": self.labels_file,
            "splits": dict(self.splits.fractions),
            "num_shards": {split: self.shards_of(split) for split in self.splits.names},
        }


def make_parser() -> Parser:
    """The parser of `python -m beam_jobs`; Beam's own flags are left over by parse_known_args."""
    parser = Parser(prog="python -m beam_jobs", description="Data set jobs of RetinaNet-ODM.", epilog=BEAM_HELP)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    prepare = commands.add_parser(
        "prepare",
        help="photographs and annotations in, TFRecord data set out",
        description=DESCRIPTION,
        epilog=BEAM_HELP,
    )
    prepare.add_argument(
        "--images", nargs="+", required=True, metavar="PATTERN", help="photographs, such as 'DIR/images/*'"
    )
    prepare.add_argument(
        "--annotations",
        nargs="+",
        required=True,
        metavar="PATTERN",
        help="Pascal VOC files, such as 'DIR/annotations/*.xml'; a file belongs to the image of the same name",
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
        default="",
        help=f"most files of a split, such as train=32,val=4; default: {DEFAULT_NUM_SHARDS['train']} for train,"
        f" {DEFAULT_NUM_SHARDS_ELSE} for another; never more than the split has images",
    )
    return parser


def own_flags() -> list[str]:
    """The flags of prepare, for suggestions."""
    return ["--images", "--annotations", "--output", "--labels", "--splits", "--num_shards"]


def prepare_options(flags: argparse.Namespace, labels: LabelMap | None) -> PrepareOptions:
    """The request that parsed flags make; labels is the content of the file that --labels names.

    Raises:
      UsageError: a flag cannot be read or contradicts another.
    """
    return PrepareOptions(
        images=tuple(flags.images),
        annotations=tuple(flags.annotations),
        output=flags.output.rstrip("/"),
        splits=parse_splits(flags.splits),
        num_shards=parse_num_shards(flags.num_shards) if flags.num_shards else {},
        labels=labels,
        labels_file=flags.labels,
    )


def parse_num_shards(text: str) -> dict[str, int]:
    """Reads ``train=32,val=4``.

    Raises:
      UsageError: not of that form.
    """
    try:
        return {split: int(count) for split, count in parse_assignments(text, flag="--num_shards").items()}
    except ValueError as error:
        raise UsageError(f"--num_shards: expected whole numbers such as train=32,val=4: {error}") from error
