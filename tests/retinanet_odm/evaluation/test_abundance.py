"""Rows of abundance.csv: scopes, and that the parts of a survey add up to it."""

from typing import Any

import numpy as np
import pytest

from retinanet_odm.evaluation.abundance import (
    BY_BOTH,
    BY_DEPLOYMENT,
    BY_PERIOD,
    FEW_LABELS,
    MAX_N,
    NO_LABELS,
    OTHER_PLACES,
    PER_IMAGE,
    SURVEY,
    AuditedUnits,
    estimate_abundance,
)


def survey(places: int, periods: int, *, images: int = 1, labelled: bool = True) -> tuple[AuditedUnits, np.ndarray]:
    """Units of each place and period, every second one audited, and their true counts."""
    random = np.random.default_rng(3)
    number = places * periods * 12
    cells = np.arange(number) // 12
    units = AuditedUnits(
        deployments=cells // periods,
        periods=cells % periods,
        deployment_names=[f"site {row}" for row in range(places)],
        period_names=[f"2021-0{row + 1}" for row in range(periods)],
        strata=cells,
        audited=(np.arange(number) % 2 == 0) & (labelled | (cells > 0)),
        images=np.full(number, float(images)),
    )
    return units, random.poisson(2.0 + cells // periods).astype(float)


def rows_of(units: AuditedUnits, truth: np.ndarray, predicted: np.ndarray, statistic: str) -> list[dict[str, Any]]:
    return estimate_abundance(units, predicted[:, None], truth[units.audited, None], ["crab"], statistic=statistic)


def of(rows: list[dict[str, Any]], scope: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["scope"] == scope]


@pytest.mark.parametrize(
    ("places", "periods", "scopes", "reason"),
    [
        (1, 1, [SURVEY], "all are the same"),
        (1, 2, [SURVEY, BY_PERIOD], "one place"),
        (2, 1, [SURVEY, BY_DEPLOYMENT], "one period, and too few places to speak of others"),
        (5, 2, [SURVEY, BY_PERIOD, BY_DEPLOYMENT, OTHER_PLACES, BY_BOTH], "all"),
    ],
)
def test_scopes(places: int, periods: int, scopes: list[str], reason: str) -> None:
    units, truth = survey(places, periods)
    assert list(dict.fromkeys(row["scope"] for row in rows_of(units, truth, truth // 2, PER_IMAGE))) == scopes, reason


def test_parts_add_up_to_the_survey() -> None:
    units, truth = survey(5, 2, images=3)
    rows = rows_of(units, truth, np.maximum(truth - 1, 0), PER_IMAGE)
    (whole,) = of(rows, SURVEY)
    for scope in (BY_PERIOD, BY_DEPLOYMENT, BY_BOTH):
        parts = of(rows, scope)
        together = sum(row["mean"] * row["images"] for row in parts) / whole["images"]
        assert together == pytest.approx(whole["mean"], abs=1e-4), scope
        assert sum(row["labels"] for row in parts) == whole["labels"] == 60
    assert whole["low"] < whole["mean"] < whole["high"] and whole["effective_labels"] > whole["labels"]
    assert whole["half_width_with_more"] == 0, "there are no more than 60 units to label"
    (other,) = of(rows, OTHER_PLACES)
    assert other["high"] - other["low"] > whole["high"] - whole["low"], "places differ more than the audit errs"
    # A mean per unit of three images is three times that per image.
    (per_unit,) = of(rows_of(units, truth, np.maximum(truth - 1, 0), MAX_N), SURVEY)
    assert per_unit["mean"] == pytest.approx(3 * whole["mean"], abs=1e-4)


def test_a_rare_class_has_as_many_digits() -> None:
    units, truth = survey(2, 1, images=100_000)
    (row,) = of(rows_of(units, truth, truth, PER_IMAGE), SURVEY)
    assert row["mean"] == pytest.approx(truth.mean() / 100_000, rel=1e-5)


def test_what_is_not_known_has_a_note() -> None:
    units, truth = survey(2, 1, labelled=False)
    first, second = of(rows_of(units, truth, truth * 0, PER_IMAGE), BY_DEPLOYMENT)
    assert (first["note"], first["mean"], first["labels"]) == (NO_LABELS, None, 0)
    assert (second["note"], second["labels"]) == ("", 6)
    units, truth = survey(2, 1)
    few = AuditedUnits(**{**vars(units), "audited": np.isin(np.arange(24), [0, 1, 12, 13])})
    (row,) = of(rows_of(few, 5 * truth, truth // 2, PER_IMAGE), SURVEY)
    assert row["note"] == FEW_LABELS


def test_an_audit_without_an_error_has_the_interval_of_the_rule_of_three() -> None:
    units, truth = survey(2, 1)
    (exact,) = of(rows_of(units, truth, truth, PER_IMAGE), SURVEY)
    assert exact["mean"] == pytest.approx(truth.mean(), abs=1e-4)
    # 24 units, of which 12 are audited: t · √2 / 12, with finite population correction, near 3 / 12.
    assert exact["half_width"] == pytest.approx(3 / 12 * np.sqrt(0.5), rel=0.1)
    (nothing,) = of(rows_of(units, truth * 0, truth * 0, PER_IMAGE), SURVEY)
    assert (nothing["low"], nothing["mean"], nothing["high"]) == (0, 0, exact["half_width"])
