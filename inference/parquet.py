"""detections.parquet: the table of detection.formats.table with types, for pandas, R and DuckDB.

Here and not in detection, which does without pyarrow; it comes with Apache Beam.
"""

import json
from collections.abc import Iterable, Iterator

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet

from detection.formats import table
from detection.formats.pieces import Spool, legible
from detection.predictions import PROGRAM, PredictionRow, Run
from inference.sources import groups

_TEXT = pa.dictionary(pa.int32(), pa.string())  # few different values, many times
_TYPES = {
    "image": pa.string(),
    "width": pa.int32(),
    "height": pa.int32(),
    "status": _TEXT,
    "reason": _TEXT,
    "detail": pa.string(),
    "label": _TEXT,
    "label_id": pa.int32(),
    "score": pa.float64(),
    "xmin": pa.float64(),
    "ymin": pa.float64(),
    "xmax": pa.float64(),
    "ymax": pa.float64(),
    "repeat": pa.int32(),
    "model": _TEXT,
    "threshold": pa.float64(),
}
# One is in memory at a time.
_LINES_PER_GROUP = 20_000


def to_parquet(rows: Iterable[PredictionRow], run: Run) -> Iterator[bytes]:
    """The whole file; its metadata have Run.describe as JSON under the program's name."""
    schema = pa.schema(
        [(column, _TYPES[column]) for column in table.COLUMNS], metadata={PROGRAM: json.dumps(run.describe())}
    )
    lines = (cells for row in rows for cells in table.lines(row, run))
    spool = Spool()
    with parquet.ParquetWriter(spool, schema, compression="zstd") as writer:
        for group in groups(lines, _LINES_PER_GROUP):
            writer.write_table(_table(group, schema))
            yield spool.take()
    yield spool.take()


def _table(lines: Iterable[tuple[table.Cell, ...]], schema: pa.Schema) -> pa.Table:
    columns = [
        pa.array((legible(cell) if isinstance(cell, str) else cell for cell in column), field.type)
        for column, field in zip(zip(*lines, strict=True), schema, strict=True)
    ]
    return pa.table(columns, schema=schema)
