"""Finds the names of YOLO's classes: in the file that the user names, or else in one beside the text files."""

import functools
import posixpath

from retinanet_odm.annotations.class_names import (
    CLASS_NAME_FILES,
    ClassNames,
    is_class_name_file,
    parse_class_names,
)
from retinanet_odm.storage import files
from retinanet_odm.storage.zip_files import ZipMember, list_zip_members, read_zip_member

_LEVELS = 3  # labels/train/a.txt: the names may be in train, in labels, or beside labels


def find_class_names(uri: str, named: str = "", zip_path: str = "") -> ClassNames:
    """Return the names of the classes of a text file; no names if there is no file with them.

    In a zip file, the names of the text's own folder count, or of the nearest one above it: they belong together.

    Args:
      uri: the text file.
      named: the file with the names, if the user has named one.
      zip_path: the zip file that holds the text; "" for a loose file.

    Raises:
      DataError: the file with the names cannot be read.
      UsageError: the zip file cannot be read.
    """
    if named:
        return _read(named)
    if zip_path:
        return _find_in_zip(zip_path, posixpath.dirname(uri.removeprefix(f"{zip_path}/")))
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


def _find_in_zip(zip_path: str, folder: str) -> ClassNames:
    by_folder = _list_zip(zip_path)
    while folder not in by_folder:
        if not folder:
            return ClassNames()
        folder = posixpath.dirname(folder)
    return _read_member(zip_path, by_folder[folder])


# A worker reads texts of many archives in turn.
@functools.lru_cache(maxsize=1000)
def _list_zip(zip_path: str) -> dict[str, ZipMember]:
    """Return files of class names by their folders; of several in a folder, the first of CLASS_NAME_FILES."""
    members = list_zip_members(zip_path, functools.partial(filter, is_class_name_file), flag="--annotations")
    by_name = {member.name: member for member in members}
    folders = {posixpath.dirname(name) for name in by_name}
    paths = (files.join(folder, name) for folder in folders for name in reversed(CLASS_NAME_FILES))
    return {posixpath.dirname(path): by_name[path] for path in paths if path in by_name}


@functools.lru_cache(maxsize=100)
def _read_member(zip_path: str, member: ZipMember) -> ClassNames:
    return parse_class_names(read_zip_member(zip_path, member), source=f"{zip_path}/{member.name}")
