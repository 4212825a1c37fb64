"""Whole Pascal VOC files, as each tool writes them."""

import pytest

from retinanet_odm.annotations.types import ObjectAnnotation
from retinanet_odm.annotations.voc import parse_voc

_HEAD = "<source><database>Unknown</database></source><size><width>640</width><height>360</height>{}</size>"


@pytest.mark.parametrize(
    ("data", "filename", "expected"),
    [
        pytest.param(
            "<annotation><folder>StaM</folder><filename>dive 1/StaM_6701.JPG</filename>"
            + _HEAD.format("<depth></depth>")
            + "<segmented>0</segmented><object><name>crab</name><truncated>0</truncated><occluded>1</occluded>"
            "<difficult>0</difficult><bndbox><xmin>-1.5</xmin><ymin>2.25</ymin><xmax>30.0</xmax><ymax>40.5</ymax></bndbox>"
            "<attributes><attribute><name>rotation</name><value>0.0</value></attribute></attributes></object></annotation>",
            "dive 1/StaM_6701.JPG",
            [ObjectAnnotation(label="crab", box=(2.25, -1.5, 40.5, 30), occluded=True)],
            id="CVAT: folder is what precedes the first _, depth is empty without images",
        ),
        pytest.param(
            "<annotation><folder/><filename>StaM_6701.JPG</filename>"
            + _HEAD.format("<depth>3</depth>")
            + "<segmented>0</segmented></annotation>",
            "StaM_6701.JPG",
            [],
            id="CVAT: nothing in the image",
        ),
        pytest.param(
            '<annotation verified="yes"><folder>desk</folder><filename>a</filename><path>/home/ann/desk/a.JPG</path>'
            + _HEAD.format("<depth>1</depth>")
            + "<segmented>0</segmented><object><name>crab</name><pose>Unspecified</pose><truncated>1</truncated>"
            "<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>"
            "</annotation>",
            "a",
            [ObjectAnnotation(label="crab", box=(2, 1, 40, 30), truncated=True)],
            id="LabelImg: whole pixels, verified, a path of another computer, no extension",
        ),
        pytest.param(
            "<annotation><folder/><filename>a.jpg</filename><database/><annotation/><image/>"
            + _HEAD.format("<depth>3</depth>")
            + "<segmented/><object><name>crab</name><pose/><truncated/><difficult/>"
            "<bndbox><xmin>1.25</xmin><ymin>2.5</ymin><xmax>30.75</xmax><ymax>40.0</ymax></bndbox></object></annotation>",
            "a.jpg",
            [ObjectAnnotation(label="crab", box=(2.5, 1.25, 40, 30.75))],
            id="labelme2voc: empty elements, fractions",
        ),
        pytest.param(
            "<annotation><folder>VOC</folder><filename>a.jpg</filename><path>a.jpg</path>"
            + _HEAD.format("<depth>3</depth>")
            + "<object><name>crab</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>"
            "<occluded>0</occluded><bndbox><xmin>1</xmin><xmax>30</xmax><ymin>2</ymin><ymax>40</ymax></bndbox>"
            "<polygon><x1>1</x1><y1>2</y1><x2>30</x2><y2>40</y2></polygon></object></annotation>",
            "a.jpg",
            [ObjectAnnotation(label="crab", box=(2, 1, 40, 30))],
            id="Roboflow: xmax before ymin, an outline beside the box",
        ),
        pytest.param(
            "<annotation><folder>media</folder><filename>a b.jpg</filename><path>/x/media/a b.jpg</path>"
            + _HEAD.format("<depth>3</depth>")
            + "<segmented>0</segmented><object><name>crab</name><id>123</id><truncated>0</truncated>"
            "<difficult>0</difficult><bndbox><xmin>0</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>"
            "</annotation>",
            "a b.jpg",
            [ObjectAnnotation(label="crab", box=(2, 0, 40, 30))],
            id="MBARI's aidata, from Tator: whole pixels from 0, the id of the localization",
        ),
    ],
)
def test_a_complete_file_of_each_producer(data: str, filename: str, expected: list[ObjectAnnotation]) -> None:
    found = parse_voc(data.encode(), source="Annotations/sub/x.xml")
    assert (found.filename, found.width, found.height) == (filename, 640, 360)
    assert list(found.objects) == expected
