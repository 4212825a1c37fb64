"""What `prepare` and `check` are asked to do: the request, checked as far as it needs no file."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retinanet_odm.dataset.splits import GroupRule, Splits, parse_splits
from retinanet_odm.errors import UsageError
from retinanet_odm.imaging.images import ImageRule
from retinanet_odm.labels.label_map import LabelMap

DEFAULT_SPLITS = "train=0.8,val=0.1,test=0.1"
# TPU RetinaNet reads 32 files at once (parallel_interleave(cycle_length=32)); evaluation needs no such width.
DEFAULT_NUM_SHARDS = {"train": 32}
DEFAULT_NUM_SHARDS_ELSE = 4
_MAX_SHARDS = 99_999  # five digits in the file name

PREPARE, CHECK, LABELS = "prepare", "check", "labels"

# Policies: --without_annotation, --without_image and --negatives.
REJECT, NEGATIVE = "reject", "negative"
TELL, REFUSE = "tell", "refuse"
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
class RecordOptions:
    """What becomes of each photograph and box on its way into a record.

    Attributes:
      pixels: how photographs are looked at and changed.
      min_box: (width, height) in pixels of the photograph; a box that is smaller in both is dropped. None drops none.
    """

    pixels: ImageRule = field(default_factory=lambda: ImageRule(perceptual_hash=True))
    min_box: tuple[float, float] | None = None


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
      without_image: TELL or REFUSE: whether annotations that belong to no image are listed, or there is no data set.
      negatives: KEEP or DROP: what becomes of an image without objects.
      content: what becomes of photographs and boxes.
      max_rejected: the largest share of images that may be left out, 0 to 1.
      writes: whether a data set is written; a check only looks.
      resume: whether shards of an earlier run stay where their input is the same.

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
    without_image: str = TELL
    negatives: str = KEEP
    content: RecordOptions = field(default_factory=RecordOptions)
    max_rejected: float = 1.0
    writes: bool = True
    resume: bool = False

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
        if not 0 <= self.max_rejected <= 1:
            raise UsageError(f"--max_rejected: expected a share from 0 to 1, such as 0.01; found {self.max_rejected:g}")
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
            "without_image": self.without_image,
            "negatives": self.negatives,
            "verify": self.content.pixels.verify,
            "max_side": self.content.pixels.max_side,
            "grayscale": self.content.pixels.grayscale,
            "min_box": self.content.min_box and "{:g}x{:g}".format(*self.content.min_box),
        }
