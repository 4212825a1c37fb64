"""Files of this machine. Those that a pattern matches are as Beam matches them, but nothing is passed over in silence.

Beam's own listing leaves out links to nowhere, names with a backslash, what lies behind links to folders, and folders
that cannot be read. Here the first three are listed, so that each ends as a record or a reject, and the last is an
error.
"""

import contextlib
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from retinanet_odm.storage.glob_patterns import temporary_name, to_regex

_PREFIX = re.compile(r"[^*?\[]*")


def list_files(pattern: str, limit: int | None = None) -> Iterator[tuple[str, str, int]]:  # noqa: ARG001 - it costs nothing
    """(path, version, size) of the files that a pattern matches, sorted by path; see retinanet_odm.storage.files.list_files.

    Raises:
      OSError: a folder cannot be read.
      re.error: no pattern.
    """
    pattern += "*" if pattern.endswith("/") else ""
    prefix = _PREFIX.match(pattern)[0]  # type: ignore[index]  # it matches everything
    if prefix == pattern:
        found = [pattern] if os.path.lexists(pattern) and not Path(pattern).is_dir() else []
    else:
        found = sorted(_below(posixpath.dirname(prefix), pattern))
    for path in found:
        yield path, *_version(path)


def _below(root: str, pattern: str) -> Iterator[str]:
    accepts = to_regex(pattern).match
    below = pattern.removeprefix(root).lstrip("/")
    levels = None if "**" in pattern else below.count("/") + 1
    start = root or "."
    if Path(start).is_dir():
        for path in _walk(start, levels, above=()):
            name = path if root else path.removeprefix("./")
            if accepts(name):
                yield name


def _walk(folder: str, levels: int | None, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """Paths of all files below a folder, at most so many levels down; a link back to a folder above is not followed."""
    if levels == 0:
        return
    status = Path(folder).stat()
    here = status.st_dev, status.st_ino
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            path = posixpath.join(folder, entry.name)
            if entry.is_dir():
                yield from _walk(path, levels and levels - 1, (*above, here))
            else:
                yield path


def _version(path: str) -> tuple[str, int]:
    """Size and time of change, and the size; of a link, those of its file, if there is one."""
    try:
        status = Path(path).stat()
    except OSError:
        return "", 0
    return f"{status.st_size}-{status.st_mtime!r}", status.st_size


def exists(path: str) -> bool:
    return Path(path).exists()


def open_file(path: str, version: str = "") -> BinaryIO:  # noqa: ARG001 - it would cost to look
    """The file as it is stored."""
    return Path(path).open("rb")


@contextlib.contextmanager
def write(path: str) -> Iterator[BinaryIO]:
    """A file, new or in the place of an old one, that appears when the body has ended; folders above it are made."""
    temporary = Path(temporary_name(path))
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def delete(paths: Sequence[str]) -> None:
    """Deletes files; an absent one is no error."""
    for path in paths:
        Path(path).unlink(missing_ok=True)


def make_folder(path: str) -> None:
    """Makes a folder and those above it; one that exists is no error."""
    Path(path).mkdir(parents=True, exist_ok=True)
