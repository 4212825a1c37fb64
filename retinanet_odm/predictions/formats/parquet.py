"""detections.parquet (parquet.apache.org): the table of detections.csv with typed columns, for pandas, R and DuckDB.

Columns and boxes are those of `csv_files`: xmin, ymin, xmax, ymax in pixels, 0-based and continuous. The metadata of
the file hold ScoringRun.describe as JSON, under the program's name.
"""

import itertools
import json
from collections.abc import Iterable, Iterator

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet

from retinanet_odm import PROGRAM
from retinanet_odm.predictions.formats.csv_files import DETECTION_COLUMNS, detection_lines
from retinanet_odm.predictions.formats.encoding import CsvCell, Spool, legible
from retinanet_odm.predictions.rows import PredictionRow, ScoringRun

_TEXT = pa.dictionary(pa.int32(), pa.string())  # for columns with few different values
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
_LINES_PER_GROUP = 20_000  # one row group is in memory at a time


def to_parquet(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[bytes]:
    """Yield detections.parquet."""
    schema, lines = _schema(run), _lines(rows, run)
    # pyarrow writes to a file object; the spool passes on each row group as soon as it is complete.
    spool = Spool()
    with parquet.ParquetWriter(spool, schema, compression="zstd") as writer:
        while group := list(itertools.islice(lines, _LINES_PER_GROUP)):
            writer.write_table(_table(group, schema))
            yield spool.take()
    yield spool.take()


def to_table(rows: Iterable[PredictionRow], run: ScoringRun) -> pa.Table:
    """Return the table that detections.parquet holds."""
    schema, lines = _schema(run), _lines(rows, run)
    groups = iter(lambda: list(itertools.islice(lines, _LINES_PER_GROUP)), [])
    return pa.concat_tables([schema.empty_table(), *(_table(group, schema) for group in groups)]).unify_dictionaries()


def _schema(run: ScoringRun) -> pa.Schema:
    return pa.schema(
        [(column, _TYPES[column]) for column in DETECTION_COLUMNS],
        metadata={PROGRAM: json.dumps(run.describe())},
    )


def _lines(rows: Iterable[PredictionRow], run: ScoringRun) -> Iterator[tuple[CsvCell, ...]]:
    # The lines of detections.csv, so that both tables have the same rows.
    return (cells for row in rows for cells in detection_lines(row, run))


def _table(lines: Iterable[tuple[CsvCell, ...]], schema: pa.Schema) -> pa.Table:
    columns = [
        pa.array((legible(cell) if isinstance(cell, str) else cell for cell in column), field.type)
        for column, field in zip(zip(*lines, strict=True), schema, strict=True)
    ]
    return pa.table(columns, schema=schema)
