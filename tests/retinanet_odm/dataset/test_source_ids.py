"""Source ids: dense and float32-proof by construction, whatever the order of arrival."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.dataset import source_ids
from retinanet_odm.errors import UsageError

_NAMES = st.lists(st.text(), unique=True, max_size=40)


@given(_NAMES, st.randoms())
def test_numbering_bucket_by_bucket_is_numbering_by_hash(names: list[str], shuffler: random.Random) -> None:
    """What lets every bucket be numbered on its own machine, in whatever order names arrive."""
    shuffler.shuffle(names)
    buckets = sorted({source_ids.bucket_of(name) for name in names})
    laid_end_to_end = [
        name
        for bucket in buckets
        for name in sorted((name for name in names if source_ids.bucket_of(name) == bucket), key=source_ids.name_hash)
    ]
    assert laid_end_to_end == sorted(names, key=source_ids.name_hash)
    assert all(0 <= bucket < source_ids.NUM_BUCKETS for bucket in buckets)


def test_a_name_that_is_not_utf8_has_a_hash() -> None:
    assert source_ids.name_hash(b"b\xe9.jpg".decode("utf-8", "surrogateescape")) != source_ids.name_hash("b.jpg")


def test_every_id_up_to_the_limit_is_exact_in_float32_and_the_next_is_not() -> None:
    last = np.arange(source_ids.MAX_SOURCE_ID - 1000, source_ids.MAX_SOURCE_ID + 1)
    assert np.array_equal(last.astype(np.float32).astype(np.int64), last)
    assert int(np.float32(source_ids.MAX_SOURCE_ID + 1)) != source_ids.MAX_SOURCE_ID + 1


def test_too_many_images_are_refused_before_any_is_read() -> None:
    source_ids.check_image_count(source_ids.MAX_SOURCE_ID)
    with pytest.raises(UsageError, match="16777217 images"):
        source_ids.check_image_count(source_ids.MAX_SOURCE_ID + 1)


def test_ids_given_before_count_too() -> None:
    source_ids.check_image_count(1, source_ids.MAX_SOURCE_ID - 1)
    with pytest.raises(UsageError, match="2 images after the 16777215 ids already given"):
        source_ids.check_image_count(2, source_ids.MAX_SOURCE_ID - 1)
