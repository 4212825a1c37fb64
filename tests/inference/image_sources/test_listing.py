"""From values of --images to names and chunks."""

import io
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from inference.image_sources import listing
from retinanet_odm.errors import UsageError
from tests.inference.image_chunks import chunks_of, read_sources


def _names(*values: Path) -> list[str]:
    return sorted(name for chunk in chunks_of(*values) for name in chunk.names)


def test_names_of_sources(tmp_path: Path) -> None:
    root = tmp_path / "dive [1]"  # brackets are wildcards elsewhere
    for name in ("x/a.png", "y/a.png", "y/notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    assert _names(root) == ["x/a.png", "y/a.png"]
    assert _names(root / "x/a.png") == ["a.png"]
    assert _names(root / "x", root / "y") == ["x/a.png", "y/a.png"]
    assert _names(root, root / "x", root / "x/a.png") == ["x/a.png", "y/a.png"], "each file once"
    assert _names(tmp_path / "dive*/y/*") == ["dive [1]/y/a.png"], "notes.txt is no image"


def test_brackets_of_folders_that_exist(tmp_path: Path) -> None:
    (tmp_path / "[2024]/x").mkdir(parents=True)
    (tmp_path / "[2024]/x/a.png").write_bytes(b"x")
    assert _names(tmp_path / "[2024]/x/*") == ["a.png"]
    assert _names(tmp_path / "[2024]/*/a.png") == ["x/a.png"]
    with pytest.raises(UsageError, match=r"found none in .*\[2025\]/\*; in a pattern, \[ \] matches one"):
        _names(tmp_path / "[2025]/*")


def test_a_zip_is_detected_by_its_content(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as target:
        target.writestr("a.png", b"x")
    assert _names(tmp_path / "archive") == ["archive/a.png"]
    with pytest.raises(UsageError, match=f"found none in {tmp_path}, but 1 without extension$"):
        _names(tmp_path)  # archives in a folder are not opened
    (tmp_path / "archive").rename(tmp_path / "an.ZIP")
    with pytest.raises(
        UsageError, match=f"found none in {tmp_path}, but archives: name them, for example {tmp_path}/an.ZIP"
    ):
        _names(tmp_path)
    (tmp_path / "no.zip").write_bytes(b"hello")
    with pytest.raises(UsageError, match=r"no\.zip is not a readable zip"):
        _names(tmp_path / "no.zip")


def test_archives_in_folders_are_skipped_unless_they_are_named(tmp_path: Path) -> None:
    for name in ("a.png", "x.zip", "y.TAR.GZ"):
        (tmp_path / name).write_bytes(b"x")
    for values, skipped in (
        ([tmp_path], ["x.zip", "y.TAR.GZ"]),
        ([tmp_path, tmp_path / "x.zip"], ["y.TAR.GZ"]),
    ):
        listed = listing.list_source_files(listing.resolve_sources(list(map(str, values))))
        assert listing.skipped_archives(listed) == [str(tmp_path / name) for name in skipped]


def test_many_members_in_chunks(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    wanted = {f"z.zip/{number:03}.jpg": bytes([number]) * (number + 1) for number in range(100)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in wanted.items():
            target.writestr(name.removeprefix("z.zip/"), data)
    assert read_sources(path) == wanted
    assert [len(chunk.names) for chunk in chunks_of(path)] == [32, 32, 32, 4]


@pytest.mark.parametrize(("name", "sizes"), [("t.tar", [32, 32, 32, 4]), ("t.tgz", [100])])
def test_tar_members_in_chunks(name: str, sizes: list[int], tmp_path: Path) -> None:
    """A compressed archive can only be read from its beginning: one worker reads all of it."""
    path = tmp_path / name
    wanted = {f"{name}/{number:03}.jpg": bytes([number]) * (number + 1) for number in range(100)}
    with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as target:
        for image, data in {**wanted, f"{name}/.hidden.jpg": b"x", f"{name}/notes.txt": b"x"}.items():
            info = tarfile.TarInfo(f"./{image.removeprefix(f'{name}/')}")
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
    assert read_sources(path) == wanted
    assert [len(chunk.names) for chunk in chunks_of(path)] == sizes
    assert read_sources(tmp_path / "t.*") == wanted


PASSED_OVER = [
    (["."], {".dng": 2, ".txt": 1, ".mp4": 1, ".zip": 1}, ["a.jfif", "b.jpe", "c.avif", "d.HEIC"], "a folder"),
    (["*"], {".dng": 1, ".mp4": 1, ".txt": 2}, ["a.jfif", "b.jpe", "c.avif", "d.HEIC", "raw", "z.zip/e.jpg"], "a glob"),
    ([".", "z.zip"], {".dng": 2, ".txt": 2, ".mp4": 1}, ["a.jfif", "b.jpe", "c.avif", "d.HEIC", "z.zip/e.jpg"], "both"),
    (["z.zip"], {".txt": 1}, ["z.zip/e.jpg"], "members of an archive"),
    (["t.tar"], {".xml": 1}, ["t.tar/e.jpg"], "members of another"),
]


@pytest.mark.parametrize(("values", "counts", "names", "why"), PASSED_OVER)
def test_files_that_are_passed_over_are_counted(tmp_path: Path, values, counts, names, why) -> None:
    folder = tmp_path / "in"
    for name in ("a.jfif", "b.jpe", "c.avif", "d.HEIC", "e.dng", "f/e.DNG", "g.mp4", "notes.txt", "raw"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    for name in ("Thumbs.db", ".DS_Store", "__MACOSX/a.dng", "out/summary.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    with zipfile.ZipFile(folder / "z.zip", "w") as target:
        for name in ("e.jpg", "notes.txt", ".hidden.txt"):
            target.writestr(name, b"x")
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for name in ("e.jpg", "e.xml", "._e.jpg"):
            tar.addfile(tarfile.TarInfo(name))
    root = tmp_path if values == ["t.tar"] else folder
    if values != ["."] and "raw" not in names:
        (folder / "raw").unlink()
    if values == ["."]:
        counts = {**counts, "": 1}
    listed = listing.list_source_files(
        listing.resolve_sources([str(root / value) for value in values]), str(folder / "out")
    )
    passed_over = Counter[str]()
    found = [name for chunk in listing.list_chunks(listed, passed_over) for name in chunk.names]
    assert sorted(found) == sorted(names), why
    assert passed_over == counts, why


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.7z").write_bytes(b"x")
    (tmp_path / "b.dng").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"a\.7z: a 7z archive cannot be read: unpack it, or make a zip file of it"):
        _names(tmp_path / "a.7z")
    with pytest.raises(UsageError, match=r"found none in .*, but 1 \.dng"):
        _names(tmp_path / "b.dng")
    with pytest.raises(UsageError, match=r"https://example\.org/x: expected a local path or gs://"):
        listing.resolve_sources(["https://example.org/x"])
