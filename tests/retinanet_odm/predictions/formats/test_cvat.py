"""CVAT pre-annotations: read back by our own reader, and the parts that only CVAT reads."""

import dataclasses
import io

from hypothesis import given
from lxml import etree

from retinanet_odm.annotations.cvat import read_cvat
from retinanet_odm.predictions.formats.cvat import to_cvat
from retinanet_odm.predictions.rows import OK, PredictionRow
from tests.retinanet_odm.prediction_rows import PIG, ROWS, RUN, failed, random_xml_rows, scored


def test_what_cvat_reads() -> None:
    root = etree.fromstring(b"".join(to_cvat([failed("x.jpg"), scored("d/a.jpg", PIG)], RUN)))
    assert root.findtext("version") == "1.1"
    title = f"retinanet-odm 1.2.3, model {RUN.model_hash}, scores from 0.25 to 0.4, by class"
    assert root.findtext("meta/task/name") == title
    assert [name.text for name in root.iterfind("meta/task/labels/label/name")] == list(RUN.classes.values())
    (image,) = root.iterfind("image")
    assert dict(image.attrib) == {"id": "1", "name": "d/a.jpg", "width": "40", "height": "30"}
    (box,) = image
    assert (box.get("label"), box.get("source"), box.get("xtl"), box.get("xbr")) == ("sea pig", "auto", "5.00", "20.25")
    assert [(item.get("name"), item.text) for item in box] == [("score", "0.9")]


def test_no_image_was_scored() -> None:
    data = b"".join(to_cvat([failed("x.jpg")], RUN))
    assert list(read_cvat(io.BytesIO(data), source="a.xml")) == []


def test_awkward_names_come_back() -> None:
    data = b"".join(to_cvat(ROWS, RUN))
    names = [image.filename for image in read_cvat(io.BytesIO(data), source="a.xml")]
    assert names == [row.image for row in ROWS if row.status == OK]


def test_a_name_that_xml_cannot_hold_is_legible() -> None:
    data = b"".join(to_cvat([scored("b\udce9\x01.jpg")], RUN))
    assert [image.filename for image in read_cvat(io.BytesIO(data), source="a.xml")] == [r"b\udce9\x01.jpg"]


@given(random_xml_rows)
def test_the_reader_finds_every_box(rows: list[PredictionRow]) -> None:
    data = b"".join(to_cvat(rows, RUN))
    found = [
        (image.filename, image.width, [(item.label, item.box) for item in image.objects])
        for image in read_cvat(io.BytesIO(data), source="a.xml")
    ]
    assert found == [
        (row.image, row.width, [(item.label, (*item.box[1::-1], *item.box[:1:-1])) for item in row.detections])
        for row in rows
        if row.status == OK
    ]


def test_the_minimum_scores_are_in_a_comment_that_readers_skip() -> None:
    run = dataclasses.replace(RUN, classes={1: "crab --- small-", 2: "sea pig", 4: "star"})
    data = b"".join(to_cvat([scored("a.jpg", PIG)], run))
    (comment,) = etree.fromstring(data).xpath("/annotations/comment()")
    assert comment.text == " minimum scores: crab - - - small-: 0.3; sea pig: 0.4; star: 0.25 "
    assert [image.filename for image in read_cvat(io.BytesIO(data), source="cvat.xml")] == ["a.jpg"]
