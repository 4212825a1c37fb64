"""`prepare` and `score` on each of Beam's other engines: the in-memory runner's files, and its errors."""

import json
from pathlib import Path

import pytest

from tests.engines import inputs

pytestmark = pytest.mark.engines

IN_MEMORY = ()  # the local default


def _prepare(run, photographs: Path, output: Path, *flags: str):
    patterns = (f"--images={photographs}/images/*", f"--annotations={photographs}/annotations/*.xml")
    shards = ("--splits=train=0.7,val=0.3", "--num_shards=train=4,val=2", "--without_annotation=reject")
    return run(
        "beam_jobs", "prepare", *patterns, f"--exports={photographs}/export.zip", *shards, f"--output={output}", *flags
    )


def _score(run, photographs: Path, model: Path, output: Path, *flags: str):
    images = ("--images", photographs / "to_score", photographs / "to_score.zip", "--model", model)
    made = ("--num_shards=3", "--batch_size=8", "--formats=csv,counts")
    return run("inference", "score", *images, *made, f"--output={output}", *flags)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _scored(folder: Path) -> dict[str, bytes]:
    """All files, without the one thing that must differ: summary.json says into which folder the run wrote."""
    found = _files(folder)
    summary = json.loads(found["summary.json"])
    assert summary["options"].pop("output") == str(folder)
    return {**found, "summary.json": json.dumps(summary).encode()}


def _fails(done, status: int, *words: str) -> None:
    """There is one line of ours on standard error; Beam's workers may print stack traces of their own around it."""
    assert done.returncode == status, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in line


@pytest.fixture(scope="session")
def prepared(run, photographs, tmp_path_factory) -> dict[str, bytes]:
    """The data set of the in-memory runner: several shards, both kinds of sources, rejects of several reasons."""
    output = tmp_path_factory.mktemp("in memory") / "dataset"
    done = _prepare(run, photographs, output, *IN_MEMORY)
    assert done.returncode == 0, done.stderr
    found = _files(output)
    manifest = json.loads(found["dataset.json"])
    assert manifest["images_in"] == inputs.LABELLED + inputs.EXPORTED
    assert len(manifest["rejected_by_reason"]) >= 3
    assert sum(name.endswith(".tfrecord") for name in found) == 6
    return found


@pytest.fixture(scope="session")
def scored(run, photographs, model, tmp_path_factory) -> dict[str, bytes]:
    """The rows of the in-memory runner."""
    output = tmp_path_factory.mktemp("in memory") / "out"
    done = _score(run, photographs, model, output, *IN_MEMORY)
    assert done.returncode == 0, done.stderr
    summary = json.loads((output / "summary.json").read_text())
    assert summary["images"] == inputs.LOOSE + 2 + inputs.ZIPPED
    assert summary["failed"] == {"image_not_decodable": 1, "model_failed": 1}
    return _scored(output)


def test_the_same_data_set(engine, run, photographs, prepared, tmp_path):
    output = tmp_path / "dataset"
    done = _prepare(run, photographs, output, *engine)
    assert done.returncode == 0, done.stderr
    assert _files(output) == prepared
    (output / "dataset.json").unlink()  # as if it had been killed at the end
    shards = sorted(output.glob("*.tfrecord"))
    shards[0].unlink()
    times = {path: path.stat().st_mtime_ns for path in shards[1:]}
    done = _prepare(run, photographs, output, "--resume", *engine)
    assert done.returncode == 0, done.stderr
    assert _files(output) == prepared
    assert {path: path.stat().st_mtime_ns for path in times} == times, "whole shards are kept"


def test_the_same_rows(engine, run, photographs, model, scored, tmp_path):
    output = tmp_path / "out"
    done = _score(run, photographs, model, output, *engine)
    assert done.returncode == 0, done.stderr
    assert _scored(output) == scored
    (output / "summary.json").unlink()
    (output / "predictions-00001-of-00003.jsonl").unlink()
    done = _score(run, photographs, model, output, *engine)
    assert done.returncode == 0, done.stderr
    assert _scored(output) == scored, "rows that were there and rows that were lost"
    done = _score(run, photographs, model, output, *engine)
    assert done.returncode == 0, done.stderr
    assert "1 of 66 images to score" in done.stderr, "the model may get on with it another time"
    assert _scored(output) == scored


def test_a_bad_request_that_only_a_worker_finds(engine, run, photographs, model, tmp_path):
    blocked = tmp_path / "dataset"
    (blocked / "val-00000-of-00002.tfrecord").mkdir(parents=True)
    _fails(_prepare(run, photographs, blocked, *engine), 2, "cannot write", "val-00000-of-00002.tfrecord")
    assert not (blocked / "dataset.json").exists()
    broken = inputs.write_broken_model(model, tmp_path / "broken")
    _fails(_score(run, photographs, broken, tmp_path / "out", *engine), 2, str(broken), "holds no SavedModel")
    assert not (tmp_path / "out" / "summary.json").exists()


def test_too_many_rejects(engine, run, photographs, tmp_path):
    done = _prepare(run, photographs, tmp_path / "dataset", "--max_rejected=0.01", *engine)
    _fails(done, 1, "--max_rejected", str(tmp_path))
    assert not (tmp_path / "dataset" / "dataset.json").exists()
