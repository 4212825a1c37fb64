"""The evaluation page: complete, self-contained, escaped, and with the right numbers in it."""

import pytest

from retinanet_odm.evaluation.analysis import analyse
from retinanet_odm.evaluation.coco_metrics import all_metrics
from retinanet_odm.imaging.drawing import colour_of
from retinanet_odm.reports.evaluation_page import evaluation_report
from tests.retinanet_odm.evaluation.scenes import CLASSES, detector
from tests.retinanet_odm.reports.pages import EVIL, parse_page


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        pytest.param({}, ["Evaluation"], id="nothing known"),
        pytest.param({"AP50": 0.8714, "APs": None}, ["0.871", "–"], id="no small objects: a dash"),
        pytest.param({"AP": float("nan")}, ["–"], id="nan: a dash"),
        pytest.param(
            {"AP50": 0.5, "intervals": [{"AP50": [0.41, 0.59], "over": EVIL, "units": 7, "per_class": {}}]},
            ["1 is perfect, 0.41 to 0.59"],
            id="how sure it is",
        ),
        pytest.param({"step": 1200, "by": EVIL}, ["1200", EVIL], id="other values are kept"),
        pytest.param(
            {"per_class": {EVIL: {"AP": 0.25, "AP50": 0.5, "ground_truth": 17}, "x": {}}},
            [EVIL, "0.250", "0.500", "17"],
            id="classes, one of them without numbers",
        ),
    ],
)
def test_evaluation_page(metrics: dict, shown: list[str]) -> None:
    text = parse_page(evaluation_report(metrics, {"The worst": [("x", b"")]})).text_content()
    assert all(part in text for part in [*shown, "The worst"])


def test_a_class_has_one_place_and_one_colour_on_the_whole_page() -> None:
    """In the order of the label map, whatever is most frequent, and in the colour of its boxes on images."""
    tree = parse_page(evaluation_report(all_metrics(*detector(30, seed=2), analyse(*detector(30, seed=2)))))
    patches = [
        [(cell.text_content().strip(), cell.xpath("string(.//i[@class='patch']/@style)")) for cell in table]
        for heading in ("Each class", "Counting", "Confusion matrix", "Calibration error")
        for table in [tree.xpath(f"//section[h2='{heading}']//tbody/tr/th[.//i[@class='patch']]")]
    ]
    assert patches[0] == [(name, f"background:{colour_of(row)}") for row, name in enumerate(CLASSES, start=1)]
    assert all(column == patches[0] for column in patches[1:])
    legend = {(line.text_content(), line.xpath("string(i/@style)")) for line in tree.xpath("//span[@class='legend']")}
    assert {entry for entry in legend if entry[0] != "all classes"} == set(patches[0])
