"""Finds the names of YOLO's classes: in the file that the user names, or else in one beside the text files."""

import functools
import posixpath

from retinanet_odm.annotations.class_names import CLASS_NAME_FILES, ClassNames, parse_class_names
from retinanet_odm.storage import files

_LEVELS = 3  # labels/train/a.txt: the names may be in train, in labels, or beside labels


def find_class_names(uri: str, named: str = "") -> ClassNames:
    """Return the names of the classes of a text file; no names if there is no file with them.

    Args:
      uri: the text file.
      named: the file with the names, if the user has named one.

    Raises:
      DataError: the file with the names cannot be read.
    """
    if named:
        return _read(named)
    folder = posixpath.dirname(uri)
    for _ in range(_LEVELS):
        if found := _names_in(folder or "."):
            return _read(found)
        folder = posixpath.dirname(folder)
    return ClassNames()


# Cached per process: a folder has thousands of text files. Two threads may read a file twice, with the same result.
@functools.lru_cache(maxsize=1000)
def _names_in(folder: str) -> str:
    return next((path for name in CLASS_NAME_FILES if files.exists(path := files.join(folder, name))), "")


@functools.lru_cache(maxsize=100)
def _read(path: str) -> ClassNames:
    return parse_class_names(files.read_bytes(path), source=path)
