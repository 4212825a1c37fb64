"""How rows cross a shuffle: in compressed batches, because a runner has a cost for each element and holds all of them.

Begin with `RowBatches`. The rows of a step go to `PARTITIONS` groups by a hash of what brings them together; a worker
then has all rows of a group in memory, some ten thousands for the largest data sets.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from retinanet_odm.pickling import pack_rows, unpack_rows

MAIN = "main"  # the output of a step that has several
PARTITIONS = 256
_MAX_ROWS = 16_384  # that wait for their batch to become larger, per worker; about 20 MB

RowBatch = bytes


def partition_of(key: bytes) -> int:
    """Return the partition of a key, 0..PARTITIONS-1; the same on any machine."""
    return zlib.crc32(key) % PARTITIONS


class KeyedRow(NamedTuple):
    """A row on its way to the rows of equal key.

    Attributes:
      key: a partition, or any other key of the runner.
      row: pickles.
      output: the output of the step.
    """

    key: Any
    row: Any
    output: str = MAIN


@dataclass
class RowBatches:
    """Collects rows by output and key until there are enough of them."""

    max_rows: int = _MAX_ROWS
    _rows: defaultdict[tuple[str, Any], list[Any]] = field(default_factory=lambda: defaultdict(list))
    _count: int = 0

    def add(self, keyed: KeyedRow) -> Iterator[tuple[str, Any, RowBatch]]:
        """Add a row; yield what `take` does if there are enough."""
        self._rows[keyed.output, keyed.key].append(keyed.row)
        self._count += 1
        if self._count >= self.max_rows:
            yield from self.take()

    def take(self) -> Iterator[tuple[str, Any, RowBatch]]:
        """Yield (output, key, batch) for all rows, and forget them."""
        rows, self._rows, self._count = self._rows, defaultdict(list), 0
        for (output, key), found in rows.items():
            yield output, key, pack_rows(found)


def unpack_batches(batches: Iterable[RowBatch]) -> Iterator[Any]:
    """Yield the rows of some batches."""
    for batch in batches:
        yield from unpack_rows(batch)
