"""What flags match and pass over; tests/beam_jobs/test_prepare_patterns.py has the tables of whole requests."""

import pytest

from retinanet_odm.errors import UsageError
from retinanet_odm.sources.inputs import check_input, count_passed_over, find_files, folders_as_patterns
from retinanet_odm.sources.listing import ANNOTATION_CONTENT, IMAGE_CONTENT
from retinanet_odm.storage import files
from tests.retinanet_odm.sources.rows import write_zip

REFUSED = [
    ("x.7z", "--images: {}: a 7z archive cannot be read: unpack it, or make a zip file of it", "a 7z archive"),
    ("*.rar", "--images: {}: a RAR archive cannot be read", "RAR archives"),
    ("a.tar.BZ2", "--images: {}: a file compressed by bzip2 cannot be read: unpack it", "a tar file of this kind"),
    ("a.xml.xz", "--images: {}: a file compressed by xz cannot be read", "one file"),
    ("*.jpg", "--images: expected at least one file, found none that matches {}", "nothing"),
    ("https://example.org/a.jpg", "https://example.org/a.jpg: expected a local path or gs://", "the web"),
]


@pytest.mark.parametrize(("pattern", "message", "why"), REFUSED)
def test_patterns_that_are_refused(tmp_path, pattern, message, why):
    (tmp_path / "x.7z").write_bytes(b"7z")
    value = pattern if "://" in pattern else str(tmp_path / pattern).rstrip("/")
    with pytest.raises(UsageError) as caught:
        check_input([value], flag="--images")
    assert message.format(value) in str(caught.value), why


FOLDERS = [
    ("images", "images/**", "a folder"),
    ("images/", "images/**", "with a slash"),
    ("empty", "empty/**", "the message that it is empty names it"),
    ("dive [1]", "dive [\\[]1]/**", "its name is no pattern"),
    ("images/a.jpg", "images/a.jpg", "a file"),
    ("images/*.jpg", "images/*.jpg", "a pattern"),
    ("none", "none", "nothing"),
]


@pytest.mark.parametrize(("value", "pattern", "reason"), FOLDERS)
def test_folders_as_patterns(tmp_path, monkeypatch, value, pattern, reason):
    monkeypatch.chdir(tmp_path)
    for name in ("images", "empty", "dive [1]"):
        (tmp_path / name).mkdir()
    for name in ("images/a.jpg", "dive [1]/a.jpg"):
        (tmp_path / name).touch()
    (found,) = folders_as_patterns([value])
    assert found == pattern, reason
    assert (value.rstrip("/") in ("images", "dive [1]")) <= any(files.iter_matches(found)), reason


EXCHANGED = [
    (("a.jpg",), ANNOTATION_CONTENT, True, "images as annotations"),
    (("a.xml", "b.json"), IMAGE_CONTENT, True, "annotations as images"),
    (("a.xml", "b.txt"), IMAGE_CONTENT, False, "other files too"),
    (("a.pdf",), ANNOTATION_CONTENT, False, "neither"),
]


@pytest.mark.parametrize(("names", "content", "hint", "reason"), EXCHANGED)
def test_exchanged_flags(tmp_path, names, content, hint, reason):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="found only") as caught:
        find_files([f"{tmp_path}/*"], "--x", content)
    assert str(caught.value).endswith("; did you exchange images and annotations?") == hint, reason


def test_what_one_flag_reads_is_not_passed_over_by_another(tmp_path):
    for name in ("a.jpg", "a.xml", "a.dng"):
        (tmp_path / name).write_bytes(b"x")
    write_zip(tmp_path / "z.zip", "b.jpg", "b.xml", "labelmap.txt", "SegmentationClass/b.png")
    images = find_files([f"{tmp_path}/*"], "--images", IMAGE_CONTENT)
    annotations = find_files([f"{tmp_path}/*"], "--annotations", ANNOTATION_CONTENT)
    assert count_passed_over([images, annotations], "out") == {".dng": 1, ".txt": 1}
    assert count_passed_over([images], "out") == {".dng": 1, ".txt": 1, ".xml": 2}
