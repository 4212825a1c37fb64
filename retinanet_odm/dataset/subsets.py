"""Nested subsets of images, mixed as all of them: the order in which a learning curve takes images."""

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


def _hash(text: str) -> float:
    """Return a number in [0, 1) that looks random."""
    digest = hashlib.sha256((_SALT + text).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
