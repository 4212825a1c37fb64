"""The last step of a run: no summary unless there are as many rows as images."""

from collections import Counter
from pathlib import Path

import pytest

from inference.request import Commit
from inference.rows import finished_run
from inference.rows.export_options import ExportOptions
from inference.rows.part_files import WrittenShard
from inference.rows.rows import RowCounts
from tests.inference.outputs import HEADER


def test_counts(tmp_path: Path) -> None:
    counts = RowCounts(ok=2, failed=Counter(bad=1), detections=Counter(crab=5), without_extent=4)
    shards = [WrittenShard(name=f"predictions-0000{n}-of-00002.jsonl", sha256="", counts=counts) for n in range(2)]
    commit = Commit(output=str(tmp_path), header=HEADER, exports=ExportOptions())
    with pytest.raises(RuntimeError, match="7 images were listed, but 6 rows written"):
        commit.finish(shards, listed=7)
    assert not list(tmp_path.iterdir())
    commit.finish(shards, listed=6)
    summary = finished_run.read_summary(str(tmp_path))
    assert (summary["images"], summary["failed"], summary["detections"]) == (6, {"bad": 2}, {"crab": 10})
    assert summary["without_extent"] == 8
    assert "without_extent" not in RowCounts.of([]).to_json(), "most runs have none"
    assert summary["exports"] == []
