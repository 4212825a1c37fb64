"""Paths of Windows, on any system: `ntpath` and PureWindowsPath, which work everywhere, say what they mean."""

import ntpath
import posixpath
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm import systems
from retinanet_odm.storage import file_names
from retinanet_odm.systems import (
    folded_name,
    is_same_place,
    is_within,
    link_folder,
    shell_word,
    with_slashes,
    writable_name,
)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems, "WINDOWS", True)


PATHS = [
    (r"C:\dive 1\*.jpg", "C:/dive 1/*.jpg", "a drive"),
    (r"dive 1\images\**", "dive 1/images/**", "a pattern relative to the current folder"),
    ("DATASET\\", "DATASET/", "the slash at the end says that it is a folder"),
    (r"..\a.zip", "../a.zip", "the folder above"),
    (r"\\server\share\a.jpg", "//server/share/a.jpg", "a network share"),
    (r"\\?\C:\long\a.jpg", "C:/long/a.jpg", "the question mark would be a wildcard"),
    (r"\\?\UNC\server\share\a", "//server/share/a", "the same, of a share"),
    ("C:/a", "C:/a", "slashes already"),
    ("C://a", "C:/a", "not the URI of a storage C"),
    (r"C:\\a", "C:/a", "the same, from a shell that wants doubled backslashes"),
    (r"gs://b/a\b.jpg", r"gs://b/a\b.jpg", "the name of an object may contain a backslash"),
    ("", "", "no value"),
]


@pytest.mark.parametrize(("path", "expected", "reason"), PATHS)
@pytest.mark.usefixtures("windows")
def test_paths_as_a_person_writes_them(path: str, expected: str, reason: str) -> None:
    assert with_slashes(path) == expected, reason


def test_a_backslash_is_a_character_elsewhere() -> None:
    assert [with_slashes(path) for path, _, _ in PATHS] == [path for path, _, _ in PATHS]


# Without a colon or a leading slash, whose meaning is in the table.
_RELATIVE = st.lists(st.text("ab .[]é", min_size=1, max_size=4).map(str.strip).filter(bool), min_size=1).map("\\".join)


@given(_RELATIVE)
def test_windows_takes_both_forms_for_the_same(path: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(systems, "WINDOWS", True)
        slashed = with_slashes(path)
        assert PureWindowsPath(slashed) == PureWindowsPath(path) and "\\" not in slashed
        assert with_slashes(slashed) == slashed
        assert file_names.absolute(f"C:/{slashed}") == ntpath.normpath(f"C:\\{path}").replace("\\", "/")
        assert file_names.absolute(slashed) == posixpath.normpath(f"{Path.cwd().as_posix()}/{slashed}")


FOLDERS = [
    (["C:/dives/1", "C:/dives/2"], "C:/dives", "below one folder"),
    (["C:/a", "C:/b"], "C:", "the root of a drive"),
    (["C:/a", "D:/a"], "", "two drives have nothing in common"),
    (["C:/a", "gs://b/a"], "", "a drive and a bucket have nothing in common"),
    (["gs://b/1", "gs://c/1"], "", "two buckets have nothing in common"),
]


@pytest.mark.parametrize(("roots", "expected", "reason"), FOLDERS)
def test_common_folders(roots: list[str], expected: str, reason: str) -> None:
    assert file_names.common_folder(roots) == expected, reason


@pytest.mark.usefixtures("windows")
def test_the_root_of_a_drive() -> None:
    assert systems.folder_path("E:") == "E:/", "E: alone is the current folder of that drive"
    assert (systems.folder_path(""), systems.folder_path("a")) == (".", "a")
    assert (file_names.root_of("E:/*.jpg"), file_names.absolute("E:/a/..")) == ("E:", "E:/")
    assert file_names.absolute("C:/a/../[[]b]") == "C:/[[]b]", "a pattern stays one"


NAMES = [
    ("a.jpg", "a.jpg", "nothing to change"),
    ("dive 1/a.jpg", "dive 1/a.jpg", "a folder"),
    ("aux.jpg", "_aux.jpg", "a device, whatever its extension"),
    ("CON", "_CON", "in any case"),
    ("nul/a.jpg", "_nul/a.jpg", "as a folder too"),
    ("com1.tar.gz", "_com1.tar.gz", "the first dot counts"),
    ("com²", "_com²", "superscript digits are digits here"),
    ("auxiliary.jpg", "auxiliary.jpg", "only begins like a device"),
    ("2024-01-07T12:30:00.jpg", "2024-01-07T12_30_00.jpg", "a time"),
    ('a<b>"c|d?e*.jpg', "a_b__c_d_e_.jpg", "all that Windows refuses"),
    ("C:/a.jpg", "C_/a.jpg", "a drive is no folder below another"),
    ("dive 1. /a.jpg", "dive 1__/a.jpg", "Windows drops dots and spaces at the end"),
    ("a\\b.jpg", "a_b.jpg", "a backslash in the name of an object"),
]


@pytest.mark.parametrize(("name", "expected", "reason"), NAMES)
@pytest.mark.usefixtures("windows")
def test_names_that_windows_can_hold(name: str, expected: str, reason: str) -> None:
    assert writable_name(name) == expected, reason


@given(st.text('abcuxnol1.:*?\\ "<>|', min_size=1))
def test_a_writable_name_stays_writable(name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(systems, "WINDOWS", True)
        once = writable_name(name)
        assert writable_name(once) == once and not PureWindowsPath(once).is_reserved()
        # The path of one name is one name: neither a drive nor a folder.
        assert PureWindowsPath(once).name == once


def test_names_stay_elsewhere() -> None:
    assert writable_name("aux: 1?.jpg") == "aux: 1?.jpg"


def test_names_that_are_one_where_case_is_ignored() -> None:
    names = ["a.jpg", "A.JPG", "straße", "STRASSE", "cafe\u0301", "caf\u00e9", "b"]
    assert len({folded_name(name) for name in names}) == 4


def test_the_same_place(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    data, link = str(tmp_path / "data"), str(tmp_path / "link")
    assert is_same_place(data, link) and is_same_place(data, f"{data}/../data/")
    assert is_within(f"{link}/a/b.jpg", data) and is_within(data, data)
    assert not is_within(f"{data}2/a.jpg", data) and not is_within(str(tmp_path), data)


def test_a_folder_is_copied_where_links_need_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a").write_text("x", encoding="utf-8")
    link_folder(tmp_path / "linked", tmp_path / "model")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    link_folder(tmp_path / "copied", tmp_path / "model")
    assert (tmp_path / "linked").is_symlink() and not (tmp_path / "copied").is_symlink()
    assert (tmp_path / "linked" / "a").read_bytes() == (tmp_path / "copied" / "a").read_bytes()


def test_words_of_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (shell_word("/a b/python"), shell_word("/a/python")) == ("'/a b/python'", "/a/python")
    monkeypatch.setattr(systems, "WINDOWS", True)
    assert shell_word(r"C:\Ada Lovelace\python.exe") == r'"C:\Ada Lovelace\python.exe"'
