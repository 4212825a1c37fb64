"""From what the user names to image bytes: folders, globs, single files, zip and tar archives.

The plan holds names and offsets only; bytes are read where the model runs.
"""

import dataclasses
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from beamio import archives, files
from beamio.archives import Member, has_image_suffix, looks_like_image
from beamio.files import FileError, ListedFile
from detection.errors import DataError, UsageError
from inference import tars
from inference.tars import TarKind, TarMember

T = TypeVar("T")

# A chunk is the unit of work between machines: large enough that opening an archive costs little per image, small
# enough that a short list still occupies every core.
FILES_PER_CHUNK = 16
MEMBERS_PER_CHUNK = 32
BYTES_PER_CHUNK = 8 * 2**20
_SCHEME = re.compile(r"\w+:/?")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One value of --images.

    Attributes:
      given: what the user wrote, for messages.
      pattern: the Beam pattern of its files.
      root: the folder above the pattern's first wildcard.
      base: the folder that names are relative to; root or above it.
      is_folder: only files that look like images count; otherwise every matched file does.
    """

    given: str
    pattern: str
    root: str
    base: str
    is_folder: bool


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
    members: tuple[Member, ...]


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


# Its tuples run side by side, one entry for each image. A version is another one when the image has changed: size and
# time of change of a file, generation of an object, checksum and size of a zip member. A tar archive has no checksums,
# so its members have the version of the whole.
Chunk = FileChunk | ZipChunk | TarChunk | StreamChunk


def resolve(values: Sequence[str]) -> tuple[Source, ...]:
    """Understands each value of --images as a folder, a file or a glob.

    Names of rows are relative to the folder above the first wildcard (the folder itself, the folder of a file); with
    several values, to the deepest folder above all of them. So two images never share a name.

    Raises:
      UsageError: a value names nothing that exists.
    """
    located = [_locate(value) for value in values]
    base = common_folder([root for _, root, _ in located])
    return tuple(
        Source(given=value, pattern=pattern, root=root, base=base, is_folder=is_folder)
        for value, (pattern, root, is_folder) in zip(values, located, strict=True)
    )


def common_folder(roots: Sequence[str]) -> str:
    """The deepest folder that holds all roots; "" where there is none, as between a bucket and a local disk."""
    shared = []
    for parts in zip(*(root.split("/") for root in roots), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    folder = "/".join(shared)
    return "" if _SCHEME.fullmatch(folder) else folder


def plan(sources: Iterable[Source]) -> Iterator[Chunk]:
    """Every image of the sources in chunks; a file that two sources match comes once.

    Raises:
      UsageError: an archive is broken, or a source holds no image.
    """
    seen: set[str] = set()
    for source in sources:
        listed = list(_matches(source))
        fresh = [file for file in listed if file.path not in seen]
        seen.update(file.path for file in fresh)
        is_empty = len(fresh) == len(listed)
        for chunk in _chunks(source, fresh):
            is_empty = False
            yield chunk
        if is_empty:
            raise UsageError(f"--images: expected at least one image, found none in {source.given}")


def take(chunk: Chunk, places: Sequence[int]) -> Chunk:
    """The images at these places of a chunk, in their order."""
    columns = [field.name for field in dataclasses.fields(chunk) if field.name != "path"]
    taken: dict[str, Any] = {name: tuple(getattr(chunk, name)[place] for place in places) for name in columns}
    return dataclasses.replace(chunk, **taken)


def read_chunk(chunk: Chunk) -> Iterator[tuple[str, bytes | DataError]]:
    """The name and bytes of each image, or why it cannot be read."""
    yield from zip(chunk.names, _contents(chunk), strict=True)


def _contents(chunk: Chunk) -> Iterable[bytes | DataError]:
    match chunk:
        case FileChunk():
            return map(_read_file, chunk.paths)
        case ZipChunk():
            return archives.read_members(chunk.path, chunk.members)
        case TarChunk():
            return tars.read_tar(chunk.path, chunk.members)
        case StreamChunk():
            return _stream(chunk)


def _stream(chunk: StreamChunk) -> Iterator[bytes | DataError]:
    wanted = set(chunk.places)
    contents = tars.stream_tar(chunk.path, looks_like_image, max(wanted) + 1)
    return (data for place, data in enumerate(contents) if place in wanted)


def _read_file(path: str) -> bytes | DataError:
    try:
        return files.read_bytes(path)
    except FileError as error:
        return error


def absolute(path: str) -> str:
    """A local path from the root of the disk; a URI unchanged."""
    return path if "://" in path else posixpath.abspath(path)


def real_path(path: str) -> str:
    """As absolute, with symbolic links followed."""
    return path if "://" in path else str(Path(path).resolve())


def _locate(value: str) -> tuple[str, str, bool]:
    """Pattern, folder that names are relative to, and whether the value is a folder."""
    path = absolute(value).rstrip("/")
    if files.is_file(path):
        return files.escape(path), posixpath.dirname(path), False
    if files.exists(path) or files.is_folder(path):
        return posixpath.join(files.escape(path), "**"), path, True
    if files.escape(path) != path:
        return path, files.root_of(path), False
    raise UsageError(f"--images: there is no file or folder {value}")


def _matches(source: Source) -> Iterator[ListedFile]:
    listed = files.list_files(source.pattern)
    if not source.is_folder:
        return listed
    return (file for file in listed if looks_like_image(files.name_below(source.root, file.path)))


def _chunks(source: Source, listed: Sequence[ListedFile]) -> Iterator[Chunk]:
    opened = set() if source.is_folder else {file.path for file in listed if _opens(file.path)}
    for group in groups((file for file in listed if file.path not in opened), FILES_PER_CHUNK):
        yield FileChunk(
            names=tuple(files.name_below(source.base, file.path) for file in group),
            versions=tuple(file.version for file in group),
            paths=tuple(file.path for file in group),
        )
    for file in listed:
        if file.path in opened:
            yield from _archive_chunks(file, files.name_below(source.base, file.path))


def _opens(path: str) -> bool:
    """Whether a matched file is an archive; one with an image's suffix is not opened to find out."""
    return not has_image_suffix(path) and (archives.is_archive(path) or tars.tar_kind(path) is not None)


def _archive_chunks(archive: ListedFile, name: str) -> Iterator[Chunk]:
    path = archive.path
    kind = tars.tar_kind(path)
    if kind is None:
        zipped = archives.list_members(path, looks_like_image, flag="--images")
        for members in _neighbours(zipped, lambda member: max(member.size, member.stored_size)):
            versions = tuple(f"{member.crc:08x}-{member.size}" for member in members)
            yield ZipChunk(names=_names(name, members), versions=versions, path=path, members=tuple(members))
        return
    listed = tars.list_tar(path, kind, looks_like_image, flag="--images")
    if kind is TarKind.PACKED:
        if names := _names(name, listed):
            versions = (archive.version,) * len(names)
            yield StreamChunk(names=names, versions=versions, path=path, places=tuple(range(len(names))))
        return
    for group in _neighbours(listed, lambda member: member.size):
        versions = (archive.version,) * len(group)
        yield TarChunk(names=_names(name, group), versions=versions, path=path, members=tuple(group))


def _names(archive: str, members: Iterable[Member | TarMember]) -> tuple[str, ...]:
    return tuple(f"{archive}/{member.name}" for member in members)


def _neighbours(members: Iterable[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Members that lie side by side, so many that opening the archive costs little per image."""
    group: list[T] = []
    size = 0
    for member in members:
        if group and (len(group) == MEMBERS_PER_CHUNK or size + size_of(member) > BYTES_PER_CHUNK):
            yield group
            group, size = [], 0
        group.append(member)
        size += size_of(member)
    if group:
        yield group


def groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of this size; the last may be shorter."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group
