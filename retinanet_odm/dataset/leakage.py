"""Leakage between splits: images that are in several splits, as equal files or near duplicates.

Such images make a model look better than it is. Begin with `find_leakage`. Equal files have equal SHA-256 digests; near
duplicates have difference hashes (`retinanet_odm.imaging.images.difference_hash`) that differ in few bits. The frames
of a fixed camera resemble each other for days, so the number of images of a split with a near duplicate in training
means more than a list of pairs.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# The largest number of different bits, of 64, between the hashes of near duplicates. The hashes of the 364 images of
# BCCD change by 0 to 4 bits when an image is saved at half the size or as JPEG of quality 20; those of different images
# differ by 12 bits or more, with the exception of one pair. Random hashes are this close once in 10^13 pairs.
MAX_NEAR_DISTANCE = 4

# The largest number of comparisons; they take 20 seconds on one core.
_MAX_COMPARISONS = 2 * 10**10
_Hashes = npt.NDArray[np.uint64]
_Numbers = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]


class ImageHashes(NamedTuple):
    """The hashes of one image: name, split, SHA-256 of its file (32 bytes) and perceptual hash.

    The perceptual hash is None if no pixels were decoded. A hash of 0 is not compared either: every image of a single
    colour has it.
    """

    name: str
    split: str
    sha256: bytes
    perceptual_hash: int | None


@dataclass(frozen=True, kw_only=True)
class DuplicateGroup:
    """A group of equal files: their number, and (split, name) of the first of them by name."""

    images: int
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """All groups of equal files: the number of groups, of images in them, and the first groups by name."""

    groups: int
    images: int
    examples: tuple[DuplicateGroup, ...]


@dataclass(frozen=True, kw_only=True)
class NearDuplicate:
    """A held-out image and the nearest training image (the first by name of several); distance in bits of 64."""

    name: str
    train_name: str
    distance: int


@dataclass(frozen=True, kw_only=True)
class SplitLeakage:
    """The part of a held-out split that is in training too.

    Attributes:
      split: its name.
      images: the number of its images.
      exact: the number of images whose file is in training too.
      near: the number of other images with a near duplicate in training.
      examples: the first near duplicates, by name.
    """

    split: str
    images: int
    exact: int
    near: int
    examples: tuple[NearDuplicate, ...]


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """The images that the splits have in common.

    Attributes:
      images: the number of all images.
      hashed: the number of images whose perceptual hash can be compared.
      within: equal files in one split.
      across: equal files in several splits.
      held_out: an entry for each split except training, by name.
      reach: the largest distance of near duplicates: MAX_NEAR_DISTANCE, or 0 if there are so many images that only
        equal hashes were searched.
    """

    images: int
    hashed: int
    within: Duplicates
    across: Duplicates
    held_out: tuple[SplitLeakage, ...]
    reach: int


def find_leakage(
    hashes: Iterable[ImageHashes], *, train: str = "train", examples: int = 20, max_comparisons: int = _MAX_COMPARISONS
) -> Leakage:
    """Find equal files in all splits, and held-out images with a near duplicate in training.

    The order of the hashes does not matter. An image takes about 200 bytes of memory beside its name.

    Args:
      hashes: one for each image; names are unique.
      train: the name of the training split; all others are held out.
      examples: the maximum number of groups, of members of a group, and of near duplicates of a split that are listed.
      max_comparisons: the maximum number of comparisons; if more were needed, only equal hashes count as near.
    """
    table = _Table(hashes)
    # Without a training split everything is held out, and nothing can leak into it.
    is_held_out = table.splits != table.split_names.get(train, -1)
    in_training = np.isin(table.files, table.files[~is_held_out])
    is_comparable = table.hashes != 0
    # Images whose file is in training count as exact duplicates, not as near ones.
    queries = np.flatnonzero(is_held_out & ~in_training & is_comparable)
    candidates = np.flatnonzero(~is_held_out & is_comparable)
    near, reach = _find_near_duplicates(table.hashes, queries, candidates, max_comparisons)
    splits_of_file = table.splits_of_files()
    return Leakage(
        images=len(table.names),
        hashed=int(np.count_nonzero(is_comparable)),
        within=_duplicates(table, splits_of_file == 1, examples),
        across=_duplicates(table, splits_of_file > 1, examples),
        held_out=tuple(
            _split_leakage(table, split, in_training, near, examples) for split in table.split_names if split != train
        ),
        reach=reach,
    )


class _Table:
    """The hashes as columns [N], in the order of the names.

    Attributes:
      names: of the images.
      splits: numbers, by split_names.
      hashes: perceptual hashes; 0 if there is none to compare.
      files: numbers from 0 that are equal for equal files.
    """

    def __init__(self, images: Iterable[ImageHashes]) -> None:
        # Compact columns while the images arrive: there may be millions.
        names: list[str] = []
        splits: list[str] = []
        digests = bytearray()
        hashes = array("Q")
        for name, split, sha256, perceptual_hash in images:
            names.append(name)
            splits.append(split)
            digests += sha256
            hashes.append(perceptual_hash or 0)
        by_name = sorted(range(len(names)), key=names.__getitem__)
        self.names = [names[row] for row in by_name]
        self.split_names = {split: number for number, split in enumerate(sorted(set(splits)))}
        self.splits = np.array([self.split_names[splits[row]] for row in by_name], np.int64)
        self.hashes = np.array(hashes, np.uint64)[by_name]
        # 32 bytes of SHA-256 are four uint64, which numpy compares faster than bytes.
        self.files = _number_equal(np.frombuffer(bytes(digests), np.uint64).reshape(-1, 4))[by_name]

    def splits_of_files(self) -> _Numbers:
        """Return the number of splits of each file, [files]."""
        # File and split in one number, so that one call of unique finds all pairs.
        count = max(len(self.split_names), 1)
        return np.bincount(np.unique(self.files * count + self.splits) // count)


@dataclass(frozen=True, kw_only=True)
class _NearDuplicates:
    """Rows of held-out images with a near duplicate, in order; rows of the duplicates; distances in bits. All [K]."""

    rows: _Numbers
    train_rows: _Numbers
    distances: _Numbers


def _number_equal(digests: _Hashes) -> _Numbers:
    """Return numbers from 0 [N] that are equal for equal rows of digests [N, 4]."""
    order = np.lexsort(digests.T)
    ordered = digests[order]
    differs = (ordered[1:] != ordered[:-1]).any(axis=1)
    numbers = np.zeros(len(digests), np.int64)
    # In sorted order the number grows by one wherever a row differs from the one before.
    numbers[order[1:]] = np.cumsum(differs)
    return numbers


def _find_near_duplicates(
    hashes: _Hashes, queries: _Numbers, candidates: _Numbers, max_comparisons: int
) -> tuple[_NearDuplicates, int]:
    """Return the near duplicates of rows queries [Q] among rows candidates [C], and the reach (see Leakage)."""
    # Frames of one camera often have equal hashes. Each hash is compared once, and its first row represents all.
    firsts = candidates[np.sort(np.unique(hashes[candidates], return_index=True)[1])]
    # `back` maps each query to its distinct hash, which is searched once.
    values, back = np.unique(hashes[queries], return_inverse=True)
    is_full_search = len(values) * len(firsts) <= max_comparisons
    reach = MAX_NEAR_DISTANCE if is_full_search else 0
    nearest, distances = (_nearest if is_full_search else _equal)(values, hashes[firsts])
    near = distances[back] <= reach
    found = back[near]
    return _NearDuplicates(rows=queries[near], train_rows=firsts[nearest[found]], distances=distances[found]), reach


def _nearest(values: _Hashes, candidates: _Hashes) -> tuple[_Numbers, _Numbers]:
    """Return the first position in candidates [C] of the nearest for each of values [V], and its distance in bits."""
    nearest, distances = np.zeros(len(values), np.int64), np.full(len(values), 64)
    if not len(candidates):
        return nearest, distances
    # Buffers that all values share: the search allocates nothing.
    differing, bits = np.empty_like(candidates), np.empty(len(candidates), np.uint8)
    for row, value in enumerate(values):
        np.bitwise_xor(candidates, value, out=differing)
        np.bitwise_count(differing, out=bits)
        nearest[row] = bits.argmin()
        distances[row] = bits[nearest[row]]
    return nearest, distances


def _equal(values: _Hashes, candidates: _Hashes) -> tuple[_Numbers, _Numbers]:
    """Find equal hashes only, as _nearest does; the distance of others is 64."""
    # Binary search in place of the comparison of all pairs: for data sets with millions of images.
    order = np.argsort(candidates)
    positions = np.searchsorted(candidates, values, sorter=order).clip(max=len(candidates) - 1)
    nearest = order[positions]
    return nearest, np.where(candidates[nearest] == values, 0, 64)


def _duplicates(table: _Table, chosen: _Mask, examples: int) -> Duplicates:
    """Group the images of the chosen files [F] that have more than one."""
    several = chosen & (np.bincount(table.files) > 1)
    rows = np.flatnonzero(several[table.files])
    files = table.files[rows]
    numbers, firsts = np.unique(files, return_index=True)
    listed = (rows[files == number] for number in numbers[np.argsort(firsts)][:examples])
    return Duplicates(
        groups=len(numbers),
        images=len(rows),
        examples=tuple(_group(table, members, examples) for members in listed),
    )


def _group(table: _Table, rows: _Numbers, examples: int) -> DuplicateGroup:
    splits = list(table.split_names)
    members = tuple((splits[table.splits[row]], table.names[row]) for row in rows[:examples])
    return DuplicateGroup(images=len(rows), members=members)


def _split_leakage(
    table: _Table, split: str, in_training: _Mask, found: _NearDuplicates, examples: int
) -> SplitLeakage:
    # Rows are in the order of the names, so the first ones are the first by name.
    in_split = table.splits == table.split_names[split]
    (near,) = np.nonzero(in_split[found.rows])
    listed = zip(*(column[near[:examples]] for column in (found.rows, found.train_rows, found.distances)), strict=True)
    return SplitLeakage(
        split=split,
        images=int(in_split.sum()),
        exact=int((in_split & in_training).sum()),
        near=len(near),
        examples=tuple(
            NearDuplicate(name=table.names[row], train_name=table.names[train_row], distance=int(distance))
            for row, train_row, distance in listed
        ),
    )
