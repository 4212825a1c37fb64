"""What `prepare` is asked to do: flags → PrepareOptions, everything checked that needs no file."""

import argparse
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from beamio.options import BEAM_HELP, Parser
from detection.errors import UsageError
from detection.labels import LabelMap
from detection.splits import DEPLOYMENT_DAY, GroupRule, Splits, parse_assignments, parse_splits

DEFAULT_SPLITS = "train=0.8,val=0.1,test=0.1"
# TPU RetinaNet reads 32 files at once (parallel_interleave(cycle_length=32)); evaluation needs no such width.
DEFAULT_NUM_SHARDS = {"train": 32}
DEFAULT_NUM_SHARDS_ELSE = 4
_MAX_SHARDS = 99_999  # five digits in the file name

DESCRIPTION = """\
Turns labelled photographs into a TFRecord data set. Photographs and annotations are only read.

  python -m beam_jobs prepare --images 'DIR/images/*' --annotations 'DIR/annotations/*.xml' --output DATASET
"""

LABELS_DESCRIPTION = """\
Writes a label map of all names in annotation files, or adds the new ones to an old map. Exit status 1: it is written,
but a file could not be read whole, so that labels may be missing.

  python -m beam_jobs labels --annotations 'DIR/annotations/*.xml' --output labels.pbtxt
  python -m beam_jobs labels --annotations 'DIR/annotations/*.xml' --labels labels.pbtxt --output labels.pbtxt
"""

# Policies: --without_annotation and --negatives.
REJECT, NEGATIVE = "reject", "negative"
KEEP, DROP = "keep", "drop"


@dataclass(frozen=True, kw_only=True)
class NamedFile:
    """A file that a flag names, as the launcher read it: its path and hex SHA-256."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the launcher read: contents of small files, and name and digest of files that workers read again.

    Attributes:
      labels: of --labels.
      aliases, aliases_file: of --label_aliases, name by alias.
      id_map, split_from: of these flags.
    """

    labels: LabelMap | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    aliases_file: NamedFile | None = None
    id_map: NamedFile | None = None
    split_from: NamedFile | None = None


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """The request.

    Attributes:
      images, annotations: patterns, local or gs://.
      exports: patterns of zip files with photographs and annotations inside, each matched only within itself.
      output: the data set's folder, without a slash at its end.
      splits: names and fractions.
      num_shards: the largest number of shards by split; a split that is not named gets the default.
      labels: the user's label map; None makes one of all names found. labels_file: where it was read.
      aliases: name by alias, applied before a label is looked up. aliases_file: where they were read.
      id_map: ids of earlier builds, which stay.
      split_group: which images must stay in one split; None makes each image a group of its own.
      split_from: a list that alone decides on splits.
      without_annotation: REJECT or NEGATIVE: whether an image without annotation is a reject or one without objects.
      negatives: KEEP or DROP: what becomes of an image without objects.

    Raises:
      UsageError: the request contradicts itself.
    """

    images: tuple[str, ...]
    annotations: tuple[str, ...]
    output: str
    exports: tuple[str, ...] = ()
    splits: Splits = field(default_factory=lambda: parse_splits(DEFAULT_SPLITS))
    num_shards: Mapping[str, int] = field(default_factory=dict)
    labels: LabelMap | None = None
    labels_file: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    aliases_file: NamedFile | None = None
    id_map: NamedFile | None = None
    split_group: GroupRule | None = None
    split_from: NamedFile | None = None
    without_annotation: str = REJECT
    negatives: str = KEEP

    def __post_init__(self) -> None:
        if not self.output:
            raise UsageError("--output: expected a folder, found an empty name")
        if bool(self.images) != bool(self.annotations):
            given, missing = ("--images", "--annotations") if self.images else ("--annotations", "--images")
            raise UsageError(f"{given}: expected {missing} too; zip files with both inside go to --exports")
        if not (self.images or self.exports):
            raise UsageError("expected --images and --annotations, or --exports, or all three; found none")
        if self.split_group and self.split_from:
            raise UsageError("--split_group and --split_from: give one of them; a list alone decides on splits")
        if self.without_annotation == NEGATIVE and self.negatives == DROP:
            raise UsageError("--without_annotation=negative and --negatives=drop: one makes what the other drops")
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
            "exports": list(self.exports),
            "labels": self.labels_file,
            "splits": dict(self.splits.fractions),
            "num_shards": {split: self.shards_of(split) for split in self.splits.names},
            "label_aliases": self.aliases_file and dataclasses.asdict(self.aliases_file),
            "id_map": self.id_map and dataclasses.asdict(self.id_map),
            "split_group": self.split_group and self.split_group.text,
            "split_from": self.split_from and dataclasses.asdict(self.split_from),
            "without_annotation": self.without_annotation,
            "negatives": self.negatives,
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
        default="",
        help=f"most files of a split, such as train=32,val=4; default: {DEFAULT_NUM_SHARDS['train']} for train,"
        f" {DEFAULT_NUM_SHARDS_ELSE} for another; never more than the split has images",
    )
    _add_choices(prepare)
    labels = commands.add_parser(
        "labels", help="annotations in, label map out, or one extended by new names", description=LABELS_DESCRIPTION
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
        "--negatives",
        choices=(KEEP, DROP),
        default=KEEP,
        help="what becomes of an image without objects; default: %(default)s",
    )


def own_flags() -> list[str]:
    """The flags of prepare, for suggestions."""
    first = ["--images", "--annotations", "--output", "--labels", "--splits", "--num_shards", "--label_aliases"]
    return [*first, "--exports", "--id_map", "--split_group", "--split_from", "--without_annotation", "--negatives"]


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
        num_shards=parse_num_shards(flags.num_shards) if flags.num_shards else {},
        labels=inputs.labels,
        labels_file=flags.labels,
        aliases=inputs.aliases,
        aliases_file=inputs.aliases_file,
        id_map=inputs.id_map,
        split_group=GroupRule(flags.split_group) if flags.split_group is not None else None,
        split_from=inputs.split_from,
        without_annotation=flags.without_annotation,
        negatives=flags.negatives,
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
