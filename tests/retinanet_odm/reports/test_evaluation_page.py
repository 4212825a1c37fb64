"""The evaluation page: complete, self-contained, escaped, and with the right numbers in it."""

import pytest

from retinanet_odm.reports.evaluation_page import evaluation_report
from tests.retinanet_odm.reports.pages import EVIL, parse_page


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        pytest.param({}, ["Evaluation"], id="nothing known"),
        pytest.param({"AP50": 0.8714, "APs": None}, ["0.871", "–"], id="no small objects: a dash"),
        pytest.param({"AP": float("nan")}, ["–"], id="nan: a dash"),
        pytest.param(
            {"AP50": 0.5, "intervals": [{"AP50": [0.41, 0.59], "over": EVIL, "units": 7, "per_class": {}}]},
            ["AP50, 0.41 to 0.59"],
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
