"""An audit and the estimates from its labels: files, refusals, and that the same input gives the same bytes."""

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lxml import etree

from inference.main import main
from retinanet_odm.predictions.rows import PredictionRow
from tests.inference.outputs import contents, write_output
from tests.retinanet_odm.prediction_rows import CRAB, PIG, failed, scored

Fail = Callable[..., str]


def _image(place: int, day: int, shot: int) -> str:
    return f"site {place}/CAM_202103{day:02}_12000{shot}.jpg"


def _survey() -> tuple[list[PredictionRow], dict[str, tuple[int, int]]]:
    """Bursts of two images at three sites, predicted with errors, and the true crabs and sea pigs of each image."""
    random, rows, truth = np.random.default_rng(4), [], {}
    for place in range(3):
        for day in range(1, 29):
            for shot in range(2):
                name = _image(place, day, shot)
                crabs, pigs = int(random.poisson(1 + place)), int(random.poisson(0.4))
                truth[name] = crabs, pigs
                rows.append(scored(name, *[CRAB] * int(random.binomial(crabs, 0.8)), *[PIG] * int(random.poisson(0.4))))
    return sorted([*rows, failed("site 0/broken.jpg")], key=lambda row: row.image), truth


ROWS, COUNTS = _survey()


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return write_output(tmp_path / "OUT", ROWS, num_shards=2)


def _label(output: Path, *, without: int = 0, label: str = "crab", more: str = "") -> Path:
    """Labels the audit in CVAT's file as a careful person does."""
    tree = etree.parse(output / "audit_cvat.xml")
    images = list(tree.getroot().iter("image"))
    for image in images[:without]:
        tree.getroot().remove(image)
    for image in images[without:]:
        for name, count in zip((label, "sea pig"), COUNTS[image.get("name")], strict=True):
            for right in range(count):
                box = {"label": name, "xtl": "1", "ytl": "1", "xbr": f"{9 + right}", "ybr": "9", "occluded": "0"}
                etree.SubElement(image, "box", box)
    if more:
        etree.SubElement(tree.getroot(), "image", {"id": "999", "name": more, "width": "40", "height": "30"})
    path = output.parent / "labels.xml"
    tree.write(path, encoding="utf-8")
    return path


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _survey_rows(output: Path) -> dict[tuple[str, str], dict[str, Any]]:
    estimates = json.loads((output / "abundance.json").read_text())["estimates"]
    return {(row["class"], row["statistic"]): row for row in estimates if row["scope"] == "survey"}


def test_an_audit_and_its_estimates(output: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["audit", str(output), "--size=60"]) == 0
    frame = _rows(output / "audit.csv")
    assert [row["image"] for row in frame] == [row.image for row in ROWS if row.status == "ok"]
    chosen = [row for row in frame if row["audited"] == "1"]
    assert len(chosen) == 60
    assert sum(1 / float(row["probability"]) for row in chosen) == pytest.approx(len(frame), rel=1e-4)
    task, predicted = (etree.parse(output / f"audit_cvat{name}.xml") for name in ("", "_predicted"))
    names = [image.get("name") for image in task.iter("image")]
    assert names == [image.get("name") for image in predicted.iter("image")] == [row["image"] for row in chosen]
    boxes = [len(tree.findall(".//box")) for tree in (task, predicted)]
    assert boxes == [0, sum(int(row["predicted"]) for row in chosen)]

    assert main(["abundance", str(output), "--audit", str(_label(output))]) == 0
    found = _survey_rows(output)["crab", "mean count per image"]
    mean = np.mean([crabs for crabs, _ in COUNTS.values()])
    assert found["low"] < mean < found["high"] and found["predicted"] < found["low"], "one in five was missed"
    assert "crab: mean count per image" in capsys.readouterr().out
    sites = [row for row in _rows(output / "abundance.csv") if row["scope"] == "deployment" and row["class"] == "crab"]
    assert [row["deployment"] for row in sites] == ["site 0/CAM", "site 1/CAM", "site 2/CAM"]
    assert "crab" in (output / "abundance.html").read_text(encoding="utf-8")

    other = write_output(tmp_path / "other", ROWS)
    assert main(["audit", str(other), "--size=60"]) == 0
    same = ("audit.csv", "audit.json", "audit_cvat.xml", "audit_cvat_predicted.xml")
    assert [contents(other)[name] for name in same] == [contents(output)[name] for name in same]
    assert main(["abundance", str(other), "--audit", str(output.parent / "labels.xml")]) == 0
    same = ("abundance.csv", "abundance.json")
    assert [contents(other)[name] for name in same] == [contents(output)[name] for name in same]


def test_max_n_of_bursts(output: Path) -> None:
    assert main(["audit", str(output), "--size=500", "--unit=burst", "--period=week"]) == 0
    design = json.loads((output / "audit.json").read_text())
    assert (design["units"], design["audited_units"], design["audited_images"]) == (84, 84, 168)
    assert main(["abundance", str(output), "--audit", str(_label(output))]) == 0
    bursts = [
        max(COUNTS[_image(place, day, shot)][0] for shot in range(2)) for place in range(3) for day in range(1, 29)
    ]
    found = _survey_rows(output)["crab", "MaxN per burst"]
    assert found["mean"] == found["low"] == pytest.approx(np.mean(bursts), abs=1e-4), "everything is audited"


def test_labels_that_are_not_those_of_the_audit(output: Path, fail: Fail) -> None:
    assert main(["audit", str(output), "--size=60"]) == 0
    run = ["abundance", output, "--audit"]
    line = fail(*run, _label(output, without=3))
    assert "expected usable labels of all 60 audited images; 3 have none, such as site 0/CAM_" in line
    line = fail(*run, _label(output, label="carb"))
    assert "boxes of 'carb', which is no class of the model; did you mean 'crab'? (--label_aliases)" in line
    audited = {row["image"] for row in _rows(output / "audit.csv") if row["audited"] == "1"}
    other = min(COUNTS.keys() - audited)
    for name in (other, "elsewhere/x.jpg"):
        labels = _label(output, more=name)
        assert f"1 labelled image is not in the audit, such as {name}" in fail(*run, labels)
    assert not [name for name in contents(output) if name.startswith("abundance")]
    assert main([*map(str, run), str(labels), "--ignore_others"]) == 0


@pytest.mark.parametrize(
    ("file", "message"),
    [("audit_cvat.xml", "were the images labelled?"), ("audit_cvat_predicted.xml", "were they corrected?")],
)
def test_task_files_that_nobody_has_labelled(
    file: str, message: str, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["audit", str(output), "--size=60"]) == 0
    with caplog.at_level("INFO", logger="inference"):
        assert main(["abundance", str(output), "--audit", str(output / file)]) == 0
    assert [line for line in caplog.messages if line.startswith("check: ")][-1].endswith(message)


def test_objects_without_a_box_are_named(output: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["audit", str(output), "--size=60"]) == 0
    labels = _label(output)
    text = labels.read_text(encoding="utf-8")
    point = '<points label="crab" points="3,3" occluded="0"/>'
    labels.write_text(text.replace("<box ", f"{point}<box ", 1), encoding="utf-8")
    with caplog.at_level("INFO", logger="inference"):
        assert main(["abundance", str(output), "--audit", str(labels)]) == 0
    assert "check: not counted: 1 of the kind 'points', which has no box" in caplog.messages


def test_a_new_audit_takes_the_estimates_of_the_old_one_along(output: Path, fail: Fail) -> None:
    assert "has no audit: run `python -m inference audit" in fail("abundance", output, "--audit", output)
    assert main(["audit", str(output), "--size=60"]) == 0
    assert main(["abundance", str(output), "--audit", str(_label(output))]) == 0
    again = ["audit", output, "--size=70"]
    line = fail(*again)
    assert "abundance.csv" in line and "audit.json" in line and "--replace" in line
    assert main([*map(str, again), "--replace"]) == 0
    listed = {entry["name"] for entry in json.loads((output / "summary.json").read_text())["exports"]}
    assert not {name for name in {*contents(output), *listed} if name.startswith("abundance")}


def test_other_thresholds_of_the_run_make_another_audit(output: Path, fail: Fail) -> None:
    assert main(["audit", str(output), "--size=60"]) == 0
    # As after another `score --min_score`, which changes no row.
    summary = json.loads((output / "summary.json").read_text())
    summary["thresholds"]["classes"]["crab"] = 0.9
    (output / "summary.json").write_text(json.dumps(summary))
    before = contents(output)
    assert "audit.csv" in fail("audit", output, "--size=60")
    assert contents(output) == before
    assert main(["abundance", str(output), "--audit", str(_label(output))]) == 0, "the audit has its own thresholds"
    assert json.loads((output / "abundance.json").read_text())["min_scores"]["crab"] == 0.3
    assert main(["audit", str(output), "--size=60", "--replace"]) == 0
    assert not [name for name in contents(output) if name.startswith("abundance")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size=9"], "--size: expected 10 or more, found 9"),
        (["--burst_gap=0"], "--burst_gap: expected a number of seconds above 0, found 0"),
        (["--images", "x"], "--images has no effect without --copy_images"),
        (["--classes", "carb"], "--classes: the model has no class 'carb'; did you mean 'crab'?"),
    ],
)
def test_bad_requests(words: list[str], message: str, output: Path, fail: Fail) -> None:
    assert message in fail("audit", output, *words)
    assert not [name for name in contents(output) if name.startswith("audit")]


def test_bursts_need_times(tmp_path: Path, fail: Fail) -> None:
    output = write_output(tmp_path / "OUT", [scored("a.jpg", CRAB)])
    assert "found 'a.jpg' without" in fail("audit", output, "--unit=burst")
    (tmp_path / "empty").mkdir()
    output = write_output(tmp_path / "empty/OUT", [failed("b.jpg")])
    assert "has no scored image: all 1 failed" in fail("audit", output)


def test_copies_of_images(out: Path, scored: Path, fail: Fail) -> None:
    before = contents(out)
    assert "a.zip/1.png is not in" in fail("audit", out, "--copy_images", "--images", scored / "b.zip")
    assert contents(out) == before, "no file of an audit without its images"
    assert main(["audit", str(out), "--copy_images"]) == 0
    with zipfile.ZipFile(out / "audit_images.zip") as archive:
        assert archive.namelist() == [row["image"] for row in _rows(out / "audit.csv")] != []
