"""Files of every system but this machine's own, by Beam's FileSystems; gs:// is listed, and read whole, by ``gcs``.

What goes wrong is an OSError, as for a local file. Beam takes more than a second to import: only who names such a file
pays for it.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileSystem
from apache_beam.io.filesystems import FileSystems

from beamio import gcs
from beamio.patterns import WILDCARD, escape

GCS = "gs://"


def list_files(pattern: str, limit: int | None) -> Iterator[tuple[str, str]]:
    """(path, version) of the files that a pattern matches, sorted by path; see beamio.files.list_files.

    Raises:
      OSError: they cannot be listed.
      re.error: no pattern.
    """
    return _list_objects(pattern) if pattern.startswith(GCS) else _match(pattern, limit)


def _match(pattern: str, limit: int | None) -> Iterator[tuple[str, str]]:
    with _os_errors():
        found = FileSystems.match([pattern], limits=[limit])[0].metadata_list
    for entry in sorted(found, key=lambda entry: entry.path):
        yield entry.path, f"{entry.size_in_bytes}-{entry.last_updated_in_seconds!r}"


def _list_objects(pattern: str) -> Iterator[tuple[str, str]]:
    """As Beam matches them, but without the empty objects, named with a slash at their end, that stand for folders."""
    pattern += "*" if pattern.endswith("/") else ""
    prefix = WILDCARD.split(pattern, maxsplit=1)[0]
    accepts = re.compile(FileSystem.translate_pattern(pattern)).match
    # A name in full is the first of those that begin with it; millions may follow.
    for path, generation in gcs.list_objects(prefix, limit=1 if prefix == pattern else None):
        if accepts(path) and not path.endswith("/"):
            yield path, generation


def exists(path: str) -> bool:
    with _os_errors():
        return bool(FileSystems.exists(path))


def open_file(path: str) -> BinaryIO:
    """The file as it is stored."""
    with _os_errors():
        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def create(path: str) -> BinaryIO:
    """A new file, or one in the place of an old one; it is there once it is closed."""
    with _os_errors():
        return FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)


def rename(source: str, target: str) -> None:
    with _os_errors():
        FileSystems.rename([source], [target])


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
