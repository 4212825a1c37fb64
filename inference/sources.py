"""From what the user names to image bytes: folders, globs, single files, zip and tar archives.

The plan holds names and offsets only; bytes are read where the model runs.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from beamio import archives, files
from beamio.archives import Member, has_image_suffix, looks_like_image
from beamio.files import FileError
from detection.errors import DataError, UsageError
from inference import tars
from inference.ahead import ahead
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
    """Loose images: their paths, and their names in the rows."""

    names: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ZipChunk:
    """Neighbouring members of one archive, and their names in the rows."""

    names: tuple[str, ...]
    path: str
    members: tuple[Member, ...]


@dataclass(frozen=True, kw_only=True)
class TarChunk:
    """Neighbouring members of one plain tar archive, and their names in the rows."""

    names: tuple[str, ...]
    path: str
    members: tuple[TarMember, ...]


@dataclass(frozen=True, kw_only=True)
class StreamChunk:
    """All members of one packed tar archive, which can only be read from its beginning, and their names in the rows."""

    names: tuple[str, ...]
    path: str


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


def count_images(sources: Sequence[Source]) -> int:
    """Counts the images before a job is started; reads every archive's directory.

    Raises:
      UsageError: a source holds no image, or an archive is broken.
    """
    counts = [_size(plan([source])) for source in sources]
    for source, count in zip(sources, counts, strict=True):
        if not count:
            raise UsageError(f"--images: expected at least one image, found none in {source.given}")
    return counts[0] if len(counts) == 1 else _size(plan(sources))


def plan(sources: Iterable[Source]) -> Iterator[Chunk]:
    """Every image of the sources in chunks; a file that two sources match comes once.

    Raises:
      UsageError: an archive is broken.
    """
    seen: set[str] = set()
    for source in sources:
        paths = [path for path in _matches(source) if path not in seen]
        seen.update(paths)
        opened = set() if source.is_folder else {path for path in paths if _opens(path)}
        loose = (path for path in paths if path not in opened)
        for group in groups(loose, FILES_PER_CHUNK):
            names = tuple(files.name_below(source.base, path) for path in group)
            yield FileChunk(names=names, paths=tuple(group))
        for path in sorted(opened):
            yield from _archive_chunks(path, files.name_below(source.base, path))


def read_chunk(chunk: Chunk) -> Iterator[tuple[str, bytes | DataError]]:
    """The name and bytes of each image, or why it cannot be read."""
    yield from zip(chunk.names, _contents(chunk), strict=True)


def _contents(chunk: Chunk) -> Iterable[bytes | DataError]:
    match chunk:
        case FileChunk():
            return ahead(_read_file, chunk.paths)
        case ZipChunk():
            return archives.read_members(chunk.path, chunk.members)
        case TarChunk():
            return tars.read_tar(chunk.path, chunk.members)
        case StreamChunk():
            return tars.stream_tar(chunk.path, looks_like_image, len(chunk.names))


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


def _matches(source: Source) -> Iterator[str]:
    paths = files.iter_matches(source.pattern)
    if not source.is_folder:
        return paths
    return (path for path in paths if looks_like_image(files.name_below(source.root, path)))


def _opens(path: str) -> bool:
    """Whether a matched file is an archive; one with an image's suffix is not opened to find out."""
    return not has_image_suffix(path) and (archives.is_archive(path) or tars.tar_kind(path) is not None)


def _archive_chunks(path: str, name: str) -> Iterator[Chunk]:
    kind = tars.tar_kind(path)
    if kind is None:
        zipped = archives.list_members(path, looks_like_image, flag="--images")
        for members in _neighbours(zipped, lambda member: max(member.size, member.stored_size)):
            yield ZipChunk(names=_names(name, members), path=path, members=tuple(members))
        return
    listed = tars.list_tar(path, kind, looks_like_image, flag="--images")
    if kind is TarKind.PACKED:
        yield StreamChunk(names=_names(name, listed), path=path)
        return
    for group in _neighbours(listed, lambda member: member.size):
        yield TarChunk(names=_names(name, group), path=path, members=tuple(group))


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


def _size(chunks: Iterable[Chunk]) -> int:
    return sum(len(chunk.names) for chunk in chunks)


def groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of this size; the last may be shorter."""
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group
