"""Stable splits: an image's split depends on its name alone, so adding data never moves an image.

The name decides by way of its group (the deployment and day of a camera's frame, what a regular expression finds in
the name, by default the name itself), or a list that somebody gives decides.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from retinanet_odm.csv_tables import parse_table
from retinanet_odm.dataset.frame_names import parse_frame_name
from retinanet_odm.errors import ContractError, DataError, UsageError

# Salt, so that the split is independent of every other use of the name's hash (ids, order of records).
_SALT = "retinanet-odm split "
_NAME = re.compile(r"[a-z][a-z0-9_]*")

DEPLOYMENT_DAY = "deployment+day"


class SplitError(DataError):
    """An image belongs to no split."""


@dataclass(frozen=True)
class Splits:
    """Names and fractions of the splits, in order; the fractions add up to 1.

    Raises:
      UsageError: a name is not lower-case letters, digits and _, a fraction is outside [0, 1], or the sum is not 1.
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
                raise UsageError(f"splits: the fraction of {name!r} must lie in [0, 1], found {fraction}")
        total = sum(fraction for _, fraction in self.fractions)
        if abs(total - 1) > 1e-6:
            raise UsageError(f"splits: the fractions must add up to 1, found {total:g}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.fractions)

    def split_of(self, group: str) -> str:
        """The split of a group of images (by default each image is a group of its own, named by the image)."""
        digest = hashlib.sha256((_SALT + group).encode("utf-8", "surrogateescape")).digest()
        position = int.from_bytes(digest[:8], "big") / 2**64
        edge = 0.0
        for name, fraction in self.fractions:
            edge += fraction
            if position < edge:
                return name
        # The fractions may add up to a hair under 1: the last split that is not empty takes the rest.
        return next(name for name, fraction in reversed(self.fractions) if fraction > 0)


@dataclass(frozen=True)
class GroupRule:
    """Which images must stay in one split: those of one group.

    Attributes:
      text: DEPLOYMENT_DAY, for names such as StaM_6701_NF_tripod_20161110_14_24_12.JPG; else a regular expression
        that is searched in the image's name (its path below the images' root). The group is what its capturing groups
        hold, or without any the whole match.

    Raises:
      UsageError: the regular expression is faulty, or matches the empty text, so that a name need hold no group.
    """

    text: str

    def __post_init__(self) -> None:
        try:
            matches_nothing = self._pattern.search("")
        except (re.error, OverflowError) as error:
            raise UsageError(f"--split_group: {self.text!r} is no regular expression: {error}") from error
        if matches_nothing:
            raise UsageError(f"--split_group: {self.text!r} matches the empty text: a name need hold no group")

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(self.text)

    def group_of(self, image: str) -> str:
        """The group of an image.

        Raises:
          SplitError: its name does not tell. It is no group of its own: its neighbours might be in another split.
        """
        group = self._deployment_day(image) if self.text == DEPLOYMENT_DAY else self._match(image)
        if group is None:
            detail = f"{image}: expected a name in which --split_group={self.text} finds a group, found none"
            raise SplitError("no_split_group", detail)
        return group

    def _deployment_day(self, image: str) -> str | None:
        frame = parse_frame_name(image)
        return f"{frame.deployment}+{frame.time:%Y%m%d}" if frame else None

    def _match(self, image: str) -> str | None:
        match = self._pattern.search(image)
        if match is None:
            return None
        parts = match.groups(default="") or (match[0],)
        return "+".join(parts) if any(parts) else None


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """Which split an image belongs to.

    Attributes:
      splits: names and fractions.
      group: what must stay together; None makes each image a group of its own.
      listed: split by image; where it is given it alone decides.
    """

    splits: Splits
    group: GroupRule | None = None
    listed: Mapping[str, str] | None = None

    def split_of(self, image: str) -> str:
        """The split of an image.

        Raises:
          SplitError: its name tells no group, or it is not in the list.
        """
        if self.listed is None:
            return self.splits.split_of(self.group.group_of(image) if self.group else image)
        if image not in self.listed:
            raise SplitError("not_in_split_list", f"{image}: no row of --split_from names it")
        return self.listed[image]


def parse_split_list(text: str, splits: Splits, *, source: str) -> dict[str, str]:
    """Reads the CSV of --split_from, columns image and split (others are skipped), into split by image.

    Raises:
      ContractError: not such a table, no image in it, an image twice, or a split that is not in splits; the message
        names file, line and image.
    """
    listed: dict[str, str] = {}
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
    """Reads ``train=0.8,val=0.2`` into a dict of text.

    Raises:
      UsageError: a part is not ``name=value``, or a name comes twice.
    """
    values: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UsageError(f"{flag}: expected name=value parts such as train=0.8,val=0.2; found {part!r}")
        if name.strip() in values:
            raise UsageError(f"{flag}: {name.strip()!r} is given twice")
        values[name.strip()] = value.strip()
    return values


def parse_splits(text: str) -> Splits:
    """Reads ``train=0.8,val=0.1,test=0.1``."""
    try:
        parts = tuple((name, float(value)) for name, value in parse_assignments(text, flag="--splits").items())
    except ValueError as error:
        raise UsageError(f"--splits: a fraction is not a number: {error}") from error
    return Splits(parts)
