"""Members of zip archives, read in place, by hand-made archives good and bad."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retinanet_odm.errors import ArchiveError, DataError, UsageError
from retinanet_odm.storage.file_names import looks_like_image
from retinanet_odm.storage.zip_files import (
    ZipMember,
    list_zip_members,
    open_zip_member,
    read_zip_member,
    read_zip_members,
)


@pytest.mark.parametrize(
    ("name", "expected", "why"),
    [
        ("a.jpg", True, ""),
        ("a b/É.JPEG", True, "any case, any letters"),
        ("photo#1.webp", True, ""),
        ("../x.tif", True, "a name from an archive is only a name"),
        ("a.txt", False, "not an image's suffix"),
        ("jpg", False, "no suffix"),
        (".a.jpg", False, "hidden"),
        ("d/.thumbs/a.jpg", False, "in a hidden folder"),
        ("__MACOSX/d/a.jpg", False, "macOS's shadow of a.jpg"),
    ],
)
def test_looks_like_image(name: str, expected: bool, why: str) -> None:
    assert looks_like_image(name) is expected, why


def _streamed(path: str, member: ZipMember) -> bytes:
    with open_zip_member(path, member) as file:
        return file.read()


READERS = [read_zip_member, _streamed]


def _try(read: Callable[[str, ZipMember], bytes], path: Path, member: ZipMember) -> bytes | DataError:
    try:
        return read(str(path), member)
    except DataError as error:
        return error


def _list(path: Path, *, flag: str = "--images") -> list[ZipMember]:
    return list_zip_members(str(path), list, flag=flag)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_odd_members(tmp_path: Path, read: Callable[[str, ZipMember], bytes]) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.mkdir("folder")
        target.writestr("a.jpg", b"first")
        target.writestr("a.jpg", b"second")
        target.writestr("b.jpg", b"squeezed", compress_type=zipfile.ZIP_BZIP2)
        target.writestr("empty.jpg", b"", compress_type=zipfile.ZIP_DEFLATED)
        target.writestr("crc.jpg", b"change")
        target.writestr("../../etc/é.jpg", b"only a name")
        target.writestr("DOS-e.jpg", b"cp437")
        target.writestr("no-flag-é.jpg", b"macOS")
    data = bytearray(path.read_bytes().replace(b"change", b"CHANGE").replace(b"DOS-e", b"DOS-\x82"))
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # general purpose flags: drop "the name is UTF-8"
        at = data.rfind(signature) + flags
        (bits,) = struct.unpack_from("<H", data, at)
        struct.pack_into("<H", data, at, bits & ~0x800)
    path.write_bytes(data)
    found = {member.name: _try(read, path, member) for member in _list(path)}
    assert "method 12 is not supported" in str(found.pop("b.jpg"))
    assert isinstance(found.pop("crc.jpg"), ArchiveError)
    assert found == {
        "a.jpg": b"first",
        "a.jpg#2": b"second",
        "empty.jpg": b"",
        "../../etc/é.jpg": b"only a name",
        "DOS-é.jpg": b"cp437",
        "no-flag-é.jpg": b"macOS",
    }


def _unicode_path(name: bytes, header: bytes, *, version: int = 1) -> bytes:
    content = struct.pack("<BI", version, zlib.crc32(header)) + name
    return struct.pack("<HH", 0x7075, len(content)) + content


HEADER = b"t\x82\x92t.jpg"  # "têtê" in no encoding that this program knows
UNICODE_PATHS = [
    (_unicode_path("höhle/é.jpg".encode(), HEADER), "höhle/é.jpg", "the name in UTF-8"),
    (b"UT\5\0\1abcd" + _unicode_path("é.jpg".encode(), HEADER), "é.jpg", "after another field"),
    (_unicode_path("é.jpg".encode(), b"old.jpg"), "téÆt.jpg", "the member was renamed after: the field is stale"),
    (_unicode_path("é.jpg".encode(), HEADER, version=2), "téÆt.jpg", "an unknown version"),
    (_unicode_path(b"", HEADER), "téÆt.jpg", "no name"),
]
DAMAGED_UNICODE_PATHS = [
    (_unicode_path(b"\xff\xfe.jpg", HEADER), "not UTF-8"),
    (struct.pack("<HH", 0x7075, 3) + b"\1ab", "too short"),
]


def _write_member(path: Path, extra: bytes) -> None:
    info = zipfile.ZipInfo("t__t.jpg")
    info.extra = extra
    with zipfile.ZipFile(path, "w") as target:
        target.writestr(info, b"content")
    path.write_bytes(path.read_bytes().replace(b"t__t.jpg", HEADER))


@pytest.mark.parametrize(("extra", "expected", "why"), UNICODE_PATHS)
def test_names_in_the_unicode_path_field(tmp_path: Path, extra: bytes, expected: str, why: str) -> None:
    path = tmp_path / "z.zip"
    _write_member(path, extra)
    (member,) = _list(path)
    assert member.name == expected, why
    assert read_zip_member(str(path), member) == b"content"


@pytest.mark.parametrize(("extra", "why"), DAMAGED_UNICODE_PATHS)
def test_a_damaged_unicode_path_field_is_one_line(tmp_path: Path, extra: bytes, why: str) -> None:
    _write_member(tmp_path / "z.zip", extra)
    # zipfile has its own words for it since Python 3.13.
    with pytest.raises(UsageError, match=r"(?i)z.zip is not a readable zip archive: .*unicode path") as caught:
        _list(tmp_path / "z.zip")
    assert "\n" not in str(caught.value), why


WRONG_DIRECTORIES = [
    ({"encrypted": True}, "is encrypted", "according to the directory"),
    ({"offset": 1}, "no member begins at byte 1", "another member's content"),
    ({"offset": 10**6}, "no member begins at byte 1000000", "behind the end"),
    ({"offset": -1}, "no member begins at byte -1", "the archive has lost its first bytes"),
    ({"size": 2**40}, f"would grow from 5 to {2**40} bytes", "a zip bomb with its true size"),
    ({"size": 1}, "expected 1 bytes of checksum|Bad CRC-32", "more content than promised"),
    ({"crc": 1}, "of checksum 00000001|Bad CRC-32", "other content than promised"),
    ({"method": zipfile.ZIP_DEFLATED}, "expected 5 bytes of checksum|Bad CRC-32", "read as deflated: an empty block"),
    ({"method": zipfile.ZIP_DEFLATED, "stored_size": 1}, "expected 5 bytes|Bad CRC-32", "truncated within a block"),
    ({"stored_size": 2**62, "size": 6}, f"expected {2**62} bytes in the archive|ends too early|CRC", "no memory"),
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(("change", "message", "why"), WRONG_DIRECTORIES, ids=[row[2] for row in WRONG_DIRECTORIES])
def test_a_wrong_directory(tmp_path: Path, read, change: dict[str, object], message: str, why: str) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("a.jpg", b"\3\0aaa")
    (member,) = _list(path)
    with pytest.raises(ArchiveError, match=message) as caught:
        read(str(path), _but(member, **change))
    assert caught.value.reason == "zip_member_not_readable", why
    assert f"{path}/a.jpg: " in str(caught.value), why


def _but(member: ZipMember, **change: object) -> ZipMember:
    return ZipMember(**{name: getattr(member, name) for name in member.__dataclass_fields__} | change)


@pytest.mark.parametrize("read", READERS)
def test_a_zip_bomb_with_a_false_size_is_not_inflated(tmp_path: Path, read) -> None:
    """Also where its first bytes have the promised checksum."""
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target, target.open("a.xml", "w") as file:
        for _ in range(96):
            file.write(bytes(1 << 20))
    (member,) = _list(path)
    assert "zip bomb" in str(_try(read, path, member))
    small = _but(member, size=1000, crc=zlib.crc32(bytes(1000)))
    found = _try(read, path, small)
    assert found == bytes(1000) if read is _streamed else isinstance(found, ArchiveError)


def test_an_archive_that_vanishes_fails_its_members(tmp_path: Path) -> None:
    path = tmp_path / "gone.zip"
    member = ZipMember(name="a", offset=0, stored_size=0, size=0, method=0, encrypted=False, crc=zlib.crc32(b""))
    found = [*read_zip_members(str(path), [member, member]), *(_try(read, path, member) for read in READERS)]
    assert [error.reason for error in found if isinstance(error, DataError)] == ["file_not_readable"] * 4


def test_neighbours_of_a_broken_member_are_read(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as target:
        for name in "abc":
            target.writestr(name, name)
    first, second, third = _list(path)
    one, two, three = read_zip_members(str(path), [first, _but(second, encrypted=True), third])
    assert (one, three) == (b"a", b"c")
    assert isinstance(two, ArchiveError)


@pytest.mark.parametrize("data", [b"", b"PK\3\4 and no more", b"hello"])
def test_no_zip_is_a_bad_request_of_its_flag(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "z.zip"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"^--exports: .*z\.zip is not a readable zip archive"):
        _list(path, flag="--exports")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.binary(max_size=5000), st.sampled_from([0, 8])), max_size=5), st.binary(max_size=40))
def test_every_member_comes_back(tmp_path: Path, contents: list[tuple[bytes, int]], before: bytes) -> None:
    """Stored or deflated, behind bytes that are not of the archive; by both readers, and again after a seek."""
    path = tmp_path / "z.zip"
    path.write_bytes(before)
    with zipfile.ZipFile(path, "a") as target:
        for number, (data, method) in enumerate(contents):
            target.writestr(str(number), data, compress_type=method)
    members = _list(path)
    assert [member.name for member in members] == [str(number) for number in range(len(contents))]
    for member, (data, _) in zip(members, contents, strict=True):
        assert read_zip_member(str(path), member) == data
        with open_zip_member(str(path), member) as file:
            assert file.read(7) == data[:7]
            file.seek(0)
            assert file.read() == data
