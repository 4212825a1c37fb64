"""detections.parquet, read back by pyarrow."""

import json

import pytest
from hypothesis import given
from pyarrow import BufferReader, parquet

from retinanet_odm.predictions.formats.csv_files import DETECTION_COLUMNS, detection_lines
from retinanet_odm.predictions.formats.encoding import legible
from retinanet_odm.predictions.formats.parquet import to_parquet
from retinanet_odm.predictions.rows import PredictionRow
from tests.retinanet_odm.prediction_rows import ROWS, RUN, random_rows, scored


def _read_table(data: bytes) -> list[tuple]:
    content = parquet.read_table(BufferReader(data))
    assert content.column_names == list(DETECTION_COLUMNS)
    return [tuple(row.values()) for row in content.to_pylist()]


@given(random_rows)
def test_the_table_is_that_of_detections_csv(rows: list[PredictionRow]) -> None:
    data = b"".join(to_parquet(rows, RUN))
    assert _read_table(data) == [cells for row in rows for cells in detection_lines(row, RUN)]


def test_row_groups_and_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retinanet_odm.predictions.formats.parquet._LINES_PER_GROUP", 3)
    data = b"".join(to_parquet([*ROWS, scored("x\udce9.png")], RUN))
    rows = _read_table(data)
    assert [row[0] for row in rows[-2:]] == [ROWS[-1].image, legible("x\udce9.png")]
    metadata = parquet.ParquetFile(BufferReader(data)).metadata
    assert metadata.num_row_groups == 4
    assert json.loads(metadata.metadata[b"retinanet-odm"]) == RUN.describe()
