"""Local files that match a pattern: none is skipped silently."""

import os
from pathlib import Path

import pytest
from apache_beam.io.filesystems import FileSystems

from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files

NAMES = ["a.jpg", "b.JPG", "sub/a.jpg", "sub/deep/c.jpg", "[x]/d.jpg", "two words.jpg", "Étoile.jpg", ".hidden.jpg"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in NAMES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def _found(root: Path, pattern: str) -> list[str]:
    return [path.removeprefix(f"{root}/") for path in files.iter_matches(f"{root}/{pattern}")]


PATTERNS = [
    "*",
    "*.jpg",
    "**",
    "**.jpg",
    "sub/*",
    "sub/**",
    "*/a.jpg",
    "?.jpg",
    "[ab].*",
    "sub/",
    "none/*",
    "a.jpg",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_ordinary_files_are_matched_as_beam_matches_them(tree, pattern):
    by_beam = [entry.path for entry in FileSystems.match([f"{tree}/{pattern}"])[0].metadata_list]
    assert list(files.iter_matches(f"{tree}/{pattern}")) == sorted(by_beam)


def test_files_that_beam_omits(tree, tmp_path):
    (tree / "nowhere.jpg").symlink_to(tmp_path / "gone")
    (tree / "back\\slash.jpg").write_text("x")
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "e.jpg").write_text("x")
    (tree / "link").symlink_to(tmp_path / "far")
    assert {"nowhere.jpg", "back\\slash.jpg"} <= set(_found(tree, "*.jpg"))
    assert "link/e.jpg" in _found(tree, "**") and _found(tree, "link/*") == ["link/e.jpg"]
    with pytest.raises(files.FileError):
        files.read_bytes(str(tree / "nowhere.jpg"))


def test_a_link_to_a_folder_above_ends(tree):
    (tree / "sub" / "up").symlink_to(tree)
    found = _found(tree, "**")
    assert len(found) == len(set(found)) and "sub/up/a.jpg" not in found


def test_relative_patterns(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert list(files.iter_matches("sub/*")) == ["sub/a.jpg"]
    assert list(files.iter_matches("a.*")) == ["a.jpg"]


def test_a_version_changes_with_the_file(tree):
    (before,) = files.list_files(f"{tree}/a.jpg")
    os.utime(tree / "a.jpg", (1, 1))
    (after,) = files.list_files(f"{tree}/a.jpg")
    assert before.version != after.version


def test_a_pipe_is_not_waited_for(tree):
    os.mkfifo(tree / "pipe.jpg")
    with pytest.raises(files.FileError, match="no regular file"):
        files.read_bytes(str(tree / "pipe.jpg"))


def test_a_folder_that_cannot_be_read_is_an_error(tree, monkeypatch):
    scandir = os.scandir

    def refuse(folder):  # as the system does, but to root too
        if str(folder).endswith("/sub"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UsageError, match=r"cannot list .*Permission denied"):
        _found(tree, "**")
