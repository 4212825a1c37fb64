"""Subsets of images: nested ones, mixed as all of them, for a learning curve; and folds for cross-validation."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

# The salt makes the order independent of other uses of the name's hash (splits, ids, order of records).
_SALT = "retinanet-odm subset "

RULE = (
    "each subset contains the smaller ones; every deployment or split group has the same share of a subset as of all"
    " images, to within one image, and its own images follow each other by the hash of their names"
)


def nested_order(images: Sequence[str], groups: Sequence[str]) -> list[int]:
    """Return the rows of the images in the order in which they join: the first n of them are the subset of n images.

    It depends on nothing but the names. The images of a group of G stand at the shares (i + u) / G, i = 0 … G - 1, of
    the order, with one u in [0, 1) for each group (systematic sampling within strata, Cochran 1977, chapters 5A and 8),
    so that a part of the order has its share of each group.

    Args:
      images: Their names, each once.
      groups: The group of each image; "" is a group like others.

    Example:
      >>> order = nested_order(["a1", "a2", "a3", "a4", "b1", "b2"], ["a", "a", "a", "a", "b", "b"])
      >>> sorted(Counter("aaaabb"[row] for row in order[:3]).items())
      [('a', 2), ('b', 1)]
    """
    sizes = Counter(groups)
    by_group: dict[str, list[int]] = defaultdict(list)
    for row in sorted(range(len(images)), key=lambda row: _hash(images[row])):
        by_group[groups[row]].append(row)
    places = {
        row: (index + _hash(f"group {group}")) / sizes[group]
        for group, rows in by_group.items()
        for index, row in enumerate(rows)
    }
    return sorted(places, key=lambda row: (places[row], images[row]))


def assign_folds(groups: Sequence[str], folds: int) -> list[int]:
    """Return the fold 0 … folds - 1 of each image; the images of a group are in one fold.

    The groups join in the order of the hash of their names, each the fold that has the fewest images until then, so
    that folds are of about equal size. A fold is empty only if there are fewer groups than folds.

    Args:
      groups: The group of each image.
      folds: Their number.

    Example:
      >>> assign_folds(["a", "b", "c", "a", "d"], 2)
      [0, 0, 1, 0, 1]
    """
    sizes = Counter(groups)
    images = [0] * folds
    fold_of: dict[str, int] = {}
    for group in sorted(sizes, key=lambda group: (_hash(f"fold {group}"), group)):
        fold_of[group] = images.index(min(images))
        images[fold_of[group]] += sizes[group]
    return [fold_of[group] for group in groups]


def join_groups(groups: Sequence[str], digests: Sequence[bytes]) -> list[str]:
    """Return the groups of images, joined where equal images are in several of them: the first name stands for all.

    Args:
      groups: The group of each image.
      digests: Of each image; equal ones for equal images.

    Example:
      >>> join_groups(["a", "b", "c", "b"], [b"1", b"2", b"1", b"3"])
      ['a', 'b', 'a', 'b']
    """
    above = {group: group for group in groups}

    def top(group: str) -> str:
        while above[group] != group:
            group = above[group]
        return group

    first: dict[bytes, str] = {}
    for group, digest in zip(groups, digests, strict=True):
        here, there = top(group), top(first.setdefault(digest, group))
        above[max(here, there)] = min(here, there)
    return [top(group) for group in groups]


def _hash(text: str) -> float:
    """Return a number in [0, 1) that looks random."""
    digest = hashlib.sha256((_SALT + text).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
