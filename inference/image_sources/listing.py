"""From the values of `--images` to chunks of images: folders, globs, single files, zip and tar archives, TFRecords.

Begin with `resolve_sources`, `list_source_files` and `list_chunks`, which are called one after the other. Chunks hold
names and offsets only; images are read on the worker where the model runs (inference.image_sources.chunks).
"""

import dataclasses
import functools
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from inference.image_sources import tfrecords
from inference.image_sources.chunks import (
    FILES_PER_CHUNK,
    Chunk,
    FileChunk,
    RecordChunk,
    StreamChunk,
    TarChunk,
    ZipChunk,
    adjacent,
    groups,
)
from retinanet_odm.dataset.manifest import DatasetManifest
from retinanet_odm.errors import UsageError
from retinanet_odm.sources.inputs import check_closed_archive
from retinanet_odm.storage import files, tar_files, zip_files
from retinanet_odm.storage.file_kinds import count_suffixes, describe_suffixes, is_never_image
from retinanet_odm.storage.file_names import (
    absolute,
    common_folder,
    escape_glob,
    has_image_suffix,
    looks_like_image,
    name_below,
    root_of,
)
from retinanet_odm.storage.file_system import ListedFile
from retinanet_odm.storage.no_match import explain_no_match
from retinanet_odm.storage.tar_files import TarKind, TarMember
from retinanet_odm.storage.zip_files import ZipMember

_ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """A value of --images.

    Attributes:
      value: as the user wrote it, for messages.
      pattern: glob of its files.
      root: folder above the first wildcard of the pattern.
      base: folder that image names are relative to; root or a folder above it.
      is_folder: only files with the suffix of an image belong to it; otherwise all matching files do, and archives are
        opened.
      shards: paths of the shards of a data set, which are its only files; empty for other sources.
    """

    value: str
    pattern: str
    root: str
    base: str
    is_folder: bool
    shards: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class SourceFiles:
    """The files of a source.

    Attributes:
      source: the source.
      files: images, and archives that are opened; without files of the sources before it.
      is_repeated: the sources before it have files of it.
      archives: paths of archives that are not opened, because they lie in a folder.
      passed_over: paths of files that, by their names, are no images or cannot be read.
    """

    source: ImageSource
    files: tuple[ListedFile, ...]
    is_repeated: bool
    archives: tuple[str, ...]
    passed_over: tuple[str, ...] = ()


def resolve_sources(values: Sequence[str]) -> tuple[ImageSource, ...]:
    """Interpret each value of --images as a folder, a file or a glob.

    Image names are relative to the folder above the first wildcard (or to the folder itself, or to the folder of a
    file); with several values, to the deepest folder that contains all of these. So no two images have the same name.

    Raises:
      UsageError: a value names nothing that exists.
    """
    located = [_locate(value, values) for value in values]
    # One base for all values: names relative to each root could be equal.
    base = common_folder([source.root for source in located])
    return tuple(dataclasses.replace(source, base=base) for source in located)


def list_source_files(sources: Iterable[ImageSource], output: str = "") -> list[SourceFiles]:
    """List the files of all sources, without opening any; a file of two sources is listed once.

    Args:
      sources: from `resolve_sources`.
      output: a folder of this program, whose files are ignored; "" for none.
    """
    # Eagerly, though there may be a million: duplicates between sources must be known before chunks are formed.
    listed: list[SourceFiles] = []
    seen: set[str] = set()
    below = files.join(absolute(output), "") if output else ""
    for source in sources:
        matching = [file for file in files.list_files(source.pattern) if not (below and file.path.startswith(below))]
        own: list[ListedFile] = []
        others: list[ListedFile] = []
        for file in matching:
            (own if _belongs(source, file.path) else others).append(file)
        new = tuple(file for file in own if file.path not in seen)
        seen.update(file.path for file in new)
        closed = [file.path for file in matching if source.is_folder and _has_archive_suffix(file.path)]
        listed.append(
            SourceFiles(
                source=source,
                files=new,
                is_repeated=len(new) < len(own),
                archives=tuple(closed),
                passed_over=() if source.shards else tuple(file.path for file in others),
            )
        )
    return listed


def _count_passed_over(listed: Sequence[SourceFiles]) -> Counter[str]:
    """Count the files that no source reads by suffix, each once."""
    names = {path: name_below(item.source.root, path) for item in listed for path in item.passed_over}
    for path in (file.path for item in listed for file in item.files):
        names.pop(path, None)
    return count_suffixes(names.values())


def skipped_archives(listed: Sequence[SourceFiles]) -> list[str]:
    """Return the archives in folders that no other source names."""
    opened = {file.path for item in listed for file in item.files}
    return sorted({path for item in listed for path in item.archives} - opened)


def list_chunks(listed: Sequence[SourceFiles], passed_over: Counter[str] | None = None) -> Iterator[Chunk]:
    """Yield every image of the sources in chunks; opens archives to list their members.

    Args:
      listed: the files of the sources.
      passed_over: gets the number of files and members that are passed over, by suffix.

    Raises:
      UsageError: an archive is broken, a source has no image, or two records have the same name.
    """
    record_names: set[str] = set()  # unlike paths, they may repeat
    counts = Counter[str]() if passed_over is None else passed_over
    counts.update(_count_passed_over(listed))
    for item in listed:
        is_empty = not item.is_repeated
        for chunk in _chunks(item, counts):
            is_empty = False
            if isinstance(chunk, RecordChunk):
                _check_unique(chunk, record_names)
            yield chunk
        if is_empty:
            kinds = describe_suffixes(_count_passed_over([item]))
            hint = f", but archives: name them, for example {item.archives[0]}" if item.archives else f", but {kinds}"
            given = [listed_item.source.value for listed_item in listed]
            why = hint if kinds else "" if item.source.is_folder else explain_no_match(item.source.value, given)
            raise UsageError(f"--images: expected at least one image, found none in {item.source.value}{why}")


def _locate(value: str, values: Sequence[str]) -> ImageSource:
    """Return the source of a value; its base is its root."""
    # A value that exists is taken literally, even if its name contains wildcards, such as `dive [1]`. Otherwise it is a
    # glob, whose folders are taken literally as far as they exist.
    check_closed_archive(value, flag="--images")
    path = absolute(value).rstrip("/")
    pattern = files.as_written(path)
    root, is_folder, shards = root_of(pattern), False, frozenset[str]()
    if files.is_file(path):
        pattern, root = escape_glob(path), posixpath.dirname(path)
    elif files.exists(path) or files.is_folder(path):
        pattern, root = posixpath.join(escape_glob(path), "**"), path
        is_dataset = files.is_file(files.join(path, DatasetManifest.FILE))
        shards = tfrecords.shards_of(path) if is_dataset else shards
        is_folder = not shards
    elif escape_glob(path) == path:
        why = explain_no_match(value, values)
        raise UsageError(f"--images: there is no file or folder {value}{why}")
    return ImageSource(value=value, pattern=pattern, root=root, base=root, is_folder=is_folder, shards=shards)


def _belongs(source: ImageSource, path: str) -> bool:
    """Return whether a file that matches the pattern of a source belongs to it."""
    if source.shards:
        return path in source.shards
    name = name_below(source.root, path)
    if source.is_folder:
        return looks_like_image(name)
    return _has_archive_suffix(path) or tfrecords.has_suffix(path) or not is_never_image(name)


def _has_archive_suffix(path: str) -> bool:
    return path.lower().endswith(_ARCHIVE_SUFFIXES)


def _chunks(item: SourceFiles, passed_over: Counter[str]) -> Iterator[Chunk]:
    source = item.source
    # In a folder nothing is opened to look at its content: a folder of a million images must be listed in seconds.
    opened = set() if source.is_folder else {file.path for file in item.files if _is_container(file.path)}
    for group in groups((file for file in item.files if file.path not in opened), FILES_PER_CHUNK):
        yield FileChunk(
            names=tuple(name_below(source.base, file.path) for file in group),
            versions=tuple(file.version for file in group),
            paths=tuple(file.path for file in group),
        )
    for file in item.files:
        if file.path not in opened:
            continue
        if tfrecords.is_tfrecord(file.path):
            yield from _record_chunks(file.path, name_below(source.base, source.root))
        else:
            yield from _archive_chunks(file, name_below(source.base, file.path), passed_over)


def _is_container(path: str) -> bool:
    """Return whether a file is an archive or a TFRecord file; files with the suffix of an image are not opened."""
    if has_image_suffix(path):
        return False
    return tfrecords.is_tfrecord(path) or zip_files.is_zip_file(path) or tar_files.find_tar_kind(path) is not None


def _record_chunks(path: str, folder: str) -> Iterator[Chunk]:
    for group in adjacent(tfrecords.list_records(path, flag="--images"), lambda record: record.size):
        yield RecordChunk(
            names=tuple(posixpath.join(folder, record.name) for record in group),
            versions=tuple(record.sha256 for record in group),
            path=path,
            records=tuple(group),
        )


def _check_unique(chunk: RecordChunk, names: set[str]) -> None:
    """Add the names of a chunk to those seen before.

    Raises:
      UsageError: a name is among them.
    """
    for name in chunk.names:
        if name in names:
            raise UsageError(
                f"--images: two records are named {name}, one of them in {chunk.path}: score them in separate runs"
            )
        names.add(name)


def _archive_chunks(archive: ListedFile, name: str, passed_over: Counter[str]) -> Iterator[Chunk]:
    path = archive.path

    def keep(member: str) -> bool:
        is_image = looks_like_image(member)
        if not is_image:
            passed_over.update(count_suffixes([member]))
        return is_image

    kind = tar_files.find_tar_kind(path)
    if kind is None:
        # Both sizes count: stored bytes are read, inflated ones are held in memory.
        zipped = zip_files.list_zip_members(path, functools.partial(filter, keep), flag="--images")
        for members in adjacent(zipped, lambda member: max(member.size, member.stored_size)):
            # Not the version of the archive: a copy of it, or one with more members, has the same images.
            versions = tuple(f"{member.crc:08x}-{member.size}" for member in members)
            yield ZipChunk(names=_names(name, members), versions=versions, path=path, members=tuple(members))
        return
    listed = tar_files.list_tar_members(path, kind, keep, flag="--images")
    if kind is TarKind.PACKED:  # one chunk, because each chunk of it would be read from the beginning
        if names := _names(name, listed):
            versions = (archive.version,) * len(names)
            yield StreamChunk(names=names, versions=versions, path=path, positions=tuple(range(len(names))))
        return
    for group in adjacent(listed, lambda member: member.size):
        versions = (archive.version,) * len(group)
        yield TarChunk(names=_names(name, group), versions=versions, path=path, members=tuple(group))


def _names(archive: str, members: Iterable[ZipMember | TarMember]) -> tuple[str, ...]:
    return tuple(f"{archive}/{member.name}" for member in members)
