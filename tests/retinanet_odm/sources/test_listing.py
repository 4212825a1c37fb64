"""What patterns match, zip files included, and how the rows are read."""

import zipfile

import pytest

from retinanet_odm.errors import DataError
from retinanet_odm.sources.listing import (
    AnnotationFile,
    InputPattern,
    is_image_name,
    match_annotations,
    match_images,
    read_annotation,
    read_image,
)
from tests.retinanet_odm.sources.rows import VOC, write_zip

IMAGES = [
    ("images/Train/a b.JPG", True, "CVAT for images"),
    ("JPEGImages/é.png", True, "Pascal VOC"),
    ("../../etc/x.jpg", True, "a path out of the folder is only a name"),
    ("SegmentationClass/a.png", False, "a mask"),
    ("x/SegmentationObject/a.png", False, "a mask, in an export that was zipped again"),
    ("__MACOSX/images/._a.jpg", False, "macOS's shadow"),
    ("images/.a.jpg", False, "hidden"),
    ("inner.zip", False, "an archive in an archive is not opened"),
    ("annotations.xml", False, "an annotation"),
]


@pytest.mark.parametrize(("name", "expected", "why"), IMAGES)
def test_is_image_name(name, expected, why):
    assert is_image_name(name) is expected, why


ZIP_NAMES = [
    ("dive/task1.zip", "dive/task1", "as if it were unzipped into a folder of its name"),
    ("Dive 1.ZIP", "Dive 1", "upper case"),
    ("v1.zip.zip", "v1.zip", "only the last"),
    ("export", "export", "known by its content"),
]


@pytest.mark.parametrize("is_export", [False, True])
@pytest.mark.parametrize(("name", "folder", "why"), ZIP_NAMES)
def test_members_of_zip_files(tmp_path, name, folder, why, is_export):
    uri = write_zip(tmp_path / name, "images/é 1.jpg", "annotations.xml")
    source = InputPattern(pattern=f"{tmp_path}/**", flag="--images", is_export=is_export)
    (image,) = match_images(source)
    ((key, annotation),) = match_annotations(source)
    assert (image.uri, annotation.uri) == (f"{uri}/images/é 1.jpg", f"{uri}/annotations.xml"), why
    assert (image.name, annotation.name) == (f"{folder}/images/é 1.jpg", f"{folder}/annotations.xml"), why
    assert image.export_uri == annotation.export_uri == (uri if is_export else ""), why
    assert key == annotation.uri.encode(), why
    assert read_image(image) == VOC
    (row,) = read_annotation(annotation)
    assert isinstance(row, AnnotationFile)
    assert row.annotation is not None
    assert row.annotation.source == annotation.uri


def test_loose_files_beside_zip_files(tmp_path):
    for name in ("a.jpg", "notes", "b.xml"):
        (tmp_path / name).write_bytes(b"PK\3\4")  # not opened if the name determines the format
    (tmp_path / "notes").write_bytes(b"x")
    write_zip(tmp_path / "z.zip", "c.jpg", "c.jpg.txt")
    source = InputPattern(pattern=f"{tmp_path}/*", flag="--images")
    assert [image.name for image in match_images(source)] == ["a.jpg", "notes", "z/c.jpg"]
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


def test_nothing_of_a_broken_member_is_used(tmp_path):
    """Not even the images before the error: a wrong checksum does not show its position."""
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("annotations.xml", CVAT)
    path.write_bytes(path.read_bytes().replace(b"b.jpg", b"c.jpg"))
    ((_, file),) = match_annotations(InputPattern(pattern=str(path), flag="--exports", is_export=True))
    (row,) = read_annotation(file)
    assert isinstance(row, AnnotationFile)
    assert (row.reason, row.annotation) == ("zip_member_not_readable", None)
    assert row.detail.startswith(f"{path}/annotations.xml: ")


def test_a_truncated_member_keeps_what_was_read(tmp_path):
    path = write_zip(tmp_path / "z.zip", "annotations.xml", data=CVAT[: CVAT.index(b"b.jpg")])
    ((_, file),) = match_annotations(InputPattern(pattern=path, flag="--exports", is_export=True))
    kept, fault = read_annotation(file)
    assert isinstance(kept, AnnotationFile)
    assert kept.image_name == "a.jpg"
    assert isinstance(fault, DataError)
    assert (fault.detail.partition(": ")[0], fault.line) == (f"{path}/annotations.xml", 1)


def test_a_deleted_zip_file_fails_its_images(tmp_path):
    path = tmp_path / "z.zip"
    write_zip(path, "a.jpg")
    (image,) = match_images(InputPattern(pattern=str(path), flag="--images"))
    path.unlink()
    with pytest.raises(DataError, match=r"z\.zip"):
        read_image(image)
