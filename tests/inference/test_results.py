"""The rows of a finished run, from Python."""

import dataclasses
from operator import attrgetter
from pathlib import Path

import pandas as pd
import pytest

from inference import read_rows
from inference.main import main
from retinanet_odm.errors import ContractError, UsageError
from tests.inference.outputs import write_output
from tests.retinanet_odm.prediction_rows import CRAB, PIG, scored
from tests.retinanet_odm.prediction_rows import ROWS as KNOWN_ROWS

# One more has detections that do not count, and one that does.
_WEAK = (dataclasses.replace(PIG, score=0.35), dataclasses.replace(CRAB, score=0.2))
ROWS = sorted([*KNOWN_ROWS, scored("zz.jpg", PIG, *_WEAK)], key=attrgetter("image"))


@pytest.fixture
def scored_folder(tmp_path: Path) -> Path:
    return write_output(tmp_path / "OUT", ROWS, num_shards=2)


def test_rows_have_what_counts(scored_folder: Path) -> None:
    rows = read_rows(str(scored_folder) + "/")
    everything = read_rows(scored_folder, min_score=0)
    assert len(rows) == len(ROWS)
    assert [row.image for row in rows] == [row.image for row in everything] == [row.image for row in ROWS]
    assert [row.detections for row in everything] == [row.detections for row in ROWS]
    thresholds = rows.run.thresholds
    counted = [tuple(item for item in row.detections if item.score >= thresholds[item.label_id]) for row in ROWS]
    assert [row.detections for row in rows] == counted != [row.detections for row in ROWS]
    assert list(rows) == list(rows), "rows can be read again"
    crabs = [item.label for row in read_rows(scored_folder, classes="crab") for item in row.detections]
    assert set(crabs) == {"crab"}


@pytest.mark.parametrize("flags", [(), ("--min_score=0.5", "--classes", "crab")])
def test_the_table_is_that_of_convert(scored_folder: Path, flags: tuple[str, ...]) -> None:
    assert main(["convert", str(scored_folder), "--formats=parquet", *flags]) == 0
    written = pd.read_parquet(scored_folder / "detections.parquet")
    table = read_rows(scored_folder, **({"min_score": 0.5, "classes": ["crab"]} if flags else {})).to_pandas()
    pd.testing.assert_frame_equal(table, written)
    assert len(table) >= len(ROWS)


def test_a_run_of_no_images_has_a_table(tmp_path: Path) -> None:
    assert list(read_rows(write_output(tmp_path / "OUT", [])).to_pandas().columns)[:2] == ["image", "width"]


def test_what_is_no_run(scored_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"read_rows: nowhere has no summary.json: it is not the output of a finished"):
        read_rows("nowhere")
    with pytest.raises(UsageError, match="--classes: the model has no class 'crap'; did you mean 'crab'"):
        read_rows(scored_folder, classes=["crap"])
    with pytest.raises(UsageError, match=r"--without_repeats: .* has no flags of repeated detections"):
        list(read_rows(scored_folder, without_repeats=True))
    (scored_folder / "predictions-00000-of-00002.jsonl").write_bytes(b"")
    with pytest.raises(ContractError, match=r"is not the file that summary.json lists"):
        list(read_rows(scored_folder))
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ContractError, match="not a summary of this program"):
        read_rows(tmp_path)
