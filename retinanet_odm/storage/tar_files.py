"""Members of tar archives, plain or compressed by gzip, read in place: nothing is unpacked to disk.

Begin with `list_tar_members`. A plain archive is listed by its headers, and its members are read by their offsets, on
any number of machines. A compressed one has no offsets: one machine reads the stream from beginning to end.
"""

import contextlib
import gzip
import io
import itertools
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import BinaryIO

from retinanet_odm.errors import ArchiveError, DataError, UsageError
from retinanet_odm.storage import files
from retinanet_odm.storage.file_names import with_unique_names
from retinanet_odm.storage.files import FileError

_GZIP_MAGIC = b"\x1f\x8b"
_MAGIC, _MAGIC_AT = b"ustar", 257  # POSIX and GNU; older archives have none, and are recognised by their names
# Enough compressed bytes to yield the first block of 512, which holds the magic.
_HEAD = 1 << 16
# zlib's convention (inflateInit2): 16 more than the window's bits reads the header of gzip.
_WITH_GZIP_HEADER = 16 + zlib.MAX_WBITS
# A stream may promise more than fits into memory; no image is that large.
_MAX_SIZE = 1 << 30
_BROKEN = (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile, ValueError)


class TarKind(Enum):
    """How an archive is stored."""

    PLAIN = "tar"
    PACKED = "tar.gz"


@dataclass(frozen=True, kw_only=True)
class TarMember:
    """The place of one file in a plain archive: its first byte and its size; fault: why it is not read, or ""."""

    name: str
    offset: int
    size: int
    fault: str


def find_tar_kind(path: str) -> TarKind | None:
    """Return the kind of a tar archive, by its first bytes or its name; None for other files."""
    try:
        with files.open_binary(path) as file:
            head = file.read(_HEAD)
    except FileError:
        return None  # it stays in the list as an image, whose row will report that it cannot be read
    if head.startswith(_GZIP_MAGIC):
        return TarKind.PACKED if _has_magic(_decompress(head)) or _has_suffix(path, ".tar.gz", ".tgz") else None
    return TarKind.PLAIN if _has_magic(head) or _has_suffix(path, ".tar") else None


def _has_suffix(path: str, *suffixes: str) -> bool:
    return path.lower().endswith(suffixes)


def _has_magic(head: bytes) -> bool:
    return head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] == _MAGIC


def _decompress(head: bytes) -> bytes:
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj(_WITH_GZIP_HEADER).decompress(head, tarfile.BLOCKSIZE)
    return b""


def list_tar_members(path: str, kind: TarKind, keep: Callable[[str], bool], *, flag: str) -> Iterator[TarMember]:
    """Yield the files and links of an archive in their order, each with a unique name.

    Args:
      path: The archive.
      kind: From `find_tar_kind`.
      keep: Selects members by their names.
      flag: The flag that named the archive, for messages.

    Raises:
      UsageError: The file cannot be read or is not a complete tar archive.
    """
    try:
        with _open(path, kind) as file:
            yield from _find_members(file, keep)
    except _BROKEN as error:
        raise UsageError(f"{flag}: {path} is not a readable tar archive: {error}") from error
    except FileError as error:
        raise UsageError(f"{flag}: {error}") from error


def read_tar_members(path: str, members: Sequence[TarMember], *, version: str = "") -> Iterator[bytes | DataError]:
    """Yield the content of each member of a plain archive, or the error raised while reading it.

    Opens the archive once.

    Args:
      path: The archive.
      members: From `list_tar_members`.
      version: The archive's version when it was listed (see `files.read_bytes`): no checksum would detect a change.
    """
    done = 0
    try:
        with files.open_binary(path, version=version) as file:
            for member in members:  # in the order of their offsets, so that the buffer of a bucket's file is used
                yield _read(file, member, path)
                done += 1
    except FileError as error:
        yield from itertools.repeat(error, len(members) - done)


def stream_tar_members(
    path: str, keep: Callable[[str], bool], count: int, *, version: str = ""
) -> Iterator[bytes | DataError]:
    """Yield the content of each member of a compressed archive, or the error raised while reading it.

    Args:
      path: The archive.
      keep: Selects members, as in `list_tar_members`.
      count: The number of members that were listed.
      version: As in `read_tar_members`.
    """
    done = 0
    reason = "holds fewer members than when it was listed"
    try:
        # Listed again on the way: the stream has no offsets, so members are found by their order.
        with _open(path, TarKind.PACKED, version) as file:
            for member in itertools.islice(_find_members(file, keep), count):
                yield _read(file, member, path)
                done += 1
    except (*_BROKEN, FileError) as error:
        reason = f"cannot be read any further: {error}"
    for _ in range(count - done):
        yield ArchiveError("tar_member_not_readable", f"{path} {reason}")


@contextlib.contextmanager
def _open(path: str, kind: TarKind, version: str = "") -> Iterator[BinaryIO]:
    with files.open_binary(path, version=version) as file:
        if kind is TarKind.PLAIN:
            yield file
        else:
            with gzip.GzipFile(fileobj=file) as stream:
                yield stream  # type: ignore[misc]  # a BinaryIO in all but name


def _find_members(file: BinaryIO, keep: Callable[[str], bool]) -> Iterator[TarMember]:
    infos = (info for info in _headers(file) if not info.isdir() and keep(_name(info)))
    for name, info in with_unique_names(infos, _name):
        yield TarMember(name=name, offset=info.offset_data, size=info.size, fault=_find_fault(info))


class _LastRead(io.RawIOBase):
    """A file that remembers what was last read from it. Seeking forward reads nothing twice."""

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
    """Yield every header of an archive.

    Raises:
      tarfile.TarError: It is corrupt. tarfile itself takes a header that it cannot parse for the end of the archive.
    """
    # tarfile stops silently at anything that is not a header; only a last block of zeros is the real end.
    watched = _LastRead(file)
    archive = tarfile.TarFile(fileobj=watched, encoding="utf-8", errors="surrogateescape")
    while (info := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # otherwise it keeps every header in memory
        yield info
    if watched.last != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"ends at byte {archive.offset} without an end mark: it may be truncated")


def _name(info: tarfile.TarInfo) -> str:
    """Return the member's path without ``./`` and slashes at its beginning."""
    return str(PurePosixPath(info.name.lstrip("/")))


def _find_fault(info: tarfile.TarInfo) -> str:
    # A link has no bytes of its own; what it points to may lie outside the archive.
    if info.issym() or info.islnk():
        return f"is a link to {info.linkname}, which is not followed"
    # Devices and pipes have no content, and the bytes of a sparse file are not contiguous.
    if not info.isreg() or info.issparse():
        return "is no plain file"
    if info.size > _MAX_SIZE:
        return f"has {info.size} bytes; at most {_MAX_SIZE} are read"
    return ""


def _read(file: BinaryIO, member: TarMember, path: str) -> bytes | DataError:
    if member.fault:
        return _unreadable(path, member, member.fault)
    file.seek(member.offset)
    data = file.read(member.size)
    if len(data) != member.size:
        return _unreadable(path, member, f"expected {member.size} bytes in the archive, found {len(data)}")
    return data


def _unreadable(path: str, member: TarMember, reason: str) -> ArchiveError:
    return ArchiveError("tar_member_not_readable", f"{path}/{member.name}: {reason}")
