"""VIAME CSV: tracks of one frame each."""

import csv
import io

from hypothesis import given

from retinanet_odm.predictions.formats.viame import to_viame
from retinanet_odm.predictions.rows import PredictionRow
from tests.retinanet_odm.prediction_rows import CRAB, PIG, RUN, failed, random_rows, scored


def test_the_text() -> None:
    rows = [scored("a.jpg", PIG, CRAB), failed("b.jpg"), scored("c.jpg"), scored("d, 1/d.jpg", CRAB)]
    header, metadata, *lines = b"".join(to_viame(rows, RUN)).decode().splitlines()
    assert header.startswith("# 1: Detection or Track-id, 2: Video or Image Identifier, 3: Unique Frame Identifier, 4")
    assert metadata.startswith(f'# metadata,"exported_by: {RUN.title}",1: crab,2: sea pig,')
    assert metadata.endswith(",min_score 1: 0.3,min_score 2: 0.4,min_score 4: 0.25")
    assert lines == [
        "0,a.jpg,0,5.0,6.0,20.25,16.0,0.9,-1,sea pig,0.9",
        "1,a.jpg,0,0.0,0.0,40.0,30.0,0.5,-1,crab,0.5",
        '2,"d, 1/d.jpg",3,0.0,0.0,40.0,30.0,0.5,-1,crab,0.5',
    ]


@given(random_rows)
def test_every_detection_is_a_separate_track_in_the_frame_of_its_image(rows: list[PredictionRow]) -> None:
    text = b"".join(to_viame(rows, RUN)).decode()
    _, _, *lines = csv.reader(io.StringIO(text, newline=""))
    assert [int(line[0]) for line in lines] == list(range(len(lines)))
    assert [(rows[int(line[2])].image, line[9], float(line[7])) for line in lines] == [
        (row.image, item.label, item.score) for row in rows for item in row.detections
    ]
    assert all(line[1] == rows[int(line[2])].image for line in lines)
