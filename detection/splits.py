"""Stable splits: an image's split depends on its name alone, so adding data never moves an image."""

import hashlib
import re
from dataclasses import dataclass

from detection.errors import UsageError

# Salt, so that the split is independent of every other use of the name's hash (ids, order of records).
_SALT = "retinanet-odm split "
_NAME = re.compile(r"[a-z][a-z0-9_]*")


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
