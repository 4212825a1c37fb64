"""counts.csv: a line for each image and class, zeros included, none for what nobody looked at."""

import csv
import dataclasses
import io
from datetime import datetime

from hypothesis import given

from retinanet_odm.predictions.formats.csv_files import to_counts_csv
from retinanet_odm.predictions.rows import OK, PredictionRow
from tests.retinanet_odm.prediction_rows import FRAME, PIG, RUN, failed, random_rows, scored


def test_the_text() -> None:
    rows = [failed("broken.jpg"), scored(FRAME, PIG, PIG)]
    assert b"".join(to_counts_csv(rows, RUN)).decode().splitlines() == [
        "image,deployment,time,status,label,count,model,threshold",
        "broken.jpg,,,failed,crab,,0123456789ab,0.25",
        "broken.jpg,,,failed,sea pig,,0123456789ab,0.25",
        'broken.jpg,,,failed,"Étoile ""de"", mer",,0123456789ab,0.25',
        f"{FRAME},StaM_6701,2016-11-10 14:24:12,ok,crab,0,0123456789ab,0.25",
        f"{FRAME},StaM_6701,2016-11-10 14:24:12,ok,sea pig,2,0123456789ab,0.25",
        f'{FRAME},StaM_6701,2016-11-10 14:24:12,ok,"Étoile ""de"", mer",0,0123456789ab,0.25',
    ]


def test_where_the_name_tells_no_time_exif_may() -> None:
    row = dataclasses.replace(scored("site/DCIM/a.jpg", PIG), time=datetime(2016, 11, 10, 14, 24, 12))
    _, line, *_ = b"".join(to_counts_csv([row], RUN)).decode().splitlines()
    assert line.startswith("site/DCIM/a.jpg,site/DCIM,2016-11-10 14:24:12,ok,crab,0,")


@given(random_rows)
def test_counts_add_up_to_the_detections(rows: list[PredictionRow]) -> None:
    text = b"".join(to_counts_csv(rows, RUN)).decode()
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [(line["image"], line["label"]) for line in lines] == [
        (row.image, label) for row in rows for label in RUN.classes.values()
    ]
    assert sum(int(line["count"] or 0) for line in lines) == sum(len(row.detections) for row in rows)
    assert all((line["count"] != "") == (line["status"] == OK) for line in lines)
