"""eval.json beyond COCO's numbers, and the page made of it."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from lxml import html

from retinanet_odm.evaluation.analysis import Analysis, analyse
from retinanet_odm.evaluation.coco_metrics import all_metrics
from retinanet_odm.reports.evaluation_page import evaluation_report
from tests.retinanet_odm.evaluation.scenes import CLASSES, Coco, coco_truth, detector, scenes, thing


def _eval_json(scene: Coco, analysis: Analysis) -> dict[str, Any]:
    return all_metrics(*scene, analysis)


def _frames(count: int) -> tuple[str, ...]:
    """Names of images of two deployments, one each hour."""
    return tuple(f"StaM_{row % 2}_201611{1 + row // 24:02d}_{row % 24:02d}_00_00.JPG" for row in range(count))


def _perfect(images: int) -> Coco:
    truth, _ = detector(images, seed=5)
    results = [
        thing(entry["bbox"], label=entry["category_id"], image=entry["image_id"], score=0.75)
        for entry in truth["annotations"]
    ]
    return truth, results


def test_a_perfect_detector_has_no_errors() -> None:
    scene = _perfect(20)
    analysis = analyse(*scene)
    summary, details = analysis.summary(), analysis.details()
    assert summary["at_thresholds"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "count_ratio": 1.0}
    assert summary["intervals"][0]["AP50"] == summary["intervals"][0]["AP"] == [1.0, 1.0]
    for values in analysis.per_class().values():
        assert (values["count_error"], values["count_bias"], values["calibration_error"]) == (0.0, 0.0, 0.25)
    assert (details["mistakes"]["false"], details["mistakes"]["not_found"]) == (0, 0)
    assert all(kind == {"count": 0, "gain": 0.0} for kind in details["mistakes"]["kinds"].values())
    counts = details["confusion"]["counts"]
    assert all(not count for row, line in enumerate(counts) for column, count in enumerate(line) if row != column)
    assert all(entry["ap50"] in (1.0, None) and entry["found"] == entry["objects"] for entry in details["sizes"])


@pytest.mark.parametrize(
    ("thresholds", "common"),
    [
        pytest.param({"crab": 0.3, "urchin": 0.8, "sea pig": 0.5}, None, id="one of each class"),
        pytest.param({"crab": 0.4, "urchin": 0.4, "sea pig": 0.4}, 0.4, id="one of all classes"),
    ],
)
def test_given_thresholds_are_those_of_every_count(thresholds: dict[str, float], common: float | None) -> None:
    truth, results = detector(20, seed=3)
    analysis = analyse(truth, results, thresholds=thresholds)
    assert (analysis.summary()["threshold"], analysis.summary()["thresholds"]) == (common, thresholds)
    names = {category["id"]: category["name"] for category in truth["categories"]}
    kept = Counter(
        names[item["category_id"]] for item in results if item["score"] >= thresholds[names[item["category_id"]]]
    )
    counts = analysis.details()["counts"]
    assert {name: values["found"] for name, values in counts.items()} == dict(kept)
    ratios = {name: values["count_ratio"] for name, values in analysis.per_class().items()}
    assert ratios == {name: round(values["found"] / values["true"], 5) for name, values in counts.items()}


def test_a_blind_detector_misses_all() -> None:
    truth, _ = detector(20, seed=5)
    objects = len(truth["annotations"])
    analysis = analyse(truth, [])
    summary, kinds = analysis.summary(), analysis.details()["mistakes"]["kinds"]
    assert summary["at_thresholds"] == {"precision": None, "recall": 0.0, "f1": 0.0, "count_ratio": 0.0}
    assert summary["intervals"][0]["AP50"] == [0.0, 0.0]
    assert {name: kind["count"] for name, kind in kinds.items() if kind["count"]} == {"missed": objects}
    assert [row[-1] for row in analysis.details()["confusion"]["counts"][:-1]] == [
        sum(entry["category_id"] == label for entry in truth["annotations"]) for label in (1, 2, 3)
    ]


@settings(max_examples=40)
@given(scenes())
def test_whatever_the_scene_the_parts_agree_and_the_page_can_be_written(scene: Coco) -> None:
    analysis = analyse(*scene)
    metrics = _eval_json(scene, analysis)
    json.dumps(metrics, allow_nan=False)
    mistakes = metrics["details"]["mistakes"]
    kinds = {name: kind["count"] for name, kind in mistakes["kinds"].items()}
    missed = kinds.pop("missed")
    assert sum(kinds.values()) == mistakes["false"]
    assert 0 <= mistakes["not_found"] - missed <= kinds["localisation"] + kinds["classification"]
    objects = [entry for entry in scene[0]["annotations"] if not entry["iscrowd"]]
    assert sum(values["ground_truth"] for values in metrics["per_class"].values()) == len(objects)
    html.document_fromstring(evaluation_report(metrics), parser=html.HTMLParser(recover=False))


def test_values_of_a_class_and_of_all() -> None:
    """Of four crabs three are found, and one crab too many where there is none."""
    box, elsewhere = [10, 10, 60, 60], [200, 200, 60, 60]
    objects = [thing(box, image=image) for image in (1, 2, 3)] + [thing(elsewhere, image=1)]
    results = [thing(box, image=image, score=0.9) for image in (1, 2, 3)] + [thing(elsewhere, image=4, score=0.8)]
    analysis = analyse(coco_truth(objects, images=4), [*results, thing(elsewhere, image=2, score=0.1)])
    crab = analysis.per_class()["crab"]
    assert crab["threshold"] == 0.86, "the middle of 0.81 to 0.90"
    assert (crab["precision"], crab["recall"], crab["f1"]) == (1.0, 0.75, pytest.approx(6 / 7, abs=1e-5))
    assert (crab["count_error"], crab["count_bias"]) == (0.25, -0.25)
    assert analysis.details()["counts"]["crab"] == {
        "true": 4,
        "found": 3,
        "in_crowds": 0,
        "images": [[0, 0, 1], [1, 1, 2], [2, 1, 1]],
    }
    assert analysis.summary()["thresholds"] == {"crab": 0.86, "urchin": 0.86, "sea pig": 0.86}


def test_an_object_with_a_wrong_box_at_it_is_not_found_but_not_missed() -> None:
    objects = [thing([0, 0, 60, 60], image=image) for image in (1, 2, 3)]
    results = [thing([0, 0, 60, 60], score=0.9), thing([30, 0, 60, 60], image=2, score=0.95)]
    found = analyse(coco_truth(objects, images=3), results).details()["mistakes"]
    assert {name: kind["count"] for name, kind in found["kinds"].items() if kind["count"]} == {
        "localisation": 1,
        "missed": 1,
    }
    assert (found["false"], found["not_found"]) == (1, 2)


@pytest.mark.parametrize(
    ("names", "over"),
    [
        pytest.param((), ["images"], id="no deployment in the names"),
        pytest.param(_frames(20), ["images"], id="two groups are too few"),
        pytest.param(_frames(20)[:1] * 20, ["images"], id="one group"),
        pytest.param(
            tuple(f"StaM_{row}_20161101_0{row % 9}_00_00.JPG" for row in range(20)),
            ["images", "deployments and days"],
            id="many groups",
        ),
    ],
)
def test_intervals_over_images_and_over_groups(names: tuple[str, ...], over: list[str]) -> None:
    intervals = analyse(*detector(20, seed=6, names=names)).summary()["intervals"]
    assert [interval["over"] for interval in intervals] == over
    assert all(interval["units"] == 20 for interval in intervals)
    assert set(intervals[-1]["per_class"]) == set(CLASSES)


_DIVES = tuple(f"dive{row % 6}/StaM_{row}_20161101_0{row % 9}_00_00.JPG" for row in range(20))


@pytest.mark.parametrize(
    ("rule", "over"),
    [
        pytest.param(None, {"images": 20, "deployments and days": 20}, id="no rule: from the names"),
        pytest.param(
            "^(?P<dive>[^/]+)/", {"images": 20, "split groups (^(?P<dive>[^/]+)/)": 6}, id="a regular expression"
        ),
        pytest.param("deployment+day", {"images": 20, "split groups (deployment+day)": 20}, id="deployment and day"),
        pytest.param("^dive[01]", {"images": 20}, id="three groups are too few"),
    ],
)
def test_intervals_over_the_groups_that_were_split(rule: str | None, over: dict[str, int]) -> None:
    scene = detector(20, seed=6, names=_DIVES)
    analysis = analyse(*scene, rule)
    assert {interval["over"]: interval["units"] for interval in analysis.summary()["intervals"]} == over
    assert len(analysis.details()["slices"]) == 20, "these stay deployments and days"
    page = html.document_fromstring(evaluation_report(_eval_json(scene, analysis))).text_content()
    assert f"{list(over)[-1]}." in page


def test_few_images_have_no_interval() -> None:
    assert analyse(*detector(4, seed=0)).summary()["intervals"] == []


def test_slices_are_named_if_any_name_has_a_deployment() -> None:
    names = (*_frames(10)[:9], "drawn.png")
    slices = analyse(*detector(10, seed=1, names=names)).details()["slices"]
    assert [(entry["name"], entry["images"]) for entry in slices] == [
        ("", 1),
        ("StaM_0+20161101", 5),
        ("StaM_1+20161101", 4),
    ]
    assert analyse(*detector(10, seed=1)).details()["slices"] == []


def test_the_page_shows_each_part() -> None:
    scene = detector(40, seed=7, names=_frames(40))
    tree = html.document_fromstring(evaluation_report(_eval_json(scene, analyse(*scene))))
    assert tree.xpath("//h2/text()") == [
        "Each class",
        "Precision, recall and threshold",
        "Errors",
        "Confusion matrix",
        "Counting",
        "Sizes",
        "Scores as probabilities",
        "Calibration error",
        "Deployments and days",
        "COCO metrics",
        "Run",
    ]
    assert len(tree.xpath("//svg")) == 2 + len(CLASSES) + 1
    assert "of 40 images" in tree.text_content(), "which intervals these are"


def test_names_are_escaped_in_every_part() -> None:
    evil = "<script>alert(1)</script>"
    truth, results = detector(30, seed=7, names=tuple(f"{evil}_{row}_20161101_010000.jpg" for row in range(30)))
    scene = (
        {**truth, "categories": [{**entry, "name": f"{evil} {entry['id']}"} for entry in truth["categories"]]},
        results,
    )
    tree = html.document_fromstring(evaluation_report(_eval_json(scene, analyse(*scene))))
    assert not tree.xpath("//script")
    assert tree.text_content().count(f"{evil} 1") >= 10, "in each table and legend"
