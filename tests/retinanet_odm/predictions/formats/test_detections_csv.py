"""detections.csv: every image is seen in it, and it says what the rows say."""

import csv
import dataclasses
import io
import itertools
from collections.abc import Iterable

from hypothesis import given

from retinanet_odm.predictions.formats.csv_files import DETECTION_COLUMNS, to_detections_csv
from retinanet_odm.predictions.rows import Detection, PredictionRow
from tests.retinanet_odm.prediction_rows import PIG, RUN, failed, random_rows, scored


def test_the_text() -> None:
    rows = [scored("d, 1/a.png", PIG, dataclasses.replace(PIG, repeat=7)), scored("empty.png"), failed("x\udce9.jpg")]
    assert b"".join(to_detections_csv(rows, RUN)).decode().splitlines() == [
        "image,width,height,status,reason,detail,label,label_id,score,xmin,ymin,xmax,ymax,repeat,model,threshold",
        '"d, 1/a.png",40,30,ok,,,sea pig,2,0.9,5.0,6.0,20.25,16.0,,0123456789ab,0.25',
        '"d, 1/a.png",40,30,ok,,,sea pig,2,0.9,5.0,6.0,20.25,16.0,7,0123456789ab,0.25',
        "empty.png,40,30,ok,,,,,,,,,,,0123456789ab,0.25",
        "x\\udce9.jpg,,,failed,image_not_decodable,"
        '"x\\udce9.jpg: expected a picture, found none",,,,,,,,,0123456789ab,0.25',
    ]


def _read_back(lines: Iterable[dict[str, str]]) -> list[PredictionRow]:
    rows = []
    for image, of_image in itertools.groupby(lines, key=lambda line: line["image"]):
        first, *_ = found = list(of_image)
        row = PredictionRow(
            image=image,
            width=int(first["width"]) if first["width"] else None,
            height=int(first["height"]) if first["height"] else None,
            status=first["status"],
            reason=first["reason"] or None,
            detail=first["detail"] or None,
            detections=tuple(_detection(line) for line in found if line["label"]),
        )
        rows.append(row)
    return rows


def _detection(line: dict[str, str]) -> Detection:
    xmin, ymin, xmax, ymax = (float(line[edge]) for edge in ("xmin", "ymin", "xmax", "ymax"))
    return Detection(
        label=line["label"],
        label_id=int(line["label_id"]),
        score=float(line["score"]),
        box=(xmin, ymin, xmax, ymax),
    )


@given(random_rows)
def test_write_and_read_are_inverse(rows: list[PredictionRow]) -> None:
    text = b"".join(to_detections_csv(rows, RUN)).decode()
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert all(line.keys() == set(DETECTION_COLUMNS) for line in lines)
    assert _read_back(lines) == rows
