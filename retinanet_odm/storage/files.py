"""Files of this machine and of gs:// by the same functions. Begin here: other rooms read and write only by them.

A failure is one line: FileError rejects one file, UsageError ends the program. Writing is atomic: a file appears under
its name when it is complete.
"""

import contextlib
import functools
import hashlib
import io
import itertools
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.json_documents import parse_json_object
from retinanet_odm.storage.file_names import escape_glob, literal_names
from retinanet_odm.storage.file_system import FileSystem, GenerationChangedError, ListedFile, StorageUnavailableError
from retinanet_odm.storage.local import LocalFiles

# Written and deleted to test a folder; a killed program may leave it behind.
PROBE = ".retinanet-odm-probe"


class FileError(DataError):
    """A file cannot be read, though it was listed."""


def _file_system(path: str) -> FileSystem:
    """Return the storage of a path.

    Raises:
      UsageError: The path has a scheme that is not supported.
    """
    if "://" not in path:
        return LocalFiles()
    if not path.startswith("gs://"):
        raise UsageError(f"{path}: expected a local path or gs://; mount other storage as a folder")
    return _gcs_files()


@functools.cache
def _gcs_files() -> FileSystem:
    # Google's client takes part of a second to import: only programs that name such a file wait for it.
    from retinanet_odm.storage.gcs import GcsFiles

    return GcsFiles()


# --- Listing. Missing files must end a program before it starts, so all errors are UsageErrors ---


def list_files(pattern: str, *, limit: int | None = None) -> Iterator[ListedFile]:
    """Yield the files that match a pattern `as_written`, sorted by path.

    Args:
      pattern: A path where ``*``, ``?`` and ``[...]`` match characters of one name, ``**`` matches across folders.
      limit: The maximum number of files; None for all.

    Raises:
      UsageError: They cannot be listed.
    """
    with _usage_errors(f"cannot list {pattern}", (OSError, re.error)):
        yield from itertools.islice(_file_system(pattern).list_files(as_written(pattern)), limit)


@contextlib.contextmanager
def _usage_errors(message: str, errors: tuple[type[Exception], ...] = (OSError,)) -> Iterator[None]:
    """Turn errors into a UsageError that begins with a message."""
    try:
        yield
    except errors as error:
        raise UsageError(f"{message}: {error}") from error


def iter_matches(pattern: str, limit: int | None = None) -> Iterator[str]:
    """Yield the paths of the files that match a pattern, sorted; see `list_files`."""
    return (file.path for file in list_files(pattern, limit=limit))


def as_written(pattern: str) -> str:
    """Return a pattern in which the names of files and folders that exist are taken literally (`literal_names`)."""
    return literal_names(pattern, lambda path: is_file(path) or is_folder(path))


def list_names(folder: str) -> list[str]:
    """Return the names of the files directly in a folder, sorted; empty if the folder does not exist."""
    return [posixpath.basename(path) for path in iter_matches(join(escape_glob(folder), "*"))]


def join(folder: str, *names: str) -> str:
    """Return a path below a folder, local or gs://."""
    return posixpath.join(folder, *names)


def is_folder(path: str) -> bool:
    """Return whether a path is a folder that holds something (object stores have no empty folders)."""
    if "://" not in path and not Path(path).is_dir():
        return False  # saves listing the whole tree
    with _usage_errors(f"cannot list {path}"):
        return any(True for _ in _file_system(path).list_files(join(escape_glob(path), "**")))


def is_file(path: str) -> bool:
    """Return whether there is a file or an object of exactly this name.

    Raises:
      UsageError: The storage does not answer.
    """
    with _usage_errors(f"cannot look for {path}"):
        return _file_system(path).is_file(path)


def exists(path: str) -> bool:
    """Return whether there is a file, an object or a local folder of exactly this name.

    Raises:
      UsageError: The storage does not answer.
    """
    with _usage_errors(f"cannot look for {path}"):
        return _file_system(path).exists(path)


# --- Reading. One bad file must not end a job, so its error is a DataError ---


@contextlib.contextmanager
def open_binary(path: str, *, version: str = "") -> Iterator[BinaryIO]:
    """Open a stored file for reading and seeking; all reads see the same generation of an object of gs://.

    Args:
      path: The file.
      version: As in `read_bytes`.

    Raises:
      FileError: It cannot be opened, or the body of the with statement got an OSError while reading.
      UsageError: The storage does not answer.
    """
    with _reading(path), _file_system(path).open_binary(path, version) as file:
        yield file


def read_bytes(path: str, *, version: str = "") -> bytes:
    """Return the content of a file.

    Args:
      path: The file.
      version: The version that was listed, or "" for any. Only gs:// compares it, because there it needs no request.

    Raises:
      FileError: It cannot be read; the reason is "file_changed" if it has another version.
      UsageError: The storage does not answer.
    """
    with _reading(path):
        return _file_system(path).read_bytes(path, version)


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    """Classify a read error: a FileError rejects one file, an unavailable storage ends the program."""
    # The distinction matters: otherwise an outage of the storage would reject every image instead of ending the job.
    try:
        yield
    except StorageUnavailableError as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    except GenerationChangedError as error:
        raise FileError("file_changed", f"{path}: has changed since it was listed: {error}") from error
    except OSError as error:
        raise FileError("file_not_readable", f"{path}: cannot be read: {error}") from error


def read_text(path: str, *, flag: str = "") -> str:
    """Return the content of a UTF-8 file that the user has named.

    Args:
      path: The file.
      flag: The flag that named it, for messages.

    Raises:
      UsageError: It cannot be read or is not UTF-8.
    """
    try:
        return read_bytes(path).decode()
    except FileError as error:
        raise UsageError(f"{_prefix(flag)}{error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{_prefix(flag)}{path}: expected UTF-8 text: {error}") from error


def _prefix(flag: str) -> str:
    return f"{flag}: " if flag else ""


def read_json(path: str, *, flag: str = "") -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Args:
      path: The file.
      flag: As in `read_text`.

    Raises:
      UsageError: It cannot be read, or is not a JSON object.
    """
    return parse_json_object(read_text(path, flag=flag), source=path)


def read_written_text(path: str) -> str:
    """Return what `write_text` has written, including file names that are not valid UTF-8.

    Raises:
      FileError: It cannot be read.
    """
    return read_bytes(path).decode("utf-8", "surrogateescape")


def find_digest(path: str) -> str | None:
    """Return the hex SHA-256 of the content of a file; None if there is no such file.

    Raises:
      FileError: It cannot be read.
    """
    if not is_file(path):
        return None
    with open_binary(path) as file:
        return hashlib.file_digest(cast(io.BufferedReader, file), "sha256").hexdigest()


# --- Writing. All of it is atomic: a killed program leaves no half file under a final name ---


@contextlib.contextmanager
def write_atomic(path: str) -> Iterator[BinaryIO]:
    """Yield a file that appears under its name when the body ends; an error leaves nothing under that name.

    Raises:
      UsageError: It cannot be written. For gs:// also: another program has written it at the same time.
    """
    with _usage_errors(f"cannot write {path}"), _file_system(path).write(path) as file:
        yield file


def write_pieces(path: str, pieces: Iterable[bytes]) -> str:
    """Write a file atomically, piece by piece, and return the hex SHA-256 of its content."""
    digest = hashlib.sha256()
    with write_atomic(path) as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def write_text(path: str, text: str) -> str:
    """Write a UTF-8 file atomically, and return its hex SHA-256. File names in it need not be valid UTF-8."""
    return write_pieces(path, (text.encode("utf-8", "surrogateescape"),))


def make_folder(path: str, *, flag: str = "") -> None:
    """Create a folder and its parents, if they do not exist, and check that it is writable.

    Args:
      path: The folder.
      flag: The flag that named it, for messages.

    Raises:
      UsageError: A file has that name, or the folder cannot be created or written to.
    """
    message = f"{_prefix(flag)}cannot write to the folder {path}"
    if Path(path).is_file():  # never true for gs://, where a folder is only a prefix
        raise UsageError(f"{message}: a file has that name")
    probe, file_system = join(path, PROBE), _file_system(path)
    with _usage_errors(message):
        file_system.make_folder(path)
        with file_system.write(probe):
            pass
        file_system.delete(probe)


def delete(paths: Sequence[str]) -> None:
    """Delete files in their order; skip those that do not exist.

    Raises:
      UsageError: One cannot be deleted.
    """
    for path in paths:
        with _usage_errors(f"cannot delete {path}"):
            _file_system(path).delete(path)
