"""Members of the zip files that hold one file for each image: their names, and how they are added."""

import itertools
import zipfile
from collections.abc import Iterator

from retinanet_odm.storage.file_names import safe_path, without_extension


def add_member(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a compressed member; equal rows make equal bytes."""
    archive.writestr(member_info(name), data)


def member_info(name: str) -> zipfile.ZipInfo:
    """Return what begins a compressed member; equal rows make equal bytes."""
    # ZipInfo's default date, 1980, and not today's.
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def free_name(archive: zipfile.ZipFile, image: str, folder: str, suffix: str) -> str:
    """Return the name of the file of an image: the first of _names that the archive does not have yet.

    Two images may differ only in what a file name cannot hold, or in their extension.
    """
    names = (folder + name + suffix for name in _names(safe_path(image) or "image"))
    return next(name for name in names if name not in archive.NameToInfo)


def _names(path: str) -> Iterator[str]:
    """Yield the path without its extension; with it, for a.png beside a.jpg; then numbered."""
    yield without_extension(path)
    yield path
    for number in itertools.count(2):
        yield f"{path}#{number}"
