"""Rows cross a shuffle in batches, and none is lost or counted twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_jobs.batches import PARTITIONS, KeyedRow, RowBatches, partition_of, unpack_batches


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["main", "open"]), st.integers(0, 3), st.integers())), st.integers(1, 9))
def test_batches_hold_every_row_once_in_the_order_of_its_key(rows, max_rows):
    batches = RowBatches(max_rows=max_rows)
    taken = [batch for output, key, row in rows for batch in batches.add(KeyedRow(key, row, output))] + [
        *batches.take()
    ]
    found = [(output, key, row) for output, key, batch in taken for row in unpack_batches([batch])]
    for wanted in {row[:2] for row in rows}:
        assert [row for row in found if row[:2] == wanted] == [row for row in rows if row[:2] == wanted]
    assert len(found) == len(rows)
    assert [*batches.take()] == [], "a batch is yielded once"


@pytest.mark.parametrize(("key", "expected"), [(b"", 0), (b"a", 67), (b"\xff", 0)])
def test_the_partition_of_a_key_is_the_same_on_any_machine(key, expected):
    assert partition_of(key) == expected


def test_all_partitions_are_used():
    assert {partition_of(b"%06d" % number) for number in range(10_000)} == set(range(PARTITIONS))
