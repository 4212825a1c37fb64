"""Small pickles: a row is pickled many times on its way through a job, and half of it was the names of its fields."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, TypeVar

_Row = TypeVar("_Row")


def pickle_by_position(row: type[_Row]) -> type[_Row]:
    """Class decorator: a dataclass (no slots, no other attributes) is pickled by its values in the order of its fields.

    A pickle is only read by the program that wrote it: another order of fields is not noticed.
    """
    kind: Any = row
    kind.__getstate__ = _values_of
    kind.__setstate__ = _restore
    return row


def _values_of(self: Any) -> tuple[Any, ...]:
    return tuple(vars(self).values())


def _restore(self: Any, values: Sequence[Any]) -> None:
    vars(self).update(zip(_names(self.__class__), values, strict=True))  # the dataclass is frozen


@functools.cache
def _names(row: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(row))
