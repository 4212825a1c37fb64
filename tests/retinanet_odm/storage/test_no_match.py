"""Why a path that a person has typed matches nothing."""

import pytest

from retinanet_odm import systems
from retinanet_odm.errors import UsageError
from retinanet_odm.storage.no_match import check_matches, describe_unusual_path

UNUSUAL = [
    ("images/*.jpg", "", "nothing unusual"),
    ("gs://b/x", "", "a bucket"),
    ("gs:/b/x", "gs://", "a slash is missing"),
    ("~/x", "home folder", "a shell does not replace it within quotes"),
    ("$HOME/x", "does not replace $", "nor this within single quotes"),
    ("a.jpg,b.jpg", "by spaces", "the way of other programs"),
    ("[2024]/x", "write [[]", "a pattern"),
    (r"a\b", "separated by /", "folders of Windows"),
    (r"C:\dive 1\a.jpg", "/mnt/c/dive 1/a.jpg", "a drive of Windows, in WSL"),
    ("D:/a.jpg", "/mnt/d/a.jpg", "with slashes"),
]


@pytest.mark.parametrize(("pattern", "words", "reason"), UNUSUAL)
def test_unusual_paths(pattern, words, reason):
    assert words in describe_unusual_path(pattern) and bool(words) == bool(describe_unusual_path(pattern)), reason


def test_paths_of_windows_are_usual_there(monkeypatch):
    monkeypatch.setattr(systems, "WINDOWS", True)
    assert describe_unusual_path("C:/a.jpg") == ""


FOUND_NOTHING = [
    (["my", "photos/"], "did you mean 'my photos/'? A path with spaces needs quotes", "a folder in two words"),
    (["my", "photos/*.jpg"], "did you mean 'my photos/*.jpg'?", "a pattern in two words"),
    (["a b.jpg", "my", "photos/c", "d", "e.jpg"], "did you mean 'my photos/c d e.jpg'?", "a file in four words"),
    (["my", "pictures/"], "matches my", "no such path"),
    (["my photos/*.JPG"], "my photos/*.JPG, but 2 .jpg, 1 .xml", "the other case"),
    (["none/*.jpg"], "none/*.jpg (there is no folder none)", "no such folder"),
    (["*.jpg"], "matches *.jpg, but 1 .txt", "the current folder"),
    (["none.jpg"], "matches none.jpg", "a file needs no list of others"),
]


@pytest.mark.parametrize(("values", "message", "reason"), FOUND_NOTHING, ids=[row[2] for row in FOUND_NOTHING])
def test_no_match(tmp_path, monkeypatch, values, message, reason):
    (tmp_path / "my photos").mkdir()
    for name in ("my photos/a.jpg", "my photos/a.xml", "my photos/c d e.jpg", "notes.txt"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    first = values.index("my") if "my" in values else 0
    with pytest.raises(UsageError) as caught:
        check_matches(values[first:], flag="--images")
    assert message in str(caught.value) and (message.startswith("did") or str(caught.value).endswith(message)), reason
