"""Photographs that lie in several splits, as the same file or nearly the same: they make a model look too good.

Equal files are told by their SHA-256, alike pictures by a difference hash. The frames of a camera that does not move
resemble each other for days, so how many pictures of a split have a twin in training says more than any list of pairs.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Hashes that differ in so many of their 64 bits, or fewer, count as of one picture. Of the 364 photographs of BCCD each
# changes by 0 to 4 bits when saved at half the size or as JPEG of quality 20, and any two, but for one pair of twins,
# differ by 12 or more. Random bits come so close once in 10^13 pairs.
MAX_NEAR_DISTANCE = 4

# Comparisons that are worth their time: 20 seconds on one core.
_MAX_COMPARISONS = 2 * 10**10
_Hashes = npt.NDArray[np.uint64]
_Numbers = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]


class ImageHashes(NamedTuple):
    """What tells a picture: its name and split, the SHA-256 of its file (32 bytes), and its difference hash.

    A perceptual_hash is None where no pixels were decoded. One of 0 is not compared either: every plain picture has it.
    """

    name: str
    split: str
    sha256: bytes
    perceptual_hash: int | None


@dataclass(frozen=True, kw_only=True)
class DuplicateGroup:
    """Equal files: how many, and (split, name) of the first of them by name."""

    images: int
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Groups of equal files: how many groups, how many images in all of them, and the first groups by name."""

    groups: int
    images: int
    examples: tuple[DuplicateGroup, ...]


@dataclass(frozen=True, kw_only=True)
class NearDuplicate:
    """A held-out image and the nearest in training, of several the first by name; distance in bits of 64."""

    name: str
    train_name: str
    distance: int


@dataclass(frozen=True, kw_only=True)
class SplitLeakage:
    """How much of a split is in training too.

    Attributes:
      split: its name; images: in it.
      exact: images whose very file is in training; near: others that have a near twin in training.
      examples: the first near ones, by name.
    """

    split: str
    images: int
    exact: int
    near: int
    examples: tuple[NearDuplicate, ...]


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """What the splits have in common.

    Attributes:
      images: all that were given; hashed: those of them whose perceptual_hash can be compared.
      within, across: equal files that lie in one split, in several.
      held_out: an entry for each split but training, by name.
      reach: hashes that differ in at most so many bits count as near: NEAR, or 0 where there are so many images
        that the search was cut short to equal hashes.
    """

    images: int
    hashed: int
    within: Duplicates
    across: Duplicates
    held_out: tuple[SplitLeakage, ...]
    reach: int


def find_leakage(
    prints: Iterable[ImageHashes], *, train: str = "train", examples: int = 20, max_comparisons: int = _MAX_COMPARISONS
) -> Leakage:
    """Finds equal files in all splits, and the held-out images that have a near twin in training.

    The order of the prints does not matter. Beside its name, an image takes about 200 bytes of memory.

    Args:
      prints: one of each image; names are unique.
      train: the split that is trained on; all others are held out.
      examples: the most groups, members of a group, and twins of a split that are named.
      max_comparisons: comparisons of hashes; where more would be needed, only equal hashes count as near.
    """
    table = _Table(prints)
    held = table.splits != table.split_names.get(train, -1)
    known = np.isin(table.files, table.files[~held])
    comparable = table.hashes != 0
    asked, seen = np.flatnonzero(held & ~known & comparable), np.flatnonzero(~held & comparable)
    twins, reach = _find_near_duplicates(table.hashes, asked, seen, max_comparisons)
    spans = table.splits_of_files()
    return Leakage(
        images=len(table.names),
        hashed=int(np.count_nonzero(comparable)),
        within=_duplicates(table, spans == 1, examples),
        across=_duplicates(table, spans > 1, examples),
        held_out=tuple(
            _held_out(table, split, known, twins, examples) for split in table.split_names if split != train
        ),
        reach=reach,
    )


class _Table:
    """The prints as columns in the order of their names.

    Attributes:
      names: [N]; splits: [N], numbers by split_names; hashes: [N], 0 where there is none to compare.
      files: [N], numbers from 0 that are equal for equal files.
    """

    def __init__(self, prints: Iterable[ImageHashes]) -> None:
        names: list[str] = []
        splits: list[str] = []
        digests = bytearray()
        hashes = array("Q")
        for name, split, sha256, perceptual_hash in prints:
            names.append(name)
            splits.append(split)
            digests += sha256
            hashes.append(perceptual_hash or 0)
        by_name = sorted(range(len(names)), key=names.__getitem__)
        self.names = [names[row] for row in by_name]
        self.split_names = {split: number for number, split in enumerate(sorted(set(splits)))}
        self.splits = np.array([self.split_names[splits[row]] for row in by_name], np.int64)
        self.hashes = np.array(hashes, np.uint64)[by_name]
        self.files = _number_equal(np.frombuffer(bytes(digests), np.uint64).reshape(-1, 4))[by_name]

    def splits_of_files(self) -> _Numbers:
        """In how many splits each file lies."""
        count = max(len(self.split_names), 1)
        return np.bincount(np.unique(self.files * count + self.splits) // count)


@dataclass(frozen=True, kw_only=True)
class _NearDuplicates:
    """Rows of held-out images that have a near twin, in order; the twin's rows; distances in bits. All [K]."""

    rows: _Numbers
    train_rows: _Numbers
    distances: _Numbers


def _number_equal(digests: _Hashes) -> _Numbers:
    """Numbers from 0 [N] that are equal where rows of digests [N, 4] are."""
    order = np.lexsort(digests.T)
    ordered = digests[order]
    differs = (ordered[1:] != ordered[:-1]).any(axis=1)
    numbers = np.zeros(len(digests), np.int64)
    numbers[order[1:]] = np.cumsum(differs)
    return numbers


def _find_near_duplicates(hashes: _Hashes, asked: _Numbers, seen: _Numbers, most: int) -> tuple[_NearDuplicates, int]:
    """Twins of the rows asked [A] among the rows seen [S], and the reach: 0 for more than so many comparisons."""
    # The frames of one camera often have equal hashes, and each is compared once. The first row stands for all.
    firsts = seen[np.sort(np.unique(hashes[seen], return_index=True)[1])]
    values, back = np.unique(hashes[asked], return_inverse=True)
    whole = len(values) * len(firsts) <= most
    reach = MAX_NEAR_DISTANCE if whole else 0
    nearest, distances = (_nearest if whole else _equal)(values, hashes[firsts])
    near = distances[back] <= reach
    found = back[near]
    return _NearDuplicates(rows=asked[near], train_rows=firsts[nearest[found]], distances=distances[found]), reach


def _nearest(values: _Hashes, seen: _Hashes) -> tuple[_Numbers, _Numbers]:
    """The first position of the nearest in seen [S] for each of values [V], and its distance in bits."""
    nearest, distances = np.zeros(len(values), np.int64), np.full(len(values), 64)
    if not len(seen):
        return nearest, distances
    differing, bits = np.empty_like(seen), np.empty(len(seen), np.uint8)
    for row, value in enumerate(values):
        np.bitwise_xor(seen, value, out=differing)
        np.bitwise_count(differing, out=bits)
        nearest[row] = bits.argmin()
        distances[row] = bits[nearest[row]]
    return nearest, distances


def _equal(values: _Hashes, seen: _Hashes) -> tuple[_Numbers, _Numbers]:
    """As _nearest, but what is not equal counts as far away."""
    order = np.argsort(seen)
    positions = np.searchsorted(seen, values, sorter=order).clip(max=len(seen) - 1)
    nearest = order[positions]
    return nearest, np.where(seen[nearest] == values, 0, 64)


def _duplicates(table: _Table, chosen: _Mask, examples: int) -> Duplicates:
    """Of the files that are chosen [F], those that several images have."""
    several = chosen & (np.bincount(table.files) > 1)
    rows = np.flatnonzero(several[table.files])
    files = table.files[rows]
    numbers, firsts = np.unique(files, return_index=True)
    shown = (rows[files == number] for number in numbers[np.argsort(firsts)][:examples])
    return Duplicates(
        groups=len(numbers),
        images=len(rows),
        examples=tuple(_group(table, members, examples) for members in shown),
    )


def _group(table: _Table, rows: _Numbers, examples: int) -> DuplicateGroup:
    splits = list(table.split_names)
    members = tuple((splits[table.splits[row]], table.names[row]) for row in rows[:examples])
    return DuplicateGroup(images=len(rows), members=members)


def _held_out(table: _Table, split: str, known: _Mask, twins: _NearDuplicates, examples: int) -> SplitLeakage:
    inside = table.splits == table.split_names[split]
    (near,) = np.nonzero(inside[twins.rows])
    shown = zip(*(column[near[:examples]] for column in (twins.rows, twins.train_rows, twins.distances)), strict=True)
    return SplitLeakage(
        split=split,
        images=int(inside.sum()),
        exact=int((inside & known).sum()),
        near=len(near),
        examples=tuple(
            NearDuplicate(name=table.names[row], train_name=table.names[twin], distance=int(distance))
            for row, twin, distance in shown
        ),
    )
