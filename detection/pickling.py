"""Small pickles: rows are pickled many times on their way through a job, and half of each was the names of its fields."""

import dataclasses
import functools
from typing import Any, TypeVar

_Row = TypeVar("_Row")


def compact(row: type[_Row]) -> type[_Row]:
    """Class decorator: a dataclass is pickled by its values in the order of its fields.

    A pickle is only read by the program that wrote it: another order of fields is not noticed.
    """

    def reduce(self: Any) -> tuple[Any, ...]:
        return _restore, (row, *(getattr(self, name) for name in _names(row)))

    row.__reduce__ = reduce  # type: ignore[method-assign,assignment]
    return row


def _restore(row: type[_Row], *values: Any) -> _Row:
    restored = object.__new__(row)
    for name, value in zip(_names(row), values, strict=True):
        object.__setattr__(restored, name, value)  # the dataclass is frozen
    return restored


@functools.cache
def _names(row: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(row))
