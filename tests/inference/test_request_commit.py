"""The last step of a run: no summary unless there are as many rows as images."""

import dataclasses
from pathlib import Path

import pytest

from inference.request import Commit
from inference.rows import finished_run
from inference.rows.export_options import ExportOptions
from inference.rows.rows import RowCounts
from tests.inference.outputs import HEADER, write_shards
from tests.retinanet_odm.prediction_rows import CRAB, failed, scored


def test_counts(tmp_path: Path) -> None:
    weak = dataclasses.replace(CRAB, score=0.29)
    padded = dataclasses.replace(scored("a.jpg", CRAB, weak), without_extent=4)
    shards = write_shards(tmp_path, [padded, scored("b.jpg", CRAB), failed("c.jpg", "bad")], num_shards=2)
    commit = Commit(output=str(tmp_path), header=HEADER, exports=ExportOptions())
    with pytest.raises(RuntimeError, match="4 images were listed, but 3 rows written"):
        commit.finish(shards, listed=4)
    assert not (tmp_path / "summary.json").exists()
    commit.finish(shards, listed=3)
    summary = finished_run.read_summary(str(tmp_path))
    assert (summary["images"], summary["failed"], summary["detections"]) == (3, {"bad": 1}, {"crab": 3})
    assert summary["counted"] == {"crab": 2}, "from the score of the class on"
    assert summary["without_extent"] == 4
    assert "without_extent" not in RowCounts.of([]).to_json(), "most runs have none"
    assert summary["exports"] == []
