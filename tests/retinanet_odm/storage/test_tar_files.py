"""Tar archives, plain or compressed: listed and read in place; every fault is reported."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from retinanet_odm.errors import ArchiveError, DataError, UsageError
from retinanet_odm.storage import tar_files
from retinanet_odm.storage.tar_files import (
    TarKind,
    find_tar_kind,
    list_tar_members,
    read_tar_members,
    stream_tar_members,
)

# Sizes around tar's block of 512 bytes and gzip's buffers, where readers step back a byte.
CONTENT = {f"d/{size}.jpg": bytes([size % 251]) * size for size in (0, 1, 511, 512, 513, 8192, 16384, 300_000)}


def _tar(content: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, errors="surrogateescape") as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _keep(name: str) -> bool:
    return name.endswith(".jpg")


def _read(path: Path) -> dict[str, bytes | DataError]:
    kind = find_tar_kind(str(path))
    assert kind is not None
    members = list(list_tar_members(str(path), kind, _keep, flag="--images"))
    contents = (
        read_tar_members(str(path), members)
        if kind is TarKind.PLAIN
        else stream_tar_members(str(path), _keep, len(members))
    )
    return dict(zip([member.name for member in members], contents, strict=True))


@pytest.fixture(params=["tar", "tar.gz"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], Path]:
    def run(data: bytes) -> Path:
        path = tmp_path / f"x.{request.param}"
        path.write_bytes(data if request.param == "tar" else gzip.compress(data))
        return path

    return run


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_content(form: int, write: Callable[[bytes], Path]) -> None:
    assert _read(write(_tar({**CONTENT, "notes.txt": b"x", "d/": b""}, form))) == CONTENT


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(["./d/a.jpg", "/d/b.jpg"], ["d/a.jpg", "d/b.jpg"], id="as tar -c . and tar -P give them"),
        pytest.param(["../../a.jpg"], ["../../a.jpg"], id="folders above: only a name"),
        pytest.param(["a.jpg", "a.jpg", "a.jpg"], ["a.jpg", "a.jpg#2", "a.jpg#3"], id="appended anew"),
        pytest.param(["Étoile 🦀.jpg", "caf\udce9.jpg"], ["Étoile 🦀.jpg", "caf\udce9.jpg"], id="letters"),
        pytest.param(["x" * 300 + ".jpg"], ["x" * 300 + ".jpg"], id="longer than a header holds"),
    ],
)
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names(names: list[str], expected: list[str], form: int, write: Callable[[bytes], Path]) -> None:
    parts = [_tar({name: str(number).encode()}, form) for number, name in enumerate(names)]
    body = b"".join(part.rstrip(b"\0").ljust((len(part.rstrip(b"\0")) + 511) // 512 * 512, b"\0") for part in parts)
    found = _read(write(body + bytes(1024)))
    assert found == {name: str(number).encode() for number, name in enumerate(expected)}


def test_links_and_devices_are_not_followed(write: Callable[[bytes], Path]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"{kind.decode()}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        archive.addfile(tarfile.TarInfo("good.jpg"))
    found = _read(write(buffer.getvalue()))
    assert found.pop("good.jpg") == b""
    details = {name: str(error) for name, error in found.items()}
    assert [detail.partition(".jpg: ")[2] for detail in details.values()] == [
        "is a link to /etc/passwd, which is not followed",
        "is a link to /etc/passwd, which is not followed",
        "is no plain file",
        "is no plain file",
    ]
    assert {error.reason for error in found.values() if isinstance(error, ArchiveError)} == {"tar_member_not_readable"}


def test_a_member_larger_than_any_image(write: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_files, "_MAX_SIZE", 10)
    found = _read(write(_tar({"a.jpg": bytes(11), "b.jpg": bytes(10)})))
    assert "has 11 bytes; at most 10 are read" in str(found["a.jpg"])
    assert found["b.jpg"] == bytes(10)


COMPLETE = _tar({"a.jpg": b"a" * 700, "b.jpg": b"b" * 700})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(COMPLETE[:1000], "unexpected end of data", id="truncated in a member"),
        pytest.param(COMPLETE[: 3 * 512], "without an end mark", id="truncated between members"),
        pytest.param(COMPLETE[: 3 * 512 + 100], "without an end mark", id="truncated in a header"),
        pytest.param(
            COMPLETE[: 3 * 512] + b"x" * 512 + COMPLETE[4 * 512 :], "without an end mark", id="a header that is none"
        ),
        pytest.param(b"", "empty file", id="nothing"),
        pytest.param(b"hello" * 200, "invalid header", id="something else"),
    ],
)
def test_a_broken_archive_is_refused(data: bytes, message: str, write: Callable[[bytes], Path]) -> None:
    path = write(data)
    with pytest.raises(UsageError, match=f"--images: .* is not a readable tar archive: .*{message}"):
        _read(path)


def test_a_truncated_compressed_archive_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_bytes(gzip.compress(_tar(CONTENT))[:-100])
    with pytest.raises(UsageError, match="is not a readable tar archive"):
        _read(tmp_path / "x.tgz")


def test_an_archive_that_changes_between_listing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(COMPLETE)
    members = list(list_tar_members(str(path), TarKind.PLAIN, _keep, flag="--images"))
    path.write_bytes(COMPLETE[:2000])
    good, bad = read_tar_members(str(path), members)
    assert good == b"a" * 700
    assert "expected 700 bytes in the archive, found" in str(bad)
    path.unlink()
    assert ["cannot be read" in str(error) for error in read_tar_members(str(path), members)] == [True, True]
    packed = tmp_path / "x.tgz"
    packed.write_bytes(gzip.compress(COMPLETE[:2100]))
    good, bad = stream_tar_members(str(packed), _keep, 2)
    assert good == b"a" * 700
    assert str(bad).startswith(f"{packed}/b.jpg: expected 700 bytes")
    packed.write_bytes(gzip.compress(_tar({"a.jpg": b"a"})))
    good, bad = stream_tar_members(str(packed), _keep, 2)
    assert good == b"a"
    assert "holds fewer members than when it was listed" in str(bad)
    packed.write_bytes(gzip.compress(_tar(CONTENT))[:300])
    assert "cannot be read any further" in str(list(stream_tar_members(str(packed), _keep, 9))[-1])


@pytest.mark.parametrize(
    ("name", "data", "expected"),  # mtime=0: the ids of the tests hold these bytes
    [
        ("x", COMPLETE, TarKind.PLAIN),
        ("x", gzip.compress(COMPLETE, mtime=0), TarKind.PACKED),
        ("x.TAR", b"no magic", TarKind.PLAIN),
        ("x.tgz", gzip.compress(b"no magic", mtime=0), TarKind.PACKED),
        ("x.tar.gz", gzip.compress(b"", mtime=0), TarKind.PACKED),
        ("x.gz", gzip.compress(b"an image", mtime=0), None),
        ("x.gz", b"\x1f\x8bnot gzip", None),
        ("x.zip", b"PK\3\4", None),
        ("x.jpg", b"", None),
    ],
)
def test_kind(name: str, data: bytes, expected: TarKind | None, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert find_tar_kind(str(tmp_path / name)) is expected


def test_nothing_of_a_compressed_archive_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """gzip cannot step back: it begins anew, which for a large archive would never end."""
    path = tmp_path / "x.tgz"
    path.write_bytes(gzip.compress(_tar(CONTENT)))

    def rewind(_: object) -> None:
        raise AssertionError("the stream was rewound")

    monkeypatch.setattr("_compression.DecompressReader._rewind", rewind)
    assert _read(path) == CONTENT
