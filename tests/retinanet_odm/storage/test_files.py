"""Files of a local folder; those of gs:// are in test_gcs."""

import os
import resource

import pytest

from retinanet_odm.errors import UsageError
from retinanet_odm.storage import files
from retinanet_odm.storage.file_names import escape_glob, name_below, root_of
from retinanet_odm.storage.file_system import ListedFile
from retinanet_odm.storage.local import final_name

ROOTS = [
    ("a/images/*.jpg", "a/images", "the folder above the first wildcard"),
    ("gs://b/2016*/x/*.jpg", "gs://b", "a wildcard in a folder's name"),
    ("a/b.jpg", "a", "no wildcard"),
    ("*.jpg", "", "the working folder"),
    ("/*.jpg", "/", "the root of the disk"),
    ("a[12]/*.jpg", "", "a set in a folder's name"),
    (r"x/a [\[]1]/b/*.jpg", "x/a [1]/b", "a bracket as escape_glob writes it"),
    ("x/a [[]1]/*/c.jpg", "x/a [1]", "a bracket as a person writes it"),
    (r"x/[*]/[?]/*.jpg", "x/*/?", "other wildcards that are escaped"),
]


@pytest.mark.parametrize(("pattern", "root", "reason"), ROOTS)
def test_root_of(pattern, root, reason):
    assert root_of(pattern) == root, reason


NAMES = [
    ("gs://b/i", "gs://b/i/sub/a.jpg", "sub/a.jpg", "sub-folders stay"),
    ("", "a.jpg", "a.jpg", "the working folder"),
]


@pytest.mark.parametrize(("root", "path", "name", "reason"), NAMES)
def test_name_below(root, path, name, reason):
    assert name_below(root, path) == name, reason


@pytest.mark.parametrize("odd", ["a [1].txt", "a*b.txt", "a?.txt", "plain.txt"])
def test_escape_matches_one_file_only(tmp_path, odd):
    for name in (odd, "a1.txt", "a [2].txt", "aXb.txt"):
        (tmp_path / name).touch()
    assert list(files.iter_matches(escape_glob(str(tmp_path / odd)))) == [str(tmp_path / odd)]


def test_list_files_shows_when_a_file_has_changed(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(b"four")
        os.utime(tmp_path / name, (1, 1.25))
    listed = [ListedFile(path=str(tmp_path / name), version="4-1.25", size=4) for name in ("a", "b")]
    assert list(files.list_files(f"{tmp_path}/*")) == listed
    assert list(files.list_files(str(tmp_path / "a"))) == listed[:1], "named in full"
    assert len(list(files.list_files(f"{tmp_path}/*", limit=1))) == 1
    (tmp_path / "a").write_bytes(b"more")
    assert list(files.list_files(str(tmp_path / "a"))) != listed[:1], "of the same size"


BRACKETS = [
    ("[2024]/*", ["[2024]/a [1].jpg", "[2024]/b.jpg"], "a folder that exists"),
    ("[2024]/a [1].jpg", ["[2024]/a [1].jpg"], "a file that exists"),
    ("[2024]/[ab]*", ["[2024]/a [1].jpg", "[2024]/b.jpg"], "a set below a folder that exists"),
    ("[[]2024]/b*", ["[2024]/b.jpg"], "escaped by hand"),
    ("[12]/*", ["1/c.jpg"], "no folder of this name: a set"),
    ("*/b[.]jpg", ["[2024]/b.jpg"], "a set in the name of a file"),
]


@pytest.mark.parametrize(("pattern", "expected", "reason"), BRACKETS)
def test_brackets_of_what_exists_are_taken_as_written(tmp_path, pattern, expected, reason):
    for name in ("[2024]/a [1].jpg", "[2024]/b.jpg", "2/x/y.jpg", "1/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(files.iter_matches(f"{tmp_path}/{pattern}")) == [f"{tmp_path}/{name}" for name in expected], reason
    written = files.as_written(f"{tmp_path}/{pattern}")
    assert files.as_written(written) == written, "once is enough"


def test_write_atomic_leaves_nothing_when_it_fails(tmp_path):
    with pytest.raises(KeyError), files.write_atomic(str(tmp_path / "a")) as file:
        file.write(b"half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_write_atomic_reports_a_full_disk(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UsageError, match=r"cannot write .*/a: .*File too large"):
            files.write_text(str(tmp_path / "a"), "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_write_atomic_shows_only_a_complete_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with files.write_atomic(str(path)) as file:
        file.write(b"new")
        (temporary,) = (entry.name for entry in tmp_path.iterdir() if entry != path)
        assert path.read_bytes() == b"old"
        assert final_name(temporary) != temporary
        assert final_name(temporary) == "a"
    assert path.read_bytes() == b"new"
    assert files.list_names(str(tmp_path)) == ["a"]


@pytest.mark.parametrize("odd", ["a [1]", "a*", "a?"])
def test_delete_takes_no_name_for_a_pattern(tmp_path, odd):
    folder = tmp_path / odd
    folder.mkdir()
    for name in ("x[1]", "x1"):
        (folder / name).touch()
    files.delete([str(folder / "x[1]"), str(folder / "gone")])
    assert [entry.name for entry in folder.iterdir()] == ["x1"]


@pytest.mark.parametrize("odd", ["a [1]", "a*"])
def test_a_failed_write_leaves_nothing_in_an_odd_folder(tmp_path, odd):
    (tmp_path / odd).mkdir()
    with pytest.raises(KeyError), files.write_atomic(str(tmp_path / odd / "a")):
        raise KeyError
    assert list((tmp_path / odd).iterdir()) == []


@pytest.mark.parametrize("ask", [lambda path: list(files.iter_matches(path)), files.exists])
def test_an_unknown_scheme(ask):
    with pytest.raises(UsageError, match="ftp://x/y"):
        ask("ftp://x/y")


def test_names_that_are_no_utf8_come_back(tmp_path):
    files.write_text(str(tmp_path / "list"), "\udcff.jpg\n")
    assert (tmp_path / "list").read_bytes() == b"\xff.jpg\n"


def test_read_bytes_names_the_file(tmp_path):
    with pytest.raises(files.FileError, match="gone") as caught:
        files.read_bytes(str(tmp_path / "gone"))
    assert caught.value.reason == "file_not_readable"


def test_read_text_names_the_flag(tmp_path):
    (tmp_path / "latin").write_bytes(b"\xff")
    for name in ("gone", "latin"):
        with pytest.raises(UsageError, match=f"--labels: .*{name}"):
            files.read_text(str(tmp_path / name), flag="--labels")


def test_read_json(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert files.read_json(str(path)) == {"a": 1}
    path.write_text("[]")
    with pytest.raises(UsageError, match=r"a\.json: expected a JSON object, found list"):
        files.read_json(str(path))
    with pytest.raises(UsageError, match=r"^--dataset: .*gone"):
        files.read_json(str(tmp_path / "gone"), flag="--dataset")


def test_make_folder(tmp_path):
    files.make_folder(str(tmp_path / "a/b"))
    files.make_folder(str(tmp_path / "a/b"))
    (tmp_path / "file").touch()
    for path in ("file", "file/below"):
        with pytest.raises(UsageError, match="cannot write to the folder"):
            files.make_folder(str(tmp_path / path))
    with pytest.raises(UsageError, match=f"^--model_dir: cannot write to the folder {tmp_path}/file: "):
        files.make_folder(str(tmp_path / "file"), flag="--model_dir")


def test_is_folder_and_is_file(tmp_path):
    (tmp_path / "full [1]").mkdir()
    path = tmp_path / "full [1]" / "a"
    path.touch()
    assert files.is_folder(str(path.parent))
    assert not files.is_file(str(path.parent))
    assert files.is_file(str(path))
    assert not files.is_folder(str(path))


def test_delete_takes_an_absent_file_for_deleted(tmp_path):
    (tmp_path / "a").touch()
    files.delete([str(tmp_path / "a"), str(tmp_path / "gone")])
    files.delete([])
    assert list(tmp_path.iterdir()) == []


def test_trying_a_folder_leaves_nothing_in_it(tmp_path):
    odd = tmp_path / "dive [1]*"  # Beam would treat the name as a pattern
    files.make_folder(str(odd))
    files.make_folder(str(odd))
    assert list(odd.iterdir()) == []
