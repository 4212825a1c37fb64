"""Chunks, the unit of work: images that lie side by side and are read together by one worker."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from inference.image_sources import tfrecords
from inference.image_sources.tfrecords import RecordLocation
from retinanet_odm.errors import DataError
from retinanet_odm.imaging.images import EncodedImage, ImageRule, normalise_image
from retinanet_odm.storage import files, tar_files, zip_files
from retinanet_odm.storage.file_names import looks_like_image
from retinanet_odm.storage.files import FileError
from retinanet_odm.storage.tar_files import TarMember
from retinanet_odm.storage.zip_files import ZipMember

_T = TypeVar("_T")

# A chunk is the unit of work of the job: large enough that opening an archive costs little per image, small enough that
# a short list still occupies every core.
FILES_PER_CHUNK = 16
MEMBERS_PER_CHUNK = 32
BYTES_PER_CHUNK = 8 * 2**20
# Number of archive members that one thread reads; see split_chunk.
_MEMBERS_PER_THREAD = 8


@dataclass(frozen=True, kw_only=True)
class FileChunk:
    """Single files."""

    names: tuple[str, ...]
    versions: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ZipChunk:
    """Adjacent members of a zip archive."""

    names: tuple[str, ...]
    versions: tuple[str, ...]
    path: str
    members: tuple[ZipMember, ...]


@dataclass(frozen=True, kw_only=True)
class TarChunk:
    """Adjacent members of an uncompressed tar archive."""

    names: tuple[str, ...]
    versions: tuple[str, ...]
    path: str
    members: tuple[TarMember, ...]


@dataclass(frozen=True, kw_only=True)
class StreamChunk:
    """Members of a tar.gz archive, which can only be read from its beginning, and their positions among its images."""

    names: tuple[str, ...]
    versions: tuple[str, ...]
    path: str
    positions: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class RecordChunk:
    """Adjacent records of a TFRecord file."""

    names: tuple[str, ...]
    versions: tuple[str, ...]
    path: str
    records: tuple[RecordLocation, ...]


# The tuples of a chunk are parallel: one entry for each image. `names` are those of the prediction rows. A version
# differs when the image has changed: size and modification time of a file, generation of an object on gs://, checksum
# and size of a zip member, digest of the image in a record. A tar archive has no checksums, so its members have the
# version of the archive.
Chunk: TypeAlias = FileChunk | ZipChunk | TarChunk | StreamChunk | RecordChunk


def select_images(chunk: Chunk, positions: Sequence[int]) -> Chunk:
    """Return a chunk of the images at these positions, in their order."""
    # All but the path are parallel tuples: see Chunk above.
    columns = [field.name for field in dataclasses.fields(chunk) if field.name != "path"]
    selected: dict[str, Any] = {
        column: tuple(getattr(chunk, column)[position] for position in positions) for column in columns
    }
    return dataclasses.replace(chunk, **selected)


def split_chunk(chunk: Chunk) -> list[Chunk]:
    """Split a chunk, in order, into parts that threads can read at the same time.

    A file is a part of its own: on gs:// it takes one request of some 50 ms, of which a thread only waits. Parts of an
    archive are larger, so that a request brings several members. A tar.gz archive cannot be split.
    """
    if isinstance(chunk, StreamChunk):
        return [chunk]
    # Every part opens its archive itself: threads must not share the position in an open file.
    size = 1 if isinstance(chunk, FileChunk) else _MEMBERS_PER_THREAD
    count = len(chunk.names)
    return [select_images(chunk, range(start, min(start + size, count))) for start in range(0, count, size)]


def read_chunk(chunk: Chunk) -> Iterator[tuple[str, bytes | DataError]]:
    """Yield name and bytes of each image, or the error raised while reading it."""
    return zip(chunk.names, _contents(chunk), strict=True)


def read_images(chunk: Chunk, rule: ImageRule) -> Iterator[tuple[str, EncodedImage | DataError]]:
    """Yield name and image of each image of a chunk, checked by the rule and turned upright, or the error."""
    return ((name, _normalise(data, name, rule)) for name, data in read_chunk(chunk))


def _normalise(data: bytes | DataError, name: str, rule: ImageRule) -> EncodedImage | DataError:
    if isinstance(data, DataError):
        return data
    try:
        return normalise_image(data, name=name, rule=rule)
    except DataError as error:
        return error


def _contents(chunk: Chunk) -> Iterable[bytes | DataError]:
    # Lazily: the caller decides how many images are in memory.
    # Each function yields one result for each name: bytes, or the error of that image alone.
    match chunk:
        case FileChunk():
            return map(_read_file, chunk.paths, chunk.versions)
        case ZipChunk():
            return zip_files.read_zip_members(chunk.path, chunk.members)
        case TarChunk():
            return tar_files.read_tar_members(chunk.path, chunk.members, version=chunk.versions[0])
        case StreamChunk():
            return _stream(chunk)
        case RecordChunk():
            return tfrecords.read_records(chunk.path, chunk.records)


def _stream(chunk: StreamChunk) -> Iterator[bytes | DataError]:
    # The stream has to be inflated up to the last wanted member; the others are skipped as they come.
    wanted = set(chunk.positions)
    contents = tar_files.stream_tar_members(chunk.path, looks_like_image, max(wanted) + 1, version=chunk.versions[0])
    return (data for position, data in enumerate(contents) if position in wanted)


def _read_file(path: str, version: str) -> bytes | DataError:
    try:
        return files.read_bytes(path, version=version)
    except FileError as error:
        return error


# --- Groups ---


def adjacent(members: Iterable[_T], size_of: Callable[[_T], int]) -> Iterator[list[_T]]:
    """Yield adjacent members in groups; each has a bounded number of members and of bytes."""
    group: list[_T] = []
    size = 0
    for member in members:
        if group and (len(group) == MEMBERS_PER_CHUNK or size + size_of(member) > BYTES_PER_CHUNK):
            yield group
            group, size = [], 0
        group.append(member)
        size += size_of(member)
    if group:
        yield group


def groups(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield the items in lists of this size; the last one may be shorter."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group
