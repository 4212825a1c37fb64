"""The unit of work: images that lie side by side and are read together, where the model runs."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from inference.image_sources import tfrecords
from inference.image_sources.tfrecords import RecordLocation
from retinanet_odm.errors import DataError
from retinanet_odm.imaging.images import EncodedImage, ImageRule, normalise_image
from retinanet_odm.storage import files, tar_files, zip_files
from retinanet_odm.storage.archives import looks_like_image
from retinanet_odm.storage.files import FileError
from retinanet_odm.storage.prefetch import map_ahead
from retinanet_odm.storage.tar_files import TarMember
from retinanet_odm.storage.zip_files import ZipMember


@dataclass(frozen=True, kw_only=True)
class FileChunk:
    """Loose images: their names in the rows, versions (see Chunk) and paths."""

    names: tuple[str, ...]
    versions: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ZipChunk:
    """Neighbouring members of one archive, their names in the rows and versions."""

    names: tuple[str, ...]
    versions: tuple[str, ...]
    path: str
    members: tuple[ZipMember, ...]


@dataclass(frozen=True, kw_only=True)
class TarChunk:
    """Neighbouring members of one plain tar archive, their names in the rows and versions."""

    names: tuple[str, ...]
    versions: tuple[str, ...]
    path: str
    members: tuple[TarMember, ...]


@dataclass(frozen=True, kw_only=True)
class StreamChunk:
    """Members of one packed tar archive, which can only be read from its beginning: names, versions, places in it."""

    names: tuple[str, ...]
    versions: tuple[str, ...]
    path: str
    places: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class RecordChunk:
    """Neighbouring records of one TFRecord file, their names in the rows and versions."""

    names: tuple[str, ...]
    versions: tuple[str, ...]
    path: str
    records: tuple[RecordLocation, ...]


# Its tuples run side by side, one entry for each image. A version is another one when the image has changed: size and
# time of change of a file, generation of an object, checksum and size of a zip member, digest of a record's image. A
# tar archive has no checksums, so its members have the version of the whole.
Chunk = FileChunk | ZipChunk | TarChunk | StreamChunk | RecordChunk

Load = Callable[[], bytes | DataError]


def take(chunk: Chunk, places: Sequence[int]) -> Chunk:
    """The images at these places of a chunk, in their order."""
    columns = [field.name for field in dataclasses.fields(chunk) if field.name != "path"]
    taken: dict[str, Any] = {name: tuple(getattr(chunk, name)[place] for place in places) for name in columns}
    return dataclasses.replace(chunk, **taken)


def read_chunk(chunk: Chunk) -> Iterator[tuple[str, bytes | DataError]]:
    """The name and bytes of each image, or why it cannot be read."""
    return ((name, load()) for name, load in zip(chunk.names, _loads(chunk), strict=True))


def read_upright(
    chunk: Chunk, rule: ImageRule, pool: ThreadPoolExecutor
) -> Iterator[tuple[str, EncodedImage | DataError]]:
    """As read_chunk, each image checked by the rule and turned upright; the pool does some ahead of what is taken."""
    return map_ahead(partial(_upright, rule=rule), zip(chunk.names, _loads(chunk), strict=True), pool)


def _upright(named: tuple[str, Load], rule: ImageRule) -> tuple[str, EncodedImage | DataError]:
    name, load = named
    data = load()
    if isinstance(data, DataError):
        return name, data
    try:
        return name, normalise_image(data, name=name, rule=rule)
    except DataError as error:
        return name, error


def _loads(chunk: Chunk) -> Iterator[Load]:
    """What gives the bytes of each image: files are read when it is called, members of an archive one after another."""
    if isinstance(chunk, FileChunk):
        return map(partial, itertools.repeat(_read_file), chunk.paths, chunk.versions)
    return (partial(_as_it_is, data) for data in _members(chunk))


def _as_it_is(data: bytes | DataError) -> bytes | DataError:
    return data


def _members(chunk: ZipChunk | TarChunk | StreamChunk | RecordChunk) -> Iterable[bytes | DataError]:
    match chunk:
        case ZipChunk():
            return zip_files.read_zip_members(chunk.path, chunk.members)
        case TarChunk():
            return tar_files.read_tar_members(chunk.path, chunk.members, version=chunk.versions[0])
        case StreamChunk():
            return _stream(chunk)
        case RecordChunk():
            return tfrecords.read_records(chunk.path, chunk.records)


def _stream(chunk: StreamChunk) -> Iterator[bytes | DataError]:
    wanted = set(chunk.places)
    contents = tar_files.stream_tar_members(chunk.path, looks_like_image, max(wanted) + 1, version=chunk.versions[0])
    return (data for place, data in enumerate(contents) if place in wanted)


def _read_file(path: str, version: str) -> bytes | DataError:
    try:
        return files.read_bytes(path, version=version)
    except FileError as error:
        return error
