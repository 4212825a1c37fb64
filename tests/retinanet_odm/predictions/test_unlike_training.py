"""Which numbers of images unlike the training images are alarming, and how they are described."""

import dataclasses
import json

import pytest

from retinanet_odm.predictions.unlike_training import NoveltySummary
from tests.retinanet_odm.prediction_rows import failed, scored

# By deployment: the number of images like those of the training, and of those that are not.
ALARMS = [
    ("nothing is known", {}, False, ""),
    ("none", {"a": (50, 0)}, False, "0 of 50 images are unlike the training images"),
    ("a few are chance", {"a": (99, 1)}, False, "1 of 100 images is unlike the training images"),
    ("a few in each of many", {f"d{n}": (8, 1) if n < 3 else (9, 0) for n in range(9)}, False, "3 of 81 images are…"),
    ("a tenth", {"a": (9, 1)}, True, "1 of 10 images is unlike the training images: counts there are not trustworthy"),
    ("one deployment of many", {"a": (90, 0), "b": (2, 3)}, True, "3 of 95 images are…; most of all in b (3 of 5)"),
    ("all", {"a": (0, 5)}, True, "5 of 5 images are unlike the training images: counts there are not trustworthy"),
    ("names say nothing", {"": (0, 5), "b": (5, 0)}, True, "5 of 10 images are…: counts there are not trustworthy"),
]


@pytest.mark.parametrize(("why", "images", "alarming", "line"), ALARMS, ids=[row[0] for row in ALARMS])
def test_alarms(why: str, images: dict[str, tuple[int, int]], alarming: bool, line: str) -> None:
    novelty = NoveltySummary()
    novelty.add(failed("x.jpg"))
    for place, (like, unlike) in images.items():
        for number in range(like + unlike):
            row = scored(f"{place}/{number}.jpg" if place else f"{number}.jpg")
            novelty.add(dataclasses.replace(row, novelty=0.5 if number < like else 2.0))
    assert novelty.is_alarming == alarming, why
    start, _, end = line.partition("…")
    assert novelty.describe().startswith(start) and novelty.describe().endswith(end)
    # summary.json says the same.
    stored = NoveltySummary.from_json(json.loads(json.dumps(novelty.to_json())))
    assert (stored.describe(), stored.is_alarming) == (novelty.describe(), alarming)
