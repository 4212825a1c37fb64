"""The interface that every storage implements, so that `files` can treat all of them alike."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol


class GenerationChangedError(OSError):
    """An object does not have the expected generation."""


class StorageUnavailableError(OSError):
    """The storage does not answer or rejects the credentials, so no object of it can be read."""


@dataclass(frozen=True, kw_only=True)
class ListedFile:
    """A file that matches a pattern.

    Attributes:
      path: path or URI of the file.
      version: changes when the file changes: size in bytes and modification time in seconds, joined by a dash; for
        gs:// the generation of the object; "" for a broken link.
      size: size in bytes; 0 for a broken link.
    """

    path: str
    version: str
    size: int


class FileSystem(Protocol):
    """The files of one storage: `LocalFiles` or `GcsFiles`. Every method raises OSError for a failure."""

    def list_files(self, pattern: str) -> Iterator[ListedFile]:
        """Yield the files that match a pattern, sorted by path; raise re.error for an invalid pattern."""

    def exists(self, path: str) -> bool:
        """Return whether there is a file or a local folder of exactly this name."""

    def is_file(self, path: str) -> bool:
        """Return whether there is a file of exactly this name."""

    def read_bytes(self, path: str, version: str) -> bytes:
        """Return the content of a file; see `open_binary`."""

    def open_binary(self, path: str, version: str) -> BinaryIO:
        """Open a file for reading and seeking.

        Raises GenerationChangedError when an object of gs:// has another version; "" stands for any. Local files are
        not compared, because that would need another request.
        """

    def write(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Yield a file that appears under its name, replacing an old one, when the body ends without an error."""

    def delete(self, path: str) -> None:
        """Delete a file, if it exists."""

    def make_folder(self, path: str) -> None:
        """Create a folder and its parents, if they do not exist."""
