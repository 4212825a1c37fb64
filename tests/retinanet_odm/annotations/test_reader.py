"""Annotation files of every format are read as what they are."""

import contextlib
import io
import json
import zipfile
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.annotations.cvat import format_cvat
from retinanet_odm.annotations.detection import HEAD_BYTES, AnnotationFormat, detect_format
from retinanet_odm.annotations.reader import ReadingRules, read_annotations
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
    (image,) = read_annotations(io.BytesIO(_VOC), source="x", rules=ReadingRules(voc_origin=1))
    assert image.objects[0].box == (0.0, 1.0, 3.5, 4.0)


@given(st.binary(max_size=100), st.sampled_from([b"", b"<", b"{", b"<annotation>", b"<annotations>", b'{"images":[']))
def test_any_bytes_give_values_or_a_data_error(data: bytes, start: bytes) -> None:
    with contextlib.suppress(AnnotationError):
        list(read_annotations(io.BytesIO(start + data), source="x"))
