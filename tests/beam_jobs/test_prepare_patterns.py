"""Patterns and zip files that are rejected before the job starts."""

from pathlib import Path

import pytest

from beam_jobs.options import PrepareOptions
from beam_jobs.prepare import check_patterns
from retinanet_odm.errors import UsageError
from tests.retinanet_odm.sources.rows import VOC, write_zip


def _options(root: Path, images: str = "", annotations: str = "", exports: str = "") -> PrepareOptions:
    given = [tuple(f"{root}/{pattern}" for pattern in text.split()) for text in (images, annotations, exports)]
    return PrepareOptions(images=given[0], annotations=given[1], exports=given[2], output=f"{root}/mixed/out")


GOOD_REQUESTS = [
    (("full.zip", "full.zip"), {}, "images and annotations of one zip file, matched with all others"),
    (("loose/*.jpg images.zip", "loose/*.xml bare.zip"), {".txt": 2}, "zip files beside loose files"),
    (("loose/*.jpg", "loose/*.xml", "full.zip"), {}, "an export beside loose files"),
    (("", "", "f*.zip full.zip"), {}, "an export that two patterns match"),
    (("mixed/**", "mixed/**"), {".dng": 2, ".mp4": 1, ".7z": 1}, "all that is in a folder: a text is read"),
    (("mixed/*.jpg", "mixed/*"), {".dng": 1, ".mp4": 1, ".7z": 1}, "images are no annotations, but are used"),
    (
        ("mixed/*", "loose/*.xml"),
        {".dng": 1, ".mp4": 1, ".7z": 1, ".txt": 1, ".xml": 1},
        "an annotation that is not given",
    ),
]


@pytest.fixture
def zips(tmp_path) -> Path:
    write_zip(tmp_path / "full.zip", "images/a.jpg", "annotations.xml")
    write_zip(tmp_path / "images.zip", "images/b.jpg", "SegmentationClass/b.png", "readme.txt")
    write_zip(tmp_path / "bare.zip", "annotations.xml", "labelmap.txt")
    write_zip(tmp_path / "masks.zip", "Annotations/a.xml", "SegmentationClass/a.png")
    write_zip(tmp_path / "nested.zip", "task1.zip")
    write_zip(tmp_path / "empty.zip")
    whole = Path(write_zip(tmp_path / "cut.zip", "a.jpg", "a.xml")).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-10])
    (tmp_path / "page.zip").write_bytes(b"<html>Log in</html>")
    write_zip(tmp_path / "loose/z.zip", "images/c.jpg", "annotations.xml")
    for name in ("loose/c.jpg", "loose/c.xml"):
        (tmp_path / name).write_bytes(VOC)
    mixed = ("a.jpg", "a.xml", "a.dng", "b/b.DNG", "a.mp4", "a.7z", "notes.txt", "Thumbs.db", ".DS_Store", "._a.jpg")
    for name in (*mixed, "out/dataset.json", "out/part.tfrecord", "__MACOSX/a.dng"):
        path = tmp_path / "mixed" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(("flags", "passed_over", "why"), GOOD_REQUESTS, ids=[row[2] for row in GOOD_REQUESTS])
def test_files_with_matching_content(zips, flags, passed_over, why):
    assert check_patterns(_options(zips, *flags)) == passed_over, why


BAD_REQUESTS = [
    (
        ("bare.zip", "bare.zip"),
        ["--images", "bare.zip", "an image", "found annotations.xml, labelmap.txt"],
        "images",
    ),
    (
        ("images.zip", "images.zip"),
        ["--annotations", "images.zip", "an annotation file (.xml, .json, or .txt of YOLO)"],
        "annotations",
    ),
    (("", "", "full.zip bare.zip"), ["--exports", "bare.zip", "an export without images"], "an export without images"),
    (("", "", "images.zip"), ["--exports", "images.zip", "an annotation file"], "an export without annotations"),
    (("", "", "masks.zip"), ["--exports", "masks.zip", "an image"], "masks are no images"),
    (("", "", "nested.zip"), ["--exports", "nested.zip", "found task1.zip"], "zip files in a zip file"),
    (("", "", "empty.zip"), ["--exports", "empty.zip", "found an empty zip file"], "an empty zip file"),
    (("", "", "cut.zip"), ["--exports", "cut.zip is not a readable zip"], "a download that broke off"),
    (("page.zip", "bare.zip"), ["--images", "page.zip is not a readable zip"], "a login page in place of the download"),
    (("", "", "loose/*"), ["--exports", "c.jpg is no zip file"], "loose files as an export"),
    (
        ("mixed/a.7z", "bare.zip"),
        ["--images: ", "a.7z: a 7z archive cannot be read: unpack it"],
        "an archive of a kind",
    ),
    (
        ("full.zip", "mixed/a.[Jj]pg"),
        ["--annotations: expected an annotation file", "found only 1 .jpg"],
        "images only",
    ),
    (("mixed/*.dng", "bare.zip"), ["--images: expected an image, found only 1 .dng"], "raw images only"),
    (("full.zip", "bare.zip", "full.zip"), ["--exports", "full.zip", "give it once"], "the same images twice"),
]


@pytest.mark.parametrize(("flags", "words", "why"), BAD_REQUESTS, ids=[row[2] for row in BAD_REQUESTS])
def test_zip_files_without_matching_content(zips, flags, words, why):
    with pytest.raises(UsageError) as caught:
        check_patterns(_options(zips, *flags))
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value), why
