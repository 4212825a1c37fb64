"""The class loss skips what is not known."""

import numpy as np
import pytest

from trainer.config.sections import LossConfig
from trainer.loop.steps import _class_losses
from trainer.network.targets import Targets

LABELS = np.array([[0, 1, 2, 0]], np.int32)  # of four anchors; the last one is in the band between
TARGETS = Targets(
    labels=LABELS,
    boxes=np.zeros((1, 4, 4), np.float32),
    positive=(LABELS > 0).astype(np.float32),
    counted=np.array([[1, 1, 1, 0]], np.float32),
)
LOGITS = np.random.default_rng(0).normal(size=(1, 4, 3)).astype(np.float32)

COUNTED = [
    ("all classes are exhaustive", [0, 0, 0], [[1, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0]]),
    ("class 1 is not: its objects alone count", [1, 0, 0], [[0, 1, 1], [1, 1, 1], [0, 1, 1], [0, 0, 0]]),
    ("none is: nothing is background", [1, 1, 1], [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]]),
]


@pytest.mark.parametrize(("why", "not_exhaustive", "counted"), COUNTED, ids=[row[0] for row in COUNTED])
def test_negatives_of_a_class_that_is_not_exhaustive_contribute_nothing(
    why: str, not_exhaustive: list[int], counted: list[list[int]]
) -> None:
    complete = np.asarray(_class_losses(LOGITS, TARGETS, LossConfig()))
    found = np.asarray(_class_losses(LOGITS, TARGETS, LossConfig(), np.array([not_exhaustive], np.float32)))
    np.testing.assert_array_equal(found[0], np.where(np.array(counted, bool), complete[0], 0), err_msg=why)
    assert (complete[0, :3] > 0).all()
