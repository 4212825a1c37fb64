"""Output folders of finished runs, made from rows without a model."""

from collections.abc import Sequence
from pathlib import Path

from detection.predictions import PredictionRow
from inference import part_files, sinks
from inference.export_options import ExportOptions
from inference.rows import Line
from inference.sinks import Commit, ShardPart

# What summary.json says of a run besides its counts; its classes and hash are those of tests.detection.predicted.
HEADER = {
    "model_hash": "0123456789abcdef" * 4,
    "labels": {"1": "crab", "2": "sea pig", "4": 'Étoile "de", mer'},
    "thresholds": {"score": 0.25, "model_score": 0.1, "nms_iou": 0.5},
    "code_version": "1.2.3",
}


def write_output(
    folder: Path, rows: Sequence[PredictionRow], *, num_shards: int = 1, exports: ExportOptions | None = None
) -> Path:
    """Rows dealt to shards as score deals them, and summary.json."""
    folder.mkdir(exist_ok=True)
    parts = write_shards(folder, rows, num_shards)
    commit = Commit(output=str(folder), header=HEADER, exports=exports or ExportOptions())
    commit.finish(parts, listed=len(rows))
    return folder


def write_shards(folder: Path, rows: Sequence[PredictionRow], num_shards: int = 1) -> list[ShardPart]:
    """Prediction files, by way of a part file."""
    saved = list(part_files.save(str(folder), map(Line.of, rows), num_shards))
    dealt = [[extent for shard, extent in saved if shard == wanted] for wanted in range(num_shards)]
    return [sinks.write_shard(str(folder), shard, num_shards, dealt[shard]) for shard in range(num_shards)]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
