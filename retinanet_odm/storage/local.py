"""Files of this machine. Patterns match as in Beam, but no file is skipped silently.

Beam's own listing omits broken links, names with a backslash, files behind links to folders, and folders that cannot be
read. Here the first three are listed, so that each of them becomes a row or a reject, and the last is an error.
"""

import contextlib
import os
import posixpath
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from retinanet_odm.storage.file_names import complete_pattern, literal_prefix, to_regex
from retinanet_odm.storage.file_system import ListedFile
from retinanet_odm.systems import folder_identity, folder_path

LOCK_FILE = ".retinanet-odm-lock"  # of `folder_lock`
# Between the final name and a random suffix; `final_name` reads it back, so that leftovers are recognised.
_TEMPORARY = ".tmp-"


class LocalFiles:
    """The local file system; implements `file_system.FileSystem`, whose docstrings describe the methods."""

    def list_files(self, pattern: str) -> Iterator[ListedFile]:
        """See FileSystem. Lists all files of the folders that the pattern names before it yields the first."""
        pattern = complete_pattern(pattern)
        prefix = literal_prefix(pattern)
        if prefix == pattern:
            # A broken link exists too: it must become a row, not vanish.
            found = [pattern] if os.path.lexists(pattern) and not Path(pattern).is_dir() else []
        else:
            found = sorted(_find_matches(posixpath.dirname(prefix), pattern))
        return map(_listed, found)

    def exists(self, path: str) -> bool:
        """See FileSystem."""
        return Path(path).exists()

    def is_file(self, path: str) -> bool:
        """See FileSystem."""
        return Path(path).is_file()

    def read_bytes(self, path: str, version: str) -> bytes:
        """See FileSystem."""
        with self.open_binary(path, version) as file:
            return file.read()

    def open_binary(self, path: str, _version: str) -> BinaryIO:
        """See FileSystem."""
        # Reading from a pipe would block until another process writes to it.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - Path is slow, and this is called for every file
            raise OSError("it is no regular file")
        return open(path, "rb")  # noqa: PTH123 - as above; the caller closes it

    @contextlib.contextmanager
    def write(self, path: str) -> Iterator[BinaryIO]:
        """See FileSystem. Creates missing folders."""
        # In the same folder, because a rename is atomic only within one file system.
        temporary = temporary_name(path)
        file = _create(temporary)
        try:
            with file:
                yield file
            os.replace(temporary, path)  # noqa: PTH105 - as in open_binary; rename would refuse an old file on Windows
        # Also for KeyboardInterrupt: nothing under a temporary name stays behind unless the process is killed.
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def delete(self, path: str) -> None:
        """See FileSystem."""
        Path(path).unlink(missing_ok=True)

    def make_folder(self, path: str) -> None:
        """See FileSystem."""
        Path(path).mkdir(parents=True, exist_ok=True)


def _create(path: str) -> BinaryIO:
    """Open a new file for writing, in a new folder if that is missing."""
    try:
        return open(path, "wb")  # noqa: PTH123 - as in open_binary
    except (FileNotFoundError, NotADirectoryError):
        # Only now, because it is rare: an export writes thousands of small files into each folder.
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return open(path, "wb")  # noqa: PTH123


def _find_matches(root: str, pattern: str) -> Iterator[str]:
    # Only as deep as the pattern can match: a folder may have millions of files further down.
    accepts = to_regex(pattern).match
    below = pattern.removeprefix(root).lstrip("/")
    levels = None if "**" in pattern else below.count("/") + 1
    start = folder_path(root)
    if Path(start).is_dir():
        for path in _walk(start, levels, above=()):
            name = path if root else path.removeprefix("./")
            if accepts(name):
                yield name


def _walk(folder: str, levels: int | None, above: tuple[object, ...]) -> Iterator[str]:
    """Yield the paths of all files below a folder, at most `levels` levels down.

    Does not follow a link back to one of the folders `above`, which are those of `folder_identity`.
    """
    if levels == 0:
        return
    here = folder_identity(folder)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            path = posixpath.join(folder, entry.name)
            # True for links to folders as well; `above` keeps the walk from going round in circles.
            if entry.is_dir():
                yield from _walk(path, levels and levels - 1, (*above, here))
            else:
                yield path


def _listed(path: str) -> ListedFile:
    try:
        status = os.stat(path)  # noqa: PTH116 - as in open_binary; of the file that a link points to
    except OSError:
        return ListedFile(path=path, version="", size=0)
    return ListedFile(path=path, version=f"{status.st_size}-{status.st_mtime!r}", size=status.st_size)


# --- Names of files that are still being written ---


def temporary_name(path: str) -> str:
    """Return a new name for a file that is still being written."""
    return f"{path}{_TEMPORARY}{uuid.uuid4().hex[:8]}"


def final_name(name: str) -> str:
    """Return the name that a temporary file would have got at the end; other names are returned unchanged.

    Example:
      >>> final_name("val.json.tmp-0a1b2c3d"), final_name("val.json")
      ('val.json', 'val.json')
    """
    return name.partition(_TEMPORARY)[0]
