"""Counts of a first evening against the truth."""

import pytest

from benchmarks.evening import compare_counts

ROWS = [
    (109, 100, True, "109 / 100  +9.0%  AP50 0.500", "within a tenth"),
    (89, 100, False, "89 / 100  -11.0%  AP50 0.500", "too few"),
    (0, 0, True, "0 / 0  AP50 0.500", "none is there, and none was found"),
    (1, 0, False, "1 / 0  AP50 0.500", "one was found where none is"),
]


@pytest.mark.parametrize(("found", "true", "good", "value", "reason"), ROWS)
def test_counts(found: int, true: int, good: bool, value: str, reason: str) -> None:
    metrics = {"AP50": 0.5, "details": {"counts": {"crab": {"found": found, "true": true}}}}
    (result,) = compare_counts("README.md", metrics)
    assert (result.good, result.value) == (good, value), reason
