"""What a run has shown, in sentences: the images that say most, data, counts, and what to do next."""

from typing import Any

import pytest

from retinanet_odm.predictions.unlike_training import NoveltyCounts, NoveltySummary
from retinanet_odm.reports.run_verdict import describe_empty_splits, next_steps, run_verdict
from tests.retinanet_odm.reports.pages import make_manifest
from tests.retinanet_odm.workflow.projects import METRICS, SUMMARY, split

_POOR = {**METRICS, "at_thresholds": {"recall": 0.4, "precision": 0.9, "f1": 0.55}}

VERDICTS = [
    pytest.param(
        {"test": {**METRICS, "images": 9}},
        "4 % too high). Measured on 9 images that it has not learned from.",
        id="the test before the evaluation",
    ),
    pytest.param({}, "Measured on 75 images that it has not learned from.", id="no test"),
    pytest.param(
        {"evaluation": _POOR}, "Not yet good enough to count by. Of 100 objects, the model finds 40", id="poor"
    ),
    pytest.param({"evaluation": None}, "How good the detector is, is not known", id="nothing held out"),
    pytest.param({"evaluation": {"images": 2}}, "How good the detector is, is not known", id="nothing to match"),
    pytest.param({}, "Too few boxes to learn from: ", id="the data"),
    pytest.param(
        {"scored": {**SUMMARY, "novelty": NoveltySummary(all=NoveltyCounts(images=59, unlike=50)).to_json()}},
        "143 Actiniaria. 50 of 59 images are unlike the training images: counts there are not trustworthy.",
        id="other images",
    ),
    pytest.param({"scored": SUMMARY}, "In 59 of 60 images of the archive, it counted 143 Actiniaria.", id="counts"),
    pytest.param(
        {"scored": {**SUMMARY, "counted": {"Actiniaria": 0}}}, "of the archive, it counted nothing.", id="nothing found"
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), VERDICTS)
def test_verdict(changes: dict[str, Any], sentence: str) -> None:
    manifest = make_manifest(splits={"train": split(8, Actiniaria=7)}, images_in=10)
    found = run_verdict(manifest, **{"evaluation": METRICS, "test": None, "scored": None, **changes})
    assert any(sentence in line for line in found), found


def test_without_an_archive_nothing_is_said_about_it() -> None:
    found = run_verdict(make_manifest(), evaluation=METRICS, test=None, scored=None)
    assert len(found) == 2 and "archive" not in " ".join(found)


EMPTY = [
    ({"train": 8, "val": 1, "test": 1}, 0, "nothing is missing"),
    ({"train": 8, "val": 1}, 1, "no test"),
    ({"train": 8, "val": 0, "test": 1}, 1, "a test cannot choose thresholds"),
    ({"train": 8}, 2, "neither"),
]


@pytest.mark.parametrize(("sizes", "count", "reason"), EMPTY)
def test_empty_splits(sizes: dict[str, int], count: int, reason: str) -> None:
    splits = {name: split(images) for name, images in sizes.items()}
    manifest = make_manifest(splits=splits, images_in=sum(sizes.values()), rejected=0)
    assert len(list(describe_empty_splits(manifest))) == count, reason


def test_next_steps_follow_from_what_there_is() -> None:
    rejects, *rest = next_steps(make_manifest(), None, {}, "out")
    assert "2 images were left out" in rejects[0] and "--archive=ARCHIVE.zip" in rest[0][0] and len(rest) == 1
    links = {"scored": "scored/report.html", "to_label": "scored/to_label.csv", "boxes": "scored/cvat.xml"}
    manifest = make_manifest(images_in=1234, rejected=0)
    steps = list(next_steps(manifest, METRICS, links, "my out"))
    assert steps[0][1] == "python -m inference evaluate 'my out/scored' --annotations 'TRUTH/*.xml'"
    assert [name for text, _ in steps[1:] for name in links.values() if name in text] == [
        "scored/to_label.csv",
        "scored/cvat.xml",
    ]
    first, *others = next_steps(manifest, _POOR, links, "my out")
    assert "Improve the detector" in first[0] and not any("scored/cvat.xml" in text for text, _ in others)
