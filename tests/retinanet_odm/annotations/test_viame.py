"""VIAME CSV: annotations with scores of 1, predictions on request, attributes, and faults."""

import pytest

from retinanet_odm.annotations.types import ImageAnnotation
from retinanet_odm.annotations.viame import parse_viame
from retinanet_odm.errors import AnnotationError

_HEAD = (
    "# 1: Detection or Track-id,  2: Video or Image Identifier,  3: Unique Frame Identifier,  4-7: Img-bbox(TL_x,TL_y,"
    "BR_x,BR_y),  8: Detection or Length Confidence,  9: Target Length (0 or -1 if invalid),  10-11+: Repeated Species,"
    " Confidence Pairs or Attributes\n# metadata,fps: 1\n"
)
_ROW = "0,a.jpg,0,10,20,30.5,40,1.0,-1,crab,1.0"


def _read(*rows: str, min_score: float | None = None) -> list[ImageAnnotation]:
    return list(parse_viame((_HEAD + "\n".join(rows) + "\n").encode(), source="v.csv", min_score=min_score))


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(_ROW, id="a detection"),
        pytest.param(f"{_ROW},(kp) head 12 22,(poly) 10 20 30 40 15 25,(note) x", id="with attributes"),
        pytest.param("0,a.jpg,0,10,20,30.5,40,1,-1,star,0,crab,1", id="the species with the highest score"),
        pytest.param("0, a.jpg ,0, 10,20,30.5,40,-1,-1,crab,1", id="blanks, and no score of the detection"),
        pytest.param('0,"a.jpg",0,10,20,30.5,40,1,-1,"crab",1', id="quotes"),
        pytest.param("0,a.jpg,0,30.5,40,10,20,1,-1,crab,1", id="swapped corners"),
    ],
)
def test_rows(row: str) -> None:
    (image,) = _read(row)
    assert (image.filename, image.width, image.height, image.unreadable) == ("a.jpg", None, None, ())
    assert [(item.label, item.box, item.line) for item in image.objects] == [("crab", (20, 10, 40, 30.5), 3)]


def test_tracks_and_images_in_any_order() -> None:
    rows = ["0,a.jpg,0,1,2,13,14,1,-1,crab,1", "0,d/b.jpg,1,1,2,13,14,1,-1,crab,1", "1,a.jpg,0,5,6,17,18,1,-1,star,1"]
    images = _read(*rows)
    assert [(image.filename, [item.label for item in image.objects]) for image in images] == [
        ("a.jpg", ["crab", "star"]),
        ("d/b.jpg", ["crab"]),
    ]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param("0,a.jpg,0,10,20,30,40,0.7,-1,crab,0.7", id="both scores"),
        pytest.param("0,a.jpg,0,10,20,30,40,1,-1,crab,0.7", id="the score of the species"),
        pytest.param("0,a.jpg,0,10,20,30,40,0.7,-1,crab,1", id="the score of the detection"),
    ],
)
def test_scores_below_one_are_predictions(row: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        _read(row)
    assert (caught.value.reason, "--min_score" in caught.value.detail) == ("predictions_not_accepted", True)
    assert len(_read(row, min_score=0.5)[0].objects) == 1


def test_rows_below_the_minimum_score_are_left_out_and_counted() -> None:
    (image,) = _read(_ROW, "1,a.jpg,0,1,2,13,14,0.3,-1,crab,0.3", min_score=0.5)
    assert (len(image.objects), image.ignored, image.unreadable) == (1, (("prediction below --min_score", 1),), ())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param("0,a.jpg,0,10,20,30,40,1,-1", "object_without_label", id="no species"),
        pytest.param("0,a.jpg,0,10,20,30,40,1,-1,(kp) head 1 2", "object_without_label", id="only attributes"),
        pytest.param("0,a.jpg,0,10,20,30,x,1,-1,crab,1", "number_not_readable", id="text"),
        pytest.param("0,a.jpg,0,10,20,30,40,1,-1,crab", "number_not_readable", id="a species without a score"),
        pytest.param("0,a.jpg,0,0.1,0.2,0.3,0.4,1,-1,crab,1", "coordinates_relative", id="fractions"),
    ],
)
def test_a_row_that_is_not_understood_rejects_its_image(row: str, reason: str) -> None:
    (image,) = _read(row)
    assert [(fault.reason, fault.line) for fault in image.unreadable] == [(reason, 3)]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        pytest.param(["0,a.jpg,0,10,20"], "csv_not_well_formed", id="too few cells"),
        pytest.param([_ROW + ',"'], "csv_not_well_formed", id="a quote that is not closed"),
        pytest.param(["0,,0,10,20,30,40,1,-1,crab,1"], "image_without_name", id="no image"),
        pytest.param(["0,a.jpg,x,10,20,30,40,1,-1,crab,1"], "number_not_readable", id="no frame"),
        pytest.param([_ROW, "1,b.jpg,0,1,2,3,4,1,-1,crab,1"], "structure_unexpected", id="a frame of two images"),
        pytest.param([_ROW, "1,a.jpg,1,1,2,3,4,1,-1,crab,1"], "video_of_images", id="frames of a video"),
    ],
)
def test_files_that_are_rejected(rows: list[str], reason: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        _read(*rows)
    assert (caught.value.reason, "v.csv" in caught.value.detail) == (reason, True)
