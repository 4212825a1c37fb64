"""The request of `prepare` and `check`, validated as far as that needs no file.

`beam_jobs.named_files` reads the files that its flags name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retinanet_odm.dataset.frame_names import BY_NAME, DeploymentRule
from retinanet_odm.dataset.splits import GroupRule, Splits, parse_splits
from retinanet_odm.errors import UsageError
from retinanet_odm.imaging.images import ImageRule
from retinanet_odm.labels.label_map import LabelMap

DEFAULT_SPLITS = "train=0.8,val=0.1,test=0.1"
# TPU RetinaNet reads 32 files at once (parallel_interleave(cycle_length=32)); evaluation needs less.
DEFAULT_NUM_SHARDS = {"train": 32}
DEFAULT_NUM_SHARDS_ELSE = 4
_MAX_SHARDS = 99_999  # five digits in the file name

# The commands of `python -m beam_jobs`.
PREPARE, CHECK, LABELS = "prepare", "check", "labels"

# Values of --without_annotation, --without_image and --negatives.
REJECT, NEGATIVE = "reject", "negative"
TELL, REFUSE = "tell", "refuse"
KEEP, DROP = "keep", "drop"


def check_min_score(min_score: float | None) -> None:
    """Raise UsageError if a minimum score is not within 0 to 1."""
    if min_score is not None and not 0 <= min_score <= 1:
        raise UsageError(f"--min_score: expected a score from 0 to 1, such as 0.8; found {min_score:g}")


@dataclass(frozen=True, kw_only=True)
class NamedFile:
    """A file named by a flag, as the launcher read it: its path and its hex SHA-256."""

    path: str
    sha256: str

    def to_json(self) -> dict[str, str]:
        """Return the entry in the options of dataset.json."""
        return {"path": self.path, "sha256": self.sha256}


@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """How images and boxes become records.

    Attributes:
      pixels: how images are verified and changed.
      min_box: (width, height) in pixels of the original image; a box smaller in both is dropped. None keeps all.
    """

    pixels: ImageRule = field(default_factory=lambda: ImageRule(perceptual_hash=True))
    min_box: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """The request.

    Attributes:
      images, annotations: patterns, local or gs://.
      exports: patterns of zip files with images and annotations; each is matched only within itself.
      output: the folder of the data set, without a trailing slash.
      splits: names and fractions.
      num_shards: maximum number of shards by split; splits that are not named get the default.
      labels: the user's label map, or None to make one of all labels found. labels_file: its path.
      aliases: name by alias, applied before a label is looked up. aliases_file: where they were read.
      id_map: source ids of earlier builds, which are kept.
      split_group: which images must stay in one split; None makes each image a group of its own.
      deployments: how the deployment of an image is found.
      split_from: a list that alone decides the splits.
      exhaustive: a list of the classes that are annotated exhaustively; without it, all are in all images.
      ignore_labels: labels of areas in which nobody has looked for objects.
      min_score: predictions are accepted as annotations from this score on, 0 to 1; None accepts none.
      without_annotation: REJECT or NEGATIVE: how to treat images without an annotation.
      without_image: TELL or REFUSE: whether annotations without an image are reported or refused.
      negatives: KEEP or DROP: how to treat images without objects.
      content: how images and boxes become records.
      max_rejected: maximum fraction of rejected images, 0 to 1.
      writes: whether a data set is written; False for a check.
      resume: whether shards of an earlier run are kept if their input is the same.
      replace: whether a data set with other images may be replaced.

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
    deployments: DeploymentRule = BY_NAME
    split_from: NamedFile | None = None
    exhaustive: NamedFile | None = None
    ignore_labels: tuple[str, ...] = ()
    min_score: float | None = None
    without_annotation: str = REJECT
    without_image: str = TELL
    negatives: str = KEEP
    content: RecordOptions = field(default_factory=RecordOptions)
    max_rejected: float = 1.0
    writes: bool = True
    resume: bool = False
    replace: bool = False

    # Whatever needs no file is checked here, before Beam is imported and before anything is listed.
    def __post_init__(self) -> None:
        self._check_inputs()
        self._check_policies()
        for split, count in self.num_shards.items():
            if split not in self.splits.names:
                raise UsageError(f"--num_shards: there is no split {split!r}; --splits has {list(self.splits.names)}")
            if not 1 <= count <= _MAX_SHARDS:
                raise UsageError(f"--num_shards: {split} must lie in 1..{_MAX_SHARDS}, found {count}")

    def _check_inputs(self) -> None:
        if not self.output:
            raise UsageError("--output: expected a folder, found an empty name")
        # Images alone would all lack their annotation; annotations alone would all lack their image.
        if bool(self.images) != bool(self.annotations):
            given, missing = ("--images", "--annotations") if self.images else ("--annotations", "--images")
            raise UsageError(f"{given}: expected {missing} too; zip files with both inside go to --exports")
        if not (self.images or self.exports):
            raise UsageError("expected --images and --annotations, or --exports, or all three; found none")

    def _check_policies(self) -> None:
        # Each of these pairs would leave one of its flags without effect, and the user would not see it.
        if self.split_group and self.split_from:
            raise UsageError("--split_group and --split_from: give one of them; a list alone decides the splits")
        if self.without_annotation == NEGATIVE and self.negatives == DROP:
            raise UsageError(
                "--without_annotation=negative conflicts with --negatives=drop: the negatives would be dropped again"
            )
        check_min_score(self.min_score)
        names = self.labels.name_by_id.values() if self.labels else ()
        if classes := sorted(set(self.ignore_labels).intersection(names)):
            raise UsageError(f"--ignore_label: {classes[0]!r} is a class of --labels: remove it there, or here")
        if not 0 <= self.max_rejected <= 1:
            raise UsageError(f"--max_rejected: expected a share from 0 to 1, such as 0.01; found {self.max_rejected:g}")

    def shards_of(self, split: str) -> int:
        """Return the maximum number of shards of a split."""
        return self.num_shards.get(split, DEFAULT_NUM_SHARDS.get(split, DEFAULT_NUM_SHARDS_ELSE))

    def to_json(self) -> dict[str, Any]:
        """Return the options that decide the content of the data set, for dataset.json."""
        # Only where they are given: the manifest of a data set without them stays as it was before there were any.
        partial = {
            "exhaustive": self.exhaustive and self.exhaustive.to_json(),
            "ignore_label": list(self.ignore_labels),
        }
        return {
            "images": list(self.images),
            "annotations": list(self.annotations),
            "exports": list(self.exports),
            "labels": self.labels_file,
            "min_score": self.min_score,
            "splits": dict(self.splits.fractions),
            "num_shards": {split: self.shards_of(split) for split in self.splits.names},
            # A file is recorded with its digest, because a path does not tell what was in it.
            "label_aliases": self.aliases_file and self.aliases_file.to_json(),
            "id_map": self.id_map and self.id_map.to_json(),
            "split_group": self.split_group and self.split_group.text,
            "deployment": self.deployments.text,
            "split_from": self.split_from and self.split_from.to_json(),
            "without_annotation": self.without_annotation,
            "without_image": self.without_image,
            "negatives": self.negatives,
            "verify": self.content.pixels.verify,
            "max_side": self.content.pixels.max_side,
            "grayscale": self.content.pixels.grayscale,
            "min_box": self.content.min_box and "{:g}x{:g}".format(*self.content.min_box),
            **{name: value for name, value in partial.items() if value},
        }
