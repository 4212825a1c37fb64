"""The page of abundance."""

import dataclasses

import numpy as np

from retinanet_odm.evaluation.abundance import NO_LABELS, PER_IMAGE, estimate_abundance
from retinanet_odm.reports.abundance_page import abundance_report
from tests.retinanet_odm.evaluation.test_abundance import survey

COUNTS = {
    "images": 240,
    "failed_images": 2,
    "units": 240,
    "audited_units": 120,
    "audited_images": 120,
    "unit": "image",
    "more_labels": 100,
}


def page(places: int, periods: int, scale: float = 0.5) -> str:
    units, truth = survey(places, periods)
    predicted = np.floor(truth * scale)[:, None]
    estimates = estimate_abundance(units, predicted, truth[units.audited, None], ["<crab>"], statistic=PER_IMAGE)
    return abundance_report({**COUNTS, "estimates": estimates}, about=("today",))


def test_bands_over_time() -> None:
    text = page(5, 4)
    assert text.count("<svg") == 6, "the survey, and each deployment"
    assert text.count('class="band"') == 6 and "Other places like these" in text
    assert "&lt;crab&gt;: mean count per image" in text and "2 images failed" in text
    assert np.char.count(text, "detections alone") >= 6


def test_what_has_no_label_is_not_in_the_table_of_deployments_and_periods() -> None:
    units, truth = survey(2, 6)
    few = dataclasses.replace(units, audited=units.audited & (units.periods < 2))
    estimates = estimate_abundance(few, truth[:, None], truth[few.audited, None], ["crab"], statistic=PER_IMAGE)
    above, head, table = abundance_report({**COUNTS, "estimates": estimates}).partition("By deployment and period</h2>")
    assert head and NO_LABELS in above, "in the table of the periods"
    assert NO_LABELS not in table


def test_bars_by_deployment() -> None:
    text = page(3, 1)
    assert text.count("<svg") == 1 and 'class="interval"' in text and 'class="band"' not in text


def test_a_survey_in_one_piece_has_no_chart() -> None:
    text = page(1, 1, scale=1.0)
    assert "<svg" not in text and "is within the interval" in text
