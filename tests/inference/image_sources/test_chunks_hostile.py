"""Archives that are hostile or odd: each member one row, or one clear error for the archive; nothing is unpacked."""

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.image_sources.chunks import MEMBERS_PER_CHUNK, read_chunk
from inference.main import main
from retinanet_odm.predictions.rows import OK
from tests.inference.fake_model import make_image, read_rows
from tests.inference.image_chunks import chunks_of

GOOD = make_image(8, 8)
MEMBERS = 10_000


def _zip(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, data in members:
            target.writestr(name, data)
    return buffer.getvalue()


def _in_directory(data: bytes, number: int, offset: int, form: str, value: int) -> bytes:
    """A zip archive in whose directory one field of the entry of this number (PKWARE APPNOTE 4.3.12) is another."""
    changed, at = bytearray(data), -1
    for _ in range(number + 1):
        at = data.index(b"PK\1\2", at + 1)
    struct.pack_into(form, changed, at + offset, value)
    return bytes(changed)


TWO = _zip(("a.png", GOOD), ("b.png", GOOD))
NOT_READABLE = "zip_member_not_readable"
ZIPS = [
    (_zip(("a.png", GOOD), ("b.png", b"")), {"a.png": OK, "b.png": "image_empty"}, "a member of 0 bytes"),
    (_in_directory(TWO, 1, 8, "<H", 1), {"a.png": OK, "b.png": NOT_READABLE}, "an encrypted member"),
    (_in_directory(TWO, 1, 42, "<I", 1), {"a.png": OK, "b.png": NOT_READABLE}, "a wrong offset of a member"),
    (_in_directory(TWO, 1, 42, "<I", 0), {"a.png": OK, "b.png": OK}, "two entries for one member: it is two images"),
    (
        _in_directory(TWO, 1, 24, "<I", 2**31),
        {"a.png": OK, "b.png": NOT_READABLE},
        "a stated size of 2 GiB: a zip bomb",
    ),
    (_in_directory(TWO, 1, 16, "<I", 7), {"a.png": OK, "b.png": NOT_READABLE}, "another checksum"),
    (
        _in_directory(TWO, 1, 20, "<I", 2**30),
        {"a.png": OK, "b.png": NOT_READABLE},
        "it ends after the end of the archive",
    ),
    (
        _zip(("../../etc/a.png", GOOD), ("/b.png", GOOD)),
        {"../../etc/a.png": OK, "/b.png": OK},
        "names are not used as paths",
    ),
    (_zip(("a.png", GOOD), ("inner.zip", TWO)), {"a.png": OK}, "an archive in an archive is no image"),
]


def test_a_run_over_hostile_zips_has_one_row_for_each_member(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, (data, _, _) in enumerate(ZIPS):
        (folder / f"{number}.zip").write_bytes(data)
    reasons = _score(f"{folder}/*", model, tmp_path / "out")
    for number, (_, expected, why) in enumerate(ZIPS):
        prefix = f"{number}.zip/"
        found = {name.removeprefix(prefix): reason for name, reason in reasons.items() if name.startswith(prefix)}
        assert found == expected, why
    assert len(reasons) == sum(len(expected) for _, expected, _ in ZIPS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"], "nothing is unpacked"


def _score(images: str, model: Path, out: Path) -> dict[str, str]:
    """Reason or OK by the image's name."""
    assert main(["score", "--images", images, "--model", str(model), "--output", str(out)]) == 0
    return {name: row.get("reason", OK) for name, row in read_rows(out).items()}


END = TWO.rindex(b"PK\5\6")  # of the central directory, APPNOTE 4.3.16
REFUSED = [
    (TWO[:END], "its end is cut off"),
    (TWO[: END + 12] + struct.pack("<I", 2**31) + TWO[END + 16 :], "its directory is longer than the file"),
    (TWO.replace(b"PK\1\2", b"PK\1\3"), "its directory holds something else"),
]


@pytest.mark.parametrize(("data", "why"), REFUSED, ids=[row[1] for row in REFUSED])
def test_a_corrupt_directory_is_one_clear_error(
    data: bytes, why: str, tmp_path: Path, model: Path, fail: Callable[..., str]
) -> None:
    path, out = tmp_path / "x.zip", tmp_path / "out"
    path.write_bytes(data)
    line = fail("score", "--images", path, "--model", model, "--output", out)
    assert f"--images: {path} is not a readable zip archive" in line, why
    assert not out.exists()


def test_ten_thousand_members(tmp_path: Path) -> None:
    """One image each, in chunks that machines can share; each member is read by its place."""
    path = tmp_path / "x.zip"
    names = [f"dive {number % 7}/{number}.png" for number in range(MEMBERS)]
    path.write_bytes(_zip(*((name, GOOD) for name in names)))
    chunks = list(chunks_of(path))
    assert [name for chunk in chunks for name in chunk.names] == [f"x.zip/{name}" for name in names]
    assert max(len(chunk.names) for chunk in chunks) <= MEMBERS_PER_CHUNK
    for chunk in (chunks[0], chunks[len(chunks) // 2], chunks[-1]):
        assert [data for _, data in read_chunk(chunk)] == [GOOD] * len(chunk.names)


def _add(target: tarfile.TarFile, name: str, data: bytes = b"", **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    target.addfile(info, io.BytesIO(data))


def test_links_in_a_tar_are_rows_that_failed(tmp_path: Path, model: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(GOOD)
    with tarfile.open(tmp_path / "y.tar", "w") as target:
        _add(target, "good.png", GOOD)
        _add(target, "empty.png")
        _add(target, "link.png", type=tarfile.SYMTYPE, linkname=str(secret))
        _add(target, "hard.png", type=tarfile.LNKTYPE, linkname="good.png")
    assert _score(str(tmp_path / "y.tar"), model, tmp_path / "out") == {
        "y.tar/good.png": OK,
        "y.tar/empty.png": "image_empty",
        "y.tar/link.png": "tar_member_not_readable",
        "y.tar/hard.png": "tar_member_not_readable",
    }
