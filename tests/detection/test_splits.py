"""Splits: a name's split depends on nothing but the name."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.errors import UsageError
from detection.splits import Splits, parse_splits

_DEFAULT = parse_splits("train=0.8,val=0.1,test=0.1")


@given(st.lists(st.text(), unique=True), st.lists(st.text(), unique=True))
def test_additions_and_order_move_nothing(names: list[str], others: list[str]) -> None:
    alone = {name: _DEFAULT.split_of(name) for name in names}
    together = {name: _DEFAULT.split_of(name) for name in [*others, *reversed(names)]}
    assert all(together[name] == split for name, split in alone.items())


def test_golden_names_stay_where_they_are() -> None:
    """Published data sets must not be reshuffled by an upgrade."""
    held_out = {"val": [14, 17, 19, 24], "test": [9, 22]}
    found = [_DEFAULT.split_of(f"img_{number}.jpg") for number in range(30)]
    for split, numbers in held_out.items():
        assert [number for number, name in enumerate(found) if name == split] == numbers


def test_fractions_are_met() -> None:
    counts = Counter(_DEFAULT.split_of(f"frame {number}") for number in range(20000))
    for name, fraction in _DEFAULT.fractions:
        assert counts[name] / 20000 == pytest.approx(fraction, abs=0.01)


@given(st.text())
def test_an_empty_split_gets_nothing_and_a_whole_one_everything(name: str) -> None:
    assert parse_splits("train=0,val=1").split_of(name) == "val"
    assert parse_splits("train=1,val=0").split_of(name) == "train"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("train=0.8,val=0.1", "add up to 1, found 0.9", id="sum under 1"),
        pytest.param("train=0.8,val=0.3", "add up to 1, found 1.1", id="sum over 1"),
        pytest.param("train=1.5,val=-0.5", r"\[0, 1\]", id="sum 1 of impossible parts"),
        pytest.param("train=nan,val=1", r"\[0, 1\]", id="nan compares false with everything"),
        pytest.param("train=most", "not a number", id="a word"),
        pytest.param("train", "name=value", id="no fraction"),
        pytest.param("train=0.5,", "name=value", id="comma at the end"),
        pytest.param("train=0.5,train=0.5", "given twice", id="twice"),
        pytest.param("Train=1", "lower-case", id="capitals: file names of shards carry it"),
        pytest.param("tr/ain=1", "lower-case", id="a path"),
        pytest.param("", "name=value", id="nothing"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_splits(text)


def test_a_name_twice_is_refused_in_values_too() -> None:
    with pytest.raises(UsageError, match="once"):
        Splits((("train", 0.5), ("train", 0.5)))


def test_thirds_that_do_not_quite_add_up_leave_no_gap() -> None:
    thirds = parse_splits("a=0.333333,b=0.333333,c=0.333334")
    assert thirds.names == ("a", "b", "c")
