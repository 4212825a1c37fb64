"""Patterns and zip files that are rejected before the job starts."""

from pathlib import Path

import pytest

from beam_jobs.options import PrepareOptions
from beam_jobs.prepare import check_patterns
from retinanet_odm.errors import UsageError
from tests.retinanet_odm.sources.rows import VOC, write_zip


def _options(root: Path, images: str = "", annotations: str = "", exports: str = "") -> PrepareOptions:
    given = [tuple(f"{root}/{pattern}" for pattern in text.split()) for text in (images, annotations, exports)]
    return PrepareOptions(images=given[0], annotations=given[1], exports=given[2], output="out")


GOOD_REQUESTS = [
    (("full.zip", "full.zip"), "images and annotations of one zip file, matched with all others"),
    (("loose/*.jpg images.zip", "loose/*.xml bare.zip"), "zip files beside loose files"),
    (("loose/*.jpg", "loose/*.xml", "full.zip"), "an export beside loose files"),
    (("", "", "f*.zip full.zip"), "an export that two patterns match"),
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
    return tmp_path


@pytest.mark.parametrize(("flags", "why"), GOOD_REQUESTS, ids=[row[1] for row in GOOD_REQUESTS])
def test_zip_files_with_matching_content(zips, flags, why):
    assert check_patterns(_options(zips, *flags)) is None, why


BAD_REQUESTS = [
    (
        ("bare.zip", "bare.zip"),
        ["--images", "bare.zip", "an image", "found annotations.xml, labelmap.txt"],
        "images",
    ),
    (
        ("images.zip", "images.zip"),
        ["--annotations", "images.zip", "an annotation file (.xml or .json)"],
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
    (("full.zip", "bare.zip", "full.zip"), ["--exports", "full.zip", "give it once"], "the same images twice"),
]


@pytest.mark.parametrize(("flags", "words", "why"), BAD_REQUESTS, ids=[row[2] for row in BAD_REQUESTS])
def test_zip_files_without_matching_content(zips, flags, words, why):
    with pytest.raises(UsageError) as caught:
        check_patterns(_options(zips, *flags))
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value), why
