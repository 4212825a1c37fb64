"""Rows come back from their small pickles as they were."""

import copy
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.annotations.types import ImageAnnotation, ObjectAnnotation
from retinanet_odm.pickling import PackedRows, growing_rows, pack_rows, pickle_by_position, unpack_rows


@pickle_by_position
@dataclass(frozen=True, kw_only=True)
class _Row:
    name: str
    size: int = 3
    inner: "_Row | None" = None

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(self.size)


@dataclass(frozen=True, kw_only=True)
class _More(_Row):
    more: int


@dataclass(frozen=True, kw_only=True)
class _Plain:
    name: str
    size: int = 3
    inner: "_Plain | None" = None


@given(st.text(), st.integers(0))
def test_rows_come_back(name: str, size: int) -> None:
    row = _Row(name=name, inner=_Row(name="x", size=size))
    assert pickle.loads(pickle.dumps(row)) == row == copy.deepcopy(row)
    assert hash(pickle.loads(pickle.dumps(row))) == hash(row)


def test_a_subclass_keeps_its_own_fields() -> None:
    row = _More(name="a", more=4)
    assert pickle.loads(pickle.dumps(row)) == row


def test_names_of_fields_are_not_in_the_pickle() -> None:
    small = pickle.dumps(_Row(name="a", inner=_Row(name="b")))
    plain = pickle.dumps(_Plain(name="a", inner=_Plain(name="b")))
    assert b"inner" in plain and b"inner" not in small


def test_a_missing_value_is_an_error() -> None:
    row: Any = _Row(name="a")
    with pytest.raises(ValueError, match="zip"):
        row.__setstate__(row.__getstate__()[:-1])


def test_an_annotation_is_half_as_large() -> None:
    items = tuple(ObjectAnnotation(label="crab", box=(1.5, 2, 3, 4), line=number) for number in range(2))
    annotation = ImageAnnotation(filename="a.jpg", width=9, height=9, objects=items, source="x/a.xml")
    found = pickle.loads(pickle.dumps(annotation))
    assert found == annotation and [item.line for item in found.objects] == [0, 1]
    fields = {name: getattr(annotation, name) for name in ImageAnnotation.__dataclass_fields__}
    assert len(pickle.dumps(annotation)) < len(pickle.dumps({**fields, "objects": [vars(item) for item in items]}))


def test_rows_that_resemble_each_other_take_little_room() -> None:
    rows = [_Row(name=f"images/{number:06d}.jpg") for number in range(1000)]
    packed = PackedRows(rows)
    assert [*packed] == [*packed] == rows == unpack_rows(pack_rows(rows))
    assert len(packed) == len(rows)
    assert growing_rows(rows) is rows
    with pytest.raises(TypeError):
        growing_rows(packed)
    assert len(pack_rows(rows)) * 5 < len(pickle.dumps(rows))
