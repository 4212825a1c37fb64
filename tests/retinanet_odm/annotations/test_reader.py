"""Annotation files are recognised by content, and read as what they are."""

import contextlib
import io
import json
import zipfile
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.annotations.cvat import format_cvat
from retinanet_odm.annotations.reader import HEAD_BYTES, AnnotationFormat, detect_format, read_annotations
from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.annotations.voc import format_voc
from retinanet_odm.errors import AnnotationError

_ANNOTATION = ImageAnnotation(
    filename="a.jpg",
    width=100,
    height=50,
    objects=(ObjectAnnotation(label="crab", box=(1.0, 2.0, 3.5, 4.0)),),
    source="x",
)
_VOC = format_voc(_ANNOTATION)
_CVAT = format_cvat([_ANNOTATION], labels=["crab"], task="t")
_VIDEO = b'<annotations><track label="crab"><box frame="0" xtl="2" ytl="1" xbr="4" ybr="3.5"/></track></annotations>'
_COCO = json.dumps(
    {
        "info": {"version": "1"},
        "categories": [{"id": 1, "name": "crab"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [2, 1, 2, 2.5]}],
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 50}],
    }
).encode()
_LONG_META = b"<annotations><meta><task>%s<x>" + b" " * HEAD_BYTES


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(_VOC, AnnotationFormat.VOC, id="Pascal VOC"),
        pytest.param(b'<annotation verified="yes">', AnnotationFormat.VOC, id="LabelImg's mark on the root"),
        pytest.param(b"\xef\xbb\xbf" + _VOC, AnnotationFormat.VOC, id="byte order mark"),
        pytest.param(_VOC.decode().replace("utf-8", "utf-16").encode("utf-16"), AnnotationFormat.VOC, id="UTF-16"),
        pytest.param(b"<!-- by hand -->\n<annotation><object>", AnnotationFormat.VOC, id="comment first"),
        pytest.param(b"<annotation></object>", AnnotationFormat.VOC, id="broken: parse_voc reports the place"),
        pytest.param(_CVAT, AnnotationFormat.CVAT_IMAGES, id="CVAT for images"),
        pytest.param(b'<annotations><image id="0" na', AnnotationFormat.CVAT_IMAGES, id="the head ends anywhere"),
        pytest.param(b"<annotations/>", AnnotationFormat.CVAT_IMAGES, id="CVAT with nothing in it"),
        pytest.param(_VIDEO, AnnotationFormat.CVAT_VIDEO, id="CVAT for video"),
        pytest.param(
            _LONG_META % b"<mode>interpolation</mode>", AnnotationFormat.CVAT_VIDEO, id="long meta: by the mode"
        ),
        pytest.param(
            _LONG_META % b"<mode>annotation</mode>", AnnotationFormat.CVAT_IMAGES, id="long meta: by the mode"
        ),
        pytest.param(_COCO, AnnotationFormat.COCO, id="COCO"),
        pytest.param(b'\n {"annotations" : [{"id"', AnnotationFormat.COCO, id="COCO, cut and spaced"),
        pytest.param(b'\xef\xbb\xbf{"images":[', AnnotationFormat.COCO, id="COCO with a byte order mark"),
    ],
)
def test_recognise(head: bytes, expected: AnnotationFormat) -> None:
    assert detect_format(head[:HEAD_BYTES]) is expected


@pytest.mark.parametrize(
    ("head", "seen"),
    [
        pytest.param(b"<html><body>", "<html>", id="a login page instead of the file"),
        pytest.param(b"<", "no element", id="one character"),
        pytest.param(b"[1]", "a JSON list", id="JSON list"),
        pytest.param(b'[{"image_id": 1, "bbox": [1, 2, 3, 4]}]', "COCO results", id="COCO results"),
        pytest.param(b'{"shapes": [], "imagePath": ""}', "LabelMe JSON", id="LabelMe"),
        pytest.param(b'{"_via_settings": {}, "_via_img_metadata": {}}', "VIA JSON", id="a project of VIA"),
        pytest.param(b'{"a.jpg123": {"filename": "a.jpg", "regions": []}}', "VIA JSON", id="annotations of VIA"),
        pytest.param(b'[{"id": 1, "data": {"image": ""}, "annotations": []}]', "Label Studio", id="Label Studio"),
        pytest.param(b'[{"image": "a.jpg", "annotations": []}]', "CreateML", id="CreateML"),
        pytest.param(b'{"version": 1, "a": {"images": []}}', "'version', 'a'", id="another JSON object"),
        pytest.param(b'{"images": [], "detection_categories": {}}', "MegaDetector", id="MegaDetector"),
        pytest.param(b'{"images": {}}', "'images'", id="images that are no list"),
        pytest.param(b"{}", "(none)", id="empty object"),
        pytest.param(b"0 0.5 0.5 0.1 0.1\n", "YOLO", id="YOLO"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull", id="a pointer of Git LFS"),
        pytest.param(b"7z\xbc\xaf\x27\x1c", "a 7z archive", id="7z"),
        pytest.param(b"PK\x03\x04", "zip", id="zip"),
        pytest.param(b"\xff\xd8\xff\xe0", "JPEG", id="an image by mistake"),
        pytest.param(b"\x89PNG\r\n", "PNG", id="likewise"),
    ],
)
def test_not_recognised(head: bytes, seen: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        detect_format(head)
    assert caught.value.reason == "annotation_kind_unknown"
    assert seen in caught.value.detail


@pytest.mark.parametrize("head", [b"", b" \n"])
def test_no_content(head: bytes) -> None:
    with pytest.raises(AnnotationError) as caught:
        list(read_annotations(io.BytesIO(head), source="dir/a.xml"))
    assert (caught.value.reason, "dir/a.xml: " in caught.value.detail) == ("annotation_empty", True)


class _Slow:
    """A stream that gives three bytes at a time and cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, 3) if size >= 0 else size)


_ALL = [
    pytest.param(_VOC, "a.jpg", id="Pascal VOC"),
    pytest.param(_CVAT, "a.jpg", id="CVAT for images"),
    pytest.param(_VIDEO, "frame_000000", id="CVAT for video"),
    pytest.param(_COCO, "a.jpg", id="COCO"),
]


@pytest.mark.parametrize(("data", "filename"), _ALL)
def test_every_format_gives_the_same_objects(data: bytes, filename: str) -> None:
    for file in (io.BytesIO(data), cast(BinaryIO, _Slow(data))):
        (image,) = read_annotations(file, source="misnamed.txt")
        assert (image.filename, image.source, image.unreadable) == (filename, "misnamed.txt", ())
        assert image.objects == _ANNOTATION.objects


def test_a_member_of_a_zip_archive_is_read_in_place() -> None:
    images = [ImageAnnotation(filename=f"{n}.jpg", width=1, height=1, objects=(), source="z") for n in range(3000)]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", format_cvat(images, labels=[], task="t"))
    with zipfile.ZipFile(buffer) as archive, archive.open("annotations.xml") as member:
        assert list(read_annotations(cast(BinaryIO, member), source="z")) == images


def test_a_video_after_a_long_meta_is_read_as_what_comes() -> None:
    data = _VIDEO.replace(b"<annotations>", b"<annotations><meta>" + b" " * HEAD_BYTES + b"</meta>")
    assert detect_format(data[:HEAD_BYTES]) is AnnotationFormat.CVAT_IMAGES
    assert [image.filename for image in read_annotations(io.BytesIO(data), source="x")] == ["frame_000000"]


def test_voc_origin_is_handed_on() -> None:
    (image,) = read_annotations(io.BytesIO(_VOC), source="x", voc_origin=1)
    assert image.objects[0].box == (0.0, 1.0, 3.5, 4.0)


@given(st.binary(max_size=100), st.sampled_from([b"", b"<", b"{", b"<annotation>", b"<annotations>", b'{"images":[']))
def test_any_bytes_give_values_or_a_data_error(data: bytes, start: bytes) -> None:
    with contextlib.suppress(AnnotationError):
        list(read_annotations(io.BytesIO(start + data), source="x"))
