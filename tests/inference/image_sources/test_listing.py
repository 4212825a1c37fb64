"""From values of --images to names and chunks."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from inference.image_sources import listing
from retinanet_odm.errors import UsageError
from tests.inference.image_chunks import chunks_of, read_sources


@pytest.mark.parametrize(
    ("roots", "expected"),
    [
        (["/d/a"], "/d/a"),
        (["/d:"], "/d:"),
        (["/d/a", "/d/ab"], "/d"),
        (["/d/a", "/d/a/b"], "/d/a"),
        (["gs://x/a", "gs://x/b"], "gs://x"),
        (["gs://x/a", "gs://y/a"], ""),
        (["gs://x/a", "/d"], ""),
    ],
)
def test_common_folder(roots: list[str], expected: str) -> None:
    assert listing.common_folder(roots) == expected


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
    assert _names(tmp_path / "dive*/y/*") == ["dive [1]/y/a.png", "dive [1]/y/notes.txt"], "every matching file"


def test_a_zip_is_detected_by_its_content(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as target:
        target.writestr("a.png", b"x")
    assert _names(tmp_path / "archive") == ["archive/a.png"]
    with pytest.raises(UsageError, match=f"found none in {tmp_path}$"):
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
    for values, skipped in (([tmp_path], ["x.zip", "y.TAR.GZ"]), ([tmp_path, tmp_path / "x.zip"], ["y.TAR.GZ"])):
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
