"""Small pickles: a row is pickled many times on its way through a job, and half of it was the names of its fields."""

import dataclasses
import functools
from typing import Any, TypeVar

_Row = TypeVar("_Row")


def compact(row: type[_Row]) -> type[_Row]:
    """Class decorator: a dataclass is pickled by its values in the order of its fields.

    A pickle is only read by the program that wrote it: another order of fields is not noticed.
    """
    setattr(row, "__reduce__", _reduce)  # noqa: B010 - mypy takes it for a method of object
    return row


def _reduce(self: Any) -> tuple[Any, ...]:
    kind: Any = type(self)  # perhaps a subclass of what was decorated
    return _restore, (kind, *(getattr(self, name) for name in _names(kind)))


def _restore(row: Any, *values: Any) -> Any:
    restored = object.__new__(row)
    for name, value in zip(_names(row), values, strict=True):
        object.__setattr__(restored, name, value)  # the dataclass is frozen
    return restored


@functools.cache
def _names(row: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(row))
