"""The rows of a finished run, read back in bounded memory."""

from pathlib import Path

import pytest

from inference.rows import finished_run
from retinanet_odm.errors import ContractError
from tests.inference.outputs import write_output
from tests.retinanet_odm.prediction_rows import CRAB, PIG, ROWS, scored


@pytest.mark.parametrize("num_shards", [1, 2, 7, 40])
@pytest.mark.parametrize("piece", [1, 7, 1_000_000])
def test_rows_come_in_the_order_of_names_whatever_the_shards(
    num_shards: int, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished_run, "READ_BYTES", piece)
    monkeypatch.setattr(finished_run, "_MIN_PIECE", 1)
    output = write_output(tmp_path / "out", ROWS, num_shards=num_shards)
    summary = finished_run.read_summary(str(output))
    assert list(finished_run.iter_rows(str(output), summary)) == list(ROWS)


def test_rows_are_read_as_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished_run, "READ_BYTES", 2**12)
    output = write_output(tmp_path / "out", [scored(f"{number:05}.jpg", PIG, CRAB) for number in range(500)])
    (shard,) = finished_run.read_summary(str(output))["shards"]
    rows = finished_run.iter_rows(str(output), {"shards": [{**shard, "sha256": ""}]})
    assert next(rows).image == "00000.jpg"
    with pytest.raises(ContractError, match="is not the file"):
        list(rows)
