"""What zip and tar archives have in common: the error, and the rules for the names of members.

A member's name is only a name: nothing is unpacked, so ``../a.jpg`` is harmless.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import TypeVar

from retinanet_odm.errors import DataError

_Member = TypeVar("_Member")

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")


class ArchiveError(DataError):
    """One member of an archive cannot be read."""


def looks_like_image(name: str) -> bool:
    """Returns whether a path below a folder or in an archive is that of an image, judged by its name.

    Example:
      >>> looks_like_image("dive 1/a.JPG"), looks_like_image(".thumbs/a.jpg")
      (True, False)
    """
    return has_image_suffix(name) and not is_hidden(name)


def has_image_suffix(name: str) -> bool:
    """Returns whether a name ends like that of an image, in any case."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_hidden(name: str) -> bool:
    """Returns whether a path is a hidden file, in a hidden folder, or in the ``__MACOSX/`` folder of macOS."""
    parts = PurePosixPath(name).parts
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts)


def with_unique_names(members: Iterable[_Member], name_of: Callable[[_Member], str]) -> Iterator[tuple[str, _Member]]:
    """Yields the members of an archive with their names; a name that was used before gets a number.

    Example:
      >>> [name for name, _ in with_unique_names(["a.jpg", "b.jpg", "a.jpg"], str)]
      ['a.jpg', 'b.jpg', 'a.jpg#2']
    """
    # The names used so far, and not only the number of repetitions: an archive may itself contain "a.jpg#2".
    used: set[str] = set()
    numbers: dict[str, Iterator[int]] = {}
    for member in members:
        unique = name = name_of(member)
        while unique in used:
            unique = f"{name}#{next(numbers.setdefault(name, itertools.count(2)))}"
        used.add(unique)
        yield unique, member
