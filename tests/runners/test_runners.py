"""`prepare` and `score` on each of Beam's other runners: the files and errors of the in-memory runner."""

import json
from pathlib import Path
from random import Random

import pytest

from tests.runners import inputs
from tests.runners.kills import JOB_SERVER, VICTIMS, run_and_kill

pytestmark = pytest.mark.runners

IN_MEMORY = ()  # the local default


def _prepare_words(images: Path, output: Path, *flags: str) -> tuple[object, ...]:
    patterns = (f"--images={images}/images/*", f"--annotations={images}/annotations/*.xml")
    shards = ("--splits=train=0.7,val=0.3", "--num_shards=train=4,val=2", "--without_annotation=reject")
    return ("beam_jobs", "prepare", *patterns, f"--exports={images}/export.zip", *shards, f"--output={output}", *flags)


def _prepare(run, images: Path, output: Path, *flags: str):
    return run(*_prepare_words(images, output, *flags))


def _score_words(images: Path, model: Path, output: Path, *flags: str) -> tuple[object, ...]:
    sources = ("--images", images / "to_score", images / "to_score.zip", "--model", model)
    options = ("--num_shards=3", "--batch_size=8", "--formats=csv,counts")
    return ("inference", "score", *sources, *options, f"--output={output}", *flags)


def _score(run, images: Path, model: Path, output: Path, *flags: str):
    return run(*_score_words(images, model, output, *flags))


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _scored(folder: Path) -> dict[str, bytes]:
    """Returns all files, without the name of the output folder in summary.json, which must differ."""
    found = _files(folder)
    summary = json.loads(found["summary.json"])
    assert summary["options"].pop("output") == str(folder)
    return {**found, "summary.json": json.dumps(summary).encode()}


def _fails(done, status: int, *words: str) -> None:
    """Checks that standard error has one line of ours; Beam's workers may print stack traces of their own around it."""
    assert done.returncode == status, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in line


@pytest.fixture(scope="session")
def prepared(run, images, tmp_path_factory) -> dict[str, bytes]:
    """The data set of the in-memory runner: several shards, both kinds of sources, several reasons for rejects."""
    output = tmp_path_factory.mktemp("in memory") / "dataset"
    done = _prepare(run, images, output, *IN_MEMORY)
    assert done.returncode == 0, done.stderr
    found = _files(output)
    manifest = json.loads(found["dataset.json"])
    assert manifest["images_in"] == inputs.LABELLED + inputs.EXPORTED
    assert len(manifest["rejected_by_reason"]) >= 3
    assert sum(name.endswith(".tfrecord") for name in found) == 6
    return found


@pytest.fixture(scope="session")
def scored(run, images, model, tmp_path_factory) -> dict[str, bytes]:
    """The rows of the in-memory runner."""
    output = tmp_path_factory.mktemp("in memory") / "out"
    done = _score(run, images, model, output, *IN_MEMORY)
    assert done.returncode == 0, done.stderr
    summary = json.loads((output / "summary.json").read_text())
    assert summary["images"] == inputs.LOOSE + 2 + inputs.ZIPPED
    assert summary["failed"] == {"image_not_decodable": 1, "model_failed": 1}
    return _scored(output)


def test_the_same_data_set(runner, run, images, prepared, tmp_path):
    output = tmp_path / "dataset"
    done = _prepare(run, images, output, *runner)
    assert done.returncode == 0, done.stderr
    assert _files(output) == prepared
    (output / "dataset.json").unlink()  # the state after a kill at the end
    shards = sorted(output.glob("*.tfrecord"))
    shards[0].unlink()
    times = {path: path.stat().st_mtime_ns for path in shards[1:]}
    done = _prepare(run, images, output, "--resume", *runner)
    assert done.returncode == 0, done.stderr
    assert _files(output) == prepared
    assert {path: path.stat().st_mtime_ns for path in times} == times, "complete shards are kept"


def test_the_same_rows(runner, run, images, model, scored, tmp_path):
    output = tmp_path / "out"
    done = _score(run, images, model, output, *runner)
    assert done.returncode == 0, done.stderr
    assert _scored(output) == scored
    for name in ("summary.json", "counts.csv", "detections.csv", "predictions-00001-of-00003.jsonl"):
        (output / name).unlink()  # the state after a kill before the last rows were written
    done = _score(run, images, model, output, *runner)
    assert done.returncode == 0, done.stderr
    assert _scored(output) == scored, "rows that were kept and rows that were lost"
    done = _score(run, images, model, output, *runner)
    assert done.returncode == 0, done.stderr
    assert "1 of 66 images to score" in done.stderr, "the model may not fail another time"
    assert _scored(output) == scored


def test_a_bad_request_that_only_a_worker_finds(runner, run, images, model, tmp_path):
    blocked = tmp_path / "dataset"
    (blocked / "val-00000-of-00002.tfrecord").mkdir(parents=True)
    _fails(_prepare(run, images, blocked, *runner), 2, "cannot write", "val-00000-of-00002.tfrecord")
    assert not (blocked / "dataset.json").exists()
    broken = inputs.write_broken_model(model, tmp_path / "broken")
    _fails(_score(run, images, broken, tmp_path / "out", *runner), 2, str(broken), "holds no SavedModel")
    assert not (tmp_path / "out" / "summary.json").exists()


def test_too_many_rejects(runner, run, images, tmp_path):
    done = _prepare(run, images, tmp_path / "dataset", "--max_rejected=0.01", *runner)
    _fails(done, 1, "--max_rejected", str(tmp_path))
    assert not (tmp_path / "dataset" / "dataset.json").exists()


KILLS = [  # program, which kind of process of the cluster, seconds after the start
    ("prepare", 0, 9, "a worker of the engine, in the middle of the plan"),
    ("score", 0, 14, "a worker of the engine, while images are scored"),
    ("prepare", 1, 12, "the process that runs our code"),
]


@pytest.mark.parametrize(("program", "kind", "seconds", "reason"), KILLS)
def test_a_worker_that_is_killed_changes_no_byte(
    cluster, program, kind, seconds, reason, images, model, prepared, scored, tmp_path
):
    name, flags = cluster
    output, log = tmp_path / "out", tmp_path / "log"
    words = _prepare_words(images, output) if program == "prepare" else _score_words(images, model, output)
    victim = list(VICTIMS[name].values())[kind]
    status, killed = run_and_kill((*words, *flags), log, word=victim, seconds=seconds, draw=Random(0))
    assert killed, f"{reason}: the job was over before"
    assert status == 0, f"{reason}: {log.read_text()}"
    if program == "prepare":
        assert _files(output) == prepared
    else:
        assert _scored(output) == scored


def test_a_job_server_that_dies_is_one_line(cluster, images, tmp_path):
    output, log = tmp_path / "dataset", tmp_path / "log"
    words = (*_prepare_words(images, output), *cluster[1])
    status, killed = run_and_kill(words, log, word=JOB_SERVER, seconds=10, draw=Random(0))
    printed = log.read_text()
    assert killed and status == 1, printed
    assert [line for line in printed.splitlines() if "job server has gone" in line], printed
    assert "Traceback" not in printed
    assert not (output / "dataset.json").exists()
