"""Files of every system but this machine's own and gs://, by Beam's FileSystems.

What goes wrong is an OSError, as for a local file. Beam takes more than a second to import: only who names such a file
pays for it.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beamio.patterns import escape, temporary_name


def list_files(pattern: str, limit: int | None) -> Iterator[tuple[str, str, int]]:
    """(path, version, size) of the files that a pattern matches, sorted by path; see beamio.files.list_files.

    Raises:
      OSError: they cannot be listed.
    """
    with _os_errors():
        found = FileSystems.match([pattern], limits=[limit])[0].metadata_list
    for entry in sorted(found, key=lambda entry: entry.path):
        yield entry.path, f"{entry.size_in_bytes}-{entry.last_updated_in_seconds!r}", entry.size_in_bytes


def exists(path: str) -> bool:
    with _os_errors():
        return bool(FileSystems.exists(path))


def open_file(path: str, version: str = "") -> BinaryIO:  # noqa: ARG001 - Beam cannot ask for one
    """The file as it is stored."""
    with _os_errors():
        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


@contextlib.contextmanager
def write(path: str) -> Iterator[BinaryIO]:
    """A new file, or one in the place of an old one, that appears when the body has ended."""
    temporary = temporary_name(path)
    try:
        with _os_errors():
            file = FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED)
        with file:
            yield file
        with _os_errors():
            FileSystems.rename([temporary], [path])
    except BaseException:
        with contextlib.suppress(OSError):
            delete([temporary])
        raise


def delete(paths: Sequence[str]) -> None:
    """Deletes files; an absent one is no error."""
    with _os_errors():
        present = [path for path in paths if FileSystems.exists(path)]
        if present:
            FileSystems.delete([escape(path) for path in present])  # Beam takes them for patterns


def make_folder(path: str) -> None:
    """Makes a folder where the system has some; one that exists is no error."""
    with _os_errors():
        if not FileSystems.exists(path):
            FileSystems.mkdirs(path)


@contextlib.contextmanager
def _os_errors() -> Iterator[None]:
    try:
        yield
    except (BeamIOError, ValueError) as error:  # ValueError: Beam knows no such scheme
        raise OSError(str(error)) from error
