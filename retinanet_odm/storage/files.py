"""Files by the same calls wherever they are: on this machine (``local``) or gs:// (``gcs``)."""

import contextlib
import hashlib
import itertools
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.storage import local
from retinanet_odm.storage.gcs_client import GenerationChangedError, StorageUnavailableError
from retinanet_odm.storage.glob_patterns import escape_glob, final_name, root_of

# And all that is defined here: callers need not know where a path is taken apart.
__all__ = ["escape_glob", "final_name", "root_of"]
_GCS = "gs://"
_PIECE = 2**20  # bytes read at a time
# The file by which a folder is tried; a killed program may leave it behind.
PROBE = ".retinanet-odm-probe"


class FileError(DataError):
    """A file that was listed cannot be read."""


@dataclass(frozen=True, kw_only=True)
class ListedFile:
    """A file that a pattern matched.

    Attributes:
      path: the file.
      version: another one when the file has changed: size in bytes and time of change in seconds, joined by a dash; for
        gs:// the object's generation.
      size: in bytes; 0 for a link to nowhere.
    """

    path: str
    version: str
    size: int


def _system(path: str) -> ModuleType:
    """``local`` or ``gcs``, which have the same functions.

    Raises:
      UsageError: the path has a scheme that neither reads.
    """
    if "://" not in path:
        return local
    if not path.startswith(_GCS):
        raise UsageError(f"{path}: expected a local path or gs://; mount other storage as a folder")
    # Google's client takes part of a second to import: only who names such a file pays for it.
    from retinanet_odm.storage import gcs

    return gcs


def check_matches(patterns: Sequence[str], *, flag: str) -> None:
    """Raises UsageError when a pattern matches no file: a mistyped path must end the job before it starts."""
    for pattern in patterns:
        if not next(iter_matches(pattern, limit=1), None):
            folder = root_of(pattern)
            present = Path(folder).is_dir() or is_folder(folder)
            missing = "" if present else f" (there is no folder {folder})"
            raise UsageError(f"{flag}: expected at least one file, found none that matches {pattern}{missing}")


def iter_matches(pattern: str, limit: int | None = None) -> Iterator[str]:
    """Paths of the files that a pattern matches, sorted; see list_files."""
    return (file.path for file in list_files(pattern, limit=limit))


def list_files(pattern: str, *, limit: int | None = None) -> Iterator[ListedFile]:
    """The files that a pattern matches, sorted by path.

    Args:
      pattern: a path where ``*``, ``?`` and ``[...]`` stand for any characters of one name, ``**`` for any at all.
      limit: of their number; None for all.

    Raises:
      UsageError: they cannot be listed.
    """
    with _listing(pattern):
        for path, version, size in itertools.islice(_system(pattern).list_files(pattern, limit), limit):
            yield ListedFile(path=path, version=version, size=size)


@contextlib.contextmanager
def _listing(pattern: str) -> Iterator[None]:
    try:
        yield
    except (OSError, re.error) as error:
        raise UsageError(f"cannot list {pattern}: {error}") from error


def name_below(root: str, path: str) -> str:
    """The path of a file relative to a folder that holds it."""
    return path.removeprefix(root).lstrip("/")


def join(folder: str, *names: str) -> str:
    return posixpath.join(folder, *names)


def is_folder(path: str) -> bool:
    """Whether path names a folder: something lies below it (object stores have no folders of their own)."""
    if "://" not in path and not Path(path).is_dir():
        return False  # a whole tree need not be listed to say so
    with _listing(path):
        return bool(next(_system(path).list_files(posixpath.join(escape_glob(path), "**"), 1), None))


def is_file(path: str) -> bool:
    """Whether a file, or an object of an object store, has exactly this name."""
    return exists(path) if "://" in path else Path(path).is_file()


def exists(path: str) -> bool:
    """Whether a file or a local folder has exactly this name.

    Raises:
      UsageError: the storage cannot tell.
    """
    try:
        return _system(path).exists(path)
    except OSError as error:
        raise UsageError(f"cannot look for {path}: {error}") from error


@contextlib.contextmanager
def open_binary(path: str, *, version: str = "") -> Iterator[BinaryIO]:
    """A file as it is stored, open for reading and seeking; an object of gs:// stays of one generation.

    Args:
      path: the file.
      version: as in read_bytes.

    Raises:
      FileError: it cannot be opened, or the body of the with statement met an OSError while it read.
      UsageError: no file of that storage can be read now.
    """
    if "://" not in path and Path(path).exists() and not Path(path).is_file():
        # Reading a pipe would wait for somebody to write into it.
        raise FileError("file_not_readable", f"{path}: cannot be read: it is no regular file")
    try:
        with _system(path).open_file(path, version) as file:
            yield file
    except OSError as error:
        raise _unreadable(path, error) from error


def read_bytes(path: str, *, version: str = "") -> bytes:
    """The whole file as it is stored.

    Args:
      path: the file.
      version: as it was listed; "" for whatever there is now. It is only looked at for gs://, where that costs nothing.

    Raises:
      FileError: it cannot be read; reason "file_changed" where it is not of that version.
      UsageError: no file of that storage can be read now.
    """
    if not path.startswith(_GCS):
        with open_binary(path) as file:
            return file.read()
    from retinanet_odm.storage import gcs  # as in _system

    try:
        return gcs.read_object(path, generation=version)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> Exception:
    """Whose fault it is: the file's, which ends as a record, or the storage's, which ends the job."""
    if isinstance(error, StorageUnavailableError):
        return UsageError(f"{path}: cannot be read: {error}")
    if isinstance(error, GenerationChangedError):
        return FileError("file_changed", f"{path}: has changed since it was listed: {error}")
    return FileError("file_not_readable", f"{path}: cannot be read: {error}")


def find_digest(path: str) -> str | None:
    """Hex SHA-256 of a file's bytes; None where there is no such file.

    Raises:
      FileError: it cannot be read.
    """
    if not is_file(path):
        return None
    digest = hashlib.sha256()
    with open_binary(path) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def read_text(path: str, *, flag: str) -> str:
    """A small UTF-8 file that the user named by a flag.

    Raises:
      UsageError: it cannot be read or is no UTF-8 text.
    """
    try:
        return read_bytes(path).decode()
    except FileError as error:
        raise UsageError(f"{flag}: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{flag}: {path}: expected UTF-8 text: {error}") from error


@contextlib.contextmanager
def write_atomic(path: str) -> Iterator[BinaryIO]:
    """A file that appears under its name only when it is whole; a failure leaves nothing under that name.

    Raises:
      UsageError: it cannot be written, for want of space or of a permission; for gs:// also if another program wrote
        it meanwhile.
    """
    try:
        with _system(path).write(path) as file:
            yield file
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error}") from error


def write_pieces(path: str, pieces: Iterable[bytes]) -> str:
    """Writes a whole file atomically, piece by piece; returns the hex SHA-256 of its bytes."""
    digest = hashlib.sha256()
    with write_atomic(path) as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def read_written_text(path: str) -> str:
    """Inverse of write_text: names of files in the text need not be valid UTF-8.

    Raises:
      FileError: it cannot be read.
    """
    return read_bytes(path).decode("utf-8", "surrogateescape")


def write_text(path: str, text: str) -> None:
    """Writes a whole UTF-8 file atomically."""
    with write_atomic(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def make_folder(path: str) -> None:
    """Makes a folder and those above it, unless it exists, and tries whether it can be written to.

    Raises:
      UsageError: a file has that name, or the folder cannot be made or written to.
    """
    if Path(path).is_file():  # never so for gs://, where a folder is but a prefix
        raise UsageError(f"cannot write to the folder {path}: a file has that name")
    probe = join(path, PROBE)
    try:
        system = _system(path)
        system.make_folder(path)
        with system.write(probe):
            pass
        system.delete([probe])
    except OSError as error:
        raise UsageError(f"cannot write to the folder {path}: {error}") from error


def list_names(folder: str) -> list[str]:
    """Names of the files directly in a folder, sorted; empty where the folder does not exist."""
    return [posixpath.basename(path) for path in iter_matches(posixpath.join(escape_glob(folder), "*"))]


def delete(paths: Sequence[str]) -> None:
    """Deletes files; an absent one is no error."""
    for system, group in itertools.groupby(paths, _system):
        system.delete(list(group))
