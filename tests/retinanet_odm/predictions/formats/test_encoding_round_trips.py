"""One law for the formats that exist in both directions: what `prepare` reads of a file is what `score` wrote."""

import io
import zipfile
from collections.abc import Iterator

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from retinanet_odm.annotations.class_names import ClassNames, parse_class_names
from retinanet_odm.annotations.reader import ReadingRules, read_annotations
from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.annotations.zip_names import choose_annotations
from retinanet_odm.predictions.formats import EXPORTERS
from retinanet_odm.predictions.rows import OK, PredictionRow
from tests.retinanet_odm.prediction_rows import RUN, rows_named

# Name of the file, whether it holds scores, and the largest error of an edge as a share of the side.
FILES = [
    pytest.param("cvat.xml", False, 0.0, id="cvat"),
    pytest.param("voc.zip", False, 0.0, id="voc"),
    pytest.param("viame.csv", True, 0.0, id="viame"),
    pytest.param("megadetector.json", True, 1.1e-6, id="megadetector"),
    pytest.param("yolo.zip", True, 1.1e-6, id="yolo"),
    pytest.param("labelstudio.json", True, 2.1e-8, id="labelstudio"),
]
NAMES = ("a.jpg", "b c/a.png", "x.zip/d/é.jpeg", "x.zip/d/#1, 'one'.jpg", "StaM_6701_20161110_142412.JPG", "a%20?&.jpg")
EXPORTER_OF = {name: exporter for exporters in EXPORTERS.values() for name, exporter in exporters.items()}


def _read(file: str, data: bytes, min_score: float) -> Iterator[ImageAnnotation]:
    """Yield what prepare reads; the files in a zip archive one by one."""
    members, names = {file: data}, ClassNames()
    if file.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            chosen = choose_annotations(archive.namelist())
            members = {name: archive.read(name) for name in archive.namelist() if name in chosen}
    if "data.yaml" in members:
        names = parse_class_names(members.pop("data.yaml"), source="data.yaml")
    rules = ReadingRules(min_score=min_score, class_names=lambda: names)
    for member, content in members.items():
        yield from read_annotations(io.BytesIO(content), source=member, rules=rules)


def _pixels(image: ImageAnnotation, box: tuple[float, ...], row: PredictionRow) -> Iterator[float]:
    sides = (row.height or 0, row.width or 0) * 2 if image.is_relative else (1, 1, 1, 1)
    return (edge * side for edge, side in zip(box, sides, strict=True))


@pytest.mark.parametrize(("file", "has_scores", "share"), FILES)
@settings(max_examples=20)
@given(rows=rows_named(st.sampled_from(NAMES), RUN.classes), min_score=st.sampled_from([0.0, 0.5, 0.6]))
def test_what_prepare_reads_is_what_score_writes(
    file: str, has_scores: bool, share: float, rows: list[PredictionRow], min_score: float
) -> None:
    assume(any(row.status == OK for row in rows))  # an empty list is of no format
    written = b"".join(EXPORTER_OF[file](rows, RUN))
    read = [image for image in _read(file, written, min_score) if not image.unreadable]
    # VIAME CSV has no line for an image without detections.
    kept = [row for row in rows if row.status == OK and (row.detections or file != "viame.csv")]
    names = [row.image if file != "yolo.zip" else row.image.rpartition("/")[2].rpartition(".")[0] for row in kept]
    assert [image.filename for image in read] == names
    for image, row in zip(read, kept, strict=True):
        found = [item for item in row.detections if not has_scores or item.score >= min_score]
        assert [item.label for item in image.objects] == [item.label for item in found]
        for item, wanted in zip(image.objects, found, strict=True):
            sides = (row.height or 0, row.width or 0) * 2
            for edge, other, side in zip(_pixels(image, item.box, row), wanted.corners, sides, strict=True):
                assert abs(edge - other) <= 1e-9 + share * side
