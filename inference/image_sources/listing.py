"""From what the user names to chunks of images: folders, globs, single files, zip and tar archives, TFRecords.

The plan holds names and offsets only; bytes are read where the model runs (inference.image_sources.chunks).
"""

import dataclasses
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from inference.image_sources import tfrecords
from inference.image_sources.chunks import Chunk, FileChunk, RecordChunk, StreamChunk, TarChunk, ZipChunk
from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files, tar_files, zip_files
from retinanet_odm.storage.archives import has_image_suffix, looks_like_image
from retinanet_odm.storage.file_system import ListedFile
from retinanet_odm.storage.glob_patterns import escape_glob, root_of
from retinanet_odm.storage.tar_files import TarKind, TarMember
from retinanet_odm.storage.zip_files import ZipMember

T = TypeVar("T")

# A chunk is the unit of work between machines: large enough that opening an archive costs little per image, small
# enough that a short list still occupies every core.
FILES_PER_CHUNK = 16
MEMBERS_PER_CHUNK = 32
BYTES_PER_CHUNK = 8 * 2**20
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_SCHEME = re.compile(r"\w+:/?")


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """One value of --images.

    Attributes:
      given: what the user wrote, for messages.
      pattern: the Beam pattern of its files.
      root: the folder above the pattern's first wildcard.
      base: the folder that names are relative to; root or above it.
      is_folder: only files that look like images count; otherwise every matched file does, and archives are opened.
      shards: of a data set, the paths of its files: of those matched no others count; empty for other sources.
    """

    given: str
    pattern: str
    root: str
    base: str
    is_folder: bool
    shards: frozenset[str] = frozenset()


def resolve(values: Sequence[str]) -> tuple[ImageSource, ...]:
    """Understands each value of --images as a folder, a file or a glob.

    Names of rows are relative to the folder above the first wildcard (the folder itself, the folder of a file); with
    several values, to the deepest folder above all of them. So two images never share a name.

    Raises:
      UsageError: a value names nothing that exists.
    """
    located = [_locate(value) for value in values]
    base = common_folder([source.root for source in located])
    return tuple(dataclasses.replace(source, base=base) for source in located)


def common_folder(roots: Sequence[str]) -> str:
    """The deepest folder that holds all roots; "" where there is none, as between a bucket and a local disk."""
    shared = []
    for parts in zip(*(root.split("/") for root in roots), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    folder = "/".join(shared)
    return "" if _SCHEME.fullmatch(folder) else folder


def list_chunks(sources: Iterable[ImageSource], *, passed_over: set[str] | None = None) -> Iterator[Chunk]:
    """Every image of the sources in chunks; a file that two sources match comes once.

    Args:
      sources: from resolve.
      passed_over: is given the archives in folders that no other source names.

    Raises:
      UsageError: an archive is broken, a source holds no image, or two records have one name.
    """
    closed: set[str] = set()
    seen: set[str] = set()
    taken: set[str] = set()  # names that stand in records: no folder sees to it that they differ
    for source in sources:
        there = list(files.list_files(source.pattern))
        listed = [file for file in there if _counts(source, file.path)]
        archives_there = [file.path for file in there if source.is_folder and file.path.lower().endswith(_ARCHIVES)]
        closed.update(archives_there)
        fresh = [file for file in listed if file.path not in seen]
        seen.update(file.path for file in fresh)
        is_empty = len(fresh) == len(listed)
        for chunk in _chunks(source, fresh):
            is_empty = False
            if isinstance(chunk, RecordChunk):
                _claim(chunk, taken)
            yield chunk
        if is_empty:
            hint = f", but archives: name them, such as {archives_there[0]}" if archives_there else ""
            raise UsageError(f"--images: expected at least one image, found none in {source.given}{hint}")
    if passed_over is not None:
        passed_over.update(closed - seen)


def absolute(path: str) -> str:
    """A local path from the root of the disk; a URI unchanged."""
    return path if "://" in path else posixpath.abspath(path)


def real_path(path: str) -> str:
    """As absolute, with symbolic links followed."""
    return path if "://" in path else str(Path(path).resolve())


def _locate(value: str) -> ImageSource:
    """The source that a value names; its base is its root."""
    path = absolute(value).rstrip("/")
    pattern, root, is_folder, shards = path, root_of(path), False, frozenset[str]()
    if files.is_file(path):
        pattern, root = escape_glob(path), posixpath.dirname(path)
    elif files.exists(path) or files.is_folder(path):
        pattern, root = posixpath.join(escape_glob(path), "**"), path
        shards = tfrecords.shards_of(path) if tfrecords.is_dataset(path) else shards
        is_folder = not shards
    elif escape_glob(path) == path:
        raise UsageError(f"--images: there is no file or folder {value}")
    return ImageSource(given=value, pattern=pattern, root=root, base=root, is_folder=is_folder, shards=shards)


def matches(source: ImageSource) -> Iterator[ListedFile]:
    """The files of a source, archives among them."""
    return (file for file in files.list_files(source.pattern) if _counts(source, file.path))


def _counts(source: ImageSource, path: str) -> bool:
    """Whether a file that the source's pattern matches belongs to it."""
    if source.shards:
        return path in source.shards
    return not source.is_folder or looks_like_image(files.name_below(source.root, path))


def _chunks(source: ImageSource, listed: Sequence[ListedFile]) -> Iterator[Chunk]:
    opened = set() if source.is_folder else {file.path for file in listed if _opens(file.path)}
    for group in groups((file for file in listed if file.path not in opened), FILES_PER_CHUNK):
        yield FileChunk(
            names=tuple(files.name_below(source.base, file.path) for file in group),
            versions=tuple(file.version for file in group),
            paths=tuple(file.path for file in group),
        )
    for file in listed:
        if file.path not in opened:
            continue
        if tfrecords.is_tfrecord(file.path):
            yield from _record_chunks(file.path, files.name_below(source.base, source.root))
        else:
            yield from _archive_chunks(file, files.name_below(source.base, file.path))


def _opens(path: str) -> bool:
    """Whether a matched file is an archive or TFRecords; one with an image's suffix is not opened to find out."""
    if has_image_suffix(path):
        return False
    return tfrecords.is_tfrecord(path) or zip_files.is_zip_file(path) or tar_files.find_tar_kind(path) is not None


def _record_chunks(path: str, folder: str) -> Iterator[Chunk]:
    for group in _neighbours(tfrecords.list_records(path, flag="--images"), lambda record: record.size):
        yield RecordChunk(
            names=tuple(posixpath.join(folder, record.name) for record in group),
            versions=tuple(record.sha256 for record in group),
            path=path,
            records=tuple(group),
        )


def _claim(chunk: RecordChunk, taken: set[str]) -> None:
    """Takes the names of a chunk.

    Raises:
      UsageError: one is taken.
    """
    for name in chunk.names:
        if name in taken:
            raise UsageError(f"--images: two records are named {name}, one of them in {chunk.path}: score them apart")
        taken.add(name)


def _archive_chunks(archive: ListedFile, name: str) -> Iterator[Chunk]:
    path = archive.path
    kind = tar_files.find_tar_kind(path)
    if kind is None:
        zipped = zip_files.list_zip_members(path, looks_like_image, flag="--images")
        for members in _neighbours(zipped, lambda member: max(member.size, member.stored_size)):
            versions = tuple(f"{member.crc:08x}-{member.size}" for member in members)
            yield ZipChunk(names=_names(name, members), versions=versions, path=path, members=tuple(members))
        return
    listed = tar_files.list_tar_members(path, kind, looks_like_image, flag="--images")
    if kind is TarKind.PACKED:
        if names := _names(name, listed):
            versions = (archive.version,) * len(names)
            yield StreamChunk(names=names, versions=versions, path=path, places=tuple(range(len(names))))
        return
    for group in _neighbours(listed, lambda member: member.size):
        versions = (archive.version,) * len(group)
        yield TarChunk(names=_names(name, group), versions=versions, path=path, members=tuple(group))


def _names(archive: str, members: Iterable[ZipMember | TarMember]) -> tuple[str, ...]:
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
