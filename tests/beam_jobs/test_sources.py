"""What patterns match, zip files among it, and what the launcher says of zip files that cannot be meant."""

import zipfile
from pathlib import Path

import pytest

from beam_jobs.options import PrepareOptions
from beam_jobs.rows import Reject
from beam_jobs.transforms import check_zips, read_annotation_or_reject
from retinanet_odm.errors import DataError, UsageError
from retinanet_odm.sources.listing import (
    AnnotationFile,
    InputPattern,
    is_annotation_name,
    is_image_name,
    match_annotations,
    match_images,
    read_image,
)

VOC = b"<annotation><size/></annotation>"


def _zip(path: Path, *names: str, data: bytes = VOC) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in names:
            target.writestr(name, data)
    return str(path)


PHOTOGRAPHS = [
    ("images/Train/a b.JPG", True, "CVAT for images"),
    ("JPEGImages/é.png", True, "Pascal VOC"),
    ("../../etc/x.jpg", True, "a path that leads out is but a name"),
    ("SegmentationClass/a.png", False, "a mask"),
    ("x/SegmentationObject/a.png", False, "a mask, in an export that was zipped again"),
    ("__MACOSX/images/._a.jpg", False, "macOS's shadow"),
    ("images/.a.jpg", False, "hidden"),
    ("inner.zip", False, "an archive in an archive is not opened"),
    ("annotations.xml", False, "an annotation"),
]
ANNOTATIONS = [
    ("annotations.xml", True, "CVAT for images"),
    ("annotations/instances_default.JSON", True, "COCO"),
    ("package.json", True, "its content will tell"),
    ("__MACOSX/._annotations.xml", False, "macOS's shadow"),
    (".idea/x.xml", False, "hidden"),
    ("labelmap.txt", False, "no annotation"),
    ("images/a.jpg", False, "a photograph"),
]


@pytest.mark.parametrize(("name", "expected", "why"), PHOTOGRAPHS)
def test_is_photograph(name, expected, why):
    assert is_image_name(name) is expected, why


@pytest.mark.parametrize(("name", "expected", "why"), ANNOTATIONS)
def test_is_annotation(name, expected, why):
    assert is_annotation_name(name) is expected, why


ZIP_NAMES = [
    ("dive/task1.zip", "dive/task1", "as if it were unzipped into a folder of its name"),
    ("Dive 1.ZIP", "Dive 1", "upper case"),
    ("v1.zip.zip", "v1.zip", "only the last"),
    ("export", "export", "known by its content"),
]


@pytest.mark.parametrize("is_export", [False, True])
@pytest.mark.parametrize(("name", "folder", "why"), ZIP_NAMES)
def test_members_of_zip_files(tmp_path, name, folder, why, is_export):
    uri = _zip(tmp_path / name, "images/é 1.jpg", "annotations.xml")
    source = InputPattern(pattern=f"{tmp_path}/**", flag="--images", is_export=is_export)
    (image,) = match_images(source)
    ((key, annotation),) = match_annotations(source)
    assert (image.uri, annotation.uri) == (f"{uri}/images/é 1.jpg", f"{uri}/annotations.xml"), why
    assert (image.name, annotation.name) == (f"{folder}/images/é 1.jpg", f"{folder}/annotations.xml"), why
    assert image.home == annotation.home == (uri if is_export else ""), why
    assert key == annotation.uri.encode(), why
    assert read_image(image) == VOC
    (row,) = read_annotation_or_reject(annotation)
    assert isinstance(row, AnnotationFile)
    assert row.annotation is not None
    assert row.annotation.source == annotation.uri


def test_loose_files_beside_zip_files(tmp_path):
    for name in ("a.jpg", "notes", "b.xml"):
        (tmp_path / name).write_bytes(b"PK\3\4")  # a name that speaks for itself is not opened to find out
    (tmp_path / "notes").write_bytes(b"x")
    _zip(tmp_path / "z.zip", "c.jpg", "c.jpg.txt")
    source = InputPattern(pattern=f"{tmp_path}/*", flag="--images")
    assert [image.name for image in match_images(source)] == ["a.jpg", "b.xml", "notes", "z/c.jpg"]
    assert read_image(next(match_images(source))) == b"PK\3\4"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice_in_an_archive(tmp_path):
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("a.jpg", b"first")
        target.writestr("a.jpg", b"second")
    found = {image.name: read_image(image) for image in match_images(InputPattern(pattern=str(path), flag="--images"))}
    assert found == {"z/a.jpg": b"first", "z/a.jpg#2": b"second"}


CVAT = (
    b'<annotations><meta/><image id="0" name="a.jpg" width="4" height="4"/>'
    b'<image id="1" name="b.jpg" width="4" height="4"/></annotations>'
)


def test_a_broken_member_tells_nothing_of_what_it_holds(tmp_path):
    """Not even the images before the fault: a wrong checksum does not say where the fault is."""
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("annotations.xml", CVAT)
    path.write_bytes(path.read_bytes().replace(b"b.jpg", b"c.jpg"))
    ((_, file),) = match_annotations(InputPattern(pattern=str(path), flag="--exports", is_export=True))
    (row,) = read_annotation_or_reject(file)
    assert isinstance(row, AnnotationFile)
    assert (row.reason, row.annotation) == ("zip_member_not_readable", None)
    assert row.detail.startswith(f"{path}/annotations.xml: ")


def test_a_whole_member_that_is_cut_short_keeps_what_was_read(tmp_path):
    path = _zip(tmp_path / "z.zip", "annotations.xml", data=CVAT[: CVAT.index(b"b.jpg")])
    ((_, file),) = match_annotations(InputPattern(pattern=path, flag="--exports", is_export=True))
    kept, fault = read_annotation_or_reject(file)
    assert isinstance(kept, AnnotationFile)
    assert kept.image_name == "a.jpg"
    assert isinstance(fault, Reject)
    assert (fault.source, fault.line) == (f"{path}/annotations.xml", 1)


def test_a_zip_file_that_is_gone_fails_its_images(tmp_path):
    path = tmp_path / "z.zip"
    _zip(path, "a.jpg")
    (image,) = match_images(InputPattern(pattern=str(path), flag="--images"))
    path.unlink()
    with pytest.raises(DataError, match=r"z\.zip"):
        read_image(image)


def _options(root: Path, images: str = "", annotations: str = "", exports: str = "") -> PrepareOptions:
    given = [tuple(f"{root}/{pattern}" for pattern in text.split()) for text in (images, annotations, exports)]
    return PrepareOptions(images=given[0], annotations=given[1], exports=given[2], output="out")


GOOD_REQUESTS = [
    (("full.zip", "full.zip"), "photographs and annotations of one zip file, matched with all others"),
    (("loose/*.jpg images.zip", "loose/*.xml bare.zip"), "zip files beside loose files"),
    (("loose/*.jpg", "loose/*.xml", "full.zip"), "an export beside loose files"),
    (("", "", "f*.zip full.zip"), "an export that two patterns match"),
]


@pytest.fixture
def zips(tmp_path) -> Path:
    _zip(tmp_path / "full.zip", "images/a.jpg", "annotations.xml")
    _zip(tmp_path / "images.zip", "images/b.jpg", "SegmentationClass/b.png", "readme.txt")
    _zip(tmp_path / "bare.zip", "annotations.xml", "labelmap.txt")
    _zip(tmp_path / "masks.zip", "Annotations/a.xml", "SegmentationClass/a.png")
    _zip(tmp_path / "nested.zip", "task1.zip")
    _zip(tmp_path / "empty.zip")
    whole = Path(_zip(tmp_path / "cut.zip", "a.jpg", "a.xml")).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-10])
    (tmp_path / "page.zip").write_bytes(b"<html>Log in</html>")
    _zip(tmp_path / "loose/z.zip", "images/c.jpg", "annotations.xml")
    for name in ("loose/c.jpg", "loose/c.xml"):
        (tmp_path / name).write_bytes(VOC)
    return tmp_path


@pytest.mark.parametrize(("flags", "why"), GOOD_REQUESTS, ids=[row[1] for row in GOOD_REQUESTS])
def test_zip_files_that_can_be_meant(zips, flags, why):
    assert check_zips(_options(zips, *flags)) is None, why


BAD_REQUESTS = [
    (
        ("bare.zip", "bare.zip"),
        ["--images", "bare.zip", "a photograph", "found annotations.xml, labelmap.txt"],
        "images",
    ),
    (
        ("images.zip", "images.zip"),
        ["--annotations", "images.zip", "an annotation file (.xml or .json)"],
        "annotations",
    ),
    (("", "", "full.zip bare.zip"), ["--exports", "bare.zip", "an export without images"], "an export without images"),
    (("", "", "images.zip"), ["--exports", "images.zip", "an annotation file"], "an export without annotations"),
    (("", "", "masks.zip"), ["--exports", "masks.zip", "a photograph"], "masks are no photographs"),
    (("", "", "nested.zip"), ["--exports", "nested.zip", "found task1.zip"], "zip files in a zip file"),
    (("", "", "empty.zip"), ["--exports", "empty.zip", "found an empty zip file"], "an empty zip file"),
    (("", "", "cut.zip"), ["--exports", "cut.zip is not a readable zip"], "a download that broke off"),
    (("page.zip", "bare.zip"), ["--images", "page.zip is not a readable zip"], "a login page in place of the download"),
    (("", "", "loose/*"), ["--exports", "c.jpg is no zip file"], "loose files as an export"),
    (("full.zip", "bare.zip", "full.zip"), ["--exports", "full.zip", "give it once"], "the same photographs twice"),
]


@pytest.mark.parametrize(("flags", "words", "why"), BAD_REQUESTS, ids=[row[2] for row in BAD_REQUESTS])
def test_zip_files_that_cannot_be_meant(zips, flags, words, why):
    with pytest.raises(UsageError) as caught:
        check_zips(_options(zips, *flags))
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value), why
