"""Small pickles: a row is pickled many times on its way through a job, and half of it was the names of its fields."""

import dataclasses
import functools
from collections.abc import Hashable
from typing import Any, TypeVar, cast

_Row = TypeVar("_Row")


def compact(row: type[_Row]) -> type[_Row]:
    """Class decorator: a dataclass is pickled by its values in the order of its fields.

    A pickle is only read by the program that wrote it: another order of fields is not noticed.
    """

    names = _names(cast(Hashable, row))

    def reduce(self: Any) -> tuple[Any, ...]:
        return _restore, (row, *(getattr(self, name) for name in names))

    setattr(row, "__reduce__", reduce)  # noqa: B010 - mypy takes it for a method of object
    return row


def _restore(row: Any, *values: Any) -> Any:
    restored = object.__new__(row)
    for name, value in zip(_names(row), values, strict=True):
        object.__setattr__(restored, name, value)  # the dataclass is frozen
    return restored


@functools.cache
def _names(row: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(row))
