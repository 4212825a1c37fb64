"""Stable splits: the split of an image depends on its name alone, so that adding data never moves an image.

Begin with `SplitPlan.split_of`. The name determines a group (`GroupRule`: the deployment of a frame, deployment and
day, or what a regular expression finds; by default each image is its own group), and a hash of the group determines the
split (`Splits`). A user's list (`parse_split_list`) replaces both.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from retinanet_odm.csv_tables import parse_table
from retinanet_odm.dataset.frame_names import BY_NAME, DeploymentRule, NamePattern, parse_frame_name
from retinanet_odm.errors import ContractError, DataError, UsageError

# The salt makes the split independent of other uses of the name's hash (ids, order of records). Never change it: every
# image would move.
_SALT = "retinanet-odm split "
_NAME = re.compile(r"[a-z][a-z0-9_]*")

DEPLOYMENT = "deployment"
DEPLOYMENT_DAY = "deployment+day"
TRAIN_SPLIT = "train"  # the split from which the trainer learns; all others are held out
TEST_SPLIT = "test"  # the split on which nothing is chosen, neither weights nor thresholds: it judges the final model


def evaluation_splits(sizes: Mapping[str, int]) -> list[str]:
    """Return the splits with images on which weights and thresholds may be chosen, given the images by split.

    Example:
      >>> evaluation_splits({"train": 8, "val": 1, "test": 1}), evaluation_splits({"train": 8, "val": 0})
      (['val'], [])
    """
    return [name for name, images in sizes.items() if images and name not in (TRAIN_SPLIT, TEST_SPLIT)]


class SplitError(DataError):
    """An image belongs to no split."""


@dataclass(frozen=True)
class Splits:
    """Names and fractions of the splits, in order; the fractions add up to 1.

    Raises:
      UsageError: a name has other characters than lower-case letters, digits and _, a fraction is outside [0, 1], or
        the sum is not 1.
    """

    fractions: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.fractions]
        if len(set(names)) != len(names):
            raise UsageError(f"splits: expected each name once, found {names}")
        for name, fraction in self.fractions:
            if not _NAME.fullmatch(name):
                raise UsageError(f"splits: a name is lower-case letters, digits and _, found {name!r}")
            if not 0 <= fraction <= 1:
                raise UsageError(f"splits: the fraction of {name!r} must be in [0, 1], found {fraction}")
        total = sum(fraction for _, fraction in self.fractions)
        if abs(total - 1) > 1e-6:
            raise UsageError(f"splits: the fractions must add up to 1, found {total:g}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the splits, in order."""
        return tuple(name for name, _ in self.fractions)

    def split_of(self, group: str) -> str:
        """Return the split of a group of images; by default each image is its own group, named by the image.

        Example:
          >>> splits = parse_splits("train=0.8,val=0.2")
          >>> [splits.split_of(name) for name in ("a.jpg", "b.jpg", "c.jpg")]
          ['train', 'train', 'val']
        """
        # Intervals of [0, 1) in the order of the splits. More images never move an edge, only other fractions do.
        digest = hashlib.sha256((_SALT + group).encode("utf-8", "surrogateescape")).digest()
        position = int.from_bytes(digest[:8], "big") / 2**64  # uniform in [0, 1)
        edge = 0.0  # the upper end of the interval of the current split
        for name, fraction in self.fractions:
            edge += fraction
            if position < edge:
                return name
        # The rounded fractions may add up to slightly less than 1: the last split that is not empty takes the rest.
        return next(name for name, fraction in reversed(self.fractions) if fraction > 0)


@dataclass(frozen=True)
class GroupRule:
    """The rule that assigns images to groups; the images of a group stay in one split.

    Attributes:
      text: DEPLOYMENT; DEPLOYMENT_DAY, for names such as StaM_6701_NF_tripod_20161110_14_24_12.JPG; otherwise a regular
        expression that is searched in the image's name (its path below the images' root), see NamePattern.
      deployments: how deployments are found.

    Raises:
      UsageError: the regular expression is invalid, or matches the empty text and so every name.
    """

    text: str
    deployments: DeploymentRule = BY_NAME

    def __post_init__(self) -> None:
        _ = self._pattern

    @cached_property
    def _pattern(self) -> NamePattern:
        return NamePattern(self.text, "--split_group")

    def group_of(self, image: str) -> str:
        r"""Return the group of an image.

        Raises:
          SplitError: the rule finds no group in its name. The image does not become its own group, because images taken
            next to it may be in another split.

        Example:
          >>> GroupRule(r"^dive\d+").group_of("dive7/a.jpg")
          'dive7'
        """
        group = self._find_group(image)
        if not group:
            detail = f"{image}: expected a name in which --split_group={self.text} finds a group, found none"
            raise SplitError("no_split_group", detail)
        return group

    def _find_group(self, image: str) -> str | None:
        if self.text == DEPLOYMENT:
            return self.deployments.deployment_of(image)
        if self.text != DEPLOYMENT_DAY:
            return self._pattern.find(image)
        frame = parse_frame_name(image, self.deployments)
        return f"{frame.deployment}+{frame.time:%Y%m%d}" if frame else None


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """Everything that determines the split of an image.

    Attributes:
      splits: names and fractions.
      group: the rule for groups; None if each image is its own group.
      listed: split by image. If given, it alone determines the split.
    """

    splits: Splits
    group: GroupRule | None = None
    listed: Mapping[str, str] | None = None

    def split_of(self, image: str) -> str:
        """Return the split of an image.

        Raises:
          SplitError: its name contains no group, or it is not in the list.
        """
        if self.listed is None:
            return self.splits.split_of(self.group.group_of(image) if self.group else image)
        if image not in self.listed:
            raise SplitError("not_in_split_list", f"{image}: not in the file of --split_from")
        return self.listed[image]


def parse_split_list(text: str, splits: Splits, *, source: str) -> dict[str, str]:
    r"""Parse the CSV of --split_from into a dict of split by image; columns other than image and split are ignored.

    Args:
      text: the file's content.
      splits: the splits that it may name.
      source: the file's name, for messages.

    Raises:
      ContractError: the text is no such table, it has no image, an image is repeated, or a split is not in splits; the
        message names file, line and image.

    Example:
      >>> parse_split_list("image,split\na.jpg,val", parse_splits("train=0.8,val=0.2"), source="splits.csv")
      {'a.jpg': 'val'}
    """
    listed: dict[str, str] = {}
    # Errors name the line: a list of a million images cannot be searched by eye.
    for row in parse_table(text, ("image", "split"), source=source):
        image, split = row.cells
        if image in listed:
            raise ContractError(f"{source}: line {row.line}: image {image!r} is listed twice")
        if split not in splits.names:
            expected = f"expected one of the splits {', '.join(splits.names)}"
            raise ContractError(f"{source}: line {row.line}: image {image!r}: {expected}; found {split!r}")
        listed[image] = split
    if not listed:
        raise ContractError(f"{source}: expected at least one image, found none")
    return listed


def parse_assignments(text: str, *, flag: str) -> dict[str, str]:
    """Parse ``train=0.8,val=0.2`` into a dict of text.

    Args:
      text: the value of the flag.
      flag: its name, for messages.

    Raises:
      UsageError: a part is not ``name=value``, or a name is repeated.

    Example:
      >>> parse_assignments("train=0.8,val=0.2", flag="--splits")
      {'train': '0.8', 'val': '0.2'}
    """
    values: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UsageError(f"{flag}: expected name=value parts such as train=0.8,val=0.2; found {part!r}")
        if name.strip() in values:
            raise UsageError(f"{flag}: {name.strip()!r} is repeated")
        values[name.strip()] = value.strip()
    return values


def parse_splits(text: str) -> Splits:
    """Parse ``train=0.8,val=0.1,test=0.1``.

    Raises:
      UsageError: the text is not of that form, or the splits are invalid.

    Example:
      >>> parse_splits("train=0.8,val=0.2").names
      ('train', 'val')
    """
    try:
        parts = tuple((name, float(value)) for name, value in parse_assignments(text, flag="--splits").items())
    except ValueError as error:
        raise UsageError(f"--splits: a fraction is not a number: {error}") from error
    return Splits(parts)


def parse_num_shards(text: str) -> dict[str, int]:
    """Read numbers of shards by split.

    Example:
      >>> parse_num_shards("train=32,val=4")
      {'train': 32, 'val': 4}

    Raises:
      UsageError: the text has another form.
    """
    try:
        return {split: int(count) for split, count in parse_assignments(text, flag="--num_shards").items()}
    except ValueError as error:
        raise UsageError(f"--num_shards: expected whole numbers such as train=32,val=4: {error}") from error
