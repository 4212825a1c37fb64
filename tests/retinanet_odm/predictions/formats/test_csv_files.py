"""detections.csv lists every image and is read back; counts.csv has a line for every image and class."""

import csv
import dataclasses
import io
import itertools
from collections.abc import Iterable
from datetime import datetime

from hypothesis import given

from retinanet_odm.predictions.formats.csv_files import DETECTION_COLUMNS, to_counts_csv, to_detections_csv
from retinanet_odm.predictions.rows import OK, Detection, PredictionRow
from tests.retinanet_odm.prediction_rows import FRAME, PIG, RUN, failed, random_rows, scored


def test_detections_csv() -> None:
    rows = [scored("d, 1/a.png", PIG, dataclasses.replace(PIG, repeat=7)), scored("empty.png"), failed("x\udce9.jpg")]
    assert b"".join(to_detections_csv(rows, RUN)).decode().splitlines() == [
        "image,width,height,status,reason,detail,label,label_id,score,xmin,ymin,xmax,ymax,repeat,model,threshold",
        '"d, 1/a.png",40,30,ok,,,sea pig,2,0.9,5.0,6.0,20.25,16.0,,0123456789ab,0.4',
        '"d, 1/a.png",40,30,ok,,,sea pig,2,0.9,5.0,6.0,20.25,16.0,7,0123456789ab,0.4',
        "empty.png,40,30,ok,,,,,,,,,,,0123456789ab,",
        'x\\udce9.jpg,,,failed,image_not_decodable,"x\\udce9.jpg: expected an image, found none",,,,,,,,,0123456789ab,',
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
def test_detections_csv_is_read_back(rows: list[PredictionRow]) -> None:
    text = b"".join(to_detections_csv(rows, RUN)).decode()
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert all(line.keys() == set(DETECTION_COLUMNS) for line in lines)
    assert _read_back(lines) == rows


def test_counts_csv() -> None:
    rows = [failed("broken.jpg"), dataclasses.replace(scored(FRAME, PIG, PIG), novelty=1.25)]
    assert b"".join(to_counts_csv(rows, RUN)).decode().splitlines() == [
        "image,deployment,time,status,label,count,model,threshold,novelty,unlike_training",
        "broken.jpg,,,failed,crab,,0123456789ab,0.3,,",
        "broken.jpg,,,failed,sea pig,,0123456789ab,0.4,,",
        'broken.jpg,,,failed,"Étoile ""de"", mer",,0123456789ab,0.25,,',
        f"{FRAME},dive 1/StaM_6701,2016-11-10 14:24:12,ok,crab,0,0123456789ab,0.3,1.25,1",
        f"{FRAME},dive 1/StaM_6701,2016-11-10 14:24:12,ok,sea pig,2,0123456789ab,0.4,1.25,1",
        f'{FRAME},dive 1/StaM_6701,2016-11-10 14:24:12,ok,"Étoile ""de"", mer",0,0123456789ab,0.25,1.25,1',
    ]


def test_the_time_of_exif_if_the_name_has_none() -> None:
    row = dataclasses.replace(scored("site/DCIM/a.jpg", PIG), time=datetime(2016, 11, 10, 14, 24, 12))
    _, line, *_ = b"".join(to_counts_csv([row], RUN)).decode().splitlines()
    assert line.startswith("site/DCIM/a.jpg,site,2016-11-10 14:24:12,ok,crab,0,")


@given(random_rows)
def test_counts_add_up_to_the_detections(rows: list[PredictionRow]) -> None:
    text = b"".join(to_counts_csv(rows, RUN)).decode()
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [(line["image"], line["label"]) for line in lines] == [
        (row.image, label) for row in rows for label in RUN.classes.values()
    ]
    assert sum(int(line["count"] or 0) for line in lines) == sum(len(row.detections) for row in rows)
    assert all((line["count"] != "") == (line["status"] == OK) for line in lines)
