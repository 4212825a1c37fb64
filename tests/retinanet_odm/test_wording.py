"""Words that follow a count."""

import pytest

from retinanet_odm.wording import plural

ROWS = [
    (0, "image", "images", "none is many"),
    (1, "image", "image", "one"),
    (2, "image", "images", "more than one"),
    (1, "box", "box", "one box"),
    (2, "box", "boxes", "an ending of its own"),
    (2, "info", "info", "a severity that has no plural"),
    (1, "is", "is", "a verb with one"),
    (2, "is", "are", "a verb with many"),
    (2, "was", "were", "in the past"),
]


@pytest.mark.parametrize(("count", "word", "expected", "reason"), ROWS)
def test_words_with_a_count(count: int, word: str, expected: str, reason: str) -> None:
    assert plural(word, count) == expected, reason
