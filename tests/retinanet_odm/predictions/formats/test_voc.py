"""Pascal VOC pre-annotations: one XML per scored image, in a zip file that is safe to unpack."""

import io
import zipfile
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from lxml import etree

from retinanet_odm.annotations.voc import parse_voc
from retinanet_odm.predictions.formats.voc import to_voc
from retinanet_odm.predictions.rows import OK, PredictionRow
from tests.retinanet_odm.prediction_rows import PIG, ROWS, RUN, failed, random_rows, random_xml_rows, scored


def _archive(rows: list[PredictionRow]) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(to_voc(rows, RUN))))


def _annotations(rows: list[PredictionRow]) -> list[str]:
    return [name for name in _archive(rows).namelist() if name.endswith(".xml")]


def test_the_layout() -> None:
    archive = _archive([scored("d 1/é.jpg", PIG), failed("x.jpg")])
    assert archive.namelist() == ["Annotations/d 1/é.xml", "ImageSets/Main/default.txt", "labelmap.txt"]
    assert archive.read("ImageSets/Main/default.txt").decode() == "d 1/é\n"
    assert archive.read("labelmap.txt").decode().splitlines() == [
        f"# retinanet-odm 1.2.3, model {RUN.model_hash}, scores from 0.25 to 0.4, by class",
        "# scores from 0.3: 'crab'",
        "# scores from 0.4: 'sea pig'",
        """# scores from 0.25: 'Étoile "de", mer'""",
        "# label:color_rgb:parts:actions",
        "crab:::",
        "sea pig:::",
        'Étoile "de", mer:::',
    ]
    data = archive.read("Annotations/d 1/é.xml")
    assert f"<database>{RUN.title}</database>".encode() in data
    annotation = parse_voc(data, source="é.xml")
    assert (annotation.filename, annotation.width, annotation.height) == ("d 1/é.jpg", 40, 30)
    # MBARI's aidata takes the name of the image from <path> (mbari_aidata 1.80, plugins/extractors/tap_voc.py).
    assert etree.fromstring(data).findtext("path") == "d 1/é.jpg"
    assert [(item.label, item.box) for item in annotation.objects] == [("sea pig", (6.0, 5.0, 16.0, 20.25))]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        pytest.param(["a.jpg", "a.png"], ["a", "a.png"], id="of one stem"),
        pytest.param(["a.jpg", "a.png", "a.png.png"], ["a", "a.png", "a.png.png"], id="and the second's name taken"),
        pytest.param(["../a.jpg", "a.jpg", "b/../a.jpg"], ["a", "a.jpg", "b/a"], id="folders above"),
        pytest.param(["/a.jpg", "//a.jpg", "./a.jpg"], ["a", "a.jpg", "a.jpg#2"], id="three of one path"),
        pytest.param([r"..\..\a.jpg"], ["a"], id="as Windows writes paths"),
        pytest.param(["a\nb\udce9.jpg"], ["a_b_"], id="what no list of names can hold"),
        pytest.param(["..", "dive/.jpg"], ["image", "dive/.jpg"], id="hardly a name"),
    ],
)
def test_names(images: list[str], expected: list[str]) -> None:
    found = _annotations([scored(image) for image in images])
    assert found == [f"Annotations/{name}.xml" for name in expected]


@given(random_rows)
def test_unpacking_is_safe_and_complete(rows: list[PredictionRow]) -> None:
    names = _annotations(rows)
    assert len(set(names)) == len(names) == sum(row.status == OK for row in rows)
    assert not any(part in ("..", "/") for name in names for part in PurePosixPath(name).parts)
    assert b"".join(to_voc(rows, RUN)) == b"".join(to_voc(rows, RUN)), "equal rows make equal bytes"


@given(random_xml_rows)
def test_the_reader_finds_every_box(rows: list[PredictionRow]) -> None:
    archive = _archive(rows)
    found = [parse_voc(archive.read(name), source=name) for name in _annotations(rows)]
    assert [(image.filename, [(item.label, item.box) for item in image.objects]) for image in found] == [
        (row.image, [(item.label, (*item.box[1::-1], *item.box[:1:-1])) for item in row.detections])
        for row in rows
        if row.status == OK
    ]


def test_awkward_names_come_back() -> None:
    archive = _archive(list(ROWS))
    names = [parse_voc(archive.read(name), source=name).filename for name in _annotations(list(ROWS))]
    assert names == [row.image for row in ROWS if row.status == OK]
