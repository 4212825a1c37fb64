import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.network.losses import focal_loss, giou_loss, huber_loss

LOGITS = np.array([-100.0, -3, -0.5, 0, 0.5, 3, 100], np.float32)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_focal_loss_at_gamma_zero_is_weighted_cross_entropy(target: float) -> None:
    values = focal_loss(LOGITS, np.full_like(LOGITS, target), alpha=0.25, gamma=0.0)
    sign = 1 if target else -1
    expected = (0.25 if target else 0.75) * np.logaddexp(0, -sign * LOGITS.astype(np.float64))
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_focal_loss_is_the_papers_formula(target: float) -> None:
    logits = LOGITS[1:-1].astype(np.float64)
    p = 1 / (1 + np.exp(-logits))
    p_t = p if target else 1 - p
    expected = -(0.25 if target else 0.75) * (1 - p_t) ** 2 * np.log(p_t)
    values = focal_loss(LOGITS[1:-1], np.full(5, target, np.float32), alpha=0.25, gamma=2.0)
    np.testing.assert_allclose(values, expected, rtol=1e-4)


GIOU = [
    ("the same box", (0, 0, 2, 2), 0.0),
    ("half of it: IoU 1/2, hull is the target", (0, 0, 1, 2), 0.5),
    ("beside it: no overlap, hull full", (0, 2, 2, 4), 1.0),
    ("away from it: half of the hull is empty", (0, 6, 2, 8), 1.5),
    ("a box without area", (1, 1, 1, 1), 1.0),
]


@pytest.mark.parametrize(("why", "box", "expected"), GIOU, ids=[row[0] for row in GIOU])
def test_giou(why: str, box: tuple, expected: float) -> None:
    value = giou_loss(np.array(box, np.float32), np.array([0, 0, 2, 2], np.float32))
    assert float(value) == pytest.approx(expected, abs=1e-5), why


@settings(max_examples=50)
@given(st.lists(st.floats(-50, 50, width=32), min_size=4, max_size=4))
def test_huber_is_square_inside_and_linear_outside(error: list[float]) -> None:
    shifts = np.array(error, np.float32)
    expected = sum(0.5 * e * e if abs(e) <= 0.1 else 0.1 * (abs(e) - 0.05) for e in shifts)
    assert float(huber_loss(shifts, np.zeros(4, np.float32))) == pytest.approx(expected, rel=1e-4, abs=1e-6)
