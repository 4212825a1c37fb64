"""The format of an annotation file is recognised by its content."""

import pytest

from retinanet_odm.annotations.detection import HEAD_BYTES, AnnotationFormat, detect_format
from retinanet_odm.errors import AnnotationError

_VOC = b'<?xml version="1.0" encoding="utf-8"?><annotation><filename>a.jpg</filename></annotation>'
_CVAT = b'<?xml version="1.0"?><annotations><version>1.1</version><meta/><image id="0"/></annotations>'
_VIDEO = b'<annotations><track label="crab"><box frame="0" xtl="2" ytl="1" xbr="4" ybr="3.5"/></track></annotations>'
_COCO = b'{"info": {"version": "1"}, "categories": [{"id": 1, "name": "crab"}], "annotations": [], "images": []}'
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
        pytest.param(b'{"_via_settings": {}, "_via_img_metadata": {}}', AnnotationFormat.VIA, id="a project of VIA"),
        pytest.param(b'{"a.jpg123": {"filename": "", "regions": []}}', AnnotationFormat.VIA, id="annotations of VIA"),
        pytest.param(b"#filename,file_size,region_shape_attributes", AnnotationFormat.VIA_CSV, id="CSV of VIA 1"),
        pytest.param(b"filename,file_size,region_shape_attributes\n", AnnotationFormat.VIA_CSV, id="CSV of VIA 2"),
        pytest.param(
            b'[{"id": 1, "annotations": [{"id": 7, "completed_by": 1, "result": [{"va',
            AnnotationFormat.LABEL_STUDIO,
            id="LS",
        ),
        pytest.param(
            b'{"id": 1, "data": {"image": ""}, "annotations": []}', AnnotationFormat.LABEL_STUDIO, id="one task of it"
        ),
        pytest.param(b'[{"data": {}, "completions": []}]', AnnotationFormat.LABEL_STUDIO, id="before version 1.0"),
        pytest.param(b'[{"image": "", "id": 1, "annotation_id": 7}]', AnnotationFormat.LABEL_STUDIO, id="JSON-MIN"),
        pytest.param(b'{"images": [], "detection_categories": {}}', AnnotationFormat.MEGADETECTOR, id="MegaDetector"),
        pytest.param(b"0 0.5 0.5 0.1 0.1", AnnotationFormat.YOLO, id="YOLO"),
        pytest.param(b"\n7 0.5 0.5 1e-1 0.1 0.2 0.3\r\n", AnnotationFormat.YOLO, id="an outline of YOLO"),
        pytest.param(b"# 1: Detection or Track-id,  2: Video", AnnotationFormat.VIAME, id="VIAME with its columns"),
        pytest.param(b"0,a b.jpg,0,1.5,2,3,4,1.0,-1,crab,1", AnnotationFormat.VIAME, id="VIAME without a comment"),
        pytest.param(b'{"shapes": [], "imagePath": ""}', AnnotationFormat.LABELME, id="LabelMe"),
        pytest.param(b'{"shapes": [{"points": [[1', AnnotationFormat.LABELME, id="LabelMe with long shapes"),
        pytest.param(b'{"flags": {}, "imageData": "iVBO', AnnotationFormat.LABELME, id="LabelMe, the image first"),
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
        pytest.param(b'[{"image": "a.jpg", "annotations": []}]', "CreateML", id="CreateML"),
        pytest.param(b'{"version": 1, "a": {"images": []}}', "'version', 'a'", id="another JSON object"),
        pytest.param(b'{"images": {}}', "'images'", id="images that are no list"),
        pytest.param(b"{}", "(none)", id="empty object"),
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
