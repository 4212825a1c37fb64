"""What a file is by its name: tables with a reason per row."""

import pytest

from retinanet_odm.storage.file_kinds import (
    closed_archive,
    count_suffixes,
    describe_suffixes,
    is_never_annotation,
    is_never_image,
    may_hold_images,
)

# name, never an image, never an annotation, may hold images
NAMES = [
    ("a.jpg", False, True, True, "an image"),
    ("a.JFIF", False, True, True, "a JPEG by another name"),
    ("a.jpe", False, True, True, "likewise"),
    ("a.heic", False, True, True, "an image with an extra"),
    ("a.avif", False, True, True, "an image"),
    ("a.dng", True, True, True, "raw: TIFF readers find its thumbnail"),
    ("d/a.CR2", True, True, True, "raw"),
    ("a.jxl", True, True, True, "an image that nobody here reads"),
    ("a.mp4", True, True, True, "a video"),
    ("a.7z", True, True, True, "an archive"),
    ("a.xml", True, False, False, "an annotation"),
    ("a.txt", True, False, False, "may be one"),
    ("README.md", True, True, False, "a document"),
    ("a", False, False, False, "nobody knows"),
    ("a.001", False, False, False, "nobody knows"),
    (".a.jpg", True, True, True, "hidden"),
    ("d/Thumbs.db", True, True, False, "of Windows"),
    ("__MACOSX/a.xml", True, True, False, "of macOS"),
]


@pytest.mark.parametrize(("name", "no_image", "no_annotation", "images", "why"), NAMES)
def test_kinds(name, no_image, no_annotation, images, why):
    assert (is_never_image(name), is_never_annotation(name)) == (no_image, no_annotation), why
    assert may_hold_images("." + name.lower().rpartition(".")[2]) is images, why


def test_files_of_systems_are_not_counted():
    names = ["a.DNG", "d/b.dng", ".DS_Store", "Thumbs.db", "._a.jpg", "__MACOSX/x.txt", "notes", "a.tar.gz"]
    assert count_suffixes(names) == {".dng": 2, "": 1, ".gz": 1}


def test_counts_are_listed_by_number():
    assert describe_suffixes({".txt": 1, ".dng": 3, "": 1, ".avi": 1}) == "3 .dng, 1 without extension, 1 .avi, 1 .txt"


@pytest.mark.parametrize(
    ("name", "kind"), [("a.7z", "a 7z archive"), ("a.RAR", "a RAR archive"), ("a.zip", ""), ("a", "")]
)
def test_closed_archives(name, kind):
    assert closed_archive(name) == kind
