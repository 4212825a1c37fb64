"""Files inside tar archives, plain or packed by gzip, read in place: nothing is unpacked to disk.

A plain archive is listed by its headers, and its members are read by their offsets, on any number of machines. A packed
one has no offsets: it is a stream that one machine reads from its beginning to its end. A member's name is only a name.
"""

import contextlib
import gzip
import io
import itertools
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import BinaryIO

from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.storage import files
from retinanet_odm.storage.archives import ArchiveError
from retinanet_odm.storage.files import FileError

_GZIP_MAGIC = b"\x1f\x8b"
_MAGIC, _MAGIC_AT = b"ustar", 257  # POSIX and GNU; older archives have none, and are known by their names
_HEAD = 1 << 16
_WITH_GZIP_HEADER = 16 + zlib.MAX_WBITS
# A stream may promise more than fits into memory; no photograph is that large.
_LARGEST = 1 << 30
_BROKEN = (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile, ValueError)


class TarKind(Enum):
    """How an archive is stored."""

    PLAIN = "tar"
    PACKED = "tar.gz"


@dataclass(frozen=True, kw_only=True)
class TarMember:
    """Where one file lies in a plain archive: its first byte and its size; fault: why it is not read, or ""."""

    name: str
    offset: int
    size: int
    fault: str


def find_tar_kind(path: str) -> TarKind | None:
    """What kind of tar archive a file is by its first bytes, or says it is by its name; None for none."""
    try:
        with files.open_binary(path) as file:
            head = file.read(_HEAD)
    except FileError:
        return None  # it stays in the list as an image, whose row will say that it cannot be read
    if head.startswith(_GZIP_MAGIC):
        return TarKind.PACKED if _has_magic(_unpacked(head)) or _is_named(path, ".tar.gz", ".tgz") else None
    return TarKind.PLAIN if _has_magic(head) or _is_named(path, ".tar") else None


def _is_named(path: str, *suffixes: str) -> bool:
    return path.lower().endswith(suffixes)


def _has_magic(head: bytes) -> bool:
    return head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] == _MAGIC


def _unpacked(head: bytes) -> bytes:
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj(_WITH_GZIP_HEADER).decompress(head, tarfile.BLOCKSIZE)
    return b""


def list_tar_members(path: str, kind: TarKind, keep: Callable[[str], bool], *, flag: str) -> Iterator[TarMember]:
    """The archive's files and links whose names pass ``keep``, in their order; each has a name of its own.

    Args:
      path: the archive.
      kind: from tar_kind.
      keep: which names count.
      flag: that named the archive, for messages.

    Raises:
      UsageError: the file cannot be read or is not a whole tar archive.
    """
    try:
        with _open(path, kind) as file:
            infos = (info for info in _headers(file) if _counts(info, keep))
            yield from _members(infos)
    except _BROKEN as error:
        raise UsageError(f"{flag}: {path} is not a readable tar archive: {error}") from error
    except FileError as error:
        raise UsageError(f"{flag}: {error}") from error


def read_tar_members(path: str, members: Sequence[TarMember], *, version: str = "") -> Iterator[bytes | DataError]:
    """The content of each member of a plain archive, or the error that befell it; the archive is opened once.

    Args:
      path: the archive.
      members: as they were listed.
      version: of the archive, see retinanet_odm.storage.files.read_bytes; a tar archive has no checksums to tell that it has changed.
    """
    done = 0
    try:
        with files.open_binary(path, version=version) as file:
            for member in members:
                yield _content(file, member, path)
                done += 1
    except FileError as error:
        yield from itertools.repeat(error, len(members) - done)


def stream_tar_members(
    path: str, keep: Callable[[str], bool], count: int, *, version: str = ""
) -> Iterator[bytes | DataError]:
    """The content of each member of a packed archive, or the error that befell it, as list_tar lists them.

    Args:
      path: the archive.
      keep: which names count.
      count: how many members there were when it was listed.
      version: as in read_tar.
    """
    done = 0
    why = "holds fewer members than when it was listed"
    try:
        with _open(path, TarKind.PACKED, version) as file:
            infos = (info for info in _headers(file) if _counts(info, keep))
            for member in itertools.islice(_members(infos), count):
                yield _content(file, member, path)
                done += 1
    except (*_BROKEN, FileError) as error:
        why = f"cannot be read any further: {error}"
    for _ in range(count - done):
        yield ArchiveError("tar_member_not_readable", f"{path} {why}")


@contextlib.contextmanager
def _open(path: str, kind: TarKind, version: str = "") -> Iterator[BinaryIO]:
    with files.open_binary(path, version=version) as file:
        if kind is TarKind.PLAIN:
            yield file
        else:
            with gzip.GzipFile(fileobj=file) as stream:
                yield stream  # type: ignore[misc]  # a file in all but name


class _LastRead(io.RawIOBase):
    """A file that remembers what was last read from it; it can be sought forward without reading anything twice."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        self.last = self._file.read(size)
        return self.last

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _headers(file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Every header of an archive.

    Raises:
      tarfile.TarError: it is broken. tarfile itself takes what it does not understand for the end.
    """
    watched = _LastRead(file)
    archive = tarfile.TarFile(fileobj=watched, encoding="utf-8", errors="surrogateescape")
    while (info := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep a million of them
        yield info
    if watched.last != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"ends at byte {archive.offset} without the mark of its end: it may have been cut off")


def _counts(info: tarfile.TarInfo, keep: Callable[[str], bool]) -> bool:
    return not info.isdir() and keep(_name(info))


def _name(info: tarfile.TarInfo) -> str:
    """The member's path without ``./`` and slashes at its beginning."""
    return str(PurePosixPath(info.name.lstrip("/")))


def _members(infos: Iterable[tarfile.TarInfo]) -> Iterator[TarMember]:
    taken: set[str] = set()
    for info in infos:
        name = next(name for name in _names(info) if name not in taken)
        taken.add(name)
        yield TarMember(name=name, offset=info.offset_data, size=info.size, fault=_fault(info))


def _names(info: tarfile.TarInfo) -> Iterator[str]:
    """A second member of a name gets ``#2`` after it: each is a file of its own."""
    name = _name(info)
    yield name
    for number in itertools.count(2):
        yield f"{name}#{number}"


def _fault(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return f"is a link to {info.linkname}, which is not followed"
    if not info.isreg() or info.issparse():
        return "is no plain file"
    if info.size > _LARGEST:
        return f"has {info.size} bytes; at most {_LARGEST} are read"
    return ""


def _content(file: BinaryIO, member: TarMember, path: str) -> bytes | DataError:
    if member.fault:
        return _unreadable(path, member, member.fault)
    file.seek(member.offset)
    data = file.read(member.size)
    if len(data) != member.size:
        return _unreadable(path, member, f"expected {member.size} bytes in the archive, found {len(data)}")
    return data


def _unreadable(path: str, member: TarMember, why: str) -> ArchiveError:
    return ArchiveError("tar_member_not_readable", f"{path}/{member.name}: {why}")
