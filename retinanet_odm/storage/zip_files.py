"""Members of zip archives, read in place: the central directory lists them, and their offsets locate them.

Begin with `list_zip_members`; its members are small and can be read on any machine by `read_zip_members` or
`open_zip_member`. An archive in an archive is a member like any other and is not opened. The directory of an archive is
not trusted: it may be damaged, or made to exhaust the memory of its reader.
"""

import contextlib
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from retinanet_odm.errors import ArchiveError, DataError, UsageError
from retinanet_odm.pickling import pickle_by_position
from retinanet_odm.storage import files
from retinanet_odm.storage.file_names import with_unique_names
from retinanet_odm.storage.files import FileError

_MAGIC = b"PK"
# Local file header (PKWARE APPNOTE 4.3.7): signature, 22 bytes that the central directory repeats, two lengths.
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LOCAL_SIGNATURE = b"PK\3\4"
_ENCRYPTED, _UTF8 = 0x1, 0x800  # general purpose flag bits 0 and 11 (APPNOTE 4.4.4)
_UNICODE_PATH = 0x7075  # an extra field with the name in UTF-8 (APPNOTE 4.6.9)
_UNICODE_PATH_START = struct.Struct("<BI")  # version, CRC-32 of the name in the header
# Deflate compresses at most 1032 bytes to one; the text of annotations reaches 50, images hardly exceed 1.
_BOMB_SIZE, _BOMB_RATIO = 1 << 26, 250
_CHUNK = 1 << 20
# What zipfile raises for a directory that is truncated, has wrong offsets or needs a later version of the format.
_BROKEN = (zipfile.BadZipFile, NotImplementedError, ValueError, IndexError, struct.error, EOFError)


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class ZipMember:
    """The place of one file in an archive: offset of its local header and sizes in bytes, as in the directory."""

    name: str
    offset: int
    stored_size: int
    size: int
    method: int
    encrypted: bool
    crc: int


def is_zip_file(path: str) -> bool:
    """Return whether a file is a zip archive, by its name or its first bytes."""
    # By its name also if it is damaged: `list_zip_members` then reports it instead of a row for a strange image.
    if path.lower().endswith(".zip"):
        return True
    try:
        with files.open_binary(path) as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except FileError:
        return False  # it stays in the list as an image, whose row will report that it cannot be read


def list_zip_members(path: str, choose: Callable[[list[str]], Iterable[str]], *, flag: str) -> list[ZipMember]:
    """Return the files of an archive, without its folders, in the order of their offsets.

    A second member of the same name gets ``#2`` after it, the third ``#3``.

    Args:
      path: The archive.
      choose: Returns those of the names of all members that are listed.
      flag: The flag that named the archive, for messages.

    Raises:
      UsageError: The file cannot be read or is not a complete zip archive.
    """
    try:
        with files.open_binary(path) as file, zipfile.ZipFile(file) as archive:
            # The directory is at the end of the archive: a truncated file has none, and is refused here.
            named = [(_name(info), info) for info in archive.infolist() if not info.is_dir()]
    except _BROKEN as error:
        raise UsageError(f"{flag}: {path} is not a readable zip archive: {error}") from error
    except FileError as error:
        raise UsageError(f"{flag}: {error}") from error
    chosen = set(choose([name for name, _ in named]))
    infos = [info for name, info in named if name in chosen]
    # By offset: members are then read from the beginning of the archive to its end, whatever the directory's order.
    infos.sort(key=lambda info: info.header_offset)
    return [_member(info, name) for name, info in with_unique_names(infos, _name)]


def read_zip_members(path: str, members: Sequence[ZipMember]) -> list[bytes | DataError]:
    """Return the content of each member, or the error raised while reading it. Opens the archive once."""
    try:
        with files.open_binary(path) as file:
            length = file.seek(0, io.SEEK_END)  # once: a file of a bucket discards its buffer on every seek
            return [_attempt(file, member, path, length) for member in members]
    except FileError as error:
        # Every member gets a result, so that the caller can pair them with its rows.
        return [error] * len(members)


def _attempt(file: BinaryIO, member: ZipMember, path: str, length: int) -> bytes | DataError:
    try:
        return _read(file, member, path, length)
    except ArchiveError as error:
        return error


def read_zip_member(path: str, member: ZipMember) -> bytes:
    """Return the content of one member.

    Raises:
      ArchiveError: It is corrupt, or of a kind that is not supported.
      FileError: The archive cannot be read.
    """
    with files.open_binary(path) as file:
        return _read(file, member, path, file.seek(0, io.SEEK_END))


def _read(file: BinaryIO, member: ZipMember, path: str, length: int) -> bytes:
    with _naming(path, member):
        return _inflate(_stored_bytes(file, member, length), member)


@contextlib.contextmanager
def open_zip_member(path: str, member: ZipMember) -> Iterator[BinaryIO]:
    """Open a member for reading and seeking. It is inflated piece by piece, so it may be larger than the memory.

    Reads the whole member once before yielding it: the body must not act on the beginning of a corrupt member.

    Raises:
      ArchiveError, FileError: As `read_zip_member`.
    """
    with files.open_binary(path) as file:
        with _naming(path, member):
            # The stream reads from the current position of the file, so this must be the first byte of the content.
            _seek_content(file, member, file.seek(0, io.SEEK_END))
            # The first pass verifies the checksum; the second, by the caller, only inflates again.
            stream = _Stream(file, "r", _zip_info(member))
            while stream.read(_CHUNK):
                pass
            stream.seek(0)
        yield cast(BinaryIO, stream)


class _Stream(zipfile.ZipExtFile):
    """Inflates only as much as is requested: all at once may be a bomb, whatever size the directory promises."""

    def read(self, n: int | None = -1) -> bytes:
        """Return up to n bytes; all of them by default."""
        if n is None or n < 0:
            return b"".join(iter(lambda: super(_Stream, self).read(_CHUNK), b""))
        return super().read(n)


def _zip_info(member: ZipMember) -> zipfile.ZipInfo:
    # Only what ZipExtFile needs; the archive's directory was read by `list_zip_members`, on another machine perhaps.
    info = zipfile.ZipInfo(member.name)
    info.compress_type = member.method
    info.compress_size = member.stored_size
    info.file_size = member.size
    info.CRC = member.crc
    return info


def _member(info: zipfile.ZipInfo, name: str) -> ZipMember:
    return ZipMember(
        name=name,
        offset=info.header_offset,
        stored_size=info.compress_size,
        size=info.file_size,
        method=info.compress_type,
        encrypted=bool(info.flag_bits & _ENCRYPTED),
        crc=info.CRC,
    )


def _name(info: zipfile.ZipInfo) -> str:
    """Return the member's name: that of the Unicode Path field, or as UTF-8 even if the archiver has not said so."""
    is_utf8 = bool(info.flag_bits & _UTF8)
    # zipfile has decoded the name as UTF-8 or as CP437. Encoded again, it is the name in the header, byte by byte.
    raw = info.orig_filename.encode("utf-8" if is_utf8 else "cp437", "surrogateescape")
    if (found := _unicode_path(info.extra, raw)) is not None:
        return found
    if is_utf8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")  # archives of macOS
    except UnicodeError:
        return info.filename


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """Return the name in the Info-ZIP Unicode Path field (APPNOTE 4.6.9); None without a valid one.

    Archivers write it if the name in the header is in the encoding of their system. A program that renames a member
    may leave the field as it was, so that it is valid only with the checksum of the name in the header.

    Raises:
      BadZipFile: The field is damaged. zipfile of Python 3.13 refuses such an archive itself.
    """
    for kind, content in _extra_fields(extra):
        if kind != _UNICODE_PATH:
            continue
        if len(content) < _UNICODE_PATH_START.size:
            raise zipfile.BadZipFile(f"a Unicode path field has {len(content)} bytes")
        if _UNICODE_PATH_START.unpack_from(content) == (1, zlib.crc32(raw)):
            try:
                return content[_UNICODE_PATH_START.size :].decode().partition("\0")[0] or None
            except UnicodeError as error:
                raise zipfile.BadZipFile(f"a Unicode path field is not UTF-8: {error}") from error
    return None


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the id and the content of each extra field of a member (APPNOTE 4.5)."""
    # Two bytes of id and two of size before each content; fewer at the end are no field.
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        yield kind, extra[4 : 4 + size]
        extra = extra[4 + size :]


class _UnreadableError(Exception):
    """The reason why a member cannot be read, without the name that the caller knows."""


@contextlib.contextmanager
def _naming(path: str, member: ZipMember) -> Iterator[None]:
    """Turn an error in a member into an ArchiveError that names the member."""
    try:
        yield
    except (_UnreadableError, zlib.error, zipfile.BadZipFile, EOFError) as error:
        reason = str(error) or "ends too early"
        raise ArchiveError("zip_member_not_readable", f"{path}/{member.name}: {reason}") from error


def _stored_bytes(file: BinaryIO, member: ZipMember, length: int) -> bytes:
    _seek_content(file, member, length)
    data = file.read(min(member.stored_size, length))  # never allocates more than the archive holds
    if len(data) != member.stored_size:
        raise _UnreadableError(f"expected {member.stored_size} bytes in the archive, found {len(data)}")
    return data


def _seek_content(file: BinaryIO, member: ZipMember, length: int) -> None:
    """Move to the first stored byte of a member, in an archive of this length."""
    _check_kind(member)
    if not 0 <= member.offset <= length:  # negative if the archive has lost its beginning
        raise _UnreadableError(f"the archive's directory is wrong: no member begins at byte {member.offset}")
    file.seek(member.offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or header[:4] != _LOCAL_SIGNATURE:
        raise _UnreadableError(f"the archive's directory is wrong: no member begins at byte {member.offset}")
    # Its lengths may differ from those in the central directory, so the content is found only by the local header.
    _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    file.seek(member.offset + _LOCAL_HEADER.size + name_length + extra_length)


def _check_kind(member: ZipMember) -> None:
    if member.encrypted:
        raise _UnreadableError("is encrypted")
    if member.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _UnreadableError(f"compression method {member.method} is not supported (expected stored or deflated)")
    if member.size > max(_BOMB_SIZE, _BOMB_RATIO * member.stored_size):
        raise _UnreadableError(f"would grow from {member.stored_size} to {member.size} bytes, as a zip bomb does")


def _inflate(data: bytes, member: ZipMember) -> bytes:
    if member.method == zipfile.ZIP_DEFLATED:
        # One byte more than promised is enough to detect a wrong size, and too little for a bomb.
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise _UnreadableError(f"expected {member.size} bytes of checksum {member.crc:08x}, found others")
    return data
