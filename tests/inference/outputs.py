"""Output folders of finished runs, made from rows without a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inference.request import Commit
from inference.rows.export_options import ExportOptions
from inference.rows.part_files import WrittenShard, save_part_file, write_predictions_shard
from inference.rows.rows import SerializedRow
from retinanet_odm.predictions.rows import PredictionRow

# The entries of summary.json besides counts; the run is that of tests.retinanet_odm.prediction_rows.
_THRESHOLDS = {"crab": 0.3, "sea pig": 0.4, 'Étoile "de", mer': 0.25}
HEADER = {
    "model_hash": "0123456789abcdef" * 4,
    "labels": {"1": "crab", "2": "sea pig", "4": 'Étoile "de", mer'},
    "thresholds": {
        "score": 0.1,
        "nms_iou": 0.5,
        "classes": _THRESHOLDS,
        "from": "model.json",
        "best": _THRESHOLDS,
    },
    "code_version": "1.2.3",
}


def write_output(
    folder: Path,
    rows: Sequence[PredictionRow],
    *,
    num_shards: int = 1,
    exports: ExportOptions | None = None,
    **header: Any,
) -> Path:
    """Writes rows to shards as score does, and summary.json, whose entries may be changed."""
    folder.mkdir(exist_ok=True)
    shards = write_shards(folder, rows, num_shards)
    commit = Commit(output=str(folder), header=HEADER | header, exports=exports or ExportOptions())
    commit.finish(shards, listed=len(rows))
    return folder


def write_shards(folder: Path, rows: Sequence[PredictionRow], num_shards: int = 1) -> list[WrittenShard]:
    """Writes prediction files, by way of a part file."""
    saved = list(save_part_file(str(folder), map(SerializedRow.of, rows), num_shards))
    by_shard = [[spans for shard, spans in saved if shard == wanted] for wanted in range(num_shards)]
    return [write_predictions_shard(str(folder), shard, num_shards, spans) for shard, spans in enumerate(by_shard)]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
